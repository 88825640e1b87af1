"""The measurements as tables: what the classifier is fed, no more and no less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from emotion_triage.audio.recordings import open_recording
from emotion_triage.batch.feature_table import write_table
from emotion_triage.batch.measurements import FRAME_UNITS, WINDOW_UNITS, Measurements, measure
from emotion_triage.errors import TriageError
from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH, powers_of, starts_of
from emotion_triage.prosody.functionals import FUNCTIONAL_NAMES
from emotion_triage.prosody.gate import LOWEST_FLOOR, gate
from emotion_triage.prosody.lld import LLD_NAMES, level_dbfs, lld
from emotion_triage.synthesis.speech import synthetic_speech

DURATION_S = 25.0


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Longer than two of the blocks in which a recording is read."""
    path = tmp_path_factory.mktemp("prosody") / "caller.wav"
    soundfile.write(path, synthetic_speech(DURATION_S, seed=4), 8000, subtype="FLOAT")
    return path


def measured(path: Path, spans: list[tuple[float, float]] | None = None) -> Measurements:
    recording = open_recording(path, caller_channel="mono", caller_spans=spans)
    blocks = list(measure(recording))
    return Measurements(*(np.concatenate(part) for part in zip(*blocks, strict=True)))


def test_frames_are_the_rows(path: Path) -> None:
    """A frame's columns are its row of descriptors, whatever block it was read in; the line's has an energy only."""
    samples, _ = soundfile.read(path, dtype="float32")
    frames = measured(path).frames
    rows = lld(sliding_window_view(samples, FRAME_LENGTH)[::HOP_LENGTH])
    energy_dbfs = level_dbfs(
        powers_of(samples[: len(samples) // HOP_LENGTH * HOP_LENGTH], starts_of(np.array([len(rows) + 1])))
    )
    speech = gate(energy_dbfs, np.array([len(rows)]), np.array([LOWEST_FLOOR])).open
    assert 0 < speech.sum() < len(rows)
    rows[~speech, 1:] = np.nan
    np.testing.assert_array_equal(frames[:, 1 : 1 + len(LLD_NAMES)], rows)
    assert frames.shape[1] == len(FRAME_UNITS)
    np.testing.assert_allclose(np.diff(frames[:, 0]), 0.02, atol=1e-9)


def test_repaired_f0(path: Path) -> None:
    """F0 after repair is one of the frame's two candidates, and within an octave of its neighbours' median."""
    table = dict(zip(FRAME_UNITS, measured(path).frames.T, strict=True))
    voiced = ~np.isnan(table["f0_repaired_hz"])
    repaired = table["f0_repaired_hz"][voiced]
    first, second = table["f0_hz"][voiced], table["f0_second_hz"][voiced]
    assert np.all((repaired == first) | (repaired == second))
    assert np.all(table["speech"][voiced] == 1)
    assert np.median(np.abs(np.log2(repaired / np.median(repaired)))) < 0.5


def test_windows_every_half_second(path: Path) -> None:
    """Windows end every 0.5 s and once more at the end."""
    table = dict(zip(WINDOW_UNITS, measured(path).windows.T, strict=True))
    assert len(table) == 3 + len(FUNCTIONAL_NAMES)
    np.testing.assert_allclose(table["time_s"][:-1], 0.52 + 0.5 * np.arange(len(table["time_s"]) - 1))
    assert table["time_s"][-1] == DURATION_S
    assert np.all(table["speech_s"] <= 3.0)
    assert np.all(table["lost_s"][5:] == 0)


def test_a_gap_is_lost(path: Path) -> None:
    """The first window after a gap is told to have lost what lay in the gap."""
    table = dict(zip(WINDOW_UNITS, measured(path, [(0.0, 4.0), (12.0, 16.0)]).windows.T, strict=True))
    after = np.searchsorted(table["time_s"], 12.0)
    assert 2.0 < table["lost_s"][after] < 3.0
    assert table["lost_s"][-1] == 0


def test_spans_leave_frames_out(path: Path) -> None:
    """Frames outside the caller's spans are not there; those inside keep their times and values."""
    whole, part = measured(path).frames, measured(path, [(2.0, 4.0), (12.0, 13.0)]).frames
    assert np.all(((part[:, 0] > 2.0) & (part[:, 0] <= 4.0)) | ((part[:, 0] > 12.0) & (part[:, 0] <= 13.0)))
    assert len(part) == (2 * 50 - 1) + (50 - 1)
    rows = np.searchsorted(whole[:, 0], part[:, 0] - 1e-6)
    np.testing.assert_array_equal(part[:, : 1 + len(LLD_NAMES)], whole[rows, : 1 + len(LLD_NAMES)])


def test_windows_without_speech(tmp_path: Path) -> None:
    """A window of hum has no statistics: they would describe the line, not the caller."""
    soundfile.write(tmp_path / "hum.wav", 0.1 * np.sin(2 * np.pi * 50 * np.arange(40000) / 8000), 8000)
    windows = measured(tmp_path / "hum.wav").windows
    assert len(windows) == 10
    assert np.all(windows[:, 1] == 0)
    assert np.isnan(windows[:, 3:]).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_on_a_full_disk(tmp_path: Path, suffix: str) -> None:
    """A table that finds no room says so."""
    out = tmp_path / f"out{suffix}"
    out.symlink_to("/dev/full")
    with pytest.raises(TriageError, match=r"cannot be written \(No space left on device\)"):
        write_table(out, {"time_s": "s"}, [np.zeros((10_000, 1))])
