"""One call's stream to windows of rows: 3 s of rows every 0.5 s of stream time, on one grid for the whole call."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio import SAMPLE_RATE_HZ, AudioStream, Chunk
from emotion_triage.errors import StreamError
from emotion_triage.frames import FRAME_LENGTH, HOP_LENGTH, Framer
from emotion_triage.lld import ENERGY_FLOOR_DBFS, LLD_NAMES, lld
from emotion_triage.vad import STEP_FRAMES, WINDOW_FRAMES

__all__ = ["Window", "WindowStream", "rows_of"]

Rows = NDArray[np.float32]
_FULL = WINDOW_FRAMES + STEP_FRAMES
ROWS_AT_ONCE = 128
"""What a pass over rows needs of them stays in the processor's cache; measured by benchmarks/recordings.py."""


class Window(NamedTuple):
    """A window that is due.

    Attributes
    ----------
    rows : ndarray of float32, shape (n_lld, 150)
        The last 150 rows, transposed; NaN throughout where a frame was lost, and but for the energy of digital
        zeros before the first.
    time_s : float
        End of the last sample used, in seconds of the stream.
    n_new : int
        How many of the last rows no window before has shown.
    """

    rows: Rows
    time_s: float
    n_new: int


def rows_of(frames: list[Rows]) -> list[Rows]:
    """Return the rows of many blocks of frames in one pass.

    Parameters
    ----------
    frames : list of ndarray of float32, each of shape (n_frames, 320)

    Returns
    -------
    list of ndarray of float32, each of shape (n_frames, n_lld)
    """
    together = np.concatenate(frames)
    rows = [lld(together[start : start + ROWS_AT_ONCE]) for start in range(0, len(together), ROWS_AT_ONCE)]
    every = np.concatenate(rows) if rows else np.empty((0, len(LLD_NAMES)), np.float32)
    return np.split(every, np.cumsum([len(block) for block in frames])[:-1])


class WindowStream:
    """The signal side of one call: bytes to frames, rows to windows.

    Rows are computed between the two halves by whoever owns the stream, so that many calls can share one pass.

    Parameters
    ----------
    encoding : str
        One of `emotion_triage.audio.ENCODINGS`.
    sample_rate_hz : int
        8000 to 48000.

    Examples
    --------
    >>> stream = WindowStream("pcm16", 8000)
    >>> frames = stream.frames(np.zeros(8000, np.int16))
    >>> [(window.time_s, window.n_new) for window in stream.windows(*rows_of([frames]))]
    [(0.52, 25)]
    >>> [(window.time_s, window.n_new) for window in stream.last()]
    [(1.0, 24)]
    """

    __slots__ = ("_audio", "_buffer", "_filled", "_framer", "_n_rows", "_source_start")

    def __init__(self, encoding: str, sample_rate_hz: int) -> None:
        self._audio = AudioStream(encoding, sample_rate_hz)
        self._framer = Framer()
        self._source_start = 0
        self._buffer = np.full((_FULL, len(LLD_NAMES)), np.nan, np.float32)
        # nothing was lost before the call began: there was silence
        self._buffer[:, LLD_NAMES.index("energy_dbfs")] = ENERGY_FLOOR_DBFS
        self._filled = WINDOW_FRAMES
        self._n_rows = 0

    @property
    def source_position(self) -> int:
        """Stream index of the next sample expected, at the source's rate."""
        return self._source_start + self._audio.samples_in

    @property
    def position_s(self) -> float:
        """Stream time up to which audio was taken or declared lost, in seconds."""
        return self.source_position / self._audio.sample_rate_hz

    def frames(self, chunk: Chunk) -> Rows:
        """Take audio of any length; return the frames it completes, float32 of shape (n_frames, 320)."""
        return self._framer.push(self._audio.push(chunk))

    def check(self, chunk: Chunk) -> None:
        """Raise AudioError where a chunk could not be taken after a gap."""
        AudioStream(self._audio.encoding, self._audio.sample_rate_hz).push(chunk)

    def ignore(self, chunk: Chunk) -> Rows:
        """Let audio pass unheard: time moves on, nothing of it is kept, no frame comes out."""
        samples = self._audio.push(chunk)
        self.lose(self._framer.jump(self._framer.position + len(samples)))
        return np.empty((0, FRAME_LENGTH), np.float32)

    def flush(self) -> Rows:
        """End the audio; return the frames that the resampler still held, float32 of shape (n_frames, 320)."""
        return self._framer.push(self._audio.flush())

    def jump(self, source_position: int) -> tuple[Rows, int]:
        """Skip to a later sample.

        Returns
        -------
        frames : ndarray of float32, shape (n_frames, 320)
            What the audio before the gap still completes.
        lost : int
            How many rows after those were never heard; pass them to `lose`.

        Raises
        ------
        StreamError
            If `source_position` lies before the samples already taken.
        """
        rate = self._audio.sample_rate_hz
        if source_position < self.source_position:
            raise StreamError(
                f"got audio at sample {source_position}, expected {self.source_position} or later ({rate} Hz): audio "
                "cannot be pushed into the past; drop late packets, or reorder them first"
            )
        if source_position == self.source_position:
            return np.empty((0, FRAME_LENGTH), np.float32), 0
        frames = self.flush()
        self._audio.reset()
        self._source_start = source_position
        return frames, self._framer.jump(max(self._framer.position, -(-source_position * SAMPLE_RATE_HZ // rate)))

    def windows(self, rows: Rows) -> list[Window]:
        """Take rows; return the windows that they make due, in order; a step that heard nothing makes none."""
        due = []
        while len(rows):
            taken = rows[: _FULL - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            self._n_rows += len(taken)
            rows = rows[len(taken) :]
            if self._filled == _FULL:
                due += self._due()
                self._buffer[:WINDOW_FRAMES] = self._buffer[STEP_FRAMES:]
                self._filled = WINDOW_FRAMES
        return due

    def lose(self, n_rows: int) -> list[Window]:
        """Declare rows lost; return the windows due with what was heard before them."""
        # whole steps beyond a window's length change nothing: a gap of hours costs what one of seconds does
        beyond = max(0, n_rows - _FULL) // STEP_FRAMES * STEP_FRAMES
        due = self.windows(np.full((n_rows - beyond, len(LLD_NAMES)), np.nan, np.float32))
        self._n_rows += beyond
        return due

    def last(self) -> list[Window]:
        """Return the window that ends with the last row, if it brings rows that no window has shown."""
        return self._due()

    def _due(self) -> list[Window]:
        n_new = self._filled - WINDOW_FRAMES
        heard = np.flatnonzero(~np.isnan(self._buffer[WINDOW_FRAMES : self._filled, 0]))
        if not len(heard):
            return []
        last_row = self._n_rows - n_new + int(heard[-1])
        # the resampler's very last sample may end up to 125 us after the source's
        time_s = min((last_row * HOP_LENGTH + FRAME_LENGTH) / SAMPLE_RATE_HZ, self.position_s)
        return [Window(self._buffer[self._filled - WINDOW_FRAMES : self._filled].T.copy(), time_s, n_new)]
