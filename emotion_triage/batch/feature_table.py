"""Columns of numbers to CSV, JSON lines or Parquet, block by block."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import path_name
from emotion_triage.batch.result_file import SUFFIXES
from emotion_triage.errors import TriageError
from emotion_triage.tables import pyarrow_modules

__all__ = ["check_table_path", "write_table"]

Block = NDArray[np.float64]
SIGNIFICANT_DIGITS = 7
"""As many as float32 holds."""


def check_table_path(path: str | os.PathLike[str]) -> None:
    """Refuse a table of no known format.

    Raises
    ------
    TriageError
        If the name does not end in ``.csv``, ``.jsonl`` or ``.parquet``.
    MissingExtraError
        If Parquet was asked for and pyarrow is not installed.
    """
    suffix = Path(path_name("path", path, TriageError)).suffix.lower()
    if suffix not in SUFFIXES:
        raise TriageError(f"{path}: got a name that ends in {suffix!r}, expected {', '.join(SUFFIXES)}; rename it")
    if suffix == ".parquet":
        pyarrow_modules()


def write_table(path: str | os.PathLike[str], units: Mapping[str, str], blocks: Iterable[Block]) -> None:
    """Write a table, as its blocks come; NaN is written as nothing at all.

    Parameters
    ----------
    path : path
        ``.csv``, ``.jsonl`` or ``.parquet``.
    units : mapping of str to str
        Names of the columns, in order, and their units; Parquet keeps the units as metadata of its fields.
    blocks : iterable of ndarray of float64, each of shape (n_rows, n_columns)

    Raises
    ------
    TriageError
        If the file cannot be written.
    MissingExtraError
        If Parquet was asked for and pyarrow is not installed.
    """
    check_table_path(path)
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".parquet":
            _write_parquet(path, units, blocks)
            return
        with open(path, "w", encoding="utf-8", newline="") as file:
            if suffix == ".csv":
                table = csv.writer(file, lineterminator="\n")
                table.writerow(units)
                for block in blocks:
                    table.writerows(["" if value is None else value for value in row] for row in _rows(block))
            else:
                for block in blocks:
                    file.writelines(f"{json.dumps(dict(zip(units, row, strict=True)))}\n" for row in _rows(block))
    except OSError as error:
        raise TriageError(
            f"{path}: cannot be written ({error.strerror or error}); check its folder, mode and the room on the disk"
        ) from None


def _rows(block: Block) -> Iterator[list[float | None]]:
    for row in block.tolist():
        yield [None if value != value else float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in row]


def _write_parquet(path: str | os.PathLike[str], units: Mapping[str, str], blocks: Iterable[Block]) -> None:
    arrow, parquet = pyarrow_modules()
    schema = arrow.schema(
        [
            arrow.field(name, arrow.float32() if name != "time_s" else arrow.float64(), metadata={"unit": unit})
            for name, unit in units.items()
        ]
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for block in blocks:
            columns = [
                arrow.array(column, field.type, from_pandas=True) for column, field in zip(block.T, schema, strict=True)
            ]
            writer.write_table(arrow.table(columns, schema=schema))
