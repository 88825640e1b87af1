"""What waits for a person, and what a caller may read of what is kept of them. Pure: entries in, structs out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import msgspec

from emotion_triage.ledger.log_events import Flagged
from emotion_triage.ledger.projection import Entry, accounts, micros, moment
from emotion_triage.ledger.standings import restrictions
from emotion_triage.routing.contacts import Review
from emotion_triage.routing.protection import ProtectionPolicy
from emotion_triage.routing.rules import Standing

__all__ = ["Copy", "Kept", "copied", "reviews", "without_names"]

NAMING = frozenset({"agent_id", "avoid_agents", "by", "decided_by", "usual_agents"})
"""Fields that name agents, supervisors and whoever else decided."""
WRITTEN = frozenset({"reason", "rule", "text"})
"""Fields in which people write, or that are made from what they wrote."""


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


def without_names(copy: Copy) -> Copy:
    """Return a copy in which ``staff-1``, ``staff-2``, ... stand for whoever it names, also within what people wrote.

    Each copy numbers anew, so that two callers cannot find out that they spoke with the same agent.

    Examples
    --------
    >>> kept = Kept(kind="void", at=moment(0), agent_id="a-17", body=msgspec.Raw(b'{"by":"ann","reason":"not a-17"}'))
    >>> clear = Standing(state="clear", abusive_contacts=0, since=None, expires_at=None)
    >>> (told,) = without_names(Copy(standing=clear, kept=(kept,))).kept
    >>> told.agent_id, bytes(told.body)
    ('staff-1', b'{"by":"staff-2","reason":"not staff-1"}')
    """
    standing = msgspec.to_builtins(copy.standing)
    bodies = [msgspec.json.decode(each.body) for each in copy.kept]
    agents = [{"agent_id": each.agent_id} for each in copy.kept]
    names = dict.fromkeys(_named([standing, agents, bodies]))
    aliases = {name: f"staff-{number}" for number, name in enumerate(names, 1)}
    anyone = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(names, key=len, reverse=True)))
    kept = tuple(
        msgspec.structs.replace(
            each,
            agent_id=None if each.agent_id is None else aliases[each.agent_id],
            body=msgspec.Raw(msgspec.json.encode(_renamed(body, aliases, anyone))),
        )
        for each, body in zip(copy.kept, bodies, strict=True)
    )
    return Copy(standing=msgspec.convert(_renamed(standing, aliases, anyone), Standing), kept=kept)


def _named(value: Any) -> Iterator[str]:
    """Give whoever is named anywhere in a value."""
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        for field, each in value.items():
            if field in NAMING:
                yield from [each] if isinstance(each, str) else each or ()
            else:
                yield from _named(each)


def _renamed(value: Any, aliases: Mapping[str, str], anyone: re.Pattern[str]) -> Any:
    """Return a value with aliases in the place of names, and of names in what people wrote."""

    def renamed(field: str, each: Any) -> Any:
        if field in NAMING and each:
            return aliases[each] if isinstance(each, str) else [aliases[name] for name in each]
        if field in WRITTEN and isinstance(each, str) and aliases:
            return anyone.sub(lambda found: aliases[found[0]], each)
        return _renamed(each, aliases, anyone)

    if isinstance(value, list):
        return [_renamed(each, aliases, anyone) for each in value]
    return {field: renamed(field, each) for field, each in value.items()} if isinstance(value, dict) else value


def reviews(entries: Sequence[Entry], policy: ProtectionPolicy, now_us: int) -> tuple[Review, ...]:
    """Return what waits for a person at a moment, the oldest first, from entries in any order."""
    known = accounts(entries, now_us)
    waiting = _flagged_alone(entries, {account.contact_id for account in known}, now_us)
    for account in known:
        if account.void or account.verdict is not None:
            continue
        evidence = account.evidence
        asked = evidence.question(account.disposition, policy.warn_escalated_s) if evidence is not None else None
        questions = [each for each in (_asked_by(account.flags), asked) if each is not None]
        if questions:
            waiting.append(
                Review(
                    kind="verdict",
                    at=moment(account.at_us),
                    reason="; ".join(questions),
                    contact_id=account.contact_id,
                    agent_id=account.agent_id,
                    doubt=None if evidence is None else evidence.doubt(account.disposition, policy.warn_escalated_s),
                    flagged_by=_flags(account.flags)[0],
                    words=_flags(account.flags)[1],
                    disposition=account.disposition,
                    peak=None if evidence is None else evidence.peak,
                    escalated_s=None if evidence is None else evidence.escalated_s,
                    drivers=() if evidence is None else evidence.drivers,
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


def _flagged_alone(entries: Sequence[Entry], recorded: Set[str], now_us: int) -> list[Review]:
    """Return calls that were flagged and are no contact yet, unless somebody judged them already."""
    told: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.contact_id is not None and entry.contact_id not in recorded and entry.at_us <= now_us:
            told.setdefault(entry.contact_id, []).append(entry)
    return [
        Review(
            kind="verdict",
            at=moment(flags[0].at_us),
            reason=_asked_by([flag.decoded() for flag in flags]) or "",
            contact_id=contact_id,
            agent_id=flags[0].decoded().by,
            flagged_by=_flags([flag.decoded() for flag in flags])[0],
            words=_flags([flag.decoded() for flag in flags])[1],
        )
        for contact_id, own in told.items()
        if (flags := sorted(each for each in own if each.kind == "flag"))
        and not any(each.kind in ("verdict", "void") for each in own)
    ]


def _flags(flags: Sequence[Flagged]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return who flagged a contact, and all that they said of it."""
    by, reasons = (flag.by for flag in flags), (flag.reason for flag in flags if flag.reason)
    return tuple(dict.fromkeys(by)), tuple(dict.fromkeys(reasons))


def _asked_by(flags: Sequence[Flagged]) -> str | None:
    """Return in words who flagged a contact and all that they said of it; None where nobody did."""
    if not flags:
        return None
    by, words = _flags(flags)
    return f"flagged by {', '.join(by)}" + (f": {'; '.join(words)}" if words else "")
