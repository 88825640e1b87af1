"""Windows of contacts that people judged, for retraining: features only. No audio, no caller, no name of a contact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emotion_triage.errors import LedgerError
from emotion_triage.functionals import FUNCTIONAL_NAMES
from emotion_triage.ledger.accounts import Entry, Windows
from emotion_triage.ledger.audit import Case

__all__ = ["LABEL_COLUMNS", "WINDOW_COLUMNS", "labelled", "packed"]

WINDOW_COLUMNS: tuple[str, ...] = ("time_s", "speech_s", "lost_s", *FUNCTIONAL_NAMES)
"""What a window is kept as: the columns of `emotion_triage.prosody.WINDOW_UNITS`."""
LABEL_COLUMNS: tuple[str, ...] = ("contact", "angry", "escalated")
"""What stands before them in an export: a number for the contact, whether a person found him angry and the voice so."""
COLUMNS_DIGEST = hashlib.sha256(",".join(WINDOW_COLUMNS).encode()).hexdigest()[:16]
"""Windows of a release that measured otherwise are told apart by it, and left out."""


def packed(windows: ArrayLike) -> Windows:
    """Return windows as they are kept.

    Parameters
    ----------
    windows : array_like of float, shape (n_windows, n_columns)
        In the order of `WINDOW_COLUMNS`; NaN where there is no value.

    Raises
    ------
    LedgerError
        If it has another shape.

    Examples
    --------
    >>> len(packed(np.zeros((2, len(WINDOW_COLUMNS)))).values) == 2 * 4 * len(WINDOW_COLUMNS)
    True
    """
    values = np.asarray(windows, dtype="<f4")
    if values.ndim != 2 or values.shape[1] != len(WINDOW_COLUMNS):
        raise LedgerError(
            f"windows: got shape {values.shape}, expected (n_windows, {len(WINDOW_COLUMNS)}), as "
            "`emotion_triage.prosody.measure` gives them"
        )
    return Windows(columns=COLUMNS_DIGEST, values=values.tobytes())


def labelled(cases: Mapping[str, Case], windows: Iterable[Entry]) -> Iterator[NDArray[np.float64]]:
    """Give the windows of each contact of which a person said whether the caller was angry.

    Parameters
    ----------
    cases : mapping of str to Case
        From `emotion_triage.ledger.audit.cases`.
    windows : iterable of Entry
        Of kind ``windows``; of several of a contact, each is given.

    Yields
    ------
    ndarray of float64, shape (n_windows, n_columns)
        In the order of `LABEL_COLUMNS` and `WINDOW_COLUMNS`; `escalated` is NaN where nothing was scored.
    """
    numbers: dict[str, int] = {}
    for entry in windows:
        case = cases.get(entry.contact_id or "")
        body = entry.decoded()
        if case is None or case.angry is None or body.columns != COLUMNS_DIGEST:
            continue
        values = np.frombuffer(body.values, "<f4").reshape(-1, len(WINDOW_COLUMNS)).astype(np.float64)
        number = numbers.setdefault(entry.contact_id or "", len(numbers))
        escalated = np.nan if case.escalated is None else float(case.escalated)
        label = np.broadcast_to([float(number), float(case.angry), escalated], (len(values), len(LABEL_COLUMNS)))
        yield np.hstack([label, values])
