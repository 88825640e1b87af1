"""Records on disk, written as they come: a run that stops, by a kill or a full disk, goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, TypeVar

import msgspec

from emotion_triage.arguments import of_type, path_name, shown
from emotion_triage.audio.remote import fetch, is_remote, is_there, send
from emotion_triage.batch.append_log import AppendLog, LogSuffix, lines_of, rows_of_file
from emotion_triage.batch.parquet import Partition, read_parquet, remove, write_parquet
from emotion_triage.batch.record import Record
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.errors import ArgumentError, TriageError
from emotion_triage.tables import pyarrow_modules

__all__ = ["SUFFIXES", "RecordFile", "events_path", "read_records", "read_timelines"]

SUFFIXES = (".jsonl", ".csv", ".parquet")
Mode = Literal["new", "resume", "overwrite"]
Row = TypeVar("Row", bound=msgspec.Struct)


class RecordFile:
    """A file of records that is valid after each of them, and that one process writes.

    JSONL and CSV are written in place. Parquet cannot be, so its rows wait in ``F.partial.jsonl`` beside it, and
    the file itself appears at the end, whole. At an address for fsspec nothing is appended to: the file is written in
    the current folder under its own name, and sent at the end.

    Parameters
    ----------
    path : path
        ``.jsonl``, ``.csv`` or ``.parquet``; an address, as ``s3://calls/scores.parquet``, too.
    mode : {"new", "resume", "overwrite"}
        ``new`` refuses a file that exists; ``resume`` keeps its records and cuts off what a kill left half written.
    model_digest, policy_digest, caller_channel : str
        What scores now; records that were scored otherwise are not gone on with.
    channels : dict of str to str
        Of the sources, as records name them, whose channel is another than `caller_channel`.
    events : bool
        Keep timelines too, in a file beside it (see `events_path`).
    partition_by : {"day", "month"}, optional
        Write Parquet as a folder with one for each day or month of ``started_at``.

    Attributes
    ----------
    path : Path
        As given; of an address, its name.
    log_suffix : {".jsonl", ".csv"}
        How the lines of a timeline are to be written for `append`.
    done : set of str
        Sources that have a record.
    failed : int
        How many of the records tell an error.

    Raises
    ------
    TriageError
        If the file cannot be written, exists, is being written by another process, or holds what are not records of
        this model, policy and channel.
    MissingExtraError
        If Parquet was asked for and pyarrow is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: Mode,
        model_digest: str,
        policy_digest: str,
        caller_channel: str | None,
        channels: Mapping[str, str] = MappingProxyType({}),
        events: bool = False,
        partition_by: Partition | None = None,
    ) -> None:
        path = path_name("path", path, TriageError)
        if not isinstance(mode, str) or mode not in ("new", "resume", "overwrite"):
            raise ArgumentError(f"mode: got {shown(mode)}, expected new, resume or overwrite")
        of_type(bool, events=events)
        self._folder, _, name = path.rpartition("/") if is_remote(path) else ("", "", path)
        self.path = Path(name)
        self.done: set[str] = set()
        self.failed = 0
        self._partition_by = partition_by
        suffix = self.path.suffix.lower()
        if suffix not in SUFFIXES:
            raise TriageError(f"{path}: got a name that ends in {suffix!r}, expected {', '.join(SUFFIXES)}; rename it")
        self._parquet = suffix == ".parquet"
        if self._parquet:
            pyarrow_modules()
        elif partition_by is not None:
            raise TriageError(f"{path}: got --partition-by {partition_by} and {suffix}, expected .parquet; rename it")
        elif self.path.is_dir():
            raise TriageError(f"{path}: got a folder, expected a file to write; add a name")
        self._events_path = events_path(self.path)
        written = [self.path, *([self._events_path] if events else [])]
        if self._folder:
            self._meet(written, mode)
        for each in [*written, *map(_log_path, written)] if mode == "new" else []:
            if os.path.lexists(each):
                raise TriageError(
                    f"{each}: exists already; go on with it (--resume), replace it (--overwrite) or name another"
                )
        self._records = AppendLog(_log_path(self.path), Record, mode=mode)
        self._events: AppendLog[TimelineRow] | None = None
        self.log_suffix: LogSuffix = self._records.suffix
        made_by = (model_digest, policy_digest, caller_channel)
        self._channels = channels
        try:
            if mode == "resume":
                if self._parquet and self._records.fresh and self.path.exists():
                    self._take_apart(made_by)
                else:
                    end = 0
                    for end, record in self._records.rows():  # noqa: B007
                        self._know(record, made_by)
                    self._records.cut(end)
            if events:
                self._open_events(mode)
        except BaseException:
            self.close()
            if self._parquet and self._records.fresh:  # nothing was gone on with: leave no trace
                self._records.path.unlink(missing_ok=True)
            raise

    def append(self, record: Record, timeline: bytes = b"") -> None:
        """Write a record; the file is whole again when this returns, and also when it raises.

        Parameters
        ----------
        record : Record
            What a recording told.
        timeline : bytes
            Its timeline, as `lines_of` makes it for `log_suffix`.

        Raises
        ------
        TriageError
            If the disk is full or gone; the records before stay.
        """
        if self._events is not None and timeline:
            self._events.append(timeline)  # first: what has a record has its timeline
        self._records.append(lines_of([record], self.log_suffix))
        self.done.add(record.source)
        self.failed += record.status == "error"

    def finish(self) -> None:
        """Say that all records are there: a Parquet file appears now, and files at an address do.

        Raises
        ------
        TriageError
            If the disk is full or gone; the rows stay in ``F.partial.jsonl``. If the address cannot be written to; the
            file stays in the current folder.
        """
        if self._parquet:
            self._finish_parquet()
        if not self._folder:
            return
        self.close()
        for each in (self._events_path, self.path) if self._events is not None else (self.path,):
            try:
                send(each, self._address(each))
            except TriageError as error:
                raise TriageError(f"{error}: the records are in {self.path}, and --resume goes on from there") from None
            remove(each)

    def _finish_parquet(self) -> None:
        try:
            if self._events is not None:
                write_parquet(self._events_path, TimelineRow, (row for _, row in self._events.rows()))
            write_parquet(self.path, Record, (row for _, row in self._records.rows()), partition_by=self._partition_by)
        except TriageError as error:
            raise TriageError(
                f"{error}: the records are in {self._records.path}, and --resume goes on from there"
            ) from None
        self.close()
        self._records.path.unlink()
        if self._events is not None:
            self._events.path.unlink()

    def close(self) -> None:
        """Close the file; what was appended is there."""
        self._records.close()
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _address(self, path: Path) -> str:
        return f"{self._folder}/{path.name}"

    def _meet(self, written: list[Path], mode: Mode) -> None:
        """Look at what is at the addresses, and bring back what is to be gone on with."""
        for each in written:
            there = is_there(self._address(each))  # also to be overwritten: a place that does not answer is told now
            if there and mode == "new":
                raise TriageError(
                    f"{self._address(each)}: exists already; go on with it (--resume), replace it (--overwrite) or "
                    "name another"
                )
            if there and mode == "resume" and not any(os.path.lexists(path) for path in (each, _log_path(each))):
                fetch(self._address(each), each)

    def _know(self, record: Record, made_by: tuple[str, str, str | None]) -> None:
        """Count a record that is there already.

        Raises
        ------
        TriageError
            If it was scored otherwise.
        """
        model_digest, policy_digest, default_channel = made_by
        caller_channel = self._channels.get(record.source, default_channel)
        if (record.model_digest, record.policy_digest) != (model_digest, policy_digest):
            raise TriageError(
                f"{self.path}: got records of model {record.model_digest[:12]} and policy {record.policy_digest}, "
                f"expected {model_digest[:12]} and {policy_digest}; go on with those, or start again (--overwrite)"
            )
        if record.caller_channel != caller_channel:
            raise TriageError(
                f"{self.path}: got records of caller channel {record.caller_channel}, expected {caller_channel}; go "
                "on with that one, or start again (--overwrite)"
            )
        self.done.add(record.source)
        self.failed += record.status == "error"

    def _take_apart(self, made_by: tuple[str, str, str | None]) -> None:
        """Bring a Parquet file that was whole back to lines."""
        for record in read_parquet(self.path, Record):
            self._know(record, made_by)
            self._records.append(lines_of([record], self.log_suffix))

    def _open_events(self, mode: Mode) -> None:
        if self.done and not any(each.exists() for each in (self._events_path, _log_path(self._events_path))):
            raise TriageError(
                f"{self.path}: got records without events, expected {self._events_path.name} beside it; go on without "
                "--events, or start again (--overwrite)"
            )
        self._events = events = AppendLog(_log_path(self._events_path), TimelineRow, mode=mode)
        if mode != "resume":
            return
        if self._parquet and events.fresh and self._events_path.exists():
            for row in read_parquet(self._events_path, TimelineRow):
                events.append(lines_of([row], self.log_suffix))
            return
        kept = 0
        for end, row in events.rows():
            if row.source not in self.done:  # its record was never written: it is scored again
                break
            kept = end
        events.cut(kept)


def events_path(path: str | os.PathLike[str]) -> Path:
    """Return where the timelines of a file of records are.

    Examples
    --------
    >>> print(events_path(Path("scores.jsonl")))
    scores.events.jsonl
    """
    path = Path(path_name("path", path, TriageError))
    return path.with_suffix(f".events{path.suffix}")


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Read records, in the order in which they were written.

    Raises
    ------
    TriageError
        If there is no such file, or it holds other rows.
    """
    return _read(path, Record)


def read_timelines(path: str | os.PathLike[str]) -> Iterator[TimelineRow]:
    """Read timelines (see `events_path`); the rows of one recording follow each other.

    Raises
    ------
    TriageError
        If there is no such file, or it holds other rows.
    """
    return _read(path, TimelineRow)


def _read(path: str | os.PathLike[str], kind: type[Row]) -> Iterator[Row]:
    path = Path(path_name("path", path, TriageError))
    if path.suffix.lower() == ".parquet":
        yield from read_parquet(path, kind)
        return
    yield from (row for _, row in rows_of_file(path, kind))


def _log_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial.jsonl") if path.suffix.lower() == ".parquet" else path
