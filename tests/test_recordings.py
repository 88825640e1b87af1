"""Recordings: every format, the right channel, the caller's spans, in blocks."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_triage.audio.recordings import Recording, open_recording
from emotion_triage.audio.stream import AudioStream

# Name, soundfile format, subtype, rate, and the error that its coding may make (root mean square).
FORMATS = [
    ("pcm16.wav", "WAV", "PCM_16", 8000, 1e-4),
    ("pcm24.wav", "WAV", "PCM_24", 44100, 1e-4),
    ("float.wav", "WAV", "FLOAT", 16000, 1e-4),
    ("mulaw.wav", "WAV", "ULAW", 8000, 6e-3),
    ("alaw.wav", "WAV", "ALAW", 8000, 6e-3),
    ("speech.flac", "FLAC", "PCM_16", 22050, 1e-4),
    ("vorbis.ogg", "OGG", "VORBIS", 16000, 3e-2),
    ("opus.ogg", "OGG", "OPUS", 16000, 3e-2),
    ("layer3.mp3", "MP3", "MPEG_LAYER_III", 16000, 3e-2),
]
LOSSLESS = [row for row in FORMATS if row[4] == 1e-4]


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tone(frequency_hz: float, rate_hz: int, duration_s: float) -> np.ndarray:
    time_s = np.arange(int(rate_hz * duration_s)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def at_8khz(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    stream = AudioStream("float32", rate_hz)
    return np.concatenate((stream.push(audio), stream.flush()))


def read(recording: Recording, block_s: float = 10.0) -> np.ndarray:
    """All blocks on one time line; NaN where nothing was read, an error where two overlap."""
    line = np.full(round(recording.duration_s * 8000) + 8000, np.nan, np.float32)
    end = 0
    for at, samples in recording.blocks(block_s):
        assert at >= end
        assert samples.size
        assert samples.dtype == np.float32
        end = at + samples.size
        line[at:end] = samples
    return line[:end]


@pytest.mark.parametrize(("name", "kind", "subtype", "rate_hz", "error"), FORMATS)
def test_every_format_is_read(tmp_path: Path, name, kind, subtype, rate_hz, error) -> None:
    """A tone comes back at its level, sign and place from every format."""
    path = tmp_path / name
    audio = tone(440, rate_hz, 2.0)
    soundfile.write(path, audio, rate_hz, format=kind, subtype=subtype)
    recording = open_recording(path, caller_channel="mono")
    assert (recording.path, recording.sample_rate_hz, recording.channels) == (str(path), rate_hz, 1)
    assert recording.duration_s == pytest.approx(2.0)
    samples = read(recording)
    assert samples.size == 16000
    assert np.sqrt(np.mean((samples - at_8khz(audio, rate_hz))[800:-800] ** 2)) < error


@pytest.mark.parametrize(("name", "kind", "subtype", "rate_hz", "error"), FORMATS)
def test_a_file_is_its_stream(tmp_path: Path, name, kind, subtype, rate_hz, error) -> None:
    """Blocks are, to the bit, what a stream gives for the decoded file in 20 ms packets."""
    path = tmp_path / name
    soundfile.write(path, noise(3 * rate_hz), rate_hz, format=kind, subtype=subtype)
    decoded, _ = soundfile.read(path, dtype="float32")
    stream, packet = AudioStream("float32", rate_hz), rate_hz // 50
    packets = [stream.push(decoded[at : at + packet]) for at in range(0, decoded.size, packet)]
    streamed = np.concatenate([*packets, stream.flush()])
    recording = open_recording(path, caller_channel="mono")
    # soundfile.read goes back to the start first, after which an MP3 decoder rounds otherwise.
    np.testing.assert_allclose(read(recording), streamed, rtol=0, atol=1e-6 if kind == "MP3" else 0)
    np.testing.assert_array_equal(read(recording, 0.7), read(recording))


@pytest.mark.parametrize(("subtype", "encoding"), [("ULAW", "mulaw"), ("ALAW", "alaw"), ("PCM_16", "pcm16")])
def test_a_wav_is_the_packets_inside_it(tmp_path: Path, subtype: str, encoding: str) -> None:
    """A WAV of G.711 or PCM16 gives, to the bit, what its own bytes give as a stream."""
    path = tmp_path / "inside.wav"
    soundfile.write(path, noise(8000), 8000, subtype=subtype)
    data = path.read_bytes()
    start = data.index(b"data") + 8
    size = struct.unpack("<I", data[start - 4 : start])[0]
    streamed = AudioStream(encoding, 8000).push(data[start : start + size])
    np.testing.assert_array_equal(read(open_recording(path, caller_channel="mono")), streamed)


@pytest.mark.parametrize(("name", "kind", "subtype", "rate_hz", "error"), LOSSLESS)
def test_stereo_gives_the_callers_side_alone(tmp_path: Path, name, kind, subtype, rate_hz, error) -> None:
    """Left is the first channel, right the second, and nothing of the other is in it."""
    left, right = noise(rate_hz, seed=1), noise(rate_hz, seed=2)
    path, alone = tmp_path / name, tmp_path / f"alone-{name}"
    soundfile.write(path, np.stack((left, right), axis=1), rate_hz, format=kind, subtype=subtype)
    for side, audio in (("left", left), ("right", right)):
        soundfile.write(alone, audio, rate_hz, format=kind, subtype=subtype)
        recording = open_recording(path, caller_channel=side)
        assert recording.channels == 2
        np.testing.assert_array_equal(read(recording), read(open_recording(alone, caller_channel="mono")))


# Spans


def test_outside_the_spans_is_a_gap(tmp_path: Path) -> None:
    """Of a mono file of both sides only the caller's spans are read, each at its own time."""
    audio = noise(8000 * 5)
    path = tmp_path / "both.wav"
    soundfile.write(path, audio, 8000, subtype="FLOAT")
    spans = [(0.5, 1.0), (2.0, 3.25), (4.0, 5.0)]
    line = read(open_recording(path, caller_channel=None, caller_spans=spans), block_s=0.3)
    heard = np.zeros(audio.size, bool)
    for start_s, end_s in spans:
        heard[int(start_s * 8000) : int(end_s * 8000)] = True
    np.testing.assert_array_equal(line[heard], audio[heard])
    assert np.isnan(line[~heard]).all()


