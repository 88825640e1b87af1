"""Speech or not, octave-jump repair, syllable nuclei: what one window of rows tells about its frames.

A window is the last 3 s of the caller's rows, looked at every 0.5 s. Everything here is a pure function of the window,
so that it is causal, needs no state of its own, and many windows of many calls are one pass of array code.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.lld import COLUMN

__all__ = [
    "STEP_FRAMES",
    "WINDOW_FRAMES",
    "SpeechFrames",
    "count",
    "quantiles",
    "repair_octaves",
    "speech_frames",
    "steady_ratio",
]

WINDOW_FRAMES = 150
"""Rows in a window: 3 s, the shortest span over which prosodic statistics settle (Schuller & Batliner 2013)."""
STEP_FRAMES = 25
"""Rows between two windows: 0.5 s."""

MIN_ENERGY_DBFS = -60.0
"""Softer frames are line noise: G.711's own quantisation noise lies near -70 dBFS."""
SILENCE_DBFS = MIN_ENERGY_DBFS - 40.0
"""A frame no louder than this is digital silence: it says nothing of the line's floor."""
LOST_DBFS = MIN_ENERGY_DBFS - 60.0
"""What a lost frame counts as: below everything that a line carries."""
DYNAMICS_DB = 25.0
"""Speech this far below the window's loudest frames is not the caller but what is behind them."""
LEVEL_RANKS = (0.05, 0.95)
"""Quantiles of a window's energy that stand for its softest and its loudest frames."""
MIN_RANGE_DB = 9.0
"""Energy of speech swings by more between syllables and gaps; hum, tones and comfort noise stay within it."""
ABOVE_FLOOR_DB = 5.0
"""A speech frame stands out from the window's softest frames by this much."""
VOICED_REACH_FRAMES = 8
"""Consonants belong to a voiced stretch within 160 ms."""
MIN_VOICED_RUN_FRAMES = 3
"""A voiced stretch of speech lasts at least 60 ms (3 frames)."""
MIN_F0_SPREAD_ST = 0.25
"""A voice is never steadier over a second than this standard deviation in semitones; DTMF and hum are."""
STEADY_ST = 0.1
"""F0 that moves by less from one frame to the next, in semitones, is held."""
MAX_STEADY_RATIO = 0.5
"""Above this share of held F0 it is music: singers and instruments hold their notes, speakers glide (99 % below)."""
OCTAVE_JUMP = 0.6
"""Octaves from the window's median F0 beyond which a candidate is suspected of an octave error."""
NUCLEUS_REACH_FRAMES = 3
NUCLEUS_DIP_REACH_FRAMES = 8
NUCLEUS_DIP_DB = 2.0
"""A nucleus is a voiced energy peak with a dip of 2 dB on both sides (de Jong & Wempe 2009)."""

Mask = NDArray[np.bool_]


class SpeechFrames(NamedTuple):
    """What is known of each frame of each window; every array has the shape ``(n_windows, 150)``.

    Attributes
    ----------
    f0_hz : ndarray of float32
        F0 after octave-jump repair, NaN where the frame is not voiced speech.
    speech, voiced, nuclei, lost : ndarray of bool
        Speech; voiced speech; syllable nuclei; frames that were never heard.
    """

    f0_hz: NDArray[np.float32]
    speech: Mask
    voiced: Mask
    nuclei: Mask
    lost: Mask

    @property
    def speech_s(self) -> NDArray[np.float64]:
        """Speech in each window, in seconds."""
        return np.asarray(HOP_S * count(self.speech), np.float64)

    @property
    def lost_s(self) -> NDArray[np.float64]:
        """Lost audio in each window, in seconds."""
        return np.asarray(HOP_S * count(self.lost), np.float64)

    def of(self, windows: Mask) -> SpeechFrames:
        """Return what is known of some windows."""
        some = (self.speech[windows], self.voiced[windows], self.nuclei[windows], self.lost[windows])
        return SpeechFrames(self.f0_hz[windows], *some)


