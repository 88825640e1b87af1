"""The measurements themselves, as tables: descriptors of each frame and functionals of each window of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import of_type
from emotion_triage.audio.recordings import Recording, to_its_end
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.errors import TruncatedError
from emotion_triage.prosody.frames import HOP_LENGTH
from emotion_triage.prosody.functionals import FUNCTIONAL_NAMES, functionals
from emotion_triage.prosody.lld import LLD_UNITS
from emotion_triage.prosody.vad import speech_frames
from emotion_triage.prosody.windows import Window, WindowStream

__all__ = ["FRAME_UNITS", "WINDOW_UNITS", "Measurements", "measure"]

_UNITS = {
    "dbfs": "dBFS",
    "db": "dB",
    "db_per_khz": "dB/kHz",
    "hz": "Hz",
    "s": "s",
    "semitone": "st above 27.5 Hz",
    "semitone_per_s": "st/s",
}


def _unit(name: str) -> str:
    """Return the unit that a name ends with, its statistic aside."""
    stem = name.removesuffix("_mean").removesuffix("_std")
    if stem in LLD_UNITS:
        return LLD_UNITS[stem]
    ends = [end for end in _UNITS if stem.endswith(f"_{end}")]
    unit = _UNITS[max(ends, key=len)] if ends else "ratio"
    return "st" if stem.endswith(("f0_std_semitone", "f0_range_semitone")) else unit


FRAME_UNITS: dict[str, str] = {
    "time_s": "s",
    **LLD_UNITS,
    "f0_repaired_hz": "Hz",
    "speech": "0 or 1",
    "nucleus": "0 or 1",
}
"""Columns of `Measurements.frames` and their units."""
WINDOW_UNITS: dict[str, str] = {"time_s": "s", "speech_s": "s", "lost_s": "s"} | {
    name: _unit(name) for name in FUNCTIONAL_NAMES
}
"""Columns of `Measurements.windows` and their units."""


class Measurements(NamedTuple):
    """A stretch of a recording, measured.

    Attributes
    ----------
    frames : ndarray of float64, shape (n_frames, n_columns)
        In the order of `FRAME_UNITS`; NaN where a descriptor has no value, as all but the energy have none in frames
        that `emotion_triage.prosody.gate` finds to be the line's. `f0_hz` is the frame's own;
        `f0_repaired_hz` has octave jumps repaired against the window that first showed the frame, and is NaN
        outside voiced speech. Frames outside the caller's spans are left out.
    windows : ndarray of float64, shape (n_windows, n_columns)
        In the order of `WINDOW_UNITS`; windows without speech have NaN statistics.
    """

    frames: NDArray[np.float64]
    windows: NDArray[np.float64]


def measure(recording: Recording) -> Iterator[Measurements]:
    """Measure a recording, stretch by stretch, as a call would be: memory does not grow with its length.

    Parameters
    ----------
    recording : Recording
        From `emotion_triage.audio.recordings.open_recording`.

    Yields
    ------
    Measurements
        In order. `time_s` is the end of the last sample used, in seconds.

    Raises
    ------
    TruncatedError
        If the file ends before its header says so, or cannot be decoded to its end; what is there was measured.
    AudioError
        If the file cannot be read, or holds samples that are no audio.
    """
    of_type(Recording, "open_recording opens one", recording=recording)
    stream = WindowStream("float32", SAMPLE_RATE_HZ)
    cut_short: list[TruncatedError] = []
    for at, samples in to_its_end(recording.blocks(), cut_short):
        hops, lost = stream.jump(at)
        due = stream.describe(hops) + stream.lose(lost)
        yield from _measured(due + stream.describe(stream.frames(samples)))
    yield from _measured(stream.describe(stream.flush()) + stream.last())
    if cut_short:
        raise cut_short[0]


def _measured(due: list[Window]) -> Iterator[Measurements]:
    if not due:
        return
    rows = np.stack([window.rows for window in due])
    speech = speech_frames(rows)
    time_s = np.array([window.time_s for window in due])
    statistics = np.where(speech.speech_s[:, None] > 0, functionals(rows, speech).statistics, np.nan)
    windows = np.column_stack((time_s, speech.speech_s, speech.lost_s, statistics))
    fresh = []
    for i, window in enumerate(due):
        new = slice(rows.shape[-1] - window.n_new, None)
        block = rows[i, :, new]
        heard = np.flatnonzero(~np.isnan(block[0]))
        ends_s = np.round(window.time_s + (heard - heard[-1]) * HOP_LENGTH / SAMPLE_RATE_HZ, 6)
        flags = (speech.f0_hz[i, new], speech.speech[i, new], speech.nuclei[i, new])
        fresh.append(np.column_stack((ends_s, block.T[heard], *(flag[heard] for flag in flags))))
    yield Measurements(np.concatenate(fresh), windows)