def test_spans_of_a_stereo_file(tmp_path: Path) -> None:
    """Spans narrow down the caller's channel of a stereo file too."""
    left, right = noise(8000, seed=1), noise(8000, seed=2)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack((left, right), axis=1), 8000, subtype="FLOAT")
    ((at, samples),) = open_recording(path, caller_channel="right", caller_spans=[(0.25, 0.5)]).blocks()
    assert at == 2000
    np.testing.assert_array_equal(samples, right[2000:4000])


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000])
def test_the_other_side_does_not_leak_into_a_span(tmp_path: Path, rate_hz: int) -> None:
    """A silent span amid loud speech of the agent is silent to its last sample, at any rate."""
    start, end = 8001, 15999
    time = np.arange(3 * rate_hz) * 8000 / rate_hz
    path = tmp_path / "both.wav"
    soundfile.write(path, np.where((time >= start) & (time < end), 0.0, 1.0), rate_hz, subtype="FLOAT")
    recording = open_recording(path, caller_channel=None, caller_spans=[(start / 8000, end / 8000)])
    samples = read(recording)[start:]
    assert samples.size >= end - start - 1
    assert not samples.any()


def test_spans_that_touch_are_one(tmp_path: Path) -> None:
    """Cutting a span in two where it goes on changes no sample."""
    path = tmp_path / "both.wav"
    soundfile.write(path, noise(3 * 11025), 11025, subtype="FLOAT")
    one = open_recording(path, caller_channel=None, caller_spans=[(0.5, 2.5)])
    two = open_recording(path, caller_channel=None, caller_spans=[(0.5, 1.3), (1.3, 2.5)])
    np.testing.assert_array_equal(read(two), read(one))


