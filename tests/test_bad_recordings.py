"""Each way a recording can be bad or its caller unsaid, with its message."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotion_triage.audio.recordings import Recording, open_recording
from emotion_triage.errors import AudioError


def noise(n: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


def read(recording: Recording, block_s: float = 10.0) -> np.ndarray:
    return np.concatenate([samples for _, samples in recording.blocks(block_s)])


def refused(path: Path, message: str, caller_channel: str | None = "mono", caller_spans=None) -> None:
    """The file is refused, with its name first, when opened or when read."""
    with pytest.raises(AudioError, match=message) as caught:
        read(open_recording(path, caller_channel=caller_channel, caller_spans=caller_spans))
    assert str(caught.value).startswith(f"{path}: ")


# Spans


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(1.0, 0.5)], "caller span 0: got 1 to 0.5 s, expected 0 <= start < end"),
        ([(0.5, 0.5)], "got 0.5 to 0.5 s, expected 0 <= start < end"),
        ([(-1.0, 0.5)], "got -1 to 0.5 s, expected 0 <= start < end; give seconds"),
        ([(float("nan"), 0.5)], "got nan to 0.5 s, expected 0 <= start < end"),
        ([(1.0, 1.5), (0.2, 0.4)], "caller span 1: got 0.2 to 0.4 s after .* ends at 1.5 s.*sort them"),
        ([(0.0, 1.0), (0.9, 1.2)], "caller span 1: .*merge those that overlap"),
        ([(0.0, 2.2)], "got 0 to 2.2 s, expected its end within the file's 2 s"),
        ([(0.0, float("inf"))], "got 0 to inf s, expected its end within"),
    ],
)
def test_bad_spans(tmp_path: Path, spans, message: str) -> None:
    """Spans out of order, empty, overlapping or beyond the file are refused by number."""
    path = tmp_path / "both.wav"
    soundfile.write(path, noise(16000), 8000)
    refused(path, message, None, spans)


# Channels


@pytest.mark.parametrize(
    ("channels", "caller_channel", "message"),
    [
        (2, None, "two channels and no caller channel.*say which holds the caller: --caller-channel left or"),
        (2, "mono", "got two channels and caller channel mono, expected left or right"),
        (1, "left", "got one channel and caller channel left, expected mono"),
        (1, "right", "got one channel and caller channel right, expected mono"),
        (1, None, "one channel, which may hold the agent too.*--caller-channel mono, .*the caller's spans"),
        (1, "Left", "got 'Left', expected left, right or mono; did you mean 'left'"),
        (1, "", "got '', expected left, right or mono; say which side"),
        (3, "left", "got 3 channels, expected one or two"),
    ],
)
def test_whose_channel(tmp_path: Path, channels: int, caller_channel: str | None, message: str) -> None:
    """A file is refused until it is known which side of it is the caller."""
    path = tmp_path / "call.wav"
    soundfile.write(path, np.zeros((8000, channels)), 8000)
    refused(path, message, caller_channel)


def test_spans_do_not_choose_a_stereo_channel(tmp_path: Path) -> None:
    """Spans alone do not say which channel of a stereo file is the caller's."""
    path = tmp_path / "call.wav"
    soundfile.write(path, np.zeros((8000, 2)), 8000)
    refused(path, "got two channels and no caller channel", None, [(0.0, 0.5)])


# Bad files


def wav_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "whole.wav"
    soundfile.write(path, noise(8000), 8000)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["text.wav", "text.mp3", "text.txt"])
def test_text_is_not_audio(tmp_path: Path, name: str) -> None:
    """A text file is refused, whatever its name."""
    path = tmp_path / name
    path.write_text("Bonjour, ceci n'est pas un enregistrement.\n" * 50)
    refused(path, r"got what cannot be decoded \(.+\), expected WAV, .* or MP3; check that it is audio")


def test_an_empty_file(tmp_path: Path) -> None:
    """A file of no bytes is called empty."""
    path = tmp_path / "empty.wav"
    path.touch()
    refused(path, "got an empty file, expected WAV")


@pytest.mark.parametrize("size", [1, 4, 10, 20, 30, 40])
def test_a_truncated_header(tmp_path: Path, size: int) -> None:
    """A WAV cut within its header is refused."""
    path = tmp_path / "cut.wav"
    path.write_bytes(wav_bytes(tmp_path)[:size])
    refused(path, "got what cannot be decoded .*copied whole")


def test_a_header_alone(tmp_path: Path) -> None:
    """A header without a sample is refused, whether written so or cut there."""
    path = tmp_path / "header.wav"
    path.write_bytes(wav_bytes(tmp_path)[:44])
    refused(path, "got a header without samples, expected audio")
    soundfile.write(path, np.zeros(0), 8000)
    refused(path, "got a header without samples, expected audio")


def test_a_missing_file(tmp_path: Path) -> None:
    """A path to nothing is called that."""
    refused(tmp_path / "missing.wav", "got no such file, expected a recording; check the path")


def test_a_folder(tmp_path: Path) -> None:
    """A folder is not a recording."""
    refused(tmp_path, "got a folder, expected a recording; name the files in it")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is called that."""
    path = tmp_path / "locked.wav"
    path.write_bytes(wav_bytes(tmp_path))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything

        def forbidden(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", forbidden)
    refused(path, "got no permission to read it, expected a readable file; change its mode")


def test_a_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error of the system is named as the system names it."""

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("builtins.open", failing)
    refused(tmp_path / "call.wav", "got Input/output error, expected a readable file; check the disk")


def test_samples_without_a_header(tmp_path: Path) -> None:
    """A .raw file says nothing of its encoding, and is refused."""
    path = tmp_path / "call.raw"
    path.write_bytes(bytes(8000))
    refused(
        path,
        "got samples without a header, expected their .*, as --encoding mulaw --sample-rate 8000; or make it WAV",
    )


@pytest.mark.parametrize("rate_hz", [4000, 7350, 96000])
def test_rates_out_of_range(tmp_path: Path, rate_hz: int) -> None:
    """A 4 kHz file is refused, and so is a 96 kHz one."""
    path = tmp_path / "call.wav"
    soundfile.write(path, np.zeros(1000), rate_hz)
    refused(path, f"sample_rate_hz: got {rate_hz}, expected a whole number from 8000 to 48000; ")


@pytest.mark.parametrize(("bad", "said"), [(np.nan, "nan"), (np.inf, "inf"), (20000.0, "20000")])
def test_bad_floats_inside(tmp_path: Path, bad: float, said: str) -> None:
    """NaN, infinities and int16-scaled floats in a WAV are refused with the sample's place."""
    path = tmp_path / "call.wav"
    audio = noise(16000)
    audio[12345] = bad
    soundfile.write(path, audio, 8000, subtype="FLOAT")
    refused(path, f"got {said} at sample 12345, expected values within")


@pytest.mark.parametrize("block_s", [0.0, -1.0, float("nan")])
def test_bad_block_lengths(tmp_path: Path, block_s: float) -> None:
    """A block must be longer than nothing."""
    path = tmp_path / "call.wav"
    soundfile.write(path, noise(100), 8000)
    with pytest.raises(AudioError, match="expected seconds above 0"):
        list(open_recording(path, caller_channel="mono").blocks(block_s))


def test_files_are_never_written_to(tmp_path: Path) -> None:
    """Opening and reading leaves every byte of the file as it was."""
    path = tmp_path / "call.wav"
    path.write_bytes(wav_bytes(tmp_path))
    before = path.read_bytes()
    read(open_recording(path, caller_channel="mono"))
    assert path.read_bytes() == before
