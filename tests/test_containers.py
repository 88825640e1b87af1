"""Recordings as people have them: every container and coding, lengths unknown or wrong, no header, pipes."""

from __future__ import annotations

import os
import struct
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotion_triage.audio import decoding
from emotion_triage.audio.recordings import Headerless, Recording, open_recording
from emotion_triage.batch.inputs import Found, find
from emotion_triage.errors import AudioError, TruncatedError

RATE_HZ = 8000
SIZED = [
    ("WAV", "PCM_16"),
    ("WAV", "ULAW"),
    ("WAV", "GSM610"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "ULAW"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
]
"""Containers whose header says how much audio follows."""
IN_ORDER = [
    *(("WAV", "GSM610"), ("W64", "GSM610"), ("AIFF", "GSM610")),
    *(("WAV", "G721_32"), ("AU", "G721_32"), ("AU", "G723_24")),
]
"""Codings in which a decoder cannot go back."""
UNSIZED = [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


def speechlike(duration_s: float) -> np.ndarray:
    """A tone of changing pitch, so that every stretch of it is another."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * (200 * time_s + 20 * time_s**2))).astype(np.float32)


def write(path: Path, container: str, subtype: str, samples: np.ndarray) -> bytes:
    soundfile.write(path, samples, RATE_HZ, format=container, subtype=subtype)
    return path.read_bytes()


def read(recording: Recording, block_s: float = 10.0) -> tuple[np.ndarray, str | None]:
    """What a recording gives, and how it was found to be cut short."""
    parts = [np.zeros(0, np.float32)]
    try:
        for _, samples in recording.blocks(block_s):
            parts.append(samples)
    except TruncatedError as error:
        return np.concatenate(parts), str(error)
    return np.concatenate(parts), None


def opened(path: Path | str, **how: object) -> Recording:
    return open_recording(path, caller_channel="mono", **how)  # type: ignore[arg-type]


# Codings that decoders can only read in order


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "GSM610"),
        ("W64", "GSM610"),
        ("AIFF", "GSM610"),
        ("WAV", "G721_32"),
        ("AU", "G721_32"),
        ("AU", "G723_24"),
    ],
)
def test_codings_without_a_way_back(tmp_path: Path, container: str, subtype: str) -> None:
    """WAV49 and G.721, in which no decoder can go back, are read whole, in blocks of any size, and by spans."""
    audio = speechlike(4.0)
    write(tmp_path / "call", container, subtype, audio)
    samples, warning = read(opened(tmp_path / "call"))
    assert warning is None
    assert 0 <= samples.size - audio.size < 320
    assert np.corrcoef(samples[: audio.size], audio)[0, 1] > 0.9
    np.testing.assert_array_equal(read(opened(tmp_path / "call"), 0.3)[0], samples)
    spans = [(0.5, 1.0), (2.5, 3.0)]
    within, _ = read(open_recording(tmp_path / "call", caller_channel=None, caller_spans=spans))
    np.testing.assert_array_equal(within, np.concatenate([samples[4000:8000], samples[20000:24000]]))


# Lengths that are not known


def patched(data: bytes, at: int, layout: str, value: int) -> bytes:
    return data[:at] + struct.pack(layout, value) + data[at + struct.calcsize(layout) :]


def flac_of_unknown_length(data: bytes) -> bytes:
    """Clear the 36 bits of STREAMINFO that a writer into a pipe cannot fill in."""
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36
    return data[:18] + fields.to_bytes(8, "big") + data[26:]


STREAMED: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "WAV, sizes 0": ("WAV", "PCM_16", lambda data: patched(patched(data, 4, "<I", 0), 40, "<I", 0)),
    "WAV, size 0xFFFFFFFF": ("WAV", "PCM_16", lambda data: patched(data, 40, "<I", 0xFFFFFFFF)),
    "WAV, size 0x7FFFF000": ("WAV", "PCM_16", lambda data: patched(data, 40, "<I", 0x7FFFF000)),
    "WAV, size 0x80000000": ("WAV", "PCM_16", lambda data: patched(data, 40, "<I", 0x80000000)),
    "RF64, size 0": ("RF64", "PCM_16", lambda data: patched(data, 28, "<Q", 0)),
    "W64, size 0": ("W64", "PCM_16", lambda data: patched(data, data.index(b"data") + 16, "<Q", 0)),
    "AIFF, size 0x7F000008": ("AIFF", "PCM_16", lambda data: patched(data, data.index(b"SSND") + 4, ">I", 0x7F000008)),
    "AIFF, size 0": ("AIFF", "PCM_16", lambda data: patched(data, data.index(b"SSND") + 4, ">I", 0)),
    "AU, size 0xFFFFFFFF": ("AU", "PCM_16", lambda data: patched(data, 8, ">I", 0xFFFFFFFF)),
    "AU, size 0": ("AU", "PCM_16", lambda data: patched(data, 8, ">I", 0)),
    "CAF, size -1": ("CAF", "PCM_16", lambda data: patched(data, data.rindex(b"data") + 4, ">q", -1)),
    "FLAC, no length": ("FLAC", "PCM_16", flac_of_unknown_length),
}


@pytest.mark.parametrize("name", STREAMED)
def test_a_length_that_the_writer_did_not_know(tmp_path: Path, name: str) -> None:
    """What a recorder wrote into a pipe, its header without a length, is read whole and is as long as it is."""
    container, subtype, spoil = STREAMED[name]
    data = write(tmp_path / "whole", container, subtype, speechlike(12.5))
    expected, _ = read(opened(tmp_path / "whole"))
    (tmp_path / "streamed").write_bytes(spoil(data))
    recording = opened(tmp_path / "streamed")
    assert recording.duration_s == pytest.approx(12.5, abs=0.01)
    samples, warning = read(recording)
    assert warning is None
    np.testing.assert_array_equal(samples[: expected.size], expected)
    assert samples.size - expected.size <= 80


def test_an_empty_wav_with_a_comment_is_empty(tmp_path: Path) -> None:
    """Where the audio's size is 0 and another chunk follows, nothing of that is taken for audio."""
    data = write(tmp_path / "empty.wav", "WAV", "PCM_16", np.zeros(0))
    (tmp_path / "empty.wav").write_bytes(data + b"LIST" + struct.pack("<I", 8) + b"INFOICMT")
    with pytest.raises(AudioError, match="got a header without samples"):
        opened(tmp_path / "empty.wav")


# Recordings cut short


@pytest.mark.parametrize(("container", "subtype"), SIZED)
def test_a_recording_cut_short_says_so(tmp_path: Path, container: str, subtype: str) -> None:
    """What is there of half a file is read; then comes an error that says how much was announced."""
    data = write(tmp_path / "whole", container, subtype, speechlike(20.0))
    whole, warning = read(opened(tmp_path / "whole"))
    assert warning is None
    (tmp_path / "cut").write_bytes(data[: len(data) * 2 // 5])
    recording = opened(tmp_path / "cut")
    assert recording.duration_s == pytest.approx(20.0, abs=0.1)
    samples, warning = read(recording, 2.0)
    assert 7.0 < samples.size / RATE_HZ < 8.1
    # an ADPCM frame that was cut decodes to something else
    np.testing.assert_array_equal(samples[:-800], whole[: samples.size - 800])
    assert warning is not None
    assert warning.startswith(f"{tmp_path / 'cut'}: got {samples.size / RATE_HZ:.2f} s of the 20.0")


@pytest.mark.parametrize(("container", "subtype"), UNSIZED)
def test_a_compressed_recording_cut_short_says_so(tmp_path: Path, container: str, subtype: str) -> None:
    """FLAC, Ogg and MP3 that were cut give what is there, to within an instant of the cut, and say so."""
    data = write(tmp_path / "whole", container, subtype, speechlike(20.0))
    assert read(opened(tmp_path / "whole"))[1] is None
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    samples, warning = read(opened(tmp_path / "cut"))
    assert 6.0 < samples.size / RATE_HZ < 14.0
    assert warning is not None
    assert {"FLAC": "cannot be decoded from", "OGG": "without its last page", "MP3": "of the 20.0"}[
        container
    ] in warning


def test_a_flac_from_a_pipe_that_was_cut(tmp_path: Path) -> None:
    """A FLAC without a length and without its end gives what can be decoded, not up to the last block of 10 s."""
    data = flac_of_unknown_length(write(tmp_path / "whole.flac", "FLAC", "PCM_16", speechlike(20.0)))
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 4])
    recording = opened(tmp_path / "cut.flac")
    samples, warning = read(recording)
    assert 1.0 < samples.size / RATE_HZ < 9.0
    assert recording.duration_s == samples.size / RATE_HZ
    assert warning is not None


def test_damage_in_the_middle_keeps_what_is_before(tmp_path: Path) -> None:
    """A FLAC whose middle is overwritten is read up to there."""
    data = write(tmp_path / "whole.flac", "FLAC", "PCM_16", speechlike(20.0))
    middle = len(data) // 2
    (tmp_path / "bad.flac").write_bytes(data[:middle] + b"\xff" * 5000 + data[middle + 5000 :])
    expected, _ = read(opened(tmp_path / "whole.flac"))
    samples, warning = read(opened(tmp_path / "bad.flac"))
    assert warning is not None
    assert 5.0 < samples.size / RATE_HZ < 15.0
    np.testing.assert_array_equal(samples, expected[: samples.size])


def test_spans_within_what_is_there(tmp_path: Path) -> None:
    """Of a cut file the spans that are there are read; those after the cut are missing, and that is said."""
    data = write(tmp_path / "whole.wav", "WAV", "PCM_16", speechlike(20.0))
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    recording = open_recording(tmp_path / "cut.wav", caller_channel=None, caller_spans=[(1.0, 2.0), (15.0, 16.0)])
    samples, warning = read(recording)
    assert samples.size == RATE_HZ
    assert warning is not None


def test_a_header_that_counts_itself_is_whole(tmp_path: Path) -> None:
    """A writer that counts its header as audio made a file that is whole all the same."""
    data = write(tmp_path / "call.wav", "WAV", "PCM_16", speechlike(2.0))
    (tmp_path / "call.wav").write_bytes(patched(data, 40, "<I", len(data)))
    assert read(opened(tmp_path / "call.wav"))[1] is None


# Without a header


@pytest.mark.parametrize(
    ("suffix", "encoding", "subtype"),
    [
        (".ulaw", "mulaw", "ULAW"),
        (".al", "alaw", "ALAW"),
        (".sln", "pcm16", "PCM_16"),
        (".gsm", "gsm", "GSM610"),
        (".vox", "vox", "VOX_ADPCM"),
        (".raw", "mulaw", "ULAW"),
        (".raw", "float32", "FLOAT"),
        (".bin", "alaw", "ALAW"),
        ("", "mulaw", "ULAW"),
    ],
)
def test_samples_without_a_header(tmp_path: Path, suffix: str, encoding: str, subtype: str) -> None:
    """Told encoding and rate, samples without a header are what they are within a WAV."""
    path = tmp_path / f"call{suffix}"
    audio = speechlike(2.0)
    soundfile.write(path, audio, RATE_HZ, format="RAW", subtype=subtype)
    recording = opened(path, headerless=Headerless(encoding, RATE_HZ))
    assert recording.duration_s == 2.0
    samples, warning = read(recording)
    assert warning is None
    assert np.corrcoef(samples, audio)[0, 1] > 0.9


def test_a_wider_sln(tmp_path: Path) -> None:
    """Asterisk's .sln16 is 16 kHz."""
    soundfile.write(tmp_path / "call.sln16", speechlike(2.0), 16000, format="RAW", subtype="PCM_16")
    assert opened(tmp_path / "call.sln16", headerless=Headerless("pcm16", 16000)).duration_s == 1.0


@pytest.mark.parametrize(
    ("name", "headerless", "message"),
    [
        ("call.ulaw", None, "without a header, .* --encoding mulaw --sample-rate 8000"),
        ("call.sln16", None, "--encoding pcm16 --sample-rate 16000"),
        ("call.alaw", Headerless("mulaw", 8000), "got encoding mulaw at 8000 Hz, expected alaw at 8000 Hz as its name"),
        ("call.sln16", Headerless("pcm16", 8000), "expected pcm16 at 16000 Hz as its name says"),
        ("call.g729", Headerless("mulaw", 8000), r"got G.729 audio, which is not decoded here.*convert it"),
        ("call.m4a", None, "got AAC audio, which is not decoded here"),
    ],
)
def test_names_that_say_what_is_inside(tmp_path: Path, name: str, headerless: Headerless | None, message: str) -> None:
    """A name that says that there is no header, another encoding or what is not decoded is an error with its fix."""
    (tmp_path / name).write_bytes(bytes(range(256)) * 40)
    with pytest.raises(AudioError, match=message):
        opened(tmp_path / name, headerless=headerless)


@pytest.mark.parametrize(
    ("data", "what"), [(b"\0\0\0\x20ftypM4A \0", "AAC"), (b"#!AMR\n", "AMR"), (b"\x1aE\xdf\xa3", "Matroska")]
)
def test_another_container_under_the_name_of_a_wav(tmp_path: Path, data: bytes, what: str) -> None:
    """A .wav that is something else inside is called what it is."""
    (tmp_path / "call.wav").write_bytes(data + bytes(1000))
    with pytest.raises(AudioError, match=f"got {what} audio, which is not decoded here"):
        opened(tmp_path / "call.wav")


def test_a_header_outweighs_what_is_said_of_those_without(tmp_path: Path) -> None:
    """Encoding and rate are for recordings without a header: one with a header is read by it, whatever its name."""
    for name in ("call.wav", "call.raw", "call"):
        write(tmp_path / name, "WAV", "PCM_16", speechlike(2.0))
        samples, _ = read(opened(tmp_path / name, headerless=Headerless("alaw", 16000)))
        np.testing.assert_allclose(samples, speechlike(2.0), atol=1e-4)


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "message"),
    [("ulaw", 8000, "encoding: got 'ulaw', expected one of mulaw"), ("mulaw", 6000, "sample_rate_hz: got 6000")],
)
def test_what_headerless_can_be(encoding: str, rate_hz: int, message: str) -> None:
    """An unknown encoding or rate is refused."""
    with pytest.raises(AudioError, match=message):
        Headerless(encoding, rate_hz)


