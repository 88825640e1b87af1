"""What the decision log tells of each decision: one typed body for each kind of entry.

No body holds audio or a caller's number: an entry speaks of a caller through its subject, which can be erased, and what
people write is cleared of whatever looks like a number.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, TypeAlias, get_args

import msgspec
from msgspec import Meta

from emotion_triage.affect.affect import Driver
from emotion_triage.arguments import number
from emotion_triage.errors import ArgumentError, LedgerError
from emotion_triage.ledger.monitor_events import MonitorBegun, MonitorEnded
from emotion_triage.ledger.upkeep_events import Altered, Pruned, Purged, Rotated, Sealed
from emotion_triage.routing.contacts import RestrictionKind
from emotion_triage.routing.escalation import Cause, Escalation, Level
from emotion_triage.routing.rules import Route, StandingState, Target

__all__ = [
    "Altered",
    "Appealed",
    "Attached",
    "KINDS",
    "Body",
    "Decision",
    "Escalated",
    "Flagged",
    "Forgotten",
    "Judged",
    "Lifted",
    "Noted",
    "Objected",
    "Override",
    "Pruned",
    "Purged",
    "Restricted",
    "Rotated",
    "Routed",
    "Sealed",
    "Voided",
    "Warned",
    "body_of",
    "finite",
    "told",
    "without_numbers",
]

Name = Annotated[str, Meta(min_length=1)]
Moment = Annotated[datetime, Meta(tz=True)]
NUMBER = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d\b)[+(]?\d(?:[\s().\-/]{0,3}\d){6,}")
"""Seven digits or more that are no date, however they are spaced: the shortest numbers that people note down."""

WRITTEN_BY_PEOPLE = frozenset({"by", "decided_by", "reason", "text"})


def without_numbers(text: str) -> str:
    """Return what a person wrote, with whatever may be a telephone number replaced by ``[number]``.

    Examples
    --------
    >>> without_numbers("threatened a colleague, called from +33 6 12-34-56-78 on 3 May")
    'threatened a colleague, called from [number] on 3 May'
    """
    return NUMBER.sub("[number]", text)


class Routed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="route"):
    """A route was recommended; fields as in `emotion_triage.routing.rules.Route`."""

    time_s: float
    queue: str
    target: Target = Target.QUEUE
    skills: tuple[str, ...]
    priority: int
    rule: str
    level: Level | None
    standing: StandingState
    avoid_agents: tuple[str, ...]
    model_digest: str
    policy_digest: str

    @classmethod
    def of(cls, route: Route) -> Routed:
        """Return the body of a route; the call's name goes beside the body."""
        fields = msgspec.structs.asdict(route)
        del fields["call_id"]
        return cls(**fields)


class Escalated(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="escalation"):
    """A caller's level changed; fields as in `emotion_triage.routing.escalation.Escalation`, and what decided."""

    time_s: float
    level: Level
    previous: Level
    score: float
    held_s: float
    cause: Cause
    drivers: tuple[Driver, ...]
    model_digest: str | None
    policy_digest: str

    @classmethod
    def of(cls, escalation: Escalation, *, model_digest: str | None, policy_digest: str) -> Escalated:
        """Return the body of a change of level."""
        fields = {name: getattr(escalation, name) for name in Escalation.__struct_fields__}
        return cls(**fields, model_digest=model_digest, policy_digest=policy_digest)


class Warned(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="warning"):
    """The machine asks for a person's verdict on a contact; it decides nothing.

    Attributes
    ----------
    contact_id : str
        The contact.
    reason : str
        What asks for it.
    peak : Level
        The highest level of the call.
    escalated_s : float
        Time at ESCALATED, in seconds.
    drivers : tuple of str
        Names of what moved the score most, strongest first.
    policy_digest : str
        What decided.
    """

    contact_id: str
    reason: str
    peak: Level
    escalated_s: float
    drivers: tuple[str, ...]
    policy_digest: str


class Override(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="override"):
    """A person set a recommendation aside.

    Attributes
    ----------
    by, reason : str
        Who, and why.
    recommended, queue : str or None
        The queue that was recommended and the one that was chosen instead.
    """

    by: Name
    reason: Name
    recommended: str | None
    queue: str | None


class Judged(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="verdict"):
    """A person's verdict on a contact.

    Attributes
    ----------
    contact_id, verdict, by : str
        The contact, what it was found to be, and by whom.
    reason : str
        Why.
    """

    contact_id: str
    verdict: str
    by: Name
    reason: str


