"""What the documents say of recordings is what becomes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import recording_forms as forms
import soundfile

from emotion_triage.audio.recordings import Headerless, open_recording
from emotion_triage.errors import AudioError

SECOND = (0.3 * np.sin(2 * np.pi * 300 * np.arange(8000) / 8000)).astype(np.float32)


def read(path: Path, headerless: Headerless | None = None) -> np.ndarray:
    recording = open_recording(path, caller_channel="mono", headerless=headerless)
    return np.concatenate([samples for _, samples in recording.blocks()])


def is_like(samples: np.ndarray) -> bool:
    """Whether samples are the second that was written, to within what a coding loses and its frames add."""
    return 0 <= samples.size - 8000 < 1200 and bool(np.corrcoef(samples[:8000], SECOND)[0, 1] > 0.8)


@pytest.mark.parametrize("container", forms.CONTAINERS)
def test_containers_are_taken(tmp_path: Path, container: str) -> None:
    """Every coding of a container that the page names is read whole."""
    for coding in forms.CONTAINERS[container][1]:
        soundfile.write(tmp_path / "call", SECOND, 8000, format=container, subtype=coding)
        assert is_like(read(tmp_path / "call")), coding


def test_rates_are_taken(tmp_path: Path) -> None:
    """Every rate that the page names is read."""
    for rate_hz in forms.RATES_HZ:
        soundfile.write(tmp_path / "call.wav", np.zeros(rate_hz), rate_hz)
        assert read(tmp_path / "call.wav").size == 8000


@pytest.mark.parametrize(("encoding", "subtype"), forms.HEADERLESS)
def test_samples_without_a_header_are_taken(tmp_path: Path, encoding: str, subtype: str) -> None:
    """Every encoding is read from files of every name that the page gives it."""
    for suffix in forms.HEADERLESS[encoding, subtype]:
        path = tmp_path / f"call{suffix}"
        soundfile.write(path, SECOND, 8000, format="RAW", subtype=subtype)
        rate_hz = 16000 if suffix == ".sln16" else 8000
        samples = read(path, Headerless(encoding, rate_hz))
        assert samples.size == 8000 * 8000 // rate_hz
        assert rate_hz > 8000 or is_like(samples)


@pytest.mark.parametrize("what", forms.FOREIGN)
def test_what_is_not_decoded_is_refused(tmp_path: Path, what: str) -> None:
    """Every file that nothing here decodes is refused with the page's message."""
    for suffix in forms.FOREIGN[what]:
        path = tmp_path / f"call{suffix}"
        path.write_bytes(bytes(range(256)))
        with pytest.raises(AudioError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {forms.foreign(what)}"


def written(path: Path, what: str) -> Path:
    """A recording of what is refused."""
    rate_hz, samples = 8000, SECOND.copy()
    match what:
        case "an empty file":
            path.touch()
            return path
        case "a device":
            return Path("/dev/null")
        case "samples without a header, of which nothing is said":
            path = path.with_suffix(".raw")
            path.write_bytes(bytes(1000))
            return path
        case "a header and nothing else":
            samples = samples[:0]
        case "6000 Hz" | "96000 Hz":
            rate_hz = int(what.split()[0])
        case "three channels":
            samples = np.stack([samples] * 3, axis=1)
        case "two channels with `--caller-channel mono`":
            samples = np.stack([samples] * 2, axis=1)
        case "a sample that is NaN":
            samples[100] = np.nan
        case "a sample that is infinite":
            samples[100] = np.inf
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


@pytest.mark.parametrize("what", forms.REFUSED)
def test_what_is_refused_says_why(tmp_path: Path, what: str) -> None:
    """Everything that the page says is refused is refused, with the page's message."""
    path = written(tmp_path / "call.wav", what)
    with pytest.raises(AudioError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {forms.REFUSED[what]}"


def test_one_sample_is_a_recording(tmp_path: Path) -> None:
    """The shortest recording is one sample long."""
    soundfile.write(tmp_path / "call.wav", SECOND[:1], 8000)
    assert read(tmp_path / "call.wav").size == 1


def test_the_documents_show_what_is_tested() -> None:
    """The page of recordings is made from the forms that the tests check."""
    assert forms.PAGE.read_text(encoding="utf-8").splitlines() == list(forms.page())
