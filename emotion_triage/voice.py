"""Jitter and shimmer of frames whose F0 is known.

Both are measured between the neighbouring periods inside one frame. Where Praat marks pulses along the whole recording by
cross-correlating one period with the next (Sound & Pitch: To PointProcess (cc)), a frame holds only 2.4 to 20 periods, and
the same cross-correlation runs on all of them at once.

References
----------
P. Boersma, D. Weenink: Praat manual, "Voice 2. Jitter", "Voice 3. Shimmer", "PointProcess: Get jitter (local)...".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio import SAMPLE_RATE_HZ
from emotion_triage.frames import FRAME_LENGTH
from emotion_triage.pitch import F0_MAX_HZ

__all__ = ["Voice", "voice"]

Array = NDArray[np.float64]

MAX_PERIOD_FACTOR = 1.3
"""Neighbouring periods that differ by more are no neighbours (Praat's default)."""
_REACH = 4
_SEGMENTS = int(FRAME_LENGTH * F0_MAX_HZ / SAMPLE_RATE_HZ)


class Voice(NamedTuple):
    """Irregularity of the voice in each frame.

    Attributes
    ----------
    jitter_local : ndarray of float64, shape (n_frames,)
        Mean absolute difference of neighbouring periods over the mean period; NaN where fewer than 3 periods fit.
    shimmer_local_db : ndarray of float64, shape (n_frames,)
        Mean absolute level difference of neighbouring periods, in dB; NaN likewise.
    """

    jitter_local: Array
    shimmer_local_db: Array


def voice(samples: Array, f0_hz: Array) -> Voice:
    """Measure jitter (local) and shimmer (local, dB) of voiced frames.

    Parameters
    ----------
    samples : ndarray of float64, shape (n_voiced, 320)
        Voiced frames at 8 kHz, without DC.
    f0_hz : ndarray of float64, shape (n_voiced,)
        Their F0, 60 to 500 Hz, nowhere NaN.

    Returns
    -------
    Voice
        Jitter and shimmer of each frame.

    Examples
    --------
    >>> import numpy as np
    >>> tone = np.sin(2 * np.pi * 200 / 8000 * np.arange(320))[None]
    >>> steady = voice(tone, np.array([200.0]))
    >>> bool(steady.jitter_local[0] < 1e-3), bool(steady.shimmer_local_db[0] < 0.01)
    (True, True)
    """
    n = len(samples)
    period = SAMPLE_RATE_HZ / f0_hz
    whole = np.rint(period).astype(np.intp)
    bounds = np.rint(np.arange(_SEGMENTS + 1) * period[:, None]).astype(np.intp)
    fits = bounds <= FRAME_LENGTH
    np.minimum(bounds, FRAME_LENGTH, out=bounds)
    inside = fits[:, 1:]

    squares = np.zeros((n, FRAME_LENGTH + 1))
    np.cumsum(samples * samples, axis=-1, out=squares[:, 1:])
    rows = np.arange(n)[:, None]
    at_bounds = squares[rows, bounds]
    energy = np.maximum(at_bounds[:, 1:] - at_bounds[:, :-1], 1e-12)

    padded = np.zeros((n, 2 * FRAME_LENGTH))
    padded[:, :FRAME_LENGTH] = samples
    time = np.arange(FRAME_LENGTH)
    products = np.zeros((n, FRAME_LENGTH + 1))
    correlation = np.empty((2 * _REACH + 1, n, _SEGMENTS))
    for step in range(2 * _REACH + 1):
        lag = (whole + (step - _REACH))[:, None]
        np.cumsum(samples * padded[rows, time + lag], axis=-1, out=products[:, 1:])
        cross = products[rows, bounds]
        shifted = squares[rows, np.minimum(bounds + lag, FRAME_LENGTH)]
        other = np.maximum(shifted[:, 1:] - shifted[:, :-1], 1e-12)
        correlation[step] = (cross[:, 1:] - cross[:, :-1]) / np.sqrt(energy * other)

    best = correlation[1:-1].argmax(axis=0)[None] + 1
    left, centre, right = (np.take_along_axis(correlation, best + side, axis=0)[0] for side in (-1, 0, 1))
    curvature = np.maximum(2.0 * centre - left - right, 1e-12)
    peaked = (centre >= left) & (centre >= right)
    lags = whole[:, None] + (best[0] - _REACH) + 0.5 * (right - left) / curvature
    # a period is known where its segment and the next one lie inside the frame
    known = peaked & inside & (bounds[:, 1:] + whole[:, None] <= FRAME_LENGTH)

    pairs = known[:, 1:] & known[:, :-1]
    n_pairs = pairs.sum(axis=-1)
    n_known = known.sum(axis=-1)
    difference = np.where(pairs, np.abs(lags[:, 1:] - lags[:, :-1]), 0.0).sum(axis=-1)
    mean_period = np.where(known, lags, 0.0).sum(axis=-1) / np.maximum(n_known, 1)
    measurable = n_pairs > 0
    jitter = np.where(
        measurable, difference / np.maximum(n_pairs, 1) / np.where(measurable, mean_period, 1.0), np.nan
    )

    level_db = 10.0 * np.log10(energy)
    steps_db = np.where(inside[:, 1:], np.abs(level_db[:, 1:] - level_db[:, :-1]), 0.0).sum(axis=-1)
    n_steps = inside[:, 1:].sum(axis=-1)
    shimmer = np.where(n_steps >= 2, steps_db / np.maximum(n_steps, 1), np.nan)
    return Voice(jitter, shimmer)
