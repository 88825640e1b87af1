"""What the ledger keeps and tells: contacts, verdicts, restrictions, exposure; no audio, and no number in sight."""

from __future__ import annotations

import contextlib
import enum
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from emotion_triage.errors import ArgumentError, CallIdError
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.escalation import Level

__all__ = [
    "Candidates",
    "Contact",
    "Disposition",
    "Doubt",
    "Exposure",
    "Fallback",
    "Restriction",
    "RestrictionKind",
    "Review",
]

Moment = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0.0)]
Fallback = Literal["supervisor", "callback", "voicebot"]
"""Who takes a call when every agent is shielded from it."""
Doubt = Literal["unmarked", "marked_ok", "marked_abusive"]
"""How voice and disposition fail to agree: escalated and not marked, or marked OK; calm and marked as abuse."""


class Disposition(enum.StrEnum):
    """How an agent marks a contact once it is over; only ``ABUSE`` and ``THREAT`` count against a caller.

    ``DISCONTENT`` is anger at the matter, however loud: a caller's right.
    """

    NONE = "NONE"
    OK = "OK"
    DISCONTENT = "DISCONTENT"
    ABUSE = "ABUSE"
    THREAT = "THREAT"

    @property
    def abusive(self) -> bool:
        """Whether the agent says that they were abused."""
        return self in (Disposition.ABUSE, Disposition.THREAT)


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One call as kept afterwards.

    Attributes
    ----------
    contact_id : str
        The routing engine's name of the call; what may be a telephone number in it becomes an alias, as in
        `emotion_triage.routing.call_ids.safe_call_id`.
    caller : str or None
        Number, SIP URI or ``crm:ID``; None where withheld. Never stored, never shown: not even in the repr.
    agent_id : str
        Who took it.
    started_at : datetime
        With a time zone.
    duration_s : float
        In seconds, 0 or more.
    queue : str or None
        Where it waited.
    peak : Level or None
        The highest level; None where nothing was scored.
    escalated_s : float
        Time at ESCALATED, in seconds.
    drivers : tuple of str
        Names of what moved the score most, strongest first.
    disposition : Disposition
        How the agent marked it.
    language, line_type, gender : str or None
        Where known, for audits of fairness; never inferred from the voice.

    Examples
    --------
    >>> from datetime import datetime, timezone
    >>> started_at = datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)
    >>> contact = Contact(
    ...     contact_id="c-1",
    ...     caller="+33 1 23 45 67 89",
    ...     agent_id="a-17",
    ...     started_at=started_at,
    ...     duration_s=312.0,
    ...     disposition=Disposition.ABUSE,
    ... )
    >>> "23" in repr(contact).replace("2026", "")
    False
    """

    contact_id: Name
    caller: str | None
    agent_id: Name
    started_at: Moment
    duration_s: Seconds
    queue: str | None = None
    peak: Level | None = None
    escalated_s: Seconds = 0.0
    drivers: tuple[str, ...] = ()
    disposition: Disposition = Disposition.NONE
    language: str | None = None
    line_type: str | None = None
    gender: str | None = None

    def __post_init__(self) -> None:
        with contextlib.suppress(CallIdError):  # the ledger refuses what is no name
            msgspec.structs.force_setattr(self, "contact_id", safe_call_id(self.contact_id))

    @property
    def ended_at(self) -> datetime:
        """When it ended, in UTC: the time from which it counts.

        Raises
        ------
        ArgumentError
            If `started_at` has no time zone.
        """
        if self.started_at.tzinfo is None:
            raise ArgumentError(f"started_at: got {self.started_at.isoformat()} without a time zone, expected one")
        # an hour that a local clock skips or repeats must not be added to its end
        return self.started_at.astimezone(UTC) + timedelta(seconds=self.duration_s)

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = ((name, "..." if name == "caller" and value else repr(value)) for name, value in fields)
        return f"Contact({', '.join(f'{name}={value}' for name, value in shown)})"


class RestrictionKind(enum.StrEnum):
    """What a restricted caller may still do; from the mildest to the strictest."""

    SUPERVISOR_LINE = "supervisor_line"
    CALLBACK_ONLY = "callback_only"
    WRITING_ONLY = "writing_only"
    COOL_OFF = "cool_off"
    BLOCK = "block"


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that a named person set on a caller; it ends by itself.

    Attributes
    ----------
    kind : RestrictionKind
        What they may still do.
    decided_by, reason : str
        The person who answers for it, and why.
    until, review_at : datetime
        When it ends, and when someone must look at it again, with a time zone.
    restriction_id : str
        Its name; made up where not given.
    """

    kind: RestrictionKind
    decided_by: Name
    reason: Name
    until: Moment
    review_at: Moment
    restriction_id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent has been through, counted from contacts and never from their voice.

    Attributes
    ----------
    agent_id : str
        The agent.
    abusive_contacts : int
        Confirmed abusive contacts in the window.
    hard_in_shift : int
        Escalated or abusive contacts in the shift.
    hard_in_a_row : int
        How many of them came last, with none between.
    after_call_work_s : float
        Seconds that they still have before the next call may come.
    shielded_until : datetime or None
        Until then no caller with a record and no escalated call may reach them.
    last_at : datetime or None
        When their last contact of the shift ended.
    """

    agent_id: str
    abusive_contacts: int = 0
    hard_in_shift: int = 0
    hard_in_a_row: int = 0
    after_call_work_s: float = 0.0
    shielded_until: Moment | None = None
    last_at: Moment | None = None


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """Who may take a call, best first.

    Attributes
    ----------
    agents : tuple of str
        The candidates.
    fallbacks : tuple of {"supervisor", "callback", "voicebot"}
        What the policy offers instead, most wanted first, where there is no candidate.
    reason : str
        What put the candidates in this order, or why there is none.
    """

    agents: tuple[str, ...]
    fallbacks: tuple[Fallback, ...] = ()
    reason: str


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a person.

    Attributes
    ----------
    kind : {"verdict", "restriction"}
        A contact that asks for a verdict, or a restriction whose review is due.
    at : datetime
        When the contact ended, or when the review was due.
    reason : str
        What asks for it.
    contact_id, agent_id : str or None
        The contact; no agent where none has said yet that it was theirs.
    doubt : {"unmarked", "marked_ok", "marked_abusive"} or None
        How the contact's voice and disposition fail to agree.
    flagged_by, words : tuple of str
        Agents who asked for a verdict, and what they said.
    disposition : Disposition or None
        How the agent marked the contact.
    peak, escalated_s, drivers
        What the voice told, as in `Contact`; None and empty of a restriction.
    restriction_id, decided_by : str or None
        The restriction.
    """

    kind: Literal["verdict", "restriction"]
    at: Moment
    reason: str
    contact_id: str | None = None
    agent_id: str | None = None
    doubt: Doubt | None = None
    flagged_by: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    disposition: Disposition | None = None
    peak: Level | None = None
    escalated_s: Seconds | None = None
    drivers: tuple[str, ...] = ()
    restriction_id: str | None = None
    decided_by: str | None = None
