"""One call's stream to windows of rows: 3 s of rows every 0.5 s of stream time, on one grid for the whole call.

Every other window also brings the audio of its last second, for the encoder: seconds do not overlap, so that each is
encoded once. Hops and rows travel as bytes: those of a thousand calls are joined, and cut again, at a tenth of what
arrays cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, AudioStream, Chunk, Coding, Encoding, decode, encode_mulaw
from emotion_triage.errors import StreamError
from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH, Framer, frames_of, powers_of, starts_of
from emotion_triage.prosody.gate import LOWEST_FLOOR, gate
from emotion_triage.prosody.lld import ENERGY_FLOOR_DBFS, LLD_NAMES, level_dbfs, lld
from emotion_triage.prosody.mel import SECOND
from emotion_triage.prosody.vad import STEP_FRAMES, WINDOW_FRAMES

__all__ = ["HOP_BYTES", "PATIENCE", "ROW_BYTES", "SECOND_FRAMES", "Window", "WindowStream", "rows_of"]

Rows = NDArray[np.float32]
ROW_BYTES = 4 * len(LLD_NAMES)
"""A row as float32."""
_STEP_BYTES = STEP_FRAMES * ROW_BYTES
_WINDOW_BYTES = WINDOW_FRAMES * ROW_BYTES
SECOND_FRAMES = SECOND // HOP_LENGTH
"""Rows of a second that is encoded: two steps."""
_SAMPLE_BYTES: dict[Coding, int] = {"mulaw": 1, "alaw": 1, "float32": 4}
HOP_BYTES = {coding: HOP_LENGTH * width for coding, width in _SAMPLE_BYTES.items()}
"""A hop of each coding."""
PATIENCE: dict[Coding, int] = {"mulaw": STEP_FRAMES, "alaw": STEP_FRAMES, "float32": (STEP_FRAMES + 1) // 2}
"""Frames of a call pushed alone that wait to be described together: within 32 KiB of state as G.711, 37 KiB decoded."""


_SILENT_HOP: dict[Coding, bytes] = {
    "mulaw": b"\xff" * HOP_LENGTH,
    "alaw": b"\xd5" * HOP_LENGTH,
    "float32": b"\xff" * HOP_LENGTH,
}


def _row(energy_dbfs: float) -> bytes:
    row = np.full(len(LLD_NAMES), np.nan, np.float32)
    row[LLD_NAMES.index("energy_dbfs")] = energy_dbfs
    return row.tobytes()


_LOST = _row(np.nan)
# nothing was lost before a call began: there was silence
_BEFORE = _row(ENERGY_FLOOR_DBFS) * WINDOW_FRAMES


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
    end : int
        Rows of the stream up to the window's end.
    second : bytes
        The last second as G.711, lost audio as silence; empty where the window does not end on a whole second.
    coding : {"mulaw", "alaw"}
        How `second` is coded.
    """

    rows: Rows
    time_s: float
    n_new: int
    end: int
    second: bytes
    coding: Coding


