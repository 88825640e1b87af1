"""What waits for a person, and what a caller may read of what is kept of them. Pure: entries in, structs out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from emotion_triage.ledger.projection import Entry, accounts, micros, moment
from emotion_triage.ledger.standings import restrictions
from emotion_triage.routing.contacts import Review
from emotion_triage.routing.protection import ProtectionPolicy
from emotion_triage.routing.rules import Standing

__all__ = ["Copy", "Kept", "copied", "reviews"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is kept of a caller.

    Attributes
    ----------
    kind : str
        What it is: ``contact``, ``evidence``, ``verdict``, ..., or ``decision``.
    at : datetime
        The moment it tells of, in UTC.
    recorded_at, removed_at : datetime or None
        When it was recorded, and when a purge removes it; None where that is not known.
    contact_id, agent_id : str or None
        The contact it belongs to.
    body : msgspec.Raw
        The rest, as JSON.
    """

    kind: str
    at: datetime
    recorded_at: datetime | None = None
    removed_at: datetime | None = None
    contact_id: str | None = None
    agent_id: str | None = None
    body: msgspec.Raw


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of a caller, and what follows from it; `msgspec.json.encode` writes it down."""

    standing: Standing
    kept: tuple[Kept, ...]


def copied(
    entries: Iterable[tuple[Entry, int, int | None]], decided: Iterable[tuple[int, str]], standing: Standing
) -> Copy:
    """Return a caller's copy from their entries and the decisions about them."""
    kept = [
        Kept(
            kind=entry.kind,
            at=moment(entry.at_us),
            recorded_at=moment(recorded_us),
            removed_at=None if expires_us is None else moment(expires_us),
            contact_id=entry.contact_id,
            agent_id=entry.agent_id,
            body=msgspec.Raw(entry.body.encode()),
        )
        for entry, recorded_us, expires_us in entries
    ]
    kept += [Kept(kind="decision", at=moment(at_us), body=msgspec.Raw(body.encode())) for at_us, body in decided]
    return Copy(standing=standing, kept=tuple(kept))


def reviews(entries: Sequence[Entry], policy: ProtectionPolicy, now_us: int) -> tuple[Review, ...]:
    """Return what waits for a person at a moment, the oldest first, from entries in any order."""
    waiting = []
    for account in accounts(entries, now_us):
        evidence = account.evidence
        if evidence is None or account.void or account.verdict is not None:
            continue
        question = evidence.question(account.disposition, policy.warn_escalated_s)
        if question is not None:
            waiting.append(
                Review(
                    kind="verdict",
                    at=moment(account.at_us),
                    reason=question,
                    contact_id=account.contact_id,
                    agent_id=account.agent_id,
                )
            )
    for _, restriction in restrictions(entries, now_us):
        if micros(restriction.review_at) <= now_us:
            waiting.append(
                Review(
                    kind="restriction",
                    at=restriction.review_at,
                    reason=f"review of {restriction.kind} is due: {restriction.reason}",
                    restriction_id=restriction.restriction_id,
                    decided_by=restriction.decided_by,
                )
            )
    return tuple(sorted(waiting, key=lambda review: review.at))
