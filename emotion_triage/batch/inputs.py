"""What to score: files, folders and globs to recordings, and the file that says when the caller speaks."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from emotion_triage.audio.remote import find_remote, is_remote
from emotion_triage.errors import AudioError

__all__ = ["AUDIO_SUFFIXES", "CallerSpans", "as_text", "find_recordings", "read_spans", "whole_path"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
"""Files of a folder that are taken for recordings."""


class _Span(msgspec.Struct):
    """A row of a spans file."""

    source: str
    start_s: float
    end_s: float


class CallerSpans(msgspec.Struct, frozen=True, kw_only=True):
    """When the caller speaks in each recording, by the recording's absolute path.

    Attributes
    ----------
    path : str
        The file they were read from, for messages.
    spans : dict of str to tuple of (float, float)
        Starts and ends in seconds, in order.
    """

    path: str
    spans: Mapping[str, tuple[tuple[float, float], ...]]

    def of(self, source: str) -> Sequence[tuple[float, float]]:
        """Return the spans of one recording.

        Raises
        ------
        AudioError
            If the file tells none: the other side would be scored.
        """
        try:
            return self.spans[whole_path(source)]
        except KeyError:
            raise AudioError(
                f"{source}: got no caller spans for it in {self.path}, expected one or more rows; add them"
            ) from None


def find_recordings(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Expand folders and globs to recordings.

    Parameters
    ----------
    paths : iterable of path
        A file stands for itself; a folder for the audio files in it and below, hidden ones left out; a glob
        (``calls/*.wav``, ``**`` for any folders) for what it matches. Each may be an address for fsspec, as
        ``s3://calls/2026/``.

    Returns
    -------
    list of str
        Each once; those of a folder or glob sorted.

    Raises
    ------
    AudioError
        If a folder or glob holds no recording, or none of the paths exists.

    Examples
    --------
    >>> find_recordings(["missing.wav"])
    Traceback (most recent call last):
    emotion_triage.errors.AudioError: missing.wav: got no such file or folder, expected a recording; check the path
    """
    named = [os.fspath(path) for path in paths]
    found: list[str] = []
    for path in named:
        if is_remote(path):
            inside = find_remote(path, AUDIO_SUFFIXES)
            if not inside:
                raise AudioError(f"{path}: got an address without recordings, expected one or more; check it")
            found += inside
        elif os.path.isdir(path):
            inside = _inside(path)
            if not inside:
                raise AudioError(
                    f"{path}: got a folder without recordings, expected {', '.join(AUDIO_SUFFIXES)} in it or "
                    "below; check the path"
                )
            found += inside
        elif glob.has_magic(path) and not os.path.lexists(path):
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise AudioError(f"{path}: got a pattern that matches nothing; check it")
            found += [each for match in matches for each in (_inside(match) if os.path.isdir(match) else [match])]
        else:
            found.append(path)
    if not any(is_remote(path) or os.path.exists(path) for path in found):
        raise AudioError(
            f"{', '.join(named) or 'no path'}: got no such file or folder, expected a recording; check the path"
        )
    return list(dict.fromkeys(found))


def whole_path(path: str) -> str:
    """Return a path by which the same recording is known from everywhere: absolute, or an address as it is."""
    return path if is_remote(path) else os.path.abspath(path)


def as_text(path: str) -> str:
    r"""Return a path as UTF-8 can hold it: bytes that are not text, as old servers have, become escapes.

    Examples
    --------
    >>> print(as_text("appel-1.wav"), as_text("\udce9t\udce9.wav"))
    appel-1.wav \udce9t\udce9.wav
    """
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _inside(folder: str) -> list[str]:
    return sorted(
        os.path.join(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
    )


def read_spans(path: str | os.PathLike[str]) -> CallerSpans:
    """Read when the caller speaks, for mono recordings of both sides.

    Parameters
    ----------
    path : path
        A CSV file with the columns ``source,start_s,end_s``, or a JSON array of objects with these keys; one row
        for each span. A relative source is looked for beside this file and in the current folder.

    Raises
    ------
    AudioError
        If the file cannot be read or a row is not a span.
    """
    name = os.fspath(path)
    expected = "expected CSV with the columns source,start_s,end_s or a JSON array of such objects"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AudioError(f"{name}: cannot be read ({error.strerror}); {expected}") from None
    except UnicodeDecodeError as error:
        raise AudioError(f"{name}: not UTF-8 text ({error}); {expected}") from None
    try:
        rows = json.loads(text) if name.lower().endswith(".json") else list(csv.DictReader(io.StringIO(text)))
        spans = msgspec.convert(rows, list[_Span], strict=False)
    except (json.JSONDecodeError, csv.Error, msgspec.ValidationError) as error:
        raise AudioError(f"{name}: got what is not caller spans ({error}); {expected}") from None
    by_source: dict[str, list[tuple[float, float]]] = {}
    for span in spans:
        for source in {whole_path(span.source), whole_path(os.path.join(Path(path).parent, span.source))}:
            by_source.setdefault(source, []).append((span.start_s, span.end_s))
    return CallerSpans(path=name, spans={source: tuple(each) for source, each in by_source.items()})
