"""What to score: files, folders and globs to recordings, and the file that says when the caller speaks."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from emotion_triage.arguments import path_name
from emotion_triage.audio.decoding import AUDIO_SUFFIXES, FOREIGN_SUFFIXES, headerless_suffix
from emotion_triage.audio.remote import find_remote, is_remote
from emotion_triage.errors import ArgumentError, AudioError
from emotion_triage.tables import read_table

__all__ = ["CallerSpans", "Found", "as_text", "find", "find_recordings", "read_spans", "whole_path"]


class _Span(msgspec.Struct):
    """A row of a spans file."""

    source: str
    start_s: float
    end_s: float


class Found(NamedTuple):
    """What paths lead to.

    Attributes
    ----------
    recordings : list of str
        Each once; those of a folder or glob sorted.
    passed_over : Counter of str
        How many files of the folders may be recordings and cannot be read, by their suffix, ``""`` for those without;
        hidden ones, texts, tables and pictures are not counted.
    """

    recordings: list[str]
    passed_over: Counter[str]

    def in_words(self) -> str | None:
        """Return what was passed over in words, or None.

        Examples
        --------
        >>> print(Found([], Counter({".m4a": 2, ".bin": 1})).in_words())
        passed over 3 files: 2 .m4a (AAC: convert them), 1 .bin
        """
        if not self.passed_over:
            return None
        n_files = self.passed_over.total()
        kinds = [f"{n} {suffix or 'without a suffix'}{_why(suffix)}" for suffix, n in self.passed_over.most_common()]
        return f"passed over {n_files} file{'s' if n_files > 1 else ''}: {', '.join(kinds)}"


_COMPANIONS = (
    *(".cfg", ".csv", ".db", ".doc", ".docx", ".htm", ".html", ".ini", ".jpg", ".json", ".jsonl", ".log", ".md"),
    *(".parquet", ".pdf", ".png", ".py", ".rtf", ".srt", ".toml", ".tsv", ".txt", ".vtt", ".xls", ".xlsx", ".xml"),
    *(".yaml", ".yml"),
)
"""Beside recordings, and never one: not counted."""


def _why(suffix: str) -> str:
    if suffix in FOREIGN_SUFFIXES:
        return f" ({FOREIGN_SUFFIXES[suffix]}: convert them)"
    if suffix and headerless_suffix(f"x{suffix}"):
        return " (without a header: give --encoding and --sample-rate)"
    return " (pipes and devices: name them)" if suffix in AUDIO_SUFFIXES else ""


class CallerSpans(msgspec.Struct, frozen=True, kw_only=True):
    """When the caller speaks in each recording, by the recording's absolute path.

    Attributes
    ----------
    path : str
        The file they were read from, for messages.
    spans : dict of str to tuple of (float, float)
        Starts and ends in seconds, in order.
    of_all : bool
        Whether a recording without spans is an error, and not one of the caller alone.
    """

    path: str
    spans: Mapping[str, tuple[tuple[float, float], ...]]
    of_all: bool = True

    def of(self, source: str) -> Sequence[tuple[float, float]] | None:
        """Return the spans of one recording; None where it has none and need not have any.

        Raises
        ------
        AudioError
            If the file tells none of it and is of all recordings: the other side would be scored.
        """
        spans = self.spans.get(whole_path(source))
        if spans is None and self.of_all:
            raise AudioError(
                f"{source}: got no caller spans for it in {self.path}, expected one or more rows; add them"
            )
        return spans


def find_recordings(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Expand folders and globs to recordings; see `find`.

    Examples
    --------
    >>> find_recordings(["missing.wav"])
    Traceback (most recent call last):
    emotion_triage.errors.AudioError: missing.wav: got no such file or folder, expected a recording; check the path
    """
    return find(paths).recordings


