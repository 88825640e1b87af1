"""Recordings on disk, read block by block: which side is the caller, and when he is heard."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from emotion_triage.audio.g711 import Samples
from emotion_triage.audio.remote import is_remote, open_remote
from emotion_triage.audio.stream import SAMPLE_RATE_HZ, AudioStream
from emotion_triage.errors import AudioError

if TYPE_CHECKING:
    import soundfile

__all__ = ["CALLER_CHANNELS", "Recording", "open_recording"]

CALLER_CHANNELS = ("left", "right", "mono")

_FORMATS = "WAV (PCM, float, mu-law or A-law), FLAC, Ogg (Vorbis or Opus) or MP3"
# Span times are commonly written to the hundredth of a second, so the last may end that much late.
_SPAN_ROUNDING_S = 0.01


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A readable recording and where in it the caller is; it holds no open file and pickles.

    Attributes
    ----------
    path
        The file, as it was given.
    sample_rate_hz
        Rate of the file, 8000 to 48000.
    channels
        1 or 2.
    duration_s
        Length by the file's header; a file cut short holds less.
    caller_channel
        ``"left"``, ``"right"``, ``"mono"``, or None where only spans say where the caller is.
    caller_spans
        Start and end in seconds of what the caller says, in order; None: the whole file.
    """

    path: str
    sample_rate_hz: int
    channels: int
    duration_s: float
    caller_channel: str | None
    caller_spans: tuple[tuple[float, float], ...] | None

    def blocks(self, block_s: float = 10.0) -> Iterator[tuple[int, Samples]]:
        """Read the caller's audio in order; memory does not grow with the length of the file.

        What lies outside the caller's spans is a gap: the index of the next block jumps over it. Each
        span is resampled by itself, so that nothing of the other side leaks into it.

        Parameters
        ----------
        block_s
            Audio read at a time, in seconds, above 0. The samples do not depend on it (those of an
            MP3 do by one rounding, as its decoder restarts at each block).

        Yields
        ------
        at
            Index of the block's first sample at 8 kHz, from the start of the file.
        samples
            ndarray of float32 ``(n,)`` with ``n >= 1``, 8 kHz.

        Raises
        ------
        AudioError
            The file cannot be decoded to its end, or holds NaN, infinite or wrongly scaled samples;
            the blocks before that have been yielded.
        """
        if not block_s > 0:
            raise AudioError(f"block_s: got {block_s!r}, expected seconds above 0; 10 is a good size")
        block = max(1, round(block_s * self.sample_rate_hz))
        column = 1 if self.caller_channel == "right" else 0
        stream = AudioStream("float32", self.sample_rate_hz)
        with _errors_named(self.path), _opened(self.path) as file:
            for at, first, stop in self._segments(file.frames):
                stream.reset()
                file.seek(first)
                more = True
                while more:
                    frames = file.read(min(block, stop - first), dtype="float32", always_2d=True)
                    first += len(frames)
                    more = len(frames) > 0
                    samples = stream.push(frames[:, column]) if more else stream.flush()
                    if samples.size:
                        yield at, samples
                        at += samples.size

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


def open_recording(
    path: str | os.PathLike[str],
    *,
    caller_channel: str | None,
    caller_spans: Sequence[tuple[float, float]] | None = None,
) -> Recording:
    """Check that a recording can be read and that it is known where in it the caller is.

    Parameters
    ----------
    path
        WAV (mu-law and A-law inside too), FLAC, Ogg Vorbis or Opus, or MP3; 8 to 48 kHz.
    caller_channel
        ``"left"`` or ``"right"`` of a stereo file; ``"mono"`` declares that a mono file holds the
        caller alone; None for a mono file of both sides, of which ``caller_spans`` are the caller's.
    caller_spans
        Start and end of each stretch of the caller, in seconds, in order, within the file. Only
        these are read.

    Returns
    -------
    Recording
        No file stays open.

    Raises
    ------
    AudioError
        No such file, no permission, not audio, damaged, empty, of a rate or number of channels that
        cannot be used, or with the caller's side unsaid or contradicted.

    Examples
    --------
    >>> open_recording("missing.wav", caller_channel="left")
    Traceback (most recent call last):
    emotion_triage.errors.AudioError: missing.wav: got no such file, expected a recording; check the path
    """
    name = os.fspath(path)
    with _errors_named(name):
        with _opened(name) as file:
            n_frames, rate, channels = file.frames, file.samplerate, file.channels
        if not n_frames:
            raise AudioError("got a header without samples, expected audio; check that the recorder ended well")
        AudioStream("float32", rate)  # its rules on rates are the rules here
        _check_channel(caller_channel, channels, spans_given=caller_spans is not None)
        spans = None if caller_spans is None else _checked_spans(caller_spans, n_frames / rate)
    return Recording(
        path=name,
        sample_rate_hz=rate,
        channels=channels,
        duration_s=n_frames / rate,
        caller_channel=caller_channel,
        caller_spans=spans,
    )


def _check_channel(caller_channel: str | None, channels: int, *, spans_given: bool) -> None:
    if caller_channel is not None and caller_channel not in CALLER_CHANNELS:
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


def _checked_spans(spans: Sequence[tuple[float, float]], duration_s: float) -> tuple[tuple[float, float], ...]:
    previous_end_s = 0.0
    for number, (start_s, end_s) in enumerate(spans):
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
def _opened(path: str) -> Iterator[soundfile.SoundFile]:
    """Open a file with soundfile; the one place where its errors and the system's are translated."""
    import soundfile

    try:
        if path.lower().endswith(".raw"):
            raise AudioError(f"got samples without a header, expected {_FORMATS}; convert it to WAV")
        with open_remote(path) if is_remote(path) else open(path, "rb") as raw:
            if not raw.read(1):
                raise AudioError(f"got an empty file, expected {_FORMATS}; record or copy it again")
            raw.seek(0)
            with soundfile.SoundFile(raw if is_remote(path) else os.fsencode(path)) as file:  # names need not be UTF-8
                yield file
    except FileNotFoundError:
        raise AudioError("got no such file, expected a recording; check the path") from None
    except IsADirectoryError:
        raise AudioError("got a folder, expected a recording; name the files in it") from None
    except PermissionError:
        raise AudioError("got no permission to read it, expected a readable file; change its mode") from None
    except OSError as error:
        where = "address and the credentials" if is_remote(path) else "disk"
        raise AudioError(f"got {error.strerror or error}, expected a readable file; check the {where}") from error
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"got what cannot be decoded ({error.error_string.rstrip('.')}), expected {_FORMATS}; check that "
            "it is audio, and copied whole"
        ) from error


@contextmanager
def _errors_named(path: str) -> Iterator[None]:
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error.__cause__