# Pipes


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path / "pipe.wav"


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_a_pipe_is_read_once_and_gives_the_recording(tmp_path: Path, pipe: Path, container: str, subtype: str) -> None:
    """A named pipe gives what the file gives, even read twice, in formats that must go back and forth."""
    data = write(tmp_path / "file", container, subtype, speechlike(4.0))
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    recording = opened(pipe)
    writer.join()
    expected, _ = read(opened(tmp_path / "file"))
    for block_s in (10.0, 0.5):
        np.testing.assert_array_equal(read(recording, block_s)[0], expected)


def test_a_pipe_that_nobody_writes_to(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without a writer, or whose writer brings nothing, is an error in time, not a wait for ever."""
    monkeypatch.setattr(decoding, "PATIENCE_S", 0.1)
    with pytest.raises(AudioError, match=r"pipe.wav: got a pipe that brought nothing for 0.1 s"):
        opened(pipe)
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"RIFF")
    with pytest.raises(AudioError, match="got a pipe that brought nothing"):
        opened(pipe)
    os.close(writer)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device(path: str) -> None:
    """A device is no recording, however much it brings."""
    with pytest.raises(AudioError, match=f"{path}: got a device, expected a file"):
        opened(path)


# Folders


def test_what_a_folder_passes_over_is_counted(tmp_path: Path, pipe: Path) -> None:
    """A folder gives what can be read, and counts the rest by its suffix; a pipe in it is not waited for."""
    for name in ("a.wav", "b.WAV", "c.aiff", "d.m4a", "e.ulaw", "f.ulaw", "notes.txt", "README", ".hidden.wav"):
        (tmp_path / name).touch()
    found = find([tmp_path])
    assert [Path(path).name for path in found.recordings] == ["a.wav", "b.WAV", "c.aiff"]
    assert found.passed_over == {".m4a": 1, ".ulaw": 2, "": 1, ".wav": 1}
    told = found.in_words()
    assert told is not None
    assert told.startswith("passed over 5 files: 2 .ulaw (without a header: give --encoding and --sample-rate)")
    assert "1 .m4a (AAC: convert them)" in told
    assert "1 .wav (pipes and devices: name them)" in told
    with_headerless = find([tmp_path], headerless=True)
    assert [Path(path).name for path in with_headerless.recordings] == ["a.wav", "b.WAV", "c.aiff", "e.ulaw", "f.ulaw"]


def test_a_folder_of_what_cannot_be_read_says_what_is_there(tmp_path: Path) -> None:
    """A folder without recordings names what it holds instead."""
    (tmp_path / "a.m4a").touch()
    with pytest.raises(AudioError, match=r"a folder without recordings \(passed over 1 file: 1 .m4a \(AAC: convert"):
        find([tmp_path])
    assert Found([], Counter()).in_words() is None


def test_one_path_is_not_a_list_of_letters(tmp_path: Path) -> None:
    """A path given alone is one recording, not one for each of its letters."""
    (tmp_path / "calls.wav").touch()
    assert find(str(tmp_path / "calls.wav")).recordings == find(tmp_path / "calls.wav").recordings
    assert find(tmp_path / "calls.wav").recordings == [str(tmp_path / "calls.wav")]