def find(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, headerless: bool = False) -> Found:
    """Expand folders and globs to recordings, and count what is passed over.

    Parameters
    ----------
    paths : path or iterable of path
        A file stands for itself, and ``-`` for standard input; a folder for the audio files in it and below, hidden
        ones left out; a glob (``calls/*.wav``, ``**`` for any folders) for what it matches. Each may be an address for
        fsspec, as ``s3://calls/2026/``.
    headerless : bool
        Take recordings without a header too (``.ulaw``, ``.alaw``, ``.sln``, ``.gsm``, ``.raw`` and their like).

    Raises
    ------
    AudioError
        If a folder or glob holds no recording, or none of the paths exists.
    """
    try:
        named = [os.fsdecode(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    except TypeError:
        raise ArgumentError(f"paths: got {paths!r}, expected a path or several, each a str or a Path") from None
    found: list[str] = []
    passed_over: Counter[str] = Counter()

    def inside(names: Iterable[str]) -> list[str]:
        taken = []
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if (suffix in AUDIO_SUFFIXES or (headerless and headerless_suffix(name))) and _is_file(name):
                taken.append(name)
            elif suffix not in _COMPANIONS:
                passed_over[suffix] += 1
        return taken

    def some(path: str, what: str, recordings: list[str]) -> list[str]:
        if not recordings:
            others = Found([], passed_over).in_words()
            raise AudioError(
                f"{path}: got {what} without recordings{f' ({others})' if others else ''}, expected "
                f"{', '.join(AUDIO_SUFFIXES)} in it or below; check it"
            )
        return recordings

    for path in named:
        if is_remote(path):
            listed = find_remote(path)
            found += some(path, "an address", listed if listed == [path] or glob.has_magic(path) else inside(listed))
        elif os.path.isdir(path):
            found += some(path, "a folder", inside(_files(path)))
        elif glob.has_magic(path) and not os.path.lexists(path):
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise AudioError(f"{path}: got a pattern that matches nothing; check it")
            for match in matches:
                found += inside(_files(match)) if os.path.isdir(match) else [match]
        else:
            found.append(path)
    if not any(path == "-" or is_remote(path) or os.path.exists(path) for path in found):
        raise AudioError(
            f"{', '.join(named) or 'no path'}: got no such file or folder, expected a recording; check the path"
        )
    return Found(list(dict.fromkeys(found)), passed_over)


def _is_file(path: str) -> bool:
    """Whether a path found in a folder is a file: a pipe or device there would be waited for."""
    return is_remote(path) or os.path.isfile(path) or not os.path.exists(path)


def whole_path(path: str) -> str:
    """Return a path by which the same recording is known from everywhere: absolute, or an address as it is."""
    return path if path == "-" or is_remote(path) else os.path.abspath(path)


def as_text(path: str) -> str:
    r"""Return a path as UTF-8 can hold it: bytes that are not text, as old servers have, become escapes.

    Examples
    --------
    >>> print(as_text("appel-1.wav"), as_text("\udce9t\udce9.wav"))
    appel-1.wav \udce9t\udce9.wav
    """
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _files(folder: str) -> list[str]:
    return sorted(
        os.path.join(where, name) for where, _, names in os.walk(folder) for name in names if not name.startswith(".")
    )


def read_spans(path: str | os.PathLike[str]) -> CallerSpans:
    """Read when the caller speaks, for mono recordings of both sides.

    Parameters
    ----------
    path : path
        A CSV file, as any spreadsheet writes it, with the columns ``source,start_s,end_s``, or a JSON array of objects
        with these keys; one row for each span. A relative source is looked for beside this file and in the current
        folder.

    Raises
    ------
    AudioError
        If the file cannot be read or a row is not a span.
    """
    name = path_name("path", path, AudioError)
    expected = "expected CSV with the columns source,start_s,end_s or a JSON array of such objects"
    try:
        if name.lower().endswith(".json"):
            rows = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        else:
            table = read_table(name, wanted=("source", "start_s", "end_s"))
            rows = [{**row, **_points(row)} for _, row in table.rows]
        spans = msgspec.convert(rows, list[_Span], strict=False)
    except OSError as error:
        raise AudioError(f"{name}: cannot be read ({error.strerror}); {expected}") from None
    except UnicodeDecodeError as error:
        raise AudioError(f"{name}: not UTF-8 text ({error}); {expected}") from None
    except (json.JSONDecodeError, msgspec.ValidationError) as error:
        raise AudioError(f"{name}: got what is not caller spans ({error}); {expected}") from None
    by_source: dict[str, list[tuple[float, float]]] = {}
    for span in spans:
        for source in {whole_path(span.source), whole_path(os.path.join(Path(path).parent, span.source))}:
            by_source.setdefault(source, []).append((span.start_s, span.end_s))
    return CallerSpans(path=name, spans={source: tuple(each) for source, each in by_source.items()})


def _points(row: Mapping[str, str]) -> dict[str, str]:
    """Return the times of a row with points where a spreadsheet wrote decimal commas."""
    return {name: row[name].replace(",", ".", 1) for name in ("start_s", "end_s") if name in row}