@pytest.fixture(scope="module")
def odd_rates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, np.ndarray]]:
    """Two seconds of a 500 Hz tone at several rates."""
    folder = tmp_path_factory.mktemp("rates")
    files = {}
    for rate_hz in (8000, 11025, 12345, 44100):
        files[rate_hz] = (folder / f"{rate_hz}.wav", tone(500, rate_hz, 2.0))
        soundfile.write(*files[rate_hz], rate_hz, subtype="FLOAT")
    return files


@settings(deadline=None, max_examples=40)
@given(
    rate_hz=st.sampled_from([8000, 11025, 12345, 44100]),
    edges_s=st.lists(st.floats(0, 2), min_size=2, max_size=8, unique=True).map(sorted),
    block_s=st.sampled_from([0.01, 0.1, 10.0]),
)
def test_spans_never_overlap_and_keep_their_time(odd_rates, rate_hz, edges_s, block_s) -> None:
    """Any spans give blocks in order, within them to a sample, each in time with the whole file."""
    path, audio = odd_rates[rate_hz]
    spans = list(zip(edges_s[::2], edges_s[1::2], strict=False))
    recording = open_recording(path, caller_channel=None, caller_spans=spans)
    line = read(recording, block_s)
    heard = np.flatnonzero(~np.isnan(line))
    for k in heard:
        assert any(start_s - 1 / 8000 <= k / 8000 <= end_s + 1 / 8000 for start_s, end_s in spans)
    # Away from the edges, where the filter has the whole span under it, time is right to one frame.
    inner = [k for k in heard if any(a + 0.01 <= k / 8000 <= b - 0.01 for a, b in spans)]
    slope = 0.5 * 2 * np.pi * 500
    np.testing.assert_allclose(line[inner], at_8khz(audio, rate_hz)[inner], rtol=0, atol=1.5 * slope / rate_hz)
    for start_s, end_s in spans:
        inside = (heard >= start_s * 8000) & (heard <= end_s * 8000)
        assert inside.sum() >= (end_s - start_s) * 8000 - 4


def test_a_span_may_end_a_rounding_late(tmp_path: Path) -> None:
    """A last span written to the hundredth of a second may pass the end of the file by that."""
    path = tmp_path / "short.wav"
    soundfile.write(path, noise(7990), 8000)
    assert read(open_recording(path, caller_channel=None, caller_spans=[(0.5, 1.0)])).size == 7990


# Reading


@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_memory_does_not_grow_with_length(tmp_path: Path, rate_hz: int) -> None:
    """Ten minutes need no more memory than thirty seconds, in blocks no longer than asked."""
    peaks = []
    for duration_s in (30, 600):
        path = tmp_path / f"{duration_s}.wav"
        with soundfile.SoundFile(path, "w", rate_hz, 1, "ULAW") as file:
            for _ in range(duration_s):
                file.write(np.zeros(rate_hz))
        recording = open_recording(path, caller_channel="mono")
        tracemalloc.start()
        try:
            sizes = [samples.size for _, samples in recording.blocks(2.0)]
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert sum(sizes) == duration_s * 8000
        assert max(sizes) <= 16000
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_reading_twice_and_from_another_process(tmp_path: Path) -> None:
    """A recording holds no open file: it can be read again, abandoned midway and pickled."""
    path = tmp_path / "call.wav"
    soundfile.write(path, noise(24000), 8000)
    recording = open_recording(path, caller_channel="mono", caller_spans=[(0.0, 1.0), (2.0, 3.0)])
    next(recording.blocks(0.1))
    once = read(recording)
    np.testing.assert_array_equal(read(recording), once)
    np.testing.assert_array_equal(read(pickle.loads(pickle.dumps(recording))), once)
