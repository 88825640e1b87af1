"""Labelled windows: rows of a timeline, with a caller's pseudonym and what a person heard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import path_name
from emotion_triage.batch.record import DECIMALS
from emotion_triage.errors import TriageError
from emotion_triage.tables import decimal, read_table

__all__ = ["COLUMNS", "Labelled", "read_labelled"]

COLUMNS = ("caller", "angry", "anger", "anger_alone")
"""The first two are the site's, or of ``audit --windows``; the others as in `batch.timeline.TimelineRow`."""
SCORES = ("anger", "anger_alone")
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
        CSV as any spreadsheet writes it, ``.parquet`` or ``.jsonl``, with the columns of `COLUMNS`; others are left
        out. ``caller`` is a pseudonym; ``angry`` is yes or no (also true, false, 1, 0); ``anger`` and ``anger_alone``
        are as ``score --events`` writes them: ``anger_alone`` empty before the caller has a baseline.

    Raises
    ------
    TriageError
        If it cannot be read, a column is missing or a value is none of these.
    """
    path = Path(path_name("path", path, TriageError))
    numbers: dict[str, int] = {}
    found: list[tuple[int, bool, float, float]] = []
    left_out = 0
    rows, seen = _read(path)
    for number, cells in rows:
        try:
            scores = {name: decimal(cells[name]) for name in SCORES if name in cells}
            row = msgspec.convert({**cells, **scores}, _Row)
            answer = None if row.angry is None else ANSWERS[row.angry.strip().lower()]
        except (msgspec.ValidationError, ValueError) as error:
            raise TriageError(f"{path}, row {number}: {error}; expected scores as numbers from 0 to 1") from None
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


def _read(path: Path) -> tuple[Iterator[tuple[int, dict[str, str]]], set[str]]:
    """Return the rows of a table with their numbers, as texts, and the columns that it has: it fills as rows are read.

    Lines of JSON are what ``score --events`` wrote; all else is a table as people have them.
    """
    if path.suffix.lower() != ".jsonl":
        table = read_table(str(path), wanted=COLUMNS)
        return table.rows, set(table.columns)
    seen: set[str] = set()

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        try:
            with path.open("rb") as file:
                for number, line in enumerate((line for line in file if line.strip()), 1):
                    cells = msgspec.json.decode(line, type=dict[str, Any])
                    seen.update(cells)
                    yield number, {name: str(cells[name]) for name in COLUMNS if cells.get(name) not in (None, "")}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TriageError(f"{path}: cannot be read ({reason}); expected a table of labelled windows") from None

    return rows(), seen
