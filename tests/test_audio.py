"""Encodings against G.711, the resampler against soxr, and streams against every cut."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_triage.audio.stream import (
    ENCODINGS,
    SAMPLE_RATE_HZ,
    AudioStream,
    decode_alaw,
    decode_mulaw,
    encode_alaw,
    encode_mulaw,
)
from emotion_triage.errors import AudioError, StreamError

RATES_HZ = [8001, 11025, 12345, 16000, 22050, 32000, 44100, 48000]
ALL_CODES = bytes(range(256))
ALL_PCM16 = np.arange(-32768, 32768, dtype=np.int16)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tone(frequency_hz: float, rate_hz: int, duration_s: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(int(rate_hz * duration_s)) / rate_hz).astype(np.float32)


def whole(stream: AudioStream, audio: np.ndarray | bytes) -> np.ndarray:
    return np.concatenate((stream.push(audio), stream.flush()))


def in_pieces(stream: AudioStream, audio: np.ndarray | bytes, sizes: list[int]) -> np.ndarray:
    """Push with the sizes in turn, over and over, until the audio is used up."""
    out, at, turn = [], 0, 0
    while at < len(audio):
        size = sizes[turn % len(sizes)]
        out.append(stream.push(audio[at : at + size]))
        at, turn = at + size, turn + 1
    return np.concatenate([*out, stream.flush()])


def amplitude(signal: np.ndarray, frequency_hz: float) -> float:
    """Of one tone in an 8 kHz signal, through a Hann window, its edges left out."""
    inside = signal[400:-400].astype(np.float64)
    window = np.hanning(inside.size)
    phasor = np.exp(-2j * np.pi * frequency_hz * np.arange(inside.size) / SAMPLE_RATE_HZ)
    return float(2 * abs(np.sum(inside * window * phasor)) / window.sum())


# G.711


@pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")
def test_g711_is_audioop_to_the_bit() -> None:
    """Both laws, both ways, over every code and every 16-bit value, are what audioop gives."""
    audioop = pytest.importorskip("audioop", reason="audioop left the standard library in 3.13")
    pcm, as_float = ALL_PCM16.tobytes(), ALL_PCM16 / 32768
    assert encode_mulaw(as_float) == audioop.lin2ulaw(pcm, 2)
    assert encode_alaw(as_float) == audioop.lin2alaw(pcm, 2)
    assert (decode_mulaw(ALL_CODES) * 32768).astype("<i2").tobytes() == audioop.ulaw2lin(ALL_CODES, 2)
    assert (decode_alaw(ALL_CODES) * 32768).astype("<i2").tobytes() == audioop.alaw2lin(ALL_CODES, 2)


@pytest.mark.parametrize(
    ("decode", "golden"),
    [
        (decode_mulaw, {0x00: -32124, 0x01: -31100, 0x7F: 0, 0x80: 32124, 0xEF: 132, 0xFE: 8, 0xFF: 0}),
        (decode_alaw, {0x00: -5504, 0x2A: -32256, 0x55: -8, 0xAA: 32256, 0xD5: 8, 0xD4: 24}),
    ],
)
def test_g711_levels(decode, golden: dict[int, int]) -> None:
    """Known codes have the levels of the G.711 tables, over 32768."""
    values = decode(bytes(golden))
    assert values.dtype == np.float32
    assert (values * 32768).tolist() == list(golden.values())


@pytest.mark.parametrize(("encode", "decode"), [(encode_mulaw, decode_mulaw), (encode_alaw, decode_alaw)])
def test_g711_round_trip(encode, decode) -> None:
    """Every level encodes to a code of the same level, and every value comes back within 4 %."""
    levels = decode(ALL_CODES)
    np.testing.assert_array_equal(decode(encode(levels)), levels)
    values = np.linspace(-0.98, 0.98, 20001)
    np.testing.assert_allclose(decode(encode(values)), values, rtol=0.04, atol=1 / 2000)


def test_g711_clips() -> None:
    """What is beyond full scale takes the largest level of its own sign."""
    assert encode_mulaw([7.0, -7.0]) == encode_mulaw([1.0, -1.0]) == b"\x80\x00"
    assert encode_alaw([7.0, -7.0]) == encode_alaw([1.0, -1.0]) == b"\xaa\x2a"


def test_decoding_wants_codes() -> None:
    """An array of 16-bit values is not taken for codes."""
    with pytest.raises(AudioError, match="got an array of int16, expected bytes or uint8"):
        decode_mulaw(ALL_PCM16)


# Chunks


@pytest.mark.parametrize(
    ("encoding", "as_array"),
    [
        ("mulaw", np.arange(256, dtype=np.uint8)),
        ("alaw", np.arange(256, dtype=np.uint8)),
        ("pcm16", ALL_PCM16[::97]),
        ("float32", noise(500)),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_and_arrays_are_one(encoding: str, as_array: np.ndarray, kind) -> None:
    """Bytes of any kind and arrays, contiguous or not, give the same samples, in memory of their own."""
    from_array = AudioStream(encoding, 8000).push(as_array)
    from_bytes = AudioStream(encoding, 8000).push(kind(as_array.tobytes()))
    from_strided = AudioStream(encoding, 8000).push(np.repeat(as_array, 2)[::2])
    assert from_array.dtype == np.float32
    np.testing.assert_array_equal(from_array, from_bytes)
    np.testing.assert_array_equal(from_array, from_strided)
    assert not np.shares_memory(from_array, as_array)


def test_pcm16_scale_and_order() -> None:
    """PCM16 bytes are little-endian and 32768 is full scale."""
    assert AudioStream("pcm16", 8000).push(b"\x00\x40\x00\x80").tolist() == [0.5, -1.0]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_empty_chunks_are_nothing(encoding: str, rate_hz: int) -> None:
    """Empty chunks give no samples and change nothing."""
    stream = AudioStream(encoding, rate_hz)
    assert stream.push(b"").shape == stream.push(bytearray()).shape == stream.flush().shape == (0,)
    assert stream.samples_in == 0


@settings(deadline=None, max_examples=40)
@given(
    encoding=st.sampled_from(ENCODINGS),
    rate_hz=st.sampled_from([8000, *RATES_HZ]),
    sizes=st.lists(st.integers(0, 4000), min_size=1, max_size=6).filter(any),
)
def test_no_cut_changes_a_bit(encoding: str, rate_hz: int, sizes: list[int]) -> None:
    """However bytes are cut, within samples too, the output is that of one push, to the bit."""
    values = noise(3000)
    audio = {
        "mulaw": encode_mulaw(values),
        "alaw": encode_alaw(values),
        "pcm16": (values * 32767).astype("<i2").tobytes(),
        "float32": values.tobytes(),
    }[encoding]
    stream = AudioStream(encoding, rate_hz)
    np.testing.assert_array_equal(
        in_pieces(stream, audio, sizes), whole(AudioStream(encoding, rate_hz), audio), strict=True
    )
    assert stream.samples_in == values.size


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_samples_one_by_one(rate_hz: int) -> None:
    """One sample at a time, 20 ms and ten seconds at once give the same bits."""
    audio = noise(10 * rate_hz)
    at_once = whole(AudioStream("float32", rate_hz), audio)
    np.testing.assert_array_equal(in_pieces(AudioStream("float32", rate_hz), audio, [rate_hz // 50]), at_once)
    beginning = in_pieces(AudioStream("float32", rate_hz), audio[:3000], [1])[:-40]
    np.testing.assert_array_equal(beginning[:400], at_once[:400])


def test_a_byte_at_a_time() -> None:
    """A sample cut in two by a packet border is put together again."""
    audio = ALL_PCM16[::311].tobytes()
    one_by_one = in_pieces(AudioStream("pcm16", 8000), audio, [1])
    np.testing.assert_array_equal(one_by_one, ALL_PCM16[::311] / np.float32(32768))


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_pickling_between_pushes(rate_hz: int) -> None:
    """A stream pickled within a sample goes on as if it had not been, and is small."""
    audio = noise(2000).tobytes()
    stream, straight = AudioStream("float32", rate_hz), AudioStream("float32", rate_hz)
    first = stream.push(audio[:3001])
    pickled = pickle.dumps(stream)
    resumed = pickle.loads(pickled)
    rest = np.concatenate((resumed.push(audio[3001:]), resumed.flush()))
    np.testing.assert_array_equal(np.concatenate((first, rest)), whole(straight, audio))
    assert resumed.samples_in == 2000
    assert len(pickled) < 4096


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_reset_is_as_constructed(rate_hz: int) -> None:
    """After a reset nothing is left of what came before, half a sample included."""
    stream = AudioStream("pcm16", rate_hz)
    stream.push(noise(900).tobytes() + b"\x01")
    stream.reset()
    assert stream.samples_in == 0
    audio = ALL_PCM16[::50]
    np.testing.assert_array_equal(whole(stream, audio), whole(AudioStream("pcm16", rate_hz), audio))


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_flush_ends_the_audio(rate_hz: int) -> None:
    """A second flush gives nothing, a push after it is refused, and a reset takes audio again."""
    stream = AudioStream("mulaw", rate_hz)
    whole(stream, bytes(400))
    assert stream.flush().shape == (0,)
    with pytest.raises(StreamError, match=r"push after flush.*reset\(\)"):
        stream.push(b"\xff")
    stream.reset()
    assert whole(stream, bytes(rate_hz)).size == 8000


@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_inputs_are_never_written_to(rate_hz: int) -> None:
    """A read-only array is taken, and a writable one is as it was."""
    audio = noise(5000)
    before = audio.copy()
    stream = AudioStream("float32", rate_hz)
    out = stream.push(audio)
    out[:] = 9
    np.testing.assert_array_equal(audio, before)
    audio.setflags(write=False)
    assert stream.push(audio).flags.writeable


# Resampling


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("n_in", [0, 1, 7, 500, 12346])
def test_output_length(rate_hz: int, n_in: int) -> None:
    """The output counts ceil(n * 8000 / rate) samples."""
    assert whole(AudioStream("float32", rate_hz), noise(n_in)).size == -(-n_in * 8000 // rate_hz)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_against_soxr(rate_hz: int) -> None:
    """On speech-band noise the difference from soxr HQ is 50 dB down: same gain, sign and time."""
    soxr = pytest.importorskip("soxr")
    spectrum = np.fft.rfft(noise(2 * rate_hz))
    frequency_hz = np.fft.rfftfreq(2 * rate_hz, 1 / rate_hz)
    spectrum[(frequency_hz < 100) | (frequency_hz > 3400)] = 0
    audio = np.fft.irfft(spectrum, 2 * rate_hz).astype(np.float32)
    ours, theirs = whole(AudioStream("float32", rate_hz), audio), soxr.resample(audio, rate_hz, 8000, "HQ")
    difference = (ours - theirs)[200:-200]
    assert 10 * np.log10(np.mean(theirs**2) / np.mean(difference**2)) > 50


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_pass_band_is_flat(rate_hz: int) -> None:
    """Tones from 300 to 3400 Hz keep their level within 0.1 dB."""
    for frequency_hz in (300, 1000, 2000, 3000, 3400):
        out = whole(AudioStream("float32", rate_hz), tone(frequency_hz, rate_hz))
        assert abs(20 * np.log10(amplitude(out, frequency_hz))) < 0.1


@pytest.mark.parametrize("rate_hz", [rate for rate in RATES_HZ if rate > 9200])
def test_nothing_folds_into_the_band(rate_hz: int) -> None:
    """What lies above 4.6 kHz is 60 dB down, wherever it would fold to."""
    for frequency_hz in np.linspace(4600, min(rate_hz / 2 - 50, 12000), 6):
        out = whole(AudioStream("float32", rate_hz), tone(frequency_hz, rate_hz))[400:-400]
        assert 20 * np.log10(np.sqrt(2 * np.mean(out.astype(np.float64) ** 2))) < -60


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_click_stays_where_it_was(rate_hz: int) -> None:
    """A click at one second comes out, positive, as output sample 8000."""
    audio = np.zeros(2 * rate_hz, np.float32)
    audio[rate_hz] = 1
    assert np.argmax(whole(AudioStream("float32", rate_hz), audio)) == 8000


@pytest.mark.parametrize("rate_hz", [8000, *RATES_HZ])
def test_latency(rate_hz: int) -> None:
    """No more audio is held back than latency_s says, and little less."""
    stream = AudioStream("float32", rate_hz)
    held_s = 1 - stream.push(noise(rate_hz)).size / 8000
    assert stream.latency_s - 1 / 8000 <= held_s <= stream.latency_s + 1e-9
    assert stream.latency_s < 0.004


def test_large_pushes_need_bounded_memory() -> None:
    """The memory of one push, beyond a few copies of its input, does not depend on its length."""
    audio = np.zeros(60 * 48000, np.float32)
    stream = AudioStream("float32", 48000)
    stream.push(audio[:48000])
    tracemalloc.start()
    try:
        stream.push(audio)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All windows at once would be 300 floats for each of 480 000 outputs: 576 MB.
    assert peak < 4 * audio.nbytes


# Refusals


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("ulaw", "got 'ulaw', expected one of mulaw, alaw, pcm16, float32; did you mean 'mulaw'"),
        ("PCM", "did you mean 'pcm16'"),
        ("opus", "encoding: got 'opus', expected one of mulaw, alaw, pcm16, float32"),
    ],
)
def test_unknown_encodings(encoding: str, message: str) -> None:
    """An unknown encoding is refused with the known ones and a guess."""
    with pytest.raises(AudioError, match=message):
        AudioStream(encoding, 8000)


@pytest.mark.parametrize("rate_hz", [4000, 7999, 48001, 0, -8000, 8000.0, "8000", None])
def test_unusable_rates(rate_hz) -> None:
    """A rate that is not a whole number from 8000 to 48000 is refused."""
    with pytest.raises(AudioError, match=f"got {rate_hz!r}, expected a whole number from 8000 to 48000; "):
        AudioStream("mulaw", rate_hz)


@pytest.mark.parametrize(
    ("encoding", "chunk", "message"),
    [
        ("pcm16", noise(4), r"got an array of float32 \(4,\), expected int16 \(n,\); say encoding 'float32'"),
        ("mulaw", ALL_PCM16, "got an array of int16 .*, expected uint8 .*; say encoding 'pcm16'"),
        ("pcm16", np.zeros(4, np.uint8), "say encoding 'mulaw' or 'alaw'"),
        ("float32", np.zeros(4), r"got an array of float64.*convert with .astype\(np.float32\)"),
        ("pcm16", np.zeros(4, np.int32), "got an array of int32.*convert to int16 without losing the scale"),
        ("float32", np.zeros((4, 2), np.float32), r"\(4, 2\).*push one channel, the caller's"),
        ("float32", [0.0, 0.1], "got list, expected bytes or an array of float32"),
        ("mulaw", "text", "got str, expected bytes or an array of uint8"),
    ],
)
def test_wrong_chunks(encoding: str, chunk, message: str) -> None:
    """A chunk of another type, dtype or shape is refused with what was expected and the fix."""
    with pytest.raises(AudioError, match=message):
        AudioStream(encoding, 8000).push(chunk)


def test_an_array_within_a_sample() -> None:
    """An array cannot follow bytes that ended within a sample."""
    stream = AudioStream("pcm16", 8000)
    stream.push(b"\x01\x02\x03")
    with pytest.raises(AudioError, match="got an array after 1 bytes of an unfinished sample"):
        stream.push(ALL_PCM16)
    assert stream.push(b"\x04").size == 1


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, "got nan at sample 1007, .*audio has no such value"),
        (np.inf, "got inf at sample 1007"),
        (-np.inf, "got -inf at sample 1007"),
        (12000.0, "got 12000 at sample 1007, expected values within .*divide 16-bit values by 32768"),
        (-4.5, "got -4.5 at sample 1007"),
    ],
)
def test_bad_floats_are_refused_and_leave_no_trace(rate_hz: int, bad: float, message: str) -> None:
    """NaN, infinities and int16-scaled floats are refused with their place and change nothing."""
    audio, stream = noise(2000), AudioStream("float32", rate_hz)
    first = stream.push(audio[:1000])
    broken = audio[1000:].copy()
    broken[7] = bad
    with pytest.raises(AudioError, match=message):
        stream.push(broken)
    rest = np.concatenate((stream.push(audio[1000:]), stream.flush()))
    np.testing.assert_array_equal(np.concatenate((first, rest)), whole(AudioStream("float32", rate_hz), audio))


def test_clipped_floats_are_taken() -> None:
    """Floats up to 4 are audio that was boosted, and pass unchanged."""
    assert AudioStream("float32", 8000).push(np.float32([1.5, -4.0])).tolist() == [1.5, -4.0]