def quantiles(values: NDArray[np.float32], mask: Mask, ranks: tuple[float, ...]) -> NDArray[np.float32]:
    """Return quantiles of the masked values along the last axis, by nearest rank; 0 where nothing is masked in.

    Examples
    --------
    >>> values = np.array([[5.0, 1.0, 3.0, 9.0]], np.float32)
    >>> quantiles(values, values < 9, (0.0, 0.5, 1.0)).tolist()
    [[1.0, 3.0, 5.0]]
    """
    ordered = np.where(mask, values, np.float32(np.inf))
    ordered.sort(axis=-1)
    last = np.maximum(count(mask) - 1, 0)
    at = np.rint(last[:, None] * np.asarray(ranks)).astype(np.intp)
    picked = ordered[np.arange(len(ordered))[:, None], at]
    return np.where(np.isfinite(picked), picked, np.float32(0.0))


def count(mask: Mask) -> NDArray[np.intp]:
    """Return how many are masked in along the last axis, of at most 65,535.

    Examples
    --------
    >>> int(count(np.array([True, False, True])))
    2
    """
    return np.asarray(np.add.reduce(mask.view(np.uint8), axis=-1, dtype=np.uint16), np.intp)


def _running(combine: np.ufunc, values: NDArray[Any], length: int) -> NDArray[Any]:
    """Combine each `length` neighbours by an operation for which one counted twice is one: max, min, and, or."""
    span = 1
    while span < length:
        step = min(span, length - span)
        values = combine(values[:, :-step], values[:, step:])
        span += step
    return values


