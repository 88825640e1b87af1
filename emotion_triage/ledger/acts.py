"""What changes the ledger: each act is its entries and its line in the decision log, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from emotion_triage.contacts import Contact, Restriction
from emotion_triage.errors import LedgerError
from emotion_triage.ledger import decisions, rows
from emotion_triage.ledger.accounts import (
    Appeal,
    Body,
    ContactBody,
    Evidence,
    Kind,
    Lift,
    Objection,
    Opinion,
    Outcome,
    Void,
    micros,
    moment,
)
from emotion_triage.ledger.bodies import (
    Appealed,
    Attached,
    Judged,
    Lifted,
    Objected,
    Purged,
    Restricted,
    Rotated,
    Voided,
    Warned,
    without_numbers,
)
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.rows import Link
from emotion_triage.ledger.standings import restrictions
from emotion_triage.policy import Policy

__all__ = [
    "appeal",
    "days_us",
    "forget",
    "lift",
    "object_to_scoring",
    "outcome",
    "purge",
    "record",
    "restrict",
    "rotate",
    "verdict",
    "void",
]


def days_us(days: float) -> int:
    """Return days in microseconds."""
    return micros(timedelta(days=days))


def record(connection: Connection, contact: Contact, pseudonym: str | None, policy: Policy, now_us: int) -> None:
    """Keep a contact, unless it is kept already."""
    _require(contact_id=contact.contact_id, agent_id=contact.agent_id)
    if contact.started_at.tzinfo is None:
        raise LedgerError(f"contact {contact.contact_id}: got started_at without a time zone; give it one")
    if not (contact.duration_s >= 0 and contact.escalated_s >= 0):
        raise LedgerError(f"contact {contact.contact_id}: got a negative length of time, expected seconds from 0")
    at_us, body = micros(contact.ended_at), ContactBody.of(contact)
    subject_id = None if pseudonym is None else rows.subject_of(connection, pseudonym)
    before = rows.contact_of(connection, contact.contact_id)
    if before is not None:
        entry, link = before
        same = (subject_id, contact.agent_id, at_us, body) == (
            link.subject_id,
            entry.agent_id,
            entry.at_us,
            entry.decoded(),
        )
        if same and (pseudonym is None) == (subject_id is None):
            return
        raise LedgerError(
            f"contact {contact.contact_id}: got other facts than were recorded under this name before; what was "
            "recorded stays: correct it by a verdict or a void, or give the contact a name of its own"
        )
    if subject_id is None and pseudonym is not None:
        subject_id = rows.new_subject(connection, pseudonym)
    link = Link(subject_id, contact.agent_id, at_us + _kept_us(policy))
    said = [opinion.decoded() for opinion in rows.opinions_of(connection, contact.contact_id)]
    rows.link(connection, contact.contact_id, link)
    abused = contact.disposition.abusive
    marked = abused or any(isinstance(each, Opinion) and each.abusive for each in said)
    rows.append(
        connection,
        "contact",
        body,
        at_us=at_us,
        now_us=now_us,
        link=link,
        contact_id=contact.contact_id,
        marked=marked,
    )
    question = None
    if contact.peak is not None:
        evidence = Evidence(peak=contact.peak, escalated_s=contact.escalated_s, drivers=contact.drivers)
        question = evidence.question(contact.disposition, policy.protection.warn_escalated_s)
        rows.append(
            connection,
            "evidence",
            evidence,
            at_us=at_us,
            now_us=now_us,
            link=link._replace(expires_at_us=at_us + days_us(policy.protection.retention.scores_days)),
            contact_id=contact.contact_id,
            marked=question is not None,
        )
    if abused:
        told = Judged(
            contact_id=contact.contact_id, verdict=contact.disposition, by=contact.agent_id, reason="at wrap-up"
        )
        decisions.append(connection, told, at_us=now_us, call_id=contact.contact_id, subject_id=subject_id)
    if question is not None and contact.peak is not None:
        warning = Warned(
            contact_id=contact.contact_id,
            reason=question,
            peak=contact.peak,
            escalated_s=contact.escalated_s,
            drivers=contact.drivers,
            policy_digest=policy.digest,
        )
        decisions.append(connection, warning, at_us=now_us, call_id=contact.contact_id, subject_id=subject_id)


def void(connection: Connection, contact_id: str, by: str, reason: str, policy: Policy, now_us: int) -> None:
    """Declare that a contact counts no more."""
    _require(contact_id=contact_id, by=by, reason=reason)
    told = Voided(contact_id=contact_id, by=by, reason=reason)
    _say(connection, "void", Void(by=by, reason=without_numbers(reason)), told, policy, now_us)


def verdict(
    connection: Connection, contact_id: str, by: str, abusive: bool, reason: str, policy: Policy, now_us: int
) -> None:
    """Say whether a contact was abusive."""
    _require(contact_id=contact_id, by=by, reason=reason)
    opinion = Opinion(by=by, abusive=abusive, reason=without_numbers(reason))
    told = Judged(contact_id=contact_id, verdict="abusive" if abusive else "not abusive", by=by, reason=reason)
    _say(connection, "verdict", opinion, told, policy, now_us)
    if abusive:
        rows.mark(connection, contact_id)


def outcome(
    connection: Connection,
    contact_id: str,
    survey: float | None,
    false_alarm: bool | None,
    by: str | None,
    policy: Policy,
    now_us: int,
) -> None:
    """Attach to a contact what became known afterwards."""
    _require(contact_id=contact_id)
    if survey is None and false_alarm is None:
        raise LedgerError(f"contact {contact_id}: got nothing to attach, expected survey or false_alarm")
    if false_alarm is not None:
        _require(by=by)
    outcome = Outcome(survey=survey, false_alarm=false_alarm, by=by)
    told = Attached(contact_id=contact_id, survey=survey, false_alarm=false_alarm, by=by)
    _say(connection, "outcome", outcome, told, policy, now_us)


def restrict(connection: Connection, pseudonym: str, restriction: Restriction, policy: Policy, now_us: int) -> None:
    """Restrict a caller."""
    _require(decided_by=restriction.decided_by, reason=restriction.reason, restriction_id=restriction.restriction_id)
    latest_us = now_us + days_us(policy.protection.max_restriction_days)
    until_us, review_us = _us("until", restriction.until), _us("review_at", restriction.review_at)
    if not now_us < until_us <= latest_us:
        raise LedgerError(
            f"restriction: got an end at {restriction.until.isoformat()}, expected one from now to "
            f"{moment(latest_us).isoformat()} (protection.max_restriction_days); decide anew when it ends"
        )
    if not now_us < review_us <= until_us:
        raise LedgerError(
            f"restriction: got a review at {restriction.review_at.isoformat()}, expected one from now to its end at "
            f"{restriction.until.isoformat()}"
        )
    restriction = msgspec.structs.replace(restriction, reason=without_numbers(restriction.reason))
    _, his = rows.known(connection, pseudonym)
    if any(
        entry.kind == "restriction" and entry.decoded().restriction_id == restriction.restriction_id for entry in his
    ):
        return
    link = Link(_subject(connection, pseudonym), None, until_us)
    rows.append(connection, "restriction", restriction, at_us=now_us, now_us=now_us, link=link)
    told = Restricted(
        restriction_id=restriction.restriction_id,
        restriction=restriction.kind,
        decided_by=restriction.decided_by,
        reason=restriction.reason,
        until=restriction.until,
        review_at=restriction.review_at,
    )
    decisions.append(connection, told, at_us=now_us, subject_id=link.subject_id)


def lift(connection: Connection, pseudonym: str, by: str, reason: str, now_us: int) -> None:
    """End every restriction in force."""
    _require(by=by, reason=reason)
    for restriction in _in_force(connection, pseudonym, now_us):
        body = Lift(restriction_id=restriction.restriction_id, by=by, reason=without_numbers(reason))
        told = Lifted(restriction_id=restriction.restriction_id, by=by, reason=reason)
        _tell(connection, "lift", body, told, pseudonym, now_us, expires_at_us=micros(restriction.until))


def appeal(connection: Connection, pseudonym: str, by: str, text: str, now_us: int) -> None:
    """Note an appeal against the restriction that is told to the caller."""
    _require(by=by, text=text)
    restriction = _in_force(connection, pseudonym, now_us)[0]
    body = Appeal(restriction_id=restriction.restriction_id, by=by, text=without_numbers(text))
    told = Appealed(restriction_id=restriction.restriction_id, by=by, text=text)
    _tell(connection, "appeal", body, told, pseudonym, now_us, expires_at_us=micros(restriction.until))


def object_to_scoring(connection: Connection, pseudonym: str, objects: bool, now_us: int) -> None:
    """Remember whether a caller objects to being scored."""
    _tell(connection, "objection", Objection(objects=objects), Objected(objects=objects), pseudonym, now_us)


def forget(connection: Connection, pseudonym: str, by: str, reason: str, now_us: int) -> None:
    """Erase a caller; where nothing is known of him, nothing is done."""
    _require(by=by, reason=reason)
    subject_id = rows.subject_of(connection, pseudonym)
    if subject_id is None:
        return
    contacts = rows.forget(connection, subject_id)
    decisions.erase(connection, subject_id, at_us=now_us, by=by, reason=reason, call_ids=contacts)


def purge(connection: Connection, policy: Policy, now_us: int) -> None:
    """Remove what is past its time."""
    removed = rows.remove_expired(connection, now_us)
    before_us = now_us - days_us(policy.protection.retention.decisions_days)
    removed["decisions"] = decisions.prune(connection, before_us, at_us=now_us)
    decisions.append(connection, Purged(removed=removed), at_us=now_us)


def rotate(connection: Connection, identity: Identity, following: Identity, key: bytes, by: str, now_us: int) -> None:
    """Wrap every pseudonym with a new key."""
    _require(by=by)
    rows.rewrap(connection, lambda pseudonym: identity.rewrapped(pseudonym, key))
    rows.set_fingerprint(connection, following.fingerprint)
    told = Rotated(before=identity.fingerprint, after=following.fingerprint, by=by)
    decisions.append(connection, told, at_us=now_us)


def _say(
    connection: Connection,
    kind: Kind,
    body: Body,
    told: Voided | Judged | Attached,
    policy: Policy,
    now_us: int,
) -> None:
    """Append what someone says of a contact; where it has not arrived yet, it is linked when it does."""
    known = rows.contact_of(connection, told.contact_id)
    link = Link(expires_at_us=now_us + _kept_us(policy)) if known is None else known[1]
    rows.append(connection, kind, body, at_us=now_us, now_us=now_us, link=link, contact_id=told.contact_id, marked=True)
    decisions.append(connection, told, at_us=now_us, call_id=told.contact_id, subject_id=link.subject_id)


def _tell(
    connection: Connection,
    kind: Kind,
    body: Body,
    told: Lifted | Appealed | Objected,
    pseudonym: str,
    now_us: int,
    *,
    expires_at_us: int | None = None,
) -> None:
    """Append what someone decides about a caller."""
    link = Link(subject_id=_subject(connection, pseudonym), expires_at_us=expires_at_us)
    rows.append(connection, kind, body, at_us=now_us, now_us=now_us, link=link)
    decisions.append(connection, told, at_us=now_us, subject_id=link.subject_id)


def _kept_us(policy: Policy) -> int:
    return micros(policy.protection.window) + days_us(policy.protection.retention.contacts_days)


def _subject(connection: Connection, pseudonym: str) -> str:
    return rows.subject_of(connection, pseudonym) or rows.new_subject(connection, pseudonym)


def _in_force(connection: Connection, pseudonym: str, now_us: int) -> list[Restriction]:
    _, his = rows.known(connection, pseudonym)
    imposed = [restriction for _, restriction in restrictions(his, now_us)]
    if not imposed:
        raise LedgerError("caller: got one who is not restricted now, expected a restriction in force; nothing changed")
    return imposed


def _require(**named: str | None) -> None:
    for name, value in named.items():
        if not value or not value.strip():
            raise LedgerError(f"{name}: got {value!r}, expected a text that is not empty; name who and why")


def _us(name: str, at: datetime) -> int:
    if at.tzinfo is None:
        raise LedgerError(f"{name}: got {at.isoformat()} without a time zone, expected one")
    return micros(at)
