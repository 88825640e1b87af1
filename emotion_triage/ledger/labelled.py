"""Windows of contacts that people judged, to calibrate and to retrain: no audio, no caller, no name of a contact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emotion_triage.errors import LedgerError
from emotion_triage.ledger.fairness import Case
from emotion_triage.ledger.projection import Entry, Windows
from emotion_triage.prosody.functionals import FUNCTIONAL_NAMES

__all__ = ["LABELLED_COLUMNS", "SCORE_COLUMNS", "WINDOW_COLUMNS", "labelled", "packed"]

_PLACE = ("time_s", "speech_s", "lost_s")
WINDOW_COLUMNS: tuple[str, ...] = (*_PLACE, *FUNCTIONAL_NAMES)
"""What is kept of a window that was measured: the columns of `emotion_triage.batch.measurements.WINDOW_UNITS`."""
SCORE_COLUMNS: tuple[str, ...] = (*_PLACE, "anger", "anger_alone")
"""What is kept of a window that a model scored: as in `emotion_triage.affect.affect.Affect`."""
LABELLED_COLUMNS: tuple[str, ...] = ("contact", "caller", "angry", "escalated", *SCORE_COLUMNS, *FUNCTIONAL_NAMES)
"""An export: numbers for contact and caller, whether a person found them angry and the voice so, and the window."""
_LABELS = LABELLED_COLUMNS.index("time_s")


def _digest(columns: tuple[str, ...]) -> str:
    return hashlib.sha256(",".join(columns).encode()).hexdigest()[:16]


_KEPT = {_digest(columns): columns for columns in (WINDOW_COLUMNS, SCORE_COLUMNS)}
"""Windows of a release that measured otherwise are told apart by the digest, and left out."""


def packed(windows: ArrayLike, model_digest: str | None = None) -> Windows:
    """Return windows as they are kept.

    Parameters
    ----------
    windows : array_like of float, shape (n_windows, n_columns)
        Features, in the order of `WINDOW_COLUMNS`; of a model, its scores, in the order of `SCORE_COLUMNS`. NaN
        where there is no value.
    model_digest : str, optional
        The model whose scores they are.

    Raises
    ------
    LedgerError
        If it has another shape, or a value that is infinite.

    Examples
    --------
    >>> len(packed(np.zeros((2, len(WINDOW_COLUMNS)))).values) == 2 * 4 * len(WINDOW_COLUMNS)
    True
    >>> len(packed([[3.0, 2.5, 0.0, 0.4, np.nan]], "a model's digest").values)
    20
    """
    columns, source = (
        (WINDOW_COLUMNS, "`emotion_triage.batch.measurements.measure`")
        if model_digest is None
        else (SCORE_COLUMNS, f"affects: {', '.join(SCORE_COLUMNS)}")
    )
    try:
        with np.errstate(over="ignore"):
            values = np.asarray(windows).astype("<f4", casting="same_kind")
    except (TypeError, ValueError, OverflowError) as error:
        raise LedgerError(f"windows: got what is no table of numbers ({error}), expected an array of float") from None
    if np.isinf(values).any():
        raise LedgerError(
            "windows: got a value that is infinite in float32, expected a number, or NaN where there is none"
        )
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise LedgerError(f"windows: got shape {values.shape}, expected (n_windows, {len(columns)}), as of {source}")
    return Windows(columns=_digest(columns), values=values.tobytes(), model_digest=model_digest)


def labelled(cases: Mapping[str, Case], windows: Iterable[Entry], model_digest: str) -> Iterator[NDArray[np.float64]]:
    """Give the windows of each contact of which a person said whether the caller was angry.

    Parameters
    ----------
    cases : mapping of str to Case
        From `emotion_triage.ledger.fairness.cases`.
    windows : iterable of Entry
        Of kind ``windows``; of several of a contact, each is given.
    model_digest : str
        Scores of other models are left out: one calibration is of one model.

    Yields
    ------
    ndarray of float64, shape (n_windows, n_columns)
        In the order of `LABELLED_COLUMNS`. A caller who withheld their number is another in each contact; `escalated`
        is NaN where nothing was scored, scores and features where they are not kept.
    """
    contacts: dict[str, int] = {}
    callers: dict[str, int] = {}
    for entry in windows:
        contact_id = entry.contact_id or ""
        case, body = cases.get(contact_id), entry.decoded()
        columns = _KEPT.get(body.columns)
        if case is None or case.angry is None or columns is None or body.model_digest not in (None, model_digest):
            continue
        kept = np.frombuffer(body.values, "<f4").reshape(-1, len(columns))
        rows = np.full((len(kept), len(LABELLED_COLUMNS)), np.nan)
        rows[:, :_LABELS] = (
            contacts.setdefault(contact_id, len(contacts)),
            callers.setdefault(entry.subject_id or f"withheld {contact_id}", len(callers)),
            case.angry,
            np.nan if case.escalated is None else case.escalated,
        )
        rows[:, [LABELLED_COLUMNS.index(name) for name in columns]] = kept
        yield rows
