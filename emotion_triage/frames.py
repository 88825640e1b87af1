"""Sample stream to overlapping frames; the only clock is the sample index.

Frame ``k`` covers samples ``[k * HOP_LENGTH, k * HOP_LENGTH + FRAME_LENGTH)`` of the stream at 8 kHz: left-aligned,
no centring, no padding, on one grid for the whole call, so that a gap never shifts the frames after it.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from emotion_triage.audio import SAMPLE_RATE_HZ

__all__ = ["FRAME_LENGTH", "FRAME_S", "HOP_LENGTH", "HOP_S", "Framer"]

FRAME_S = 0.040
"""Length of a frame in seconds: two periods at 60 Hz fit (GeMAPS uses 20 and 60 ms; Eyben et al. 2016)."""
HOP_S = 0.020
"""Distance of two frames in seconds: one packet of telephony."""
FRAME_LENGTH = round(FRAME_S * SAMPLE_RATE_HZ)
"""Samples in a frame."""
HOP_LENGTH = round(HOP_S * SAMPLE_RATE_HZ)
"""Samples from one frame to the next."""


class Framer:
    """Cut a stream at 8 kHz into frames of 40 ms, 20 ms apart.

    Attributes
    ----------
    position : int
        Stream index of the next sample expected.
    frame_index : int
        Index of the next frame to come out.

    Examples
    --------
    >>> import numpy as np
    >>> framer = Framer()
    >>> [len(framer.push(np.zeros(n, np.float32))) for n in (319, 1, 159, 1)]
    [0, 1, 0, 1]
    """

    __slots__ = ("_tail", "frame_index", "position")

    def __init__(self) -> None:
        self.position = 0
        self.frame_index = 0
        self._tail = np.empty(0, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the frames that `samples` complete.

        Parameters
        ----------
        samples : ndarray of float32, shape (n,)
            The next samples of the stream at 8 kHz; any length, 0 included.

        Returns
        -------
        ndarray of float32, shape (n_frames, 320)
            A read-only view; frame ``i`` has the index ``frame_index - n_frames + i`` afterwards.
        """
        self.position += len(samples)
        stream = np.concatenate((self._tail, samples)) if len(self._tail) else samples
        # after a jump the stream resumes between two grid points: the samples before the next one belong to no frame
        skip = max(0, self.frame_index * HOP_LENGTH - (self.position - len(stream)))
        stream = stream[skip:]
        n_frames = (len(stream) - FRAME_LENGTH) // HOP_LENGTH + 1 if len(stream) >= FRAME_LENGTH else 0
        self._tail = stream[n_frames * HOP_LENGTH :].copy()
        self.frame_index += n_frames
        if n_frames == 0:
            return np.empty((0, FRAME_LENGTH), np.float32)
        return sliding_window_view(stream, FRAME_LENGTH)[::HOP_LENGTH][:n_frames]

    def jump(self, position: int) -> int:
        """Move to `position`, dropping the frame under way; nothing is filled in.

        Parameters
        ----------
        position : int
            Stream index of the next sample to come, at 8 kHz; not before `Framer.position`.

        Returns
        -------
        int
            How many frames of the grid are lost: those that hold a missing sample.
        """
        if position == self.position:
            return 0
        self.position = position
        self._tail = np.empty(0, np.float32)
        first_whole = -(-position // HOP_LENGTH)
        lost = max(0, first_whole - self.frame_index)
        self.frame_index += lost
        return lost
