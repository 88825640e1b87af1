"""A manifest: which recordings to score, and what the telephone system knows of each call."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from emotion_triage.audio.remote import is_remote, open_remote
from emotion_triage.batch.inputs import as_text
from emotion_triage.batch.parquet import pyarrow_modules
from emotion_triage.batch.record import Record
from emotion_triage.errors import AudioError, TriageError

__all__ = ["COLUMNS", "Manifest", "find_manifest", "read_manifest"]

COLUMNS = ("source", "call", "caller", "agent", "disposition", "queue", "started_at", "group", "label")
"""What a manifest may say; `caller` is never read beyond its name: a number that is nowhere cannot leak."""
SUFFIXES = (".csv", ".parquet")


class _Row(msgspec.Struct, frozen=True):
    """What one row says of a call, as it comes into its record."""

    call: str | None = None
    agent: str | None = None
    disposition: str | None = None
    queue: str | None = None
    started_at: str | None = None
    group: str | None = None
    label: Literal["angry", "other"] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings and what is known of each call.

    Attributes
    ----------
    sources : tuple of str
        The recordings, in order, as `find_recordings` would name them.
    """

    sources: tuple[str, ...]
    _rows: Mapping[str, _Row]

    def annotated(self, record: Record) -> Record:
        """Return a record with what the manifest says of its call."""
        row = self._rows.get(record.source)
        return record if row is None else msgspec.structs.replace(record, **msgspec.structs.asdict(row))


def find_manifest(paths: list[str]) -> str | None:
    """Return the manifest among the paths to score, if there is one.

    Raises
    ------
    TriageError
        If there is something beside it.

    Examples
    --------
    >>> find_manifest(["calls/march.csv"]), find_manifest(["calls/"])
    ('calls/march.csv', None)
    """
    manifests = [path for path in paths if path.lower().endswith(SUFFIXES)]
    if not manifests:
        return None
    if len(paths) > 1:
        raise TriageError(f"{manifests[0]}: got a manifest and {len(paths) - 1} more paths, expected it alone")
    return manifests[0]


def read_manifest(path: str) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    path : str
        CSV with a header, or Parquet, here or at an address for fsspec; columns of `COLUMNS`, others are left out.
        ``source`` is the recording, relative to the manifest's folder, absolute or an address; without this column,
        ``call`` is. ``started_at`` is ISO 8601; ``label`` is ``angry`` or ``other``.

    Raises
    ------
    TriageError
        If it cannot be read, names no recordings, or names one twice.
    """
    sources: list[str] = []
    rows: dict[str, _Row] = {}
    folder = path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path)
    for number, told in enumerate(_read(path), 2):
        name = told.pop("source", None) or told.get("call")
        if not name:
            raise AudioError(f"{path}, row {number}: got no recording, expected one in the column source (or call)")
        source = name if is_remote(name) or os.path.isabs(name) else f"{folder}/{name}" if folder else name
        if as_text(source) in rows:
            raise AudioError(f"{path}, row {number}: got {name} twice, expected each recording once; leave one out")
        try:
            if "started_at" in told:  # one way to write it, so that its day is its first ten characters
                told["started_at"] = datetime.fromisoformat(told["started_at"]).isoformat()
            row = msgspec.convert(told, _Row)
        except (msgspec.ValidationError, ValueError) as error:
            raise AudioError(f"{path}, row {number}: {error}; correct the manifest") from None
        sources.append(source)
        rows[as_text(source)] = row
    if not sources:
        raise AudioError(f"{path}: got a manifest without rows, expected a recording in each")
    return Manifest(sources=tuple(sources), _rows=rows)


def _read(path: str) -> Iterator[dict[str, Any]]:
    """Yield what each row says that is known here; never the caller."""
    wanted = [name for name in COLUMNS if name != "caller"]
    try:
        with open_remote(path) if is_remote(path) else open(path, "rb") as file:
            if path.lower().endswith(".parquet"):
                _, parquet = pyarrow_modules()
                with parquet.ParquetFile(file) as table:
                    names = [name for name in wanted if name in table.schema_arrow.names]
                    for block in table.iter_batches(columns=names):
                        for row in block.to_pylist():
                            yield {name: _text(value) for name, value in row.items() if value not in (None, "")}
                return
            with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                for row in csv.DictReader(text):
                    yield {name: row[name] for name in wanted if row.get(name)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AudioError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); expected a CSV or Parquet manifest"
        ) from None


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
