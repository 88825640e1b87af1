"""How well it heard, group by group: hits, false alarms and routes with Wilson's intervals, from what people said.

Truth is what a person said of a contact and nothing else: a supervisor's verdict or false-alarm mark, or the agent's
disposition. Contacts of which nobody said anything are counted and judge nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from emotion_triage.ledger.log_events import Attached, Voided
from emotion_triage.ledger.projection import ContactBody, Entry, Evidence, Kind, Opinion
from emotion_triage.proportions import Rate, wilson
from emotion_triage.routing.contacts import Disposition
from emotion_triage.routing.escalation import Level

__all__ = ["AUDITED", "DIMENSIONS", "Case", "Dimension", "GroupAudit", "Holding", "audit", "cases"]

Dimension = Literal["all", "language", "line_type", "gender"]
DIMENSIONS: tuple[Dimension, ...] = ("all", "language", "line_type", "gender")
AUDITED: tuple[Kind, ...] = ("contact", "evidence", "void", "verdict", "outcome")
"""Entries that an audit reads."""
UNKNOWN = "unknown"


class GroupAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one group's contacts.

    Attributes
    ----------
    dimension : {"all", "language", "line_type", "gender"}
        What the contacts were grouped by.
    group : str
        Its value, or ``unknown``.
    contacts : int
        Contacts that are not void.
    hits : Rate
        Of the contacts that a person found angry, those in which the voice escalated.
    false_alarms : Rate
        Of those that a person found calm, those in which it escalated all the same.
    routes : dict of str to Rate
        Share of the contacts by queue.
    survey : float or None
        Mean of what the callers answered; None where none did.
    """

    dimension: Dimension
    group: str
    contacts: int
    hits: Rate
    false_alarms: Rate
    routes: dict[str, Rate]
    survey: float | None


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of one kind, and from when to when; callers have no dates."""

    kind: str
    count: int
    first_at: datetime | None = None
    last_at: datetime | None = None


class Case(NamedTuple):
    """A contact as an audit sees it.

    Attributes
    ----------
    contact : ContactBody
        What is kept of it.
    escalated : bool or None
        Whether the voice escalated; None where nothing was scored.
    angry : bool or None
        Whether a person found the caller angry; None where nobody said.
    survey : float or None
        What the caller answered.
    """

    contact: ContactBody
    escalated: bool | None
    angry: bool | None
    survey: float | None


def cases(entries: Iterable[Entry]) -> dict[str, Case]:
    """Return the contacts among entries that are not void, by their names.

    A false-alarm mark decides whether the caller was angry, then a verdict of abuse, then the agent's disposition; a
    verdict that it was no abuse says nothing of anger, but takes the word from a disposition of abuse.
    """
    said: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.at_us, entry.entry_id)):
        if entry.contact_id is not None:
            said[entry.contact_id].append(entry)
    return {contact_id: case for contact_id, told in said.items() if (case := _case([each.decoded() for each in told]))}


def _case(told: list[object]) -> Case | None:
    contact: ContactBody | None = None
    evidence: Evidence | None = None
    verdict: bool | None = None
    false_alarm: bool | None = None
    survey: float | None = None
    for body in told:
        match body:
            case ContactBody():
                contact = body
            case Evidence():
                evidence = body
            case Voided():
                return None
            case Opinion():
                verdict = body.abusive
            case Attached():
                false_alarm = false_alarm if body.false_alarm is None else body.false_alarm
                survey = survey if body.survey is None else body.survey
    if contact is None:
        return None
    escalated = None if evidence is None else evidence.peak is Level.ESCALATED
    return Case(contact, escalated, _angry(contact.disposition, verdict, false_alarm), survey)


def _angry(disposition: Disposition, verdict: bool | None, false_alarm: bool | None) -> bool | None:
    if false_alarm is not None:
        return not false_alarm
    if verdict:
        return True
    if disposition.abusive:
        return None if verdict is False else True
    return {Disposition.DISCONTENT: True, Disposition.OK: False}.get(disposition)


def audit(told: Iterable[Case]) -> list[GroupAudit]:
    """Return hits, false alarms and routes of all contacts, then of each language, line type and gender.

    Parameters
    ----------
    told : iterable of Case
        From `cases`.
    """
    groups: dict[tuple[Dimension, str], list[Case]] = defaultdict(list)
    for case in told:
        for dimension in DIMENSIONS:
            groups[dimension, "all" if dimension == "all" else getattr(case.contact, dimension) or UNKNOWN].append(case)
    order = sorted(groups, key=lambda key: (DIMENSIONS.index(key[0]), key[1] == UNKNOWN, key[1]))
    return [_group(dimension, group, groups[dimension, group]) for dimension, group in order]


def _group(dimension: Dimension, group: str, members: list[Case]) -> GroupAudit:
    scored = [case for case in members if case.escalated is not None]
    angry = [case.escalated for case in scored if case.angry]
    calm = [case.escalated for case in scored if case.angry is False]
    queues: Mapping[str, int] = Counter(case.contact.queue or UNKNOWN for case in members)
    answers = [case.survey for case in members if case.survey is not None]
    return GroupAudit(
        dimension=dimension,
        group=group,
        contacts=len(members),
        hits=wilson(angry.count(True), len(angry)),
        false_alarms=wilson(calm.count(True), len(calm)),
        routes={queue: wilson(queues[queue], len(members)) for queue in sorted(queues)},
        survey=sum(answers) / len(answers) if answers else None,
    )
