"""Windows to what is measured of them: prosody in one pass for many windows, tone a second at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import decode
from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.functionals import FUNCTIONAL_NAMES, STATISTIC_NAMES, functionals
from emotion_triage.prosody.vad import WINDOW_FRAMES, count, speech_frames
from emotion_triage.prosody.windows import SECOND_FRAMES, Window

__all__ = ["MIN_ENCODED_SPEECH_S", "MIN_NEW_SPEECH_S", "RecentTones", "WindowMeasurement", "Tone", "measure_windows"]

MIN_NEW_SPEECH_S = 0.1
"""A step that brings less speech than this is no new evidence."""
MIN_ENCODED_SPEECH_S = 0.2
"""A second that holds less speech than this is not encoded."""
Tone = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A second of speech, float32 of shape (8000,), to its tone or embedding."""


class WindowMeasurement(NamedTuple):
    """What one window measured; times in seconds.

    Statistics and `snr_db` are 0 where the window holds too little speech, or too little that is new, to be evidence.

    Attributes
    ----------
    time_s : float
        End of the last sample used.
    statistics : ndarray of float32, shape (n_statistics,)
        As `emotion_triage.prosody.functionals.STATISTIC_NAMES`; the tone is 0 until the seconds of a call are averaged.
    speech_s, lost_s, new_speech_s : float
        Speech, lost audio, and speech that no window before has shown.
    snr_db : float
        How far the voice stands out of the line's noise.
    end : int
        Rows of the stream up to the window's end.
    tone : ndarray of float32, shape (n_tones,), or None
        Of the window's last second; None where the window ends between seconds or the second holds too little speech.
    """

    time_s: float
    statistics: NDArray[np.float32]
    speech_s: float
    lost_s: float
    snr_db: float
    new_speech_s: float
    end: int
    tone: NDArray[np.float32] | None


def measure_windows(windows: list[Window], tone: Tone, min_speech_s: float = 0.0) -> list[WindowMeasurement]:
    """Measure windows, of one call or of many, in one pass; return a step for each, in order.

    Parameters
    ----------
    windows : list of Window
    tone : callable
        `Classifier.tone`, or what stands for it.
    min_speech_s : float
        Speech in a window below which it is not evidence, in seconds.
    """
    if not windows:
        return []
    rows = np.stack([window.rows for window in windows])
    frames = speech_frames(rows)
    n_new = np.array([window.n_new for window in windows])
    is_new = np.arange(rows.shape[-1]) >= rows.shape[-1] - n_new[:, None]
    new_speech_s = count(frames.speech & is_new) * HOP_S
    speech_s = frames.speech_s
    spoken = (new_speech_s >= MIN_NEW_SPEECH_S) & (speech_s >= min_speech_s)
    statistics = np.zeros((len(rows), len(STATISTIC_NAMES)), np.float32)
    snr_db = np.zeros(len(rows))
    if spoken.any():
        found, snr_db[spoken] = functionals(rows[spoken], frames.of(spoken))
        statistics[spoken, : len(FUNCTIONAL_NAMES)] = found
    encoded = count(frames.speech[:, -SECOND_FRAMES:]) * HOP_S >= MIN_ENCODED_SPEECH_S
    tones = [
        tone(decode(window.second, window.coding)) if window.second and worth else None
        for window, worth in zip(windows, encoded.tolist(), strict=True)
    ]
    columns = (each.tolist() for each in (speech_s, frames.lost_s, snr_db, new_speech_s))
    return [
        WindowMeasurement(window.time_s, each, spoken_s, lost_s, ratio_db, new_s, window.end, own)
        for window, own, each, spoken_s, lost_s, ratio_db, new_s in zip(
            windows, tones, statistics, *columns, strict=True
        )
    ]


class RecentTones:
    """The tones of the seconds that a window holds, and their mean.

    Examples
    --------
    >>> tones = RecentTones()
    >>> tones.add(50, np.array([1.0, 0.0, 0.0], np.float32))
    >>> tones.add(100, np.array([3.0, 0.0, 0.0], np.float32))
    >>> tones.mean(100).tolist(), tones.mean(225).tolist(), tones.mean(300)
    ([2.0, 0.0, 0.0], [3.0, 0.0, 0.0], None)
    """

    __slots__ = ("_tones",)

    def __init__(self) -> None:
        self._tones: list[tuple[int, NDArray[np.float32]]] = []

    def add(self, end: int, tone: NDArray[np.float32] | None) -> None:
        """Take the tone of a second that ends with row `end`; None where it was not encoded."""
        self._tones = [each for each in self._tones if each[0] > end - WINDOW_FRAMES]
        if tone is not None:
            self._tones.append((end, tone))

    def mean(self, end: int) -> NDArray[np.float32] | None:
        """Return the mean over the seconds that end within the window that ends with row `end`; None without any."""
        inside = [tone for at, tone in self._tones if at > end - WINDOW_FRAMES]
        return np.mean(inside, axis=0, dtype=np.float32) if inside else None
