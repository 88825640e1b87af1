"""Labelled windows: rows of a timeline, with a caller's pseudonym and what a person heard."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import path_name
from emotion_triage.batch.parquet import pyarrow_modules
from emotion_triage.batch.record import DECIMALS
from emotion_triage.errors import TriageError

__all__ = ["COLUMNS", "Labelled", "read_labelled"]

COLUMNS = ("caller", "angry", "anger", "anger_alone")
"""The first two are the site's, or of ``audit --windows``; the others as in `batch.timeline.TimelineRow`."""
WORDS = ("caller", "angry")
HALF_A_DIGIT = 0.5 * 10.0**-DECIMALS
"""Scores of a timeline are rounded: what is written as 0 or 1 lies within this of it."""
ANSWERS = {
    **dict.fromkeys(("yes", "true", "1", "1.0"), True),
    **dict.fromkeys(("no", "false", "0", "0.0"), False),
}
"""Numbers too, as tables of numbers have them."""


class Labelled(NamedTuple):
    """Windows that a person labelled.

    Attributes
    ----------
    caller : ndarray of intp, shape (n,)
        Number of the caller, from 0; no name is kept.
    angry : ndarray of bool, shape (n,)
        As a person heard it.
    alone : ndarray of float64, shape (n,)
        Log-odds of anger by the voice itself.
    against : ndarray of float64, shape (n,)
        Log-odds of anger against the caller's baseline; NaN before they had one.
    unlabelled : int
        Rows that were left out: without a label, or without a score.
    """

    caller: NDArray[np.intp]
    angry: NDArray[np.bool_]
    alone: NDArray[np.float64]
    against: NDArray[np.float64]
    unlabelled: int = 0

    def take(self, rows: NDArray[np.bool_]) -> Labelled:
        """Return some of the windows."""
        return Labelled(self.caller[rows], self.angry[rows], self.alone[rows], self.against[rows])


class _Row(msgspec.Struct):
    caller: str | None = None
    angry: str | None = None
    anger: float | None = None
    anger_alone: float | None = None


def read_labelled(path: str | os.PathLike[str]) -> Labelled:
    """Read labelled windows.

    Parameters
    ----------
    path : path
        ``.csv``, ``.jsonl`` or ``.parquet`` with the columns of `COLUMNS`; others are left out. ``caller`` is a
        pseudonym; ``angry`` is yes or no (also true, false, 1, 0); ``anger`` and ``anger_alone`` are as ``score
        --events`` writes them: ``anger_alone`` empty before the caller has a baseline.

    Raises
    ------
    TriageError
        If it cannot be read, a column is missing or a value is none of these.
    """
    path = Path(path_name("path", path, TriageError))
    numbers: dict[str, int] = {}
    found: list[tuple[int, bool, float, float]] = []
    left_out = 0
    seen: set[str] = set()
    for number, cells in enumerate(_rows(path), 1):
        seen.update(cells)
        try:
            row = msgspec.convert({name: _plain(name, cells.get(name)) for name in COLUMNS}, _Row, strict=False)
            answer = None if row.angry is None else ANSWERS[row.angry.strip().lower()]
        except msgspec.ValidationError as error:
            raise TriageError(f"{path}, row {number}: {error}; correct the table") from None
        except KeyError:
            raise TriageError(f"{path}, row {number}: got angry {row.angry!r}, expected yes or no") from None
        if answer is None or row.anger is None:
            left_out += 1
            continue
        if row.caller is None:
            raise TriageError(f"{path}, row {number}: got no caller, expected a pseudonym: intervals are over callers")
        for name, score in (("anger", row.anger), ("anger_alone", row.anger_alone)):
            if score is not None and not 0.0 <= score <= 1.0:
                raise TriageError(f"{path}, row {number}: got {name} {score:g}, expected a score from 0 to 1")
        known = row.anger_alone is not None
        alone, against = (row.anger_alone, row.anger) if known else (row.anger, np.nan)
        assert alone is not None
        found.append((numbers.setdefault(row.caller, len(numbers)), answer, alone, against))
    missing = [name for name in COLUMNS if name not in seen]
    if missing:
        raise TriageError(
            f"{path}: got no column {', '.join(missing)}, expected {', '.join(COLUMNS)}: what score --events wrote, "
            "with a caller's pseudonym and whether a person heard anger"
        )
    caller, angry, alone_, against_ = (np.array(column) for column in zip(*found, strict=True)) if found else [()] * 4
    return Labelled(
        np.asarray(caller, np.intp), np.asarray(angry, bool), _odds(alone_), _odds(against_), unlabelled=left_out
    )


def _odds(scores: Any) -> NDArray[np.float64]:
    p = np.clip(np.asarray(scores, np.float64), HALF_A_DIGIT, 1.0 - HALF_A_DIGIT)
    return np.asarray(np.log(p / (1.0 - p)))


def _plain(name: str, value: Any) -> Any:
    """Return None for what is empty; a label or pseudonym that came as a number or truth value, as its word."""
    if value is None or value == "" or value != value:
        return None
    return str(value) if name in WORDS else value


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        match path.suffix.lower():
            case ".csv":
                with path.open(encoding="utf-8-sig", newline="") as file:
                    yield from csv.DictReader(file)
            case ".jsonl":
                with path.open("rb") as file:
                    yield from (msgspec.json.decode(line, type=dict[str, Any]) for line in file if line.strip())
            case ".parquet":
                arrow, parquet = pyarrow_modules()
                try:
                    with parquet.ParquetFile(path) as table:
                        names = [name for name in COLUMNS if name in table.schema_arrow.names]
                        for block in table.iter_batches(columns=names):
                            yield from block.to_pylist()
                except arrow.ArrowInvalid as error:
                    raise TriageError(f"{path}: not Parquet ({error}); write it again") from None
            case other:
                raise TriageError(f"{path}: got a name that ends in {other!r}, expected .csv, .jsonl or .parquet")
    except (OSError, UnicodeDecodeError, csv.Error, msgspec.DecodeError, msgspec.ValidationError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TriageError(f"{path}: cannot be read ({reason}); expected a table of labelled windows") from None
