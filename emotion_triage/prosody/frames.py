"""Sample stream to overlapping frames; the only clock is the sample index.

Frame ``k`` covers samples ``[k * HOP_LENGTH, k * HOP_LENGTH + FRAME_LENGTH)`` of the stream at 8 kHz: left-aligned,
no centring, no padding, on one grid for the whole call, so that a gap never shifts the frames after it.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ

__all__ = ["FRAME_LENGTH", "FRAME_S", "HOP_LENGTH", "HOP_S", "Framer", "frames_of", "powers_of", "starts_of"]

FRAME_S = 0.040
"""Length of a frame in seconds: two periods at 60 Hz fit (GeMAPS uses 20 and 60 ms; Eyben et al. 2016)."""
HOP_S = 0.020
"""Distance of two frames in seconds: one packet of telephony."""
FRAME_LENGTH = round(FRAME_S * SAMPLE_RATE_HZ)
"""Samples in a frame."""
HOP_LENGTH = round(HOP_S * SAMPLE_RATE_HZ)
"""Samples from one frame to the next."""


class Framer:
    """Cut a stream at 8 kHz into hops, of which two neighbours make a frame.

    Samples travel as bytes of the stream's own coding, so that those of a thousand calls are joined and decoded
    at once.

    Parameters
    ----------
    sample_bytes : int
        Bytes of one sample: 1 for G.711, 4 for float32.

    Attributes
    ----------
    position : int
        Stream index of the next sample expected.
    frame_index : int
        Index of the next frame to be cut.

    Examples
    --------
    >>> framer = Framer(1)
    >>> [framer.push(bytes(n)) for n in (319, 1, 159, 1, 320)]
    [0, 1, 1, 2, 4]
    >>> len(framer.cut()) // HOP_LENGTH
    5
    """

    __slots__ = ("_hop_bytes", "_sample_bytes", "_skip", "_tail", "frame_index", "position")

    def __init__(self, sample_bytes: int) -> None:
        self._sample_bytes = sample_bytes
        self._hop_bytes = sample_bytes * HOP_LENGTH
        self.position = 0
        self.frame_index = 0
        self._tail = b""
        self._skip = 0

    def push(self, samples: bytes) -> int:
        """Take samples; return how many whole frames wait to be cut.

        Parameters
        ----------
        samples : bytes
            The next samples of the stream at 8 kHz; any length, 0 included.
        """
        self.position += len(samples) // self._sample_bytes
        self._tail += samples
        if self._skip:
            dropped = min(self._skip, len(self._tail) // self._sample_bytes)
            self._skip -= dropped
            self._tail = self._tail[dropped * self._sample_bytes :]
        n_hops = len(self._tail) // self._hop_bytes
        return n_hops - 1 if n_hops else 0

    def cut(self) -> bytes:
        """Return the hops of all whole frames that wait.

        Returns
        -------
        bytes
            ``n_frames + 1`` hops of 160 samples, the last of which is the first of the next cut; empty where no
            frame is whole. Frame ``i`` of them has the index ``frame_index - n_frames + i`` afterwards.
        """
        stream, hop = self._tail, self._hop_bytes
        n_frames = len(stream) // hop - 1
        if n_frames < 1:
            return b""
        self._tail = stream[n_frames * hop :]
        self.frame_index += n_frames
        return stream[: (n_frames + 1) * hop]

    def jump(self, position: int) -> int:
        """Move to `position`, dropping the frame under way and all that were not cut; nothing is filled in.

        Parameters
        ----------
        position : int
            Stream index of the next sample to come, at 8 kHz; not before `Framer.position`.

        Returns
        -------
        int
            How many frames of the grid are lost: those that were not cut or hold a missing sample.
        """
        if position == self.position:
            return 0
        self.position = position
        return self.forget()

    def forget(self) -> int:
        """Drop what was not cut; return how many frames of the grid are lost by it."""
        position, self._tail = self.position, b""
        first_whole = -(-position // HOP_LENGTH)
        lost = max(0, first_whole - self.frame_index)
        self.frame_index += lost
        # the stream resumes between two grid points: the samples before the next one belong to no frame
        self._skip = self.frame_index * HOP_LENGTH - position
        return lost


def starts_of(hops_each: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where the frames of many cuts start, one after another.

    Parameters
    ----------
    hops_each : ndarray of int, shape (n_cuts,)
        How many hops each cut returned: 0, or its frames and one more.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        First hop of each frame, among those of all cuts; frames that span two cuts are excluded.

    Examples
    --------
    >>> starts_of(np.array([2, 0, 3])).tolist()
    [0, 2, 3]
    """
    whole = np.ones(int(hops_each.sum()), np.bool_)
    whole[np.cumsum(hops_each[hops_each > 0]) - 1] = False
    return np.flatnonzero(whole)


def frames_of(samples: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return frames of many cuts.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_hops * 160,)
        What `Framer.cut` returned for each, joined and decoded; contiguous.
    starts : ndarray of int, shape (n_frames,)
        From `starts_of`, or some of them.

    Returns
    -------
    ndarray of float32, shape (n_frames, 320)

    Examples
    --------
    >>> frames_of(np.arange(5 * 160, dtype=np.float32), starts_of(np.array([2, 0, 3])))[:, 0].tolist()
    [0.0, 320.0, 480.0]
    """
    if not len(starts):
        return np.empty((0, FRAME_LENGTH), np.float32)
    return sliding_window_view(samples, FRAME_LENGTH)[::HOP_LENGTH][starts]


def powers_of(samples: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean square of each frame of `frames_of`, its DC removed: float64 of shape (n_frames,).

    Examples
    --------
    >>> powers_of(np.repeat(np.float32([1.0, -1.0, 1.0]), 160), starts_of(np.array([3]))).tolist()
    [1.0, 1.0]
    """
    hops = samples.reshape(-1, HOP_LENGTH).astype(np.float64)
    total, squares = np.add.reduce(hops, axis=-1), np.einsum("nt,nt->n", hops, hops)
    mean = (total[starts] + total[starts + 1]) / FRAME_LENGTH
    return np.asarray(np.maximum((squares[starts] + squares[starts + 1]) / FRAME_LENGTH - mean * mean, 0.0))