class Attached(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="outcome"):
    """An outcome was attached to a contact.

    Attributes
    ----------
    contact_id : str
        The contact.
    survey : float or None
        What the caller answered after the call.
    false_alarm : bool or None
        Whether a person marked the escalation as none.
    by : str or None
        Who marked it; None for a survey.
    """

    contact_id: str
    survey: float | None
    false_alarm: bool | None
    by: str | None


class Flagged(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="flag"):
    """The agent of a contact asks for a person's verdict on it; `reason` may be empty."""

    contact_id: str
    by: Name
    reason: str


class Voided(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="void"):
    """A contact was declared void: it counts no more."""

    contact_id: str
    by: Name
    reason: Name


class Restricted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="restrict"):
    """A named person restricted a caller; fields as in `routing.contacts.Restriction`, its kind apart."""

    restriction_id: str
    restriction: RestrictionKind
    decided_by: Name
    reason: Name
    until: Moment
    review_at: Moment


class Lifted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="lift"):
    """A restriction was ended before its date."""

    restriction_id: str
    by: Name
    reason: Name


class Appealed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="appeal"):
    """A caller appealed against a restriction, in the words of whoever noted it down."""

    restriction_id: str
    by: Name
    text: Name


class Objected(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="objection"):
    """A caller objected to being scored, or does so no longer."""

    objects: bool


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="forget"):
    """A caller was forgotten: these entries were erased, and only such entries may be empty.

    Attributes
    ----------
    by, reason : str
        Who, and why.
    erased : tuple of (int, int)
        First and last `seq` of each run of erased entries.
    """

    by: Name
    reason: str
    erased: tuple[tuple[int, int], ...]


Body: TypeAlias = (
    Routed
    | Escalated
    | Warned
    | Override
    | MonitorBegun
    | MonitorEnded
    | Judged
    | Attached
    | Flagged
    | Voided
    | Restricted
    | Lifted
    | Appealed
    | Objected
    | Forgotten
    | Pruned
    | Purged
    | Rotated
    | Altered
    | Sealed
)
"""Whatever an entry can tell; the tag is the entry's kind."""
_DECODER = msgspec.json.Decoder(Body)
KINDS: tuple[str, ...] = tuple(each.__struct_config__.tag for each in get_args(Body))
"""The kinds of entries."""


Noted: TypeAlias = Route | Escalation | Override | Warned
"""What an application notes of a call; all else the ledger notes by itself."""


def body_of(noted: Noted, *, model_digest: str | None, policy_digest: str) -> Body:
    """Return the body of what an application notes; a route brings its own digests."""
    match noted:
        case Route():
            return Routed.of(noted)
        case Escalation():
            return Escalated.of(noted, model_digest=model_digest, policy_digest=policy_digest)
        case _:
            return noted


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on its way into the log.

    Attributes
    ----------
    at : datetime
        When it was taken, with a time zone.
    call_id : str
        The call it was taken for.
    caller : str or None
        As in `Ledger.standing`; never kept, never shown.
    body : Body
        What was decided.
    """

    at: Moment
    call_id: Name
    caller: str | None
    body: Body

    def __repr__(self) -> str:
        return f"Decision(call_id={self.call_id!r}, body={self.body!r})"


def told(body: Body) -> str:
    """Return a body as JSON, with no number left in what people wrote.

    Raises
    ------
    LedgerError
        If it holds a number that is not finite, or a value of another type than its field's.

    Examples
    --------
    >>> told(Lifted(restriction_id="r-1", by="m.durand", reason="heard on 0612345678"))
    '{"kind":"lift","restriction_id":"r-1","by":"m.durand","reason":"heard on [number]"}'
    """
    try:
        text = msgspec.json.encode(_cleared(msgspec.to_builtins(body)))
        _DECODER.decode(text)
    except (TypeError, msgspec.ValidationError) as error:
        raise LedgerError(
            f"decision log: got a value that could not be read again ({error}); nothing was written"
        ) from None
    return text.decode()


def finite(**named: float | None) -> None:
    """Refuse numbers that are not finite: JSON has no way to write them.

    Raises
    ------
    LedgerError
        If one is not; the message names it.
    """
    for name, value in named.items():
        if value is not None:
            try:
                number(name, value, "a finite number; leave out what is not known")
            except ArgumentError as error:
                raise LedgerError(str(error)) from None


def _cleared(value: dict[str, Any]) -> dict[str, Any]:
    cleared = {}
    for name, each in value.items():
        if isinstance(each, dict):
            each = _cleared(each)
        elif isinstance(each, str) and name in WRITTEN_BY_PEOPLE:
            each = without_numbers(each)
        elif isinstance(each, float):
            finite(**{name: each})
        elif isinstance(each, list):
            each = [_cleared(item) if isinstance(item, dict) else item for item in each]
        cleared[name] = each
    return cleared