class WindowStream:
    """The signal side of one call: bytes to frames, rows to windows.

    Rows are computed between the two halves by whoever owns the stream, so that many calls can share one pass.

    Parameters
    ----------
    encoding : {"mulaw", "alaw", "pcm16", "float32"}
        One of `emotion_triage.audio.stream.ENCODINGS`.
    sample_rate_hz : int
        8000 to 48000.

    Attributes
    ----------
    coding : {"mulaw", "alaw", "float32"}
        How the hops that come out are coded.

    Examples
    --------
    >>> stream = WindowStream("pcm16", 8000)
    >>> frames = stream.frames(np.zeros(8000, np.int16))
    >>> [(window.time_s, window.n_new) for window in stream.describe(frames)]
    [(0.52, 25)]
    >>> [(window.time_s, window.n_new) for window in stream.last()]
    [(1.0, 24)]
    """

    __slots__ = (
        "_audio",
        "_floor",
        "_framer",
        "_hops",
        "_n_new",
        "_n_shown",
        "_new",
        "_shown",
        "_source_start",
        "coding",
    )

    def __init__(self, encoding: Encoding, sample_rate_hz: int) -> None:
        self._audio = AudioStream(encoding, sample_rate_hz)
        self.coding = self._audio.coding
        self._framer = Framer(_SAMPLE_BYTES[self.coding])
        self._floor = LOWEST_FLOOR
        self._source_start = 0
        self._shown = _BEFORE
        self._new: list[bytes] = []
        self._hops: list[bytes] = []
        self._n_new = 0
        self._n_shown = 0

    @property
    def source_position(self) -> int:
        """Stream index of the next sample expected, at the source's rate."""
        return self._source_start + self._audio.samples_in

    @property
    def position_s(self) -> float:
        """Stream time up to which audio was taken or declared lost, in seconds."""
        return self.source_position / self._audio.sample_rate_hz

    def frames(self, chunk: Chunk, every: int = 1, turn: int = 0, hold: bool = False) -> bytes:
        """Take audio of any length; return the hops of the frames that are now to be described, as `Framer.cut` does.

        Parameters
        ----------
        chunk : bytes or ndarray
        every : int
            How many frames may wait, since rows of one pass cost less the more they are; a step that is due does not.
        turn : int
            Which of `every` frames is this stream's turn, so that of many streams as many come at each.
        hold : bool
            A second that is due may wait too, for less than a step, since many streams have one due.
        """
        framer = self._framer
        waiting = framer.push(self._audio.take(chunk))
        new = waiting + self._n_new
        if new >= STEP_FRAMES:
            wait = hold and new < 2 * STEP_FRAMES - 1 and self._second_in(new)
            return b"" if wait else framer.cut()
        return framer.cut() if waiting > (new + turn) % every else b""

    def brings_second(self, hops: bytes) -> bool:
        """Return whether hops just cut complete a second, which is to be encoded if it holds speech."""
        return self._second_in(self._n_new + len(hops) // HOP_BYTES[self.coding] - 1)

    def _second_in(self, n_rows: int) -> bool:
        return (self._n_shown + n_rows) // SECOND_FRAMES > self._n_shown // SECOND_FRAMES

    def check(self, chunk: Chunk) -> None:
        """Raise AudioError where a chunk could not be taken after a gap."""
        AudioStream(self._audio.encoding, self._audio.sample_rate_hz).push(chunk)

    def ignore(self, chunk: Chunk) -> bytes:
        """Let audio pass unheard: time moves on, nothing of it is kept, no frame comes out."""
        n_samples = len(self._audio.take(chunk)) // _SAMPLE_BYTES[self.coding]
        self.lose(self._framer.jump(self._framer.position + n_samples))
        return b""

    def forget(self) -> None:
        """Drop the audio that waits, as lost."""
        self.lose(self._framer.forget())

    def flush(self) -> bytes:
        """End the audio; return the hops of the frames that the resampler still held."""
        self._framer.push(self._audio.flush().tobytes())
        return self._framer.cut()

    def jump(self, source_position: int) -> tuple[bytes, int]:
        """Skip to a later sample.

        Returns
        -------
        hops : bytes
            Of the frames that the audio before the gap still completes.
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
            return b"", 0
        hops = self.flush()
        self._audio.reset()
        self._source_start = source_position
        return hops, self._framer.jump(max(self._framer.position, -(-source_position * SAMPLE_RATE_HZ // rate)))

    def windows(self, rows: bytes, hops: bytes) -> list[Window]:
        """Take rows and the hops that they were computed from; return the windows that they make due, in order.

        A step in which nothing arrived makes no window.
        """
        n_rows = len(rows) // ROW_BYTES
        self._new.append(rows)
        self._keep(hops[: n_rows * HOP_BYTES[self.coding]])
        return self._step(n_rows)

    def _keep(self, hops: bytes) -> None:
        """Keep audio for the second that it belongs to, as G.711: a quarter of what decoded samples take."""
        self._hops.append(hops if self.coding != "float32" else encode_mulaw(decode(hops, "float32")))

    def _step(self, n_rows: int) -> list[Window]:
        """Count rows that were kept; return the windows that they make due."""
        self._n_new += n_rows
        if self._n_new < STEP_FRAMES:
            return []
        n_steps, self._n_new = divmod(self._n_new, STEP_FRAMES)
        every = b"".join((self._shown, *self._new))
        audio = b"".join(self._hops)
        begun = self._n_shown // SECOND_FRAMES * SECOND_FRAMES
        due = []
        for step in range(1, n_steps + 1):
            end = self._n_shown + step * STEP_FRAMES
            until = (end - begun) * HOP_LENGTH
            second = b"" if end % SECOND_FRAMES else audio[until - SECOND : until]
            due.append(self._due(every[step * _STEP_BYTES :][:_WINDOW_BYTES], STEP_FRAMES, end, second))
        self._shown = every[n_steps * _STEP_BYTES :][:_WINDOW_BYTES]
        self._new = [every[n_steps * _STEP_BYTES + _WINDOW_BYTES :]] if self._n_new else []
        self._n_shown += n_steps * STEP_FRAMES
        self._hops = [audio[(self._n_shown // SECOND_FRAMES * SECOND_FRAMES - begun) * HOP_LENGTH :]]
        return [window for window in due if window is not None]

    def describe(self, hops: bytes) -> list[Window]:
        """Return the windows that hops make due, for a stream by itself; many share `rows_of`."""
        return self.windows(rows_of([self], [hops])[0], hops)

    def lose(self, n_rows: int) -> list[Window]:
        """Declare rows lost; return the windows due with what was heard before them."""
        # whole seconds beyond a window's length change nothing: a gap of hours costs what one of seconds does
        beyond = max(0, n_rows - WINDOW_FRAMES - SECOND_FRAMES) // SECOND_FRAMES * SECOND_FRAMES
        n_kept = n_rows - beyond
        self._new.append(_LOST * n_kept)
        self._hops.append(_SILENT_HOP[self.coding] * n_kept)
        due = self._step(n_kept)
        self._n_shown += beyond
        return due

    def last(self) -> list[Window]:
        """Return the window that ends with the last row, if it brings rows that no window has shown."""
        every = b"".join((self._shown, *self._new))
        window = self._due(every[-_WINDOW_BYTES:], self._n_new, self._n_shown + self._n_new, b"")
        return [] if window is None else [window]

    def _due(self, rows: bytes, n_new: int, end: int, second: bytes) -> Window | None:
        """Return the window that ends with the stream's `end`-th row; None if no new row was heard."""
        window = np.frombuffer(rows, np.float32).reshape(WINDOW_FRAMES, -1)
        heard = np.flatnonzero(~np.isnan(window[WINDOW_FRAMES - n_new :, 0]))
        if not len(heard):
            return None
        last_row = end - n_new + int(heard[-1])
        # the resampler's very last sample may end up to 125 us after the source's
        time_s = min((last_row * HOP_LENGTH + FRAME_LENGTH) / SAMPLE_RATE_HZ, self.position_s)
        return Window(window.T.copy(), time_s, n_new, end, second, "alaw" if self.coding == "alaw" else "mulaw")


def rows_of(streams: Sequence[WindowStream], hops: Sequence[bytes]) -> list[bytes]:
    """Return the rows of many pushes in one pass.

    Parameters
    ----------
    streams : sequence of WindowStream
        Of one `WindowStream.coding`; their noise floors move along.
    hops : sequence of bytes
        From `WindowStream.frames`, one for each stream.

    Returns
    -------
    list of bytes
        The rows of each push, `ROW_BYTES` each: float32 in the order of `emotion_triage.prosody.lld.LLD_NAMES`. Of a
        frame that `emotion_triage.prosody.gate.gate` shuts out nothing but the energy is told: all else is NaN.
    """
    coding = streams[0].coding
    hops_each = np.fromiter(map(len, hops), np.intp, len(hops)) // HOP_BYTES[coding]
    frames_each = np.maximum(hops_each - 1, 0)
    samples, starts = decode(b"".join(hops), coding), starts_of(hops_each)
    energy_dbfs = level_dbfs(powers_of(samples, starts))
    found = gate(energy_dbfs, frames_each, np.array([stream._floor for stream in streams]))
    for stream, floor in zip(streams, found.floors.tolist(), strict=True):
        stream._floor = floor
    rows = np.full((len(energy_dbfs), len(LLD_NAMES)), np.nan, np.float32)
    rows[:, 0] = energy_dbfs
    rows[found.open] = lld(frames_of(samples, starts[found.open]))
    every = rows.tobytes()
    ends = (np.cumsum(frames_each) * ROW_BYTES).tolist()
    return [every[start:end] for start, end in zip([0, *ends], ends, strict=False)]
