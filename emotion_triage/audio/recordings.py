"""Recordings on disk, read block by block: which side is the caller, and when they speak."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import of_type, path_name
from emotion_triage.audio.containers import Size
from emotion_triage.audio.decoding import Headerless, Source, Spool, decoding_errors, is_pipe, opened, spooled
from emotion_triage.audio.g711 import Samples
from emotion_triage.audio.stream import SAMPLE_RATE_HZ, AudioStream
from emotion_triage.errors import AudioError, TruncatedError

if TYPE_CHECKING:
    import soundfile

__all__ = ["CALLER_CHANNELS", "Headerless", "Recording", "open_recording", "to_its_end"]

CALLER_CHANNELS = ("left", "right", "mono")

_MISSING_S = 0.1
"""Less than this is missing from recordings that are whole: writers count their own header, MP3 a frame too many."""
_MP3_FRAME = 1152
_SALVAGE_FRAMES = 256
"""Read at a time where decoding fails, so that what lies before the damage is not lost."""
_UNKNOWN_FRAMES = 1 << 40
"""Lengths from here on are no lengths: a FLAC written to a pipe has none."""
# Span times are commonly written to the hundredth of a second, so the last may end that much late.
_SPAN_ROUNDING_S = 0.01


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A readable recording and where in it the caller is; it holds no open file and pickles, but for one from a pipe.

    Attributes
    ----------
    path
        The file, as it was given; ``-`` is standard input.
    sample_rate_hz
        Rate of the file, 8000 to 48000.
    channels
        1 or 2.
    duration_s
        Length by the file's header; a file cut short holds less. Where the header does not say, what is there.
    caller_channel
        ``"left"``, ``"right"``, ``"mono"``, or None where only spans say where the caller is.
    caller_spans
        Start and end in seconds of what the caller says, in order; None: the whole file.
    headerless
        How it is coded, if it has no header.
    """

    path: str
    sample_rate_hz: int
    channels: int
    duration_s: float
    caller_channel: str | None
    caller_spans: tuple[tuple[float, float], ...] | None
    headerless: Headerless | None = None
    _spool: Spool | None = None

    def blocks(self, block_s: float = 10.0) -> Iterator[tuple[int, Samples]]:
        """Read the caller's audio in order; memory does not grow with the length of the file.

        What lies outside the caller's spans is a gap: the index of the next block jumps over it. Each
        span is resampled by itself, so that nothing of the other side leaks into it.

        Parameters
        ----------
        block_s
            Audio read at a time, in seconds, above 0. The samples do not depend on it.

        Yields
        ------
        at
            Index of the block's first sample at 8 kHz, from the start of the file.
        samples
            ndarray of float32 ``(n,)`` with ``n >= 1``, 8 kHz.

        Raises
        ------
        TruncatedError
            The file ends before its header says so, or cannot be decoded to its end; what is there has been yielded.
        AudioError
            The file cannot be read, or holds NaN, infinite or wrongly scaled samples; the blocks before that have
            been yielded.
        """
        if not isinstance(block_s, int | float) or not 0 < block_s < math.inf:
            raise AudioError(f"block_s: got {block_s!r}, expected seconds above 0; 10 is a good size")
        block = max(1, round(block_s * self.sample_rate_hz))
        column = 1 if self.caller_channel == "right" else 0
        stream = AudioStream("float32", self.sample_rate_hz)
        source = Source(self.path, self.headerless, self._spool)
        with _errors_named(self.path), opened(source) as (file, size):
            position, failure, short = 0, None, False
            for at, first, stop in self._segments(file.frames):
                stream.reset()
                position, failure = _go_to(file, position, first, block)
                more = position == first
                while more:
                    frames, failure = _read(file, min(block, stop - position), source, position)
                    position += len(frames)
                    samples = stream.push(frames[:, column])
                    more = len(frames) > 0 and failure is None
                    if not more:
                        samples = np.concatenate((samples, stream.flush()))
                    if samples.size:
                        yield at, samples
                        at += samples.size
                short = position < stop < _UNKNOWN_FRAMES
                if failure is not None or short:
                    break
            self._check_end(file, size, position, failure, short=short)

    def _check_end(
        self, file: soundfile.SoundFile, size: Size | None, position: int, failure: str | None, *, short: bool
    ) -> None:
        """Raise TruncatedError where the file holds less than it announces."""
        there_s = min(position / self.sample_rate_hz, self.duration_s)
        if failure is not None:
            raise TruncatedError(
                f"got what cannot be decoded from {there_s:.2f} s on ({failure}), expected {self.duration_s:.2f} s; "
                "what is before is read; copy it again"
            )
        if size is not None and size.announced_bytes is None and not size.there_bytes:
            raise TruncatedError(
                f"got an Ogg stream of {self.duration_s:.2f} s without its last page, expected its end; what is there "
                "is read; check that the recorder ended well"
            )
        if not short:
            there_s = min(file.frames / self.sample_rate_hz, self.duration_s)
        margin_s = _MISSING_S + (_MP3_FRAME / self.sample_rate_hz if file.format == "MP3" else 0.0)
        if self.duration_s - there_s > margin_s:
            raise TruncatedError(
                f"got {there_s:.2f} s of the {self.duration_s:.2f} s that its header announces, expected all of it; "
                "what is there is read; copy it again, or check that the recorder ended well"
            )

    def _segments(self, n_frames: int) -> Iterator[tuple[int, int, int]]:
        """Yield the 8 kHz index, first frame and end frame of each stretch of the caller."""
        if self.caller_spans is None:
            yield 0, 0, n_frames
            return
        edges: list[list[int]] = []
        for start_s, end_s in self.caller_spans:
            start, end = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
            if edges and edges[-1][1] == start:
                edges[-1][1] = end
            else:
                edges.append([start, end])
        for start, end in edges:
            # Inwards to whole frames, so that no segment outgrows its span into the next.
            first = -(-start * self.sample_rate_hz // SAMPLE_RATE_HZ)
            yield start, first, max(first, min(end * self.sample_rate_hz // SAMPLE_RATE_HZ, n_frames))


def to_its_end(blocks: Iterator[tuple[int, Samples]], errors: list[TruncatedError]) -> Iterator[tuple[int, Samples]]:
    """Pass blocks through, and note where they end too early, for who uses what is there all the same.

    Parameters
    ----------
    blocks
        From `Recording.blocks`.
    errors
        Is appended to.

    Examples
    --------
    >>> errors = []
    >>> len(list(to_its_end(iter([]), errors))), errors
    (0, [])
    """
    try:
        yield from blocks
    except TruncatedError as error:
        errors.append(error)


def _go_to(file: soundfile.SoundFile, position: int, first: int, block: int) -> tuple[int, str | None]:
    """Go forward to a frame, by reading where the decoder cannot jump; return how far it came, and what stopped it."""
    import soundfile

    try:
        if first > position and soundfile.SoundFile.seekable(file):
            return file.seek(min(first, file.frames)), None
        while position < first and (n := len(file.read(min(block, first - position), dtype="float32"))):
            position += n
    except soundfile.LibsndfileError as error:
        return position, error.error_string.rstrip(".")
    return position, None


def _read(
    file: soundfile.SoundFile, n_frames: int, source: Source, position: int
) -> tuple[NDArray[np.float32], str | None]:
    """Read on; where decoding fails, return what comes before that, if only it is something, and why it failed."""
    import soundfile

    try:
        return file.read(n_frames, dtype="float32", always_2d=True), None
    except soundfile.LibsndfileError as error:
        before: list[NDArray[np.float32]] = [np.zeros((0, file.channels), np.float32)]
        with opened(source) as (again, _), suppress(soundfile.LibsndfileError):
            _go_to(again, 0, position, n_frames)
            while len(part := again.read(min(_SALVAGE_FRAMES, n_frames), dtype="float32", always_2d=True)):
                before.append(part)
                n_frames -= len(part)
        found = np.concatenate(before)
        if not position + len(found):
            raise
        return found, error.error_string.rstrip(".")


def open_recording(
    path: str | os.PathLike[str],
    *,
    caller_channel: str | None,
    caller_spans: Sequence[tuple[float, float]] | None = None,
    headerless: Headerless | None = None,
) -> Recording:
    """Check that a recording can be read and that it is known where in it the caller is.

    Parameters
    ----------
    path
        WAV, RF64, W64, AIFF, AU, CAF or NIST (PCM, float, G.711, GSM or ADPCM inside), FLAC, Ogg Vorbis or Opus, or
        MP3; 8 to 48 kHz. A named pipe, or ``-`` for standard input, is copied to a file without a name first.
    caller_channel
        ``"left"`` or ``"right"`` of a stereo file; ``"mono"`` declares that a mono file holds the
        caller alone; None for a mono file of both sides, of which ``caller_spans`` are the caller's.
    caller_spans
        Start and end of each stretch of the caller, in seconds, in order, within the file. Only
        these are read.
    headerless
        How it is coded, if it has no header.

    Returns
    -------
    Recording
        No file stays open, but for what a pipe brought.

    Raises
    ------
    ArgumentError
        `path` is no path, `headerless` or `caller_spans` of another type.
    AudioError
        No such file, no permission, not audio, damaged, empty, of a rate or number of channels that
        cannot be used, without a header and `headerless`, a pipe that brings nothing, or with the caller's side
        unsaid or contradicted.

    Examples
    --------
    >>> open_recording("missing.wav", caller_channel="left")
    Traceback (most recent call last):
    emotion_triage.errors.AudioError: missing.wav: got no such file, expected a recording; check the path
    """
    name = path_name("path", path, AudioError)
    if headerless is not None:
        of_type(Headerless, headerless=headerless)
    with _errors_named(name):
        source = Source(name, headerless)
        if is_pipe(name):
            with decoding_errors(source):
                source = source._replace(spool=spooled(name))
        with opened(source) as (file, size):
            rate, channels, used = file.samplerate, file.channels, headerless if file.format == "RAW" else None
            n_frames = file.frames if file.frames < _UNKNOWN_FRAMES else _count(file, source)
        if not n_frames:
            raise AudioError("got a header without samples, expected audio; check that the recorder ended well")
        AudioStream("float32", rate)  # its rules on rates are the rules here
        _check_channel(caller_channel, channels, spans_given=caller_spans is not None)
        duration_s = n_frames / rate / (1.0 if size is None else size.share or 1.0)
        spans = None if caller_spans is None else _checked_spans(caller_spans, duration_s)
    return Recording(
        path=name,
        sample_rate_hz=rate,
        channels=channels,
        duration_s=duration_s,
        caller_channel=caller_channel,
        caller_spans=spans,
        headerless=used,
        _spool=source.spool,
    )


def _count(file: soundfile.SoundFile, source: Source) -> int:
    """Decode to the end to learn how long it is, or how much of it can be decoded."""
    n_frames, failure = 0, None
    while failure is None:
        frames, failure = _read(file, file.samplerate, source, n_frames)
        n_frames += len(frames)
        if not len(frames):
            break
    return n_frames


def _check_channel(caller_channel: str | None, channels: int, *, spans_given: bool) -> None:
    if caller_channel is not None and (not isinstance(caller_channel, str) or caller_channel not in CALLER_CHANNELS):
        guess = difflib.get_close_matches(str(caller_channel).lower(), CALLER_CHANNELS, n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else "; say which side is the caller"
        raise AudioError(f"caller_channel: got {caller_channel!r}, expected left, right or mono{hint}")
    if channels > 2:
        raise AudioError(
            f"got {channels} channels, expected one or two; write the caller's channel to a file of its own"
        )
    if channels == 2 and caller_channel not in ("left", "right"):
        said = "no caller channel" if caller_channel is None else "caller channel mono"
        raise AudioError(
            f"got two channels and {said}, expected left or right; say which holds the caller: "
            "--caller-channel left or right"
        )
    if channels == 1 and caller_channel in ("left", "right"):
        raise AudioError(
            f"got one channel and caller channel {caller_channel}, expected mono; if only the caller is in "
            "this file: --caller-channel mono, otherwise give the caller's spans"
        )
    if channels == 1 and caller_channel is None and not spans_given:
        raise AudioError(
            "got one channel, which may hold the agent too, expected to be told; if only the caller is in "
            "this file: --caller-channel mono, otherwise give the caller's spans"
        )


def _is_span(span: object) -> bool:
    return isinstance(span, tuple | list) and len(span) == 2 and all(isinstance(edge_s, int | float) for edge_s in span)


def _checked_spans(spans: Sequence[tuple[float, float]], duration_s: float) -> tuple[tuple[float, float], ...]:
    of_type(Sequence, "give the start and end of each", caller_spans=spans)
    previous_end_s = 0.0
    for number, span in enumerate(spans):
        if not _is_span(span):
            raise AudioError(f"caller span {number}: got {span!r}, expected its start and end in seconds")
        start_s, end_s = span
        where = f"caller span {number}: got {start_s:g} to {end_s:g} s"
        if not 0 <= start_s < end_s:
            raise AudioError(f"{where}, expected 0 <= start < end; give seconds from the start of the file")
        if start_s < previous_end_s:
            raise AudioError(
                f"{where} after one that ends at {previous_end_s:g} s, expected spans in order and apart; "
                "sort them and merge those that overlap"
            )
        if end_s > duration_s + _SPAN_ROUNDING_S:
            raise AudioError(
                f"{where}, expected its end within the file's {duration_s:g} s; check that the spans are of "
                "this file, and in seconds"
            )
        previous_end_s = end_s
    return tuple((float(start_s), float(end_s)) for start_s, end_s in spans)


@contextmanager
def _errors_named(path: str) -> Iterator[None]:
    try:
        yield
    except AudioError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__
