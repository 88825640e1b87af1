"""Whether the ledger's rows are those that it signed, and all that its log tells of: rows added, altered or deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from emotion_triage.ledger.log_events import (
    Appealed,
    Attached,
    Flagged,
    Judged,
    Lifted,
    Objected,
    Purged,
    Restricted,
    Voided,
)
from emotion_triage.ledger.projection import Entry, micros
from emotion_triage.ledger.schema import entries, subjects
from emotion_triage.ledger.seals import Seal
from emotion_triage.ledger.verification import Entry as Line

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["uncovered"]

_DECODER = msgspec.json.Decoder(
    Restricted | Lifted | Appealed | Objected | Judged | Voided | Attached | Flagged | Purged
)
_OPINIONS = {"void": "void", "verdict": "verdict", "outcome": "outcome", "flag": "flag"}
_DECIDED = {"restrict": "restriction", "lift": "lift", "appeal": "appeal", "objection": "objection"}
_OF_SUPERVISORS = ("abusive", "not abusive")
"""Verdicts that are entries of their own; the others stand in their contacts."""
ROWS_AT_ONCE = 1000


def uncovered(connection: Connection, log: Iterable[Line], seal: Seal) -> Iterator[str]:
    """Give what is wrong with the ledger's rows, one sentence each.

    Parameters
    ----------
    connection : Connection
        In any transaction.
    log : iterable of Entry
        The lines of the decision log, which `verify` found sound.
    seal : Seal
        Under the ledger's key.
    """
    for row in connection.execute(select(subjects)):
        if not seal.holds(row.seal, "subject", row.subject_id, row.pseudonym):
            yield f"subject {row.subject_id}: its pseudonym is not the one that was signed"
    contacts: set[str] = set()
    there: Counter[tuple[str, str]] = Counter()
    columns = tuple(entries.c[name] for name in Entry._fields)
    rows = select(*columns).order_by(entries.c.entry_id).execution_options(yield_per=ROWS_AT_ONCE)
    with connection.execute(rows) as result:
        for entry in (Entry(*row) for row in result):
            if not seal.holds(entry.seal, *entry.signed):
                yield f"entry {entry.entry_id}: this {entry.kind} was added or altered by something else"
            elif not entry.readable(seal):
                yield f"entry {entry.entry_id}: this {entry.kind} cannot be read by this release"
            elif entry.kind == "contact":
                contacts.add(str(entry.contact_id))
            elif entry.kind in _OPINIONS.values():
                there[entry.kind, str(entry.contact_id)] += 1
            elif entry.kind in _DECIDED.values():
                there[entry.kind, _decision_of(entry.decoded(), entry.subject_id)] += 1
    yield from _missing(log, contacts, there)


def _missing(log: Iterable[Line], contacts: set[str], there: Counter[tuple[str, str]]) -> Iterator[str]:
    """Give what the log tells of and the rows do not hold, though nothing has removed it by right."""
    logged: Counter[tuple[str, str]] = Counter()
    last_of: dict[tuple[str, str], int] = {}
    ends: dict[str, int] = {}
    purged_us = 0
    for line in log:
        body = _body_of(line)
        match body:
            case Purged():
                purged_us = max(purged_us, line.at_us)
                continue
            case None:
                continue
            case Judged() if body.verdict not in _OF_SUPERVISORS:
                continue
            case Judged() | Voided() | Attached() | Flagged():
                key = _OPINIONS[line.kind], body.contact_id
            case _:
                key = _DECIDED[line.kind], _decision_of(body, line.subject_id)
        if isinstance(body, Restricted):
            ends[body.restriction_id] = micros(body.until)
        logged[key] += 1
        last_of[key] = line.seq
    for (kind, name), count in logged.items():
        if kind in _OPINIONS.values():
            by_right = name not in contacts  # it goes with its contact
        else:
            by_right = kind != "objection" and ends.get(name, 0) <= purged_us
        if there[kind, name] < count and not by_right:
            yield f"line {last_of[kind, name]} tells of what has no row any more (kind {kind})"


def _decision_of(body: Any, subject_id: str | None) -> str:
    """Return what a decision about a caller is found by: its restriction, or for an objection the caller."""
    return str(getattr(body, "restriction_id", subject_id))


def _body_of(line: Line) -> Any:
    if line.body is None or line.kind not in {*_OPINIONS, *_DECIDED, "purge"}:
        return None
    try:
        return _DECODER.decode(line.body)
    except msgspec.MsgspecError:
        return None
