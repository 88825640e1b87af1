"""Rows on disk, whole after each append: JSON lines or CSV that a kill or a full disk leaves readable."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from emotion_triage.errors import TriageError
from emotion_triage.settings import explained

try:
    import fcntl
except ImportError:  # not POSIX: there two processes on one file are not kept apart
    fcntl = None  # type: ignore[assignment]

__all__ = ["AppendLog", "LogSuffix", "lines_of", "rows_of_file"]

LogSuffix = Literal[".jsonl", ".csv"]
Row = TypeVar("Row", bound=msgspec.Struct)

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def lines_of(rows: Iterable[msgspec.Struct], suffix: LogSuffix) -> bytes:
    r"""Return rows as lines of a file of this kind.

    Examples
    --------
    >>> class Heard(msgspec.Struct):
    ...     source: str
    ...     anger: float | None
    >>> lines_of([Heard("a.wav", None)], ".csv"), lines_of([Heard("a.wav", 0.5)], ".jsonl")
    (b'a.wav,\n', b'{"source":"a.wav","anger":0.5}\n')
    """
    if suffix == ".csv":
        return b"".join(_csv_line(msgspec.structs.astuple(row)) for row in rows)
    encoder = msgspec.json.Encoder()
    return b"".join(encoder.encode(row) + b"\n" for row in rows)


class AppendLog(Generic[Row]):
    """A file of rows that one process writes.

    Parameters
    ----------
    path : path
        ``.jsonl`` or ``.csv``.
    kind : type
        The struct that a row is.
    mode : {"new", "resume", "overwrite"}
        ``new`` refuses a file that exists.

    Attributes
    ----------
    path : Path
    suffix : {".jsonl", ".csv"}
    fresh : bool
        Whether the file was empty or not there.

    Raises
    ------
    TriageError
        If the file cannot be written, exists, or is being written by another process.
    """

    def __init__(self, path: Path, kind: type[Row], *, mode: Literal["new", "resume", "overwrite"]) -> None:
        self.path = path
        self.suffix: LogSuffix = ".csv" if path.suffix.lower() == ".csv" else ".jsonl"
        self._kind = kind
        self._end = 0
        try:
            # unbuffered: what a full disk refused must not come back when the file is closed
            self._file = open(path, "xb" if mode == "new" else "ab", buffering=0)  # noqa: SIM115
        except FileExistsError:
            raise TriageError(
                f"{path}: exists already; go on with it (--resume), replace it (--overwrite) or name another"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go when the process ends, however it does
            self.fresh = not os.fstat(self._file.fileno()).st_size
            if mode == "overwrite" and not self.fresh:
                self._file.truncate(0)
                self.fresh = True
        except OSError as error:
            self._file.close()
            if isinstance(error, BlockingIOError):
                raise TriageError(
                    f"{path}: got a file that another process is writing, expected one for this run; wait for it, or "
                    "name another"
                ) from None
            raise self._unwritable(error) from None

    def append(self, lines: bytes) -> None:
        """Write lines (see `lines_of`); the file is whole again when this returns, and also when it raises.

        Raises
        ------
        TriageError
            If the disk is full or gone; the rows before stay.
        """
        if self.suffix == ".csv" and not self._end:
            lines = _csv_line(self._kind.__struct_fields__) + lines
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise TriageError(
                f"{self.path}: cannot be written ({error.strerror}); what was scored so far is kept: make room, then "
                "go on with --resume"
            ) from None
        self._end += len(lines)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Read what is there; see `rows_of_file`."""
        return rows_of_file(self.path, self._kind)

    def cut(self, end: int) -> None:
        """Keep only what lies before `end`, and go on from there."""
        try:
            if end < os.fstat(self._file.fileno()).st_size:
                self._file.truncate(end)
        except OSError as error:
            raise self._unwritable(error) from None
        self._end = end

    def close(self) -> None:
        """Close the file; what was appended is there."""
        self._file.close()

    def _unwritable(self, error: OSError) -> TriageError:
        return TriageError(
            f"{self.path}: cannot be written ({error.strerror}); check that its folder exists and is yours to write"
        )


def rows_of_file(path: Path, kind: type[Row]) -> Iterator[tuple[int, Row]]:
    """Read the rows that are whole, each with where it ends; memory does not grow with their number.

    Raises
    ------
    TriageError
        If the file cannot be read or holds other rows.
    """
    try:
        with open(path, "rb") as file:
            yield from _csv_rows(file, kind) if path.suffix.lower() == ".csv" else _json_rows(file, kind)
    except OSError as error:
        raise TriageError(f"{path}: cannot be read ({error.strerror}); check its path and mode") from None
    except (UnicodeDecodeError, csv.Error, msgspec.MsgspecError) as error:
        what = explained(error, kind) if isinstance(error, msgspec.ValidationError) else error
        raise TriageError(
            f"{path}: has rows of another version ({what}); name another file, or start again (--overwrite)"
        ) from None


def _json_rows(file: io.BufferedReader, kind: type[Row]) -> Iterator[tuple[int, Row]]:
    decoder = msgspec.json.Decoder(kind)
    end = 0
    for line in file:
        if not line.endswith(b"\n"):
            return
        end += len(line)
        yield end, decoder.decode(line)


def _csv_rows(file: io.BufferedReader, kind: type[Row]) -> Iterator[tuple[int, Row]]:
    names = list(kind.__struct_fields__)
    end, header = 0, True
    for lines in _whole_csv_rows(file):
        end += len(lines)
        (values,) = csv.reader(io.StringIO(lines.decode("utf-8"), newline=""))
        if header and values != names:
            raise msgspec.ValidationError(f"columns {', '.join(values)}, expected {', '.join(names)}")
        if header:
            header = False
            continue
        if len(values) != len(names):
            raise msgspec.ValidationError(f"a row of {len(values)} values, expected {len(names)}")
        texts = (value[1:] if value[:1] == "'" and _FORMULA.match(value[1:]) else value for value in values)
        known: dict[str, Any] = {name: value for name, value in zip(names, texts, strict=True) if value}
        yield end, msgspec.convert(known, kind, strict=False)


def _csv_line(values: tuple[object, ...]) -> bytes:
    line = io.StringIO()
    # a spreadsheet would compute a text that begins like a formula: an apostrophe before it says that it is text
    texts = [f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value for value in values]
    csv.writer(line, lineterminator="\n").writerow(texts)
    return line.getvalue().encode("utf-8")


def _whole_csv_rows(file: io.BufferedReader) -> Iterator[bytes]:
    """Yield each row with its line end; a line end within quotes ends nothing."""
    row = b""
    for line in file:
        row += line
        if line.endswith(b"\n") and not row.count(b'"') % 2:
            yield row
            row = b""
