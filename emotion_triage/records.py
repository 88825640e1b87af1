"""Records on disk, written as they come: a run that stops, by a kill or a full disk, goes on where it stopped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

from emotion_triage.batch import Record
from emotion_triage.errors import MissingExtraError, TriageError

__all__ = ["SUFFIXES", "RecordFile", "pyarrow_modules"]

SUFFIXES = (".jsonl", ".csv", ".parquet")
FIELDS: tuple[str, ...] = Record.__struct_fields__


class RecordFile:
    """A file of records that is valid after each of them.

    JSONL and CSV are written in place. Parquet cannot be, so its records wait in ``F.partial.jsonl`` beside it, and
    the file itself appears at the end, whole.

    Parameters
    ----------
    path : path
        ``.jsonl``, ``.csv`` or ``.parquet``.
    mode : {"new", "resume", "overwrite"}
        ``new`` refuses a file that exists; ``resume`` keeps its records and cuts off what a kill left half written.
    model_digest, policy_digest, caller_channel : str
        What scores now; records that were scored otherwise are not gone on with.

    Attributes
    ----------
    path : Path
        As given.
    done : set of str
        Sources that have a record.
    failed : int
        How many of the records tell an error.

    Raises
    ------
    TriageError
        If the file cannot be written, exists, or holds what are not records of this model, policy and channel.
    MissingExtraError
        If Parquet was asked for and pyarrow is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: Literal["new", "resume", "overwrite"],
        model_digest: str,
        policy_digest: str,
        caller_channel: str | None,
    ) -> None:
        self.path = Path(path)
        self.done: set[str] = set()
        self.failed = 0
        self._end = 0
        suffix = self.path.suffix.lower()
        if suffix not in SUFFIXES:
            raise TriageError(f"{path}: got a name that ends in {suffix!r}, expected {', '.join(SUFFIXES)}; rename it")
        self._parquet = suffix == ".parquet"
        if self._parquet:
            pyarrow_modules()
        self._log = self.path.with_name(f"{self.path.name}.partial.jsonl") if self._parquet else self.path
        if self.path.is_dir():
            raise TriageError(f"{path}: got a folder, expected a file to write; add a name")
        if mode == "new" and (there := [each for each in (self.path, self._log) if os.path.lexists(each)]):
            raise TriageError(
                f"{there[0]}: exists already; go on with it (--resume), replace it (--overwrite) or name another"
            )
        before = list(self._records_before()) if mode == "resume" else []
        for record in before:
            if (record.model_digest, record.policy_digest) != (model_digest, policy_digest):
                raise TriageError(
                    f"{path}: got records of model {record.model_digest[:12]} and policy {record.policy_digest}, "
                    f"expected {model_digest[:12]} and {policy_digest}; go on with those, or start again (--overwrite)"
                )
            if record.caller_channel != caller_channel:
                raise TriageError(
                    f"{path}: got records of caller channel {record.caller_channel}, expected {caller_channel}; go on "
                    "with that one, or start again (--overwrite)"
                )
        try:
            # unbuffered: what a full disk refused must not come back when the file is closed
            self._file = open(self._log, "wb" if mode == "overwrite" else "ab", buffering=0)  # noqa: SIM115
            if mode == "resume":
                self._file.truncate(self._end)
        except OSError as error:
            raise TriageError(
                f"{path}: cannot be written ({error.strerror}); check that its folder exists and is yours to write"
            ) from None
        if before and not self._end:  # a Parquet file that was whole: take it apart again
            for record in before:
                self.append(record)
        self.done = {record.source for record in before}
        self.failed = sum(record.status == "error" for record in before)

    def append(self, record: Record) -> None:
        """Write a record; the file is whole again when this returns, and also when it raises.

        Raises
        ------
        TriageError
            If the disk is full or gone; the records before stay.
        """
        if self._log.suffix == ".csv":
            line = _csv_line(msgspec.structs.astuple(record))
            line = line if self._end else _csv_line(FIELDS) + line
        else:
            line = msgspec.json.encode(record) + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise TriageError(
                f"{self._log}: cannot be written ({error.strerror}); what was scored so far is kept: make room, then "
                "go on with --resume"
            ) from None
        self._end += len(line)
        self.done.add(record.source)
        self.failed += record.status == "error"

    def finish(self) -> None:
        """Say that all records are there: a Parquet file appears now.

        Raises
        ------
        TriageError
            If the disk is full or gone; the records stay in ``F.partial.jsonl``.
        """
        if not self._parquet:
            return
        arrow, parquet = pyarrow_modules()
        schema = arrow.schema(
            [
                (name, arrow.float64() if "float" in str(Record.__annotations__[name]) else arrow.string())
                for name in FIELDS
            ]
        )
        rows = [msgspec.structs.asdict(record) for record in self._records_before()]
        half = self.path.with_name(f"{self.path.name}.partial")
        try:
            parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), half)
            os.replace(half, self.path)
        except OSError as error:
            half.unlink(missing_ok=True)
            raise TriageError(
                f"{self.path}: cannot be written ({error.strerror or error}); the records are in {self._log}: make "
                "room, then go on with --resume"
            ) from None
        self.close()
        self._log.unlink()

    def close(self) -> None:
        """Close the file; what was appended is there."""
        self._file.close()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _records_before(self) -> Iterator[Record]:
        """Read the records that are there; set `_end` to where the last whole one ends."""
        try:
            if not self._log.exists():
                if self._parquet and self.path.exists():
                    yield from _read_parquet(self.path)
                return
            content = self._log.read_bytes()
        except OSError as error:
            raise TriageError(f"{self._log}: cannot be read ({error.strerror}); check its mode") from None
        csv_file = self._log.suffix == ".csv"
        self._end = _whole(content, quoted=csv_file)
        try:
            text = content[: self._end].decode("utf-8")
            if csv_file:
                for row in csv.DictReader(io.StringIO(text, newline="")):
                    known = {name: value if value != "" else None for name, value in row.items()}
                    yield msgspec.convert(known, Record, strict=False)
            else:
                yield from msgspec.json.Decoder(Record).decode_lines(text)
        except (UnicodeDecodeError, csv.Error, msgspec.MsgspecError) as error:
            raise TriageError(
                f"{self._log}: got what are not records of this version ({error}); name another file, or start again "
                "(--overwrite)"
            ) from None


def _csv_line(values: tuple[object, ...]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue().encode("utf-8")


def _whole(content: bytes, *, quoted: bool) -> int:
    """Return where the last whole line ends; a line end within CSV's quotes ends nothing."""
    if not quoted:
        return content.rfind(b"\n") + 1
    end = at = quotes = 0
    for line in content.split(b"\n")[:-1]:
        at += len(line) + 1
        quotes += line.count(b'"')
        end = end if quotes % 2 else at
    return end


def _read_parquet(path: Path) -> list[Record]:
    arrow, parquet = pyarrow_modules()
    try:
        return msgspec.convert(parquet.read_table(path).to_pylist(), list[Record])
    except (arrow.ArrowInvalid, msgspec.MsgspecError) as error:
        raise TriageError(
            f"{path}: got what are not records of this version ({error}); name another file, or start again "
            "(--overwrite)"
        ) from None


def pyarrow_modules() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet half.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            "Parquet needs pyarrow, which is not installed; pip install 'emotion-triage[parquet]', or write .csv or "
            ".jsonl"
        ) from None
    return pyarrow, pyarrow.parquet
