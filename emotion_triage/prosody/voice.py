"""Jitter and shimmer of frames whose F0 is known.

Praat marks one pulse a period along the recording: it starts at an extremum and moves by the lag that maximises the
cross-correlation of one period with the next (manual, "Sound & Pitch: To PointProcess (cc)"). A frame holds 2 to 20
periods, so here the same cross-correlation runs on all periods of all frames at once: the frame is cut into periods of
its own F0, centred on the strongest sample of its middle, and each is correlated with what follows one period later.

References
----------
P. Boersma, D. Weenink: Praat manual, "Voice 2. Jitter", "Voice 3. Shimmer", "PointProcess: Get jitter (local)...".
P. Boersma (2009): Should jitter be measured by peak picking or by waveform matching? Folia Phoniatr. Logop. 61.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.frames import FRAME_LENGTH
from emotion_triage.prosody.pitch import F0_MAX_HZ, F0_MIN_HZ

__all__ = ["Voice", "voice"]

Array = NDArray[np.float64]
Samples = NDArray[np.float32]
Indices = NDArray[np.intp]

MAX_DEVIATION = 0.1
"""How far a period may lie from the frame's, as a ratio: F0 moves less in 40 ms, a formant's period lies further."""
MAX_PERIOD_FACTOR = 1.3
"""Neighbouring periods whose ratio is larger are not compared (Praat's default)."""
MAX_AMPLITUDE_FACTOR = 1.6
"""Neighbouring amplitudes whose ratio is larger are not compared (Praat's default)."""
MIN_CORRELATION = 0.3
"""Periods that resemble the next one less are not voiced (as in Praat)."""
AMPLITUDE_REACH = 0.2
"""The amplitude of a pulse is taken this ratio of a period to either side (as in Praat)."""

_REACH = 5
_LAGS = np.arange(2 * _REACH + 1)[:, None]
_LATER = FRAME_LENGTH + 2 * _REACH
_MAX_PERIODS = int(FRAME_LENGTH * F0_MAX_HZ / SAMPLE_RATE_HZ)
_PADDED = FRAME_LENGTH + int(np.ceil(SAMPLE_RATE_HZ / F0_MIN_HZ)) + 2 * _REACH + 1
_AROUND = (np.arange(-8, 9) / 9.0).astype(np.float32)
_HANN_SQUARED = (0.5 + 0.5 * np.cos(np.pi * _AROUND)) ** 2
_MAX_STEP_DB = 20.0 * np.log10(MAX_AMPLITUDE_FACTOR)
_MIDDLE = 0.5 * (FRAME_LENGTH - 1)
_LONGEST_HALF = int(np.ceil(0.5 * SAMPLE_RATE_HZ / F0_MIN_HZ))
_CENTRE = slice(FRAME_LENGTH // 2 - _LONGEST_HALF, FRAME_LENGTH // 2 + _LONGEST_HALF)
_AWAY = np.abs(np.arange(_CENTRE.start, _CENTRE.stop) - _MIDDLE)


class Voice(NamedTuple):
    """Irregularity of the voice in each frame.

    Attributes
    ----------
    jitter_local : ndarray of float64, shape (n_frames,)
        Mean absolute difference of neighbouring periods over the mean period, at most 0.2; NaN where no two neighbours
        were found, which takes 3 periods in the frame.
    shimmer_local_db : ndarray of float64, shape (n_frames,)
        Mean absolute level difference of neighbouring pulses, in dB; NaN where fewer than 3 pulses were found.
    """

    jitter_local: Array
    shimmer_local_db: Array


class _Periods(NamedTuple):
    """All whole periods of all frames, frame after frame.

    `edges` are, among the samples of all frames end to end, where each period starts and, after the last of a frame,
    where that one stops; `at` is which of them start a period.
    """

    row: Indices
    number: Indices
    start: Indices
    stop: Indices
    length: Array
    pulse: Indices
    before: Indices
    edges: Indices
    at: Indices


def voice(samples: Samples, f0_hz: Array) -> Voice:
    """Measure jitter (local) and shimmer (local, dB) of voiced frames.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_voiced, 320)
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
    >>> tone = np.sin(2 * np.pi * 200 / 8000 * np.arange(320), dtype=np.float32)[None]
    >>> steady = voice(tone, np.array([200.0]))
    >>> bool(steady.jitter_local[0] < 1e-3), bool(steady.shimmer_local_db[0] < 0.05)
    (True, True)
    """
    squares = samples * samples
    periods = _cut(squares, SAMPLE_RATE_HZ / f0_hz)
    lag, known = _match(samples, periods)
    row, number = periods.row, periods.number

    shape = (len(samples), _MAX_PERIODS + 1)
    lags = np.repeat(SAMPLE_RATE_HZ / f0_hz, shape[1]).reshape(shape)
    lags[row, number] = lag
    found = np.zeros(shape, bool)
    found[row, number] = known
    here, following = lags[:, :-1], lags[:, 1:]
    pairs = found[:, :-1] & found[:, 1:]
    pairs &= np.maximum(here, following) <= MAX_PERIOD_FACTOR * np.minimum(here, following)
    mean_lag = np.add.reduce(lags * found, axis=-1) / np.maximum(np.add.reduce(found, axis=-1, dtype=np.intp), 1)
    jitter = _mean(np.abs(here - following), pairs, 1) / np.where(mean_lag > 0.0, mean_lag, 1.0)

    since_first = np.zeros((shape[0], shape[1] + 1))
    np.cumsum(lags, axis=-1, out=since_first[:, 1:])
    at_anchor = since_first[np.arange(shape[0]), periods.before]
    level_db = np.full(shape, np.inf)
    level_db[row, number] = _levels(squares, periods, (periods.pulse - at_anchor)[row] + since_first[row, number])
    with np.errstate(invalid="ignore"):
        steps_db = np.abs(level_db[:, 1:] - level_db[:, :-1])
    return Voice(jitter, _mean(steps_db, steps_db <= _MAX_STEP_DB, 2))


def _mean(values: Array, chosen: NDArray[np.bool_], at_least: int) -> Array:
    """Return the mean of the chosen values of each row; NaN of fewer than `at_least`."""
    count = np.add.reduce(chosen, axis=-1, dtype=np.intp)
    total = np.add.reduce(np.where(chosen, values, 0.0), axis=-1)
    return np.where(count >= at_least, total / np.maximum(count, 1), np.nan)


def _cut(squares: Samples, period: Array) -> _Periods:
    """Cut frames into periods centred on pulses, the first pulse being the strongest sample of the middle period."""
    pulse = (squares[:, _CENTRE] * (0.5 * period[:, None] >= _AWAY)).argmax(axis=-1) + _CENTRE.start
    before = np.floor(pulse / period - 0.5).astype(np.intp)
    first = pulse - (before + 0.5) * period
    count = ((FRAME_LENGTH - first) / period).astype(np.intp)
    every = np.repeat(np.arange(len(period)), count + 1)
    nth = np.arange(len(every)) - (np.cumsum(count + 1) - count - 1)[every]
    edge = np.minimum(np.rint(first[every] + nth * period[every]).astype(np.intp), FRAME_LENGTH)
    at = np.flatnonzero(nth < count[every])
    row = every[at]
    return _Periods(row, nth[at], edge[at], edge[at + 1], period[row], pulse, before, every * FRAME_LENGTH + edge, at)


def _match(samples: Samples, periods: _Periods) -> tuple[Array, NDArray[np.bool_]]:
    """Return the lag, in samples, at which each period resembles what follows it most, and whether one was found."""
    n = len(samples)
    row, start, stop = periods.row, periods.start, periods.stop
    offset = np.rint(periods.length).astype(np.intp) - _REACH

    # the frame again, a period less _REACH later: shifted by 0 to 2 * _REACH it gives every lag
    padded = np.zeros((n, _PADDED), np.float32)
    padded[:, :FRAME_LENGTH] = samples
    stride = padded.itemsize
    anywhere = as_strided(padded, (padded.size - _LATER + 1, _LATER), (stride, stride), writeable=False)
    first = np.flatnonzero(periods.number == 0)
    later = anywhere[row[first] * _PADDED + offset[first]]

    products = np.zeros(n * FRAME_LENGTH + 1, np.float32)
    product = products[:-1].reshape(n, FRAME_LENGTH)
    sums = np.empty((len(_LAGS) + 2, len(periods.edges)), np.float32)
    for lag in range(len(_LAGS)):
        np.multiply(samples, later[:, lag : lag + FRAME_LENGTH], out=product)
        np.add.reduceat(products, periods.edges, out=sums[lag])
    power = later * later
    product[:] = power[:, :FRAME_LENGTH]
    np.add.reduceat(products, periods.edges, out=sums[-2])
    np.multiply(samples, samples, out=product)
    np.add.reduceat(products, periods.edges, out=sums[-1])
    sums = sums.take(periods.at, axis=1)
    correlation, own = sums[:-2], sums[-1]

    other = np.empty_like(correlation)
    other[0] = sums[-2]
    flat, origin = power.reshape(-1), row * _LATER + _LAGS[:-1]
    np.subtract(flat.take(origin + stop), flat.take(origin + start), out=other[1:])
    np.cumsum(other, axis=0, out=other)
    other *= own
    correlation /= np.sqrt(np.maximum(other, np.float32(1e-12)))
    correlation[np.abs(_LAGS - _REACH) > MAX_DEVIATION * periods.length] = -1.0

    best = correlation[1:-1].argmax(axis=0) + 1
    each = np.arange(len(row))
    left, centre, right = (correlation[best + step, each].astype(np.float64) for step in (-1, 0, 1))
    known = (centre >= left) & (centre >= right) & (centre > MIN_CORRELATION)
    known &= stop + offset + best < FRAME_LENGTH
    shift = 0.5 * (right - left) / np.maximum(2.0 * centre - left - right, 1e-12)
    return np.where(known, offset + best + shift, periods.length), known


def _levels(squares: Samples, periods: _Periods, pulse: Array) -> Array:
    """Return the level of each pulse in dB, weighted as in Praat's amplitude tier; +inf where it leaves the frame."""
    reach = AMPLITUDE_REACH * periods.length
    inside = (pulse >= reach) & (pulse + reach <= FRAME_LENGTH - 1)
    # 17 points lie up to 3 samples apart: smoothed first, none of the power between them is missed
    smooth = 0.5 * squares
    smooth[:, 1:-1] += 0.25 * squares[:, :-2]
    smooth[:, 1:-1] += 0.25 * squares[:, 2:]
    smooth[:, :: FRAME_LENGTH - 1] *= 2.0
    time = np.where(inside, pulse, _MIDDLE).astype(np.float32)[:, None] + reach.astype(np.float32)[:, None] * _AROUND
    whole = time.astype(np.intp)
    time -= whole
    whole += (periods.row * FRAME_LENGTH)[:, None]
    flat = smooth.reshape(-1)
    lower = flat.take(whole)
    whole += 1
    between = flat.take(whole)
    between -= lower
    between *= time
    between += lower
    amplitude = np.einsum("pt,t->p", between, _HANN_SQUARED)
    return np.where(inside, 10.0 * np.log10(np.maximum(amplitude, 1e-12)), np.inf)
