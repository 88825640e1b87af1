"""Entries to accounts: a contact with what was said of it; a verdict outweighs the disposition, a void all else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from emotion_triage.errors import LedgerError
from emotion_triage.ledger.log_events import Appealed, Attached, Flagged, Lifted, Objected, Voided
from emotion_triage.ledger.seals import Seal
from emotion_triage.routing.contacts import Contact, Disposition, Doubt, Restriction
from emotion_triage.routing.escalation import Level

__all__ = [
    "Account",
    "Body",
    "ContactBody",
    "Entry",
    "Evidence",
    "Kind",
    "Opinion",
    "Windows",
    "accounts",
    "days_us",
    "instant",
    "micros",
    "moment",
    "moment_or_none",
    "now_us",
]

Kind = Literal[
    "contact", "evidence", "void", "verdict", "outcome", "flag", "restriction", "lift", "appeal", "objection", "windows"
]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime | timedelta) -> int:
    """Return microseconds since 1970 (UTC) of a moment with a time zone, or of a length of time."""
    return (moment if isinstance(moment, timedelta) else moment - EPOCH) // timedelta(microseconds=1)


def instant(name: str, at: datetime) -> int:
    """Return microseconds since 1970 of a moment that someone gave under a name.

    Raises
    ------
    LedgerError
        If it is no datetime, or has no time zone.
    """
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise LedgerError(f"{name}: got {at!r}, expected a datetime with a time zone, as datetime.now(timezone.utc)")
    return micros(at)


def now_us(at: datetime | None) -> int:
    """Return a moment in microseconds since 1970 (UTC); now where none is given."""
    return instant("at", datetime.now(UTC) if at is None else at)


def days_us(days: float) -> int:
    """Return days in microseconds."""
    return micros(timedelta(days=days))


def moment(at_us: int) -> datetime:
    """Return the moment, in UTC, of microseconds since 1970.

    Examples
    --------
    >>> moment(micros(datetime(2026, 3, 2, tzinfo=UTC))).isoformat()
    '2026-03-02T00:00:00+00:00'
    """
    return EPOCH + timedelta(microseconds=at_us)


def moment_or_none(at_us: Any) -> datetime | None:
    """Return the moment of what a database holds in a time's place; None where that is no time."""
    try:
        return moment(at_us)
    except (TypeError, OverflowError):
        return None


class ContactBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a contact beside its columns; its caller is not."""

    started_at: datetime
    duration_s: float
    queue: str | None = None
    disposition: Disposition = Disposition.NONE
    language: str | None = None
    line_type: str | None = None
    gender: str | None = None

    @classmethod
    def of(cls, contact: Contact) -> ContactBody:
        """Return what is kept of a contact."""
        told = {name: getattr(contact, name) for name in cls.__struct_fields__}
        return cls(**told | {"started_at": contact.started_at.astimezone(UTC)})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the voice told during a contact; it never counts by itself."""

    peak: Level
    escalated_s: float
    drivers: tuple[str, ...]

    def doubt(self, disposition: Disposition, warn_escalated_s: float) -> Doubt | None:
        """Return how voice and disposition fail to agree; None where they do."""
        if self.escalated_s >= warn_escalated_s and disposition is Disposition.NONE:
            return "unmarked"
        if self.escalated_s >= warn_escalated_s and disposition is Disposition.OK:
            return "marked_ok"
        if self.peak is Level.CALM and disposition.abusive:
            return "marked_abusive"
        return None

    def question(self, disposition: Disposition, warn_escalated_s: float) -> str | None:
        """Return what it asks a person about the disposition; None where it asks nothing."""
        match self.doubt(disposition, warn_escalated_s):
            case "unmarked":
                return f"escalated for {self.escalated_s:.0f} s and not marked by the agent"
            case "marked_ok":
                return f"marked {disposition} though escalated for {self.escalated_s:.0f} s"
            case "marked_abusive":
                return f"marked {disposition} though the voice stayed calm"
        return None


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's word on a contact."""

    by: str
    abusive: bool
    reason: str


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured or scored in a contact's windows: float32 by rows, and a digest of what the columns are."""

    columns: str
    values: bytes
    model_digest: str | None = None


