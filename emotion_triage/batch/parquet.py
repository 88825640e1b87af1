"""Rows to Parquet, a file or a folder for each day or month, and back; a block of rows at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from emotion_triage.errors import TriageError
from emotion_triage.tables import pyarrow_modules

__all__ = ["Partition", "read_parquet", "remove", "schema_of", "write_parquet"]

Partition = Literal["day", "month"]
Row = TypeVar("Row", bound=msgspec.Struct)
BLOCK_ROWS = 20_000
"""Rows held in memory at once, and at most in a row group."""
DATE_CHARACTERS: dict[Partition, int] = {"day": 10, "month": 7}
"""Of an ISO 8601 time."""


def schema_of(kind: type[msgspec.Struct]) -> Any:
    """Return the Arrow schema of a struct: strings, doubles, 64-bit integers and booleans, all nullable.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    arrow, _ = pyarrow_modules()
    types = {"float": arrow.float64(), "int": arrow.int64(), "bool": arrow.bool_()}
    named = {name: str(kind.__annotations__[name]).partition(" ")[0] for name in kind.__struct_fields__}
    return arrow.schema([(name, types.get(word, arrow.string())) for name, word in named.items()])


def write_parquet(path: Path, kind: type[Row], rows: Iterable[Row], *, partition_by: Partition | None = None) -> None:
    """Write rows; the file, or folder, appears at the end, whole.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    kind : type
        The struct that a row is.
    rows : iterable
        With `partition_by`, they have a ``started_at``.
    partition_by : {"day", "month"}, optional
        Write a folder with a folder for each, as ``day=2026-11-02``, and one for what has no date.

    Raises
    ------
    TriageError
        If it cannot be written.
    MissingExtraError
        If pyarrow is not installed.
    """
    arrow, parquet = pyarrow_modules()
    schema = schema_of(kind)
    half = path.with_name(f"{path.name}.partial")
    remove(half)
    source = iter(rows)
    writers: dict[str, Any] = {}
    try:
        try:
            if partition_by is None:
                writers[""] = parquet.ParquetWriter(half, schema)
            while block := [msgspec.structs.asdict(row) for row in islice(source, BLOCK_ROWS)]:
                parts: dict[str, list[dict[str, Any]]] = {}
                for row in block:
                    parts.setdefault(_part(row, partition_by), []).append(row)
                for part, members in parts.items():
                    if part not in writers:
                        (half / part).mkdir(parents=True)
                        writers[part] = parquet.ParquetWriter(half / part / "part-0.parquet", schema)
                    writers[part].write_table(arrow.Table.from_pylist(members, schema=schema))
        finally:
            for writer in writers.values():
                writer.close()
        remove(path)
        os.replace(half, path)
    except OSError as error:
        remove(half)
        raise TriageError(f"{path}: cannot be written ({error.strerror or error}); make room") from None


def read_parquet(path: Path, kind: type[Row]) -> Iterator[Row]:
    """Read rows back, of a file or of a folder's files in the order of their names.

    Raises
    ------
    TriageError
        If they are not rows of this kind.
    MissingExtraError
        If pyarrow is not installed.
    """
    arrow, parquet = pyarrow_modules()
    try:
        for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
            with parquet.ParquetFile(file) as table:
                for block in table.iter_batches(BLOCK_ROWS):
                    yield from msgspec.convert(block.to_pylist(), list[kind])  # type: ignore[valid-type]
    except (arrow.ArrowInvalid, OSError, msgspec.MsgspecError) as error:
        raise TriageError(
            f"{path}: has rows of another version ({error}); name another file, or start again (--overwrite)"
        ) from None


def _part(row: dict[str, Any], partition_by: Partition | None) -> str:
    if partition_by is None:
        return ""
    return f"{partition_by}={(row['started_at'] or 'unknown')[: DATE_CHARACTERS[partition_by]]}"


def remove(path: Path) -> None:
    """Remove a file, or a folder and what is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