def _padded(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """Repeat what is at the edges `reach` times."""
    before, after = values[:, :1].repeat(reach, axis=-1), values[:, -1:].repeat(reach, axis=-1)
    return np.concatenate((before, values, after), axis=-1)


def _within(mask: Mask, reach: int) -> Mask:
    """Frames no further than `reach` frames from a masked one."""
    nothing = np.zeros((len(mask), reach), np.bool_)
    return _running(np.logical_or, np.concatenate((nothing, mask, nothing), axis=-1), 2 * reach + 1)


def _runs(mask: Mask, length: int) -> Mask:
    """Frames that belong to a run of at least `length` masked frames."""
    nothing = np.zeros((len(mask), length - 1), np.bool_)
    starts = _running(np.logical_and, mask, length)
    return _running(np.logical_or, np.concatenate((nothing, starts, nothing), axis=-1), length)


def repair_octaves(f0_hz: NDArray[np.float32], second_hz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take a frame's second F0 candidate where the first jumps by an octave from the window's median.

    Parameters
    ----------
    f0_hz, second_hz : ndarray of float32, shape (n_windows, n_frames)
        First and second candidates in Hz; NaN where there is none.

    Returns
    -------
    ndarray of float32, shape (n_windows, n_frames)
        F0 in Hz; NaN where `f0_hz` is.

    Examples
    --------
    >>> f0 = np.array([[200, 205, 102, 210]], np.float32)
    >>> second = np.array([[100, np.nan, 204, 105]], np.float32)
    >>> repair_octaves(f0, second).tolist()
    [[200.0, 205.0, 204.0, 210.0]]
    """
    voiced = np.isfinite(f0_hz)
    median = np.maximum(quantiles(f0_hz, voiced, (0.5,)), np.float32(1.0))
    first = np.abs(np.log2(np.where(voiced, f0_hz, median) / median))
    second = np.abs(np.log2(np.where(np.isfinite(second_hz), second_hz, np.float32(1e-3)) / median))
    return np.where(voiced & (first > OCTAVE_JUMP) & (second < first), second_hz, f0_hz)


def steady_ratio(semitones: NDArray[np.float32], voiced: Mask) -> NDArray[np.float64]:
    """Return the share of neighbouring voiced frames between which F0 is held.

    Parameters
    ----------
    semitones : ndarray of float32, shape (n_windows, n_frames)
    voiced : ndarray of bool, shape (n_windows, n_frames)

    Returns
    -------
    ndarray of float64, shape (n_windows,)
        0 to 1; 0 where nothing is voiced.

    Examples
    --------
    >>> glide, note = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    >>> steady_ratio(np.stack((glide, note)), np.ones((2, 4), np.bool_)).tolist()
    [0.0, 1.0]
    """
    together = voiced[:, 1:] & voiced[:, :-1]
    held = together & (np.abs(np.diff(semitones, axis=-1)) < STEADY_ST)
    return np.asarray(count(held) / np.maximum(count(together), 1))


def _nuclei(energy_dbfs: NDArray[np.float32], voiced: Mask) -> Mask:
    near, far = NUCLEUS_REACH_FRAMES, NUCLEUS_DIP_REACH_FRAMES
    smooth = _padded(energy_dbfs, 1)
    smooth = (smooth[:, :-2] + smooth[:, 1:-1] + smooth[:, 2:]) / np.float32(3.0)
    highest, lowest = _running(np.maximum, _padded(smooth, near), near), _running(np.minimum, _padded(smooth, far), far)
    # the first of equal maxima counts, so that a plateau is one nucleus
    peak = (smooth > highest[:, : -near - 1]) & (smooth >= highest[:, near + 1 :])
    dip = np.maximum(lowest[:, : -far - 1], lowest[:, far + 1 :])
    return np.asarray(voiced & peak & (smooth - dip >= NUCLEUS_DIP_DB))


def speech_frames(windows: NDArray[np.float32]) -> SpeechFrames:
    """Tell speech from silence, noise, hum and tones, frame by frame.

    Speech is what stands out from the window's floor, comes in voiced stretches of at least 60 ms with the consonants
    around them, and moves in level and in F0; a stationary or monotone window has none.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_lld, n_frames)
        Rows of `lld`, transposed; a frame that was never heard is NaN throughout.

    Returns
    -------
    SpeechFrames
    """
    energy = windows[:, COLUMN["energy_dbfs"]]
    lost = np.isnan(energy)
    heard = ~lost & (energy > SILENCE_DBFS)
    low_high = quantiles(energy, heard, LEVEL_RANKS)
    floor, peak = low_high[:, :1], low_high[:, 1:]
    energy = np.where(lost, np.float32(LOST_DBFS), energy)
    floor = np.minimum(floor, peak - np.float32(MIN_RANGE_DB - ABOVE_FLOOR_DB))
    loud = (energy > MIN_ENERGY_DBFS) & (energy > floor + ABOVE_FLOOR_DB) & (energy > peak - DYNAMICS_DB)

    f0_hz = repair_octaves(windows[:, COLUMN["f0_hz"]], windows[:, COLUMN["f0_second_hz"]])
    voiced = _runs(loud & np.isfinite(f0_hz), MIN_VOICED_RUN_FRAMES)
    speech = loud & _within(voiced, VOICED_REACH_FRAMES)

    total_range = low_high[:, 1] - low_high[:, 0]
    n_voiced = np.maximum(count(voiced), 1)
    semitones = np.where(voiced, np.float32(12.0) * np.log2(np.where(voiced, f0_hz, np.float32(1.0))), np.float32(0.0))
    mean = semitones.sum(axis=-1) / n_voiced
    variance = np.where(voiced, (semitones - mean[:, None]) ** 2, 0.0).sum(axis=-1) / n_voiced
    moves = (total_range >= MIN_RANGE_DB) & (variance >= MIN_F0_SPREAD_ST**2)
    moves &= steady_ratio(semitones, voiced) <= MAX_STEADY_RATIO
    speech &= moves[:, None]
    voiced &= moves[:, None]
    return SpeechFrames(
        f0_hz=np.where(voiced, f0_hz, np.float32(np.nan)),
        speech=speech,
        voiced=voiced,
        nuclei=_nuclei(energy, voiced),
        lost=lost,
    )