Body: TypeAlias = (
    ContactBody
    | Evidence
    | Voided
    | Opinion
    | Attached
    | Flagged
    | Restriction
    | Lifted
    | Appealed
    | Objected
    | Windows
)
_BODIES: dict[str, type[Any]] = {
    "contact": ContactBody,
    "evidence": Evidence,
    "void": Voided,
    "verdict": Opinion,
    "outcome": Attached,
    "flag": Flagged,
    "restriction": Restriction,
    "lift": Lifted,
    "appeal": Appealed,
    "objection": Objected,
    "windows": Windows,
}
_DECODERS = {kind: msgspec.json.Decoder(body) for kind, body in _BODIES.items()}


class Entry(NamedTuple):
    """One row of `entries`, its body as JSON text."""

    entry_id: int
    kind: Kind
    contact_id: str | None
    agent_id: str | None
    at_us: int
    body: str
    subject_id: str | None = None
    recorded_at_us: int = 0
    expires_at_us: int | None = None
    marked: bool = False
    seal: str | None = None

    @property
    def signed(self) -> tuple[Any, ...]:
        """What its seal signs."""
        return (
            *("entry", self.kind, self.subject_id, self.contact_id, self.agent_id, self.at_us, self.recorded_at_us),
            *(self.expires_at_us, self.marked, self.body),
        )

    def decoded(self) -> Any:
        """Return the body as the struct of its kind."""
        return _DECODERS[self.kind].decode(self.body)

    def readable(self, seal: Seal) -> bool:
        """Return whether this library wrote it, under the ledger's key, and can read it."""
        if not seal.holds(self.seal, *self.signed):
            return False
        try:
            self.decoded()
        except (KeyError, msgspec.MsgspecError):  # of a release that knew more, or allowed more
            return False
        return True


class Account(msgspec.Struct):
    """A contact and what was said of it up to some moment."""

    contact_id: str
    agent_id: str
    at_us: int
    disposition: Disposition
    evidence: Evidence | None = None
    flags: tuple[Flagged, ...] = ()
    verdict: bool | None = None
    void: bool = False
    false_alarm: bool = False

    @property
    def abusive(self) -> bool:
        """Whether a person says that it was abusive: the supervisor, or else the agent."""
        if self.void:
            return False
        return self.disposition.abusive if self.verdict is None else self.verdict

    @property
    def hard(self) -> bool:
        """Whether it weighed on the agent: abusive, or escalated and no false alarm."""
        escalated = self.evidence is not None and self.evidence.peak is Level.ESCALATED
        return self.abusive or (escalated and not self.void and not self.false_alarm)


def accounts(entries: Iterable[Entry], now_us: int) -> list[Account]:
    """Return the contacts among entries as they stand at a moment, in order of their ends.

    Entries may come in any order; those later than the moment do not exist yet.
    """
    known = [entry for entry in entries if entry.contact_id is not None and entry.at_us <= now_us]
    told: dict[str, Account] = {}
    for entry in known:
        if entry.kind == "contact":
            assert entry.contact_id is not None
            assert entry.agent_id is not None
            disposition = entry.decoded().disposition
            told[entry.contact_id] = Account(entry.contact_id, entry.agent_id, entry.at_us, disposition)
    for entry in sorted(known, key=lambda entry: (entry.at_us, entry.entry_id)):
        account = told.get(entry.contact_id or "")
        if account is None or entry.kind == "contact":
            continue
        body = entry.decoded()
        match body:
            case Evidence():
                account.evidence = body
            case Flagged():
                account.flags = (*account.flags, body)
            case Voided():
                account.void = True
            case Opinion():
                account.verdict = body.abusive
            case Attached() if body.false_alarm is not None:
                account.false_alarm = body.false_alarm
    return sorted(told.values(), key=lambda account: (account.at_us, account.contact_id))
