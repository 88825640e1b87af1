"""Which frames can be speech at all: those that stand out from the call's own noise floor.

Half of what a caller sends is the line between words. Its frames never count as speech, so nothing but their energy
is measured. The floor is the lowest level of late, as in minimum statistics (Martin 2001): it falls at once and rises
slowly, so that a pause of speech finds it again. Levels are whole thousandths of a decibel: however a call's packets
are cut, and whatever calls are beside it, its floor is the same.

References
----------
R. Martin (2001): Noise power spectral density estimation based on optimal smoothing and minimum statistics.
IEEE Trans. Speech and Audio Processing 9(5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.vad import MIN_ENERGY_DBFS

__all__ = ["ABOVE_DB", "LOWEST_FLOOR", "RISE_DB_PER_S", "Gated", "gate"]

ABOVE_DB = 3.0
"""A frame no further above the floor is noise; `prosody.vad` wants 5 dB above a window's softest frames."""
RISE_DB_PER_S = 2.0
"""Speech dips to the floor every second or so; a line that became 20 dB noisier is known again after 10 s."""

_MILLI = 1000
_ABOVE, _RISE = round(ABOVE_DB * _MILLI), round(RISE_DB_PER_S * HOP_S * _MILLI)
LOWEST_FLOOR = round(MIN_ENERGY_DBFS * _MILLI) - _ABOVE
"""Of a call that begins, and in digital silence, in thousandths of a dBFS: what is softer is no speech anyway."""
_APART = 1 << 40


class Gated(NamedTuple):
    """What `gate` found.

    Attributes
    ----------
    open : ndarray of bool, shape (n_frames,)
        Frames that can be speech.
    floors : ndarray of int64, shape (n_calls,)
        Floor of each call after its last frame, in thousandths of a dBFS.
    """

    open: NDArray[np.bool_]
    floors: NDArray[np.int64]


def gate(energy_dbfs: NDArray[np.float64], frames_each: NDArray[np.intp], floors: NDArray[np.int64]) -> Gated:
    """Tell the frames that stand out from their call's floor, and move the floors along.

    Parameters
    ----------
    energy_dbfs : ndarray of float64, shape (n_frames,)
        Of the frames of all calls, call after call, each in order.
    frames_each : ndarray of int, shape (n_calls,)
        How many frames are of each call, 0 included.
    floors : ndarray of int64, shape (n_calls,)
        Floors before, in thousandths of a dBFS: `LOWEST_FLOOR` where a call begins.

    Returns
    -------
    Gated

    Examples
    --------
    >>> found = gate(np.array([-50.0, -50.0, -20.0, -49.0]), np.array([3, 1]), np.array([-50_000, LOWEST_FLOOR]))
    >>> found.open.tolist(), found.floors.tolist()
    ([False, False, True, True], [-49960, -62960])
    """
    ends = np.cumsum(frames_each)
    call = np.repeat(np.arange(len(frames_each)), frames_each)
    since = np.arange(len(call)) - (ends - frames_each)[call] + 1
    level = np.maximum(np.rint(energy_dbfs * _MILLI).astype(np.int64), LOWEST_FLOOR)
    # the floor after frame k is the least of what each level before it has risen to: a running minimum of each call,
    # all calls in one pass, each so far below the one before that it never hears of it
    from_start = np.minimum(level - since * _RISE, floors[call]) - call * _APART
    floor = np.minimum.accumulate(from_start) + call * _APART + since * _RISE
    after = floors.copy()
    some = frames_each > 0
    after[some] = floor[ends[some] - 1]
    return Gated(level > floor + _ABOVE, after)
