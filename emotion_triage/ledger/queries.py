"""Entries into the tables and out of them: every statement that the ledger makes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    String,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    select,
    true,
    union,
    update,
)

from emotion_triage.errors import CallIdError, LedgerError
from emotion_triage.ledger.audit_log import committed
from emotion_triage.ledger.exposures import Suffered
from emotion_triage.ledger.fairness import Holding
from emotion_triage.ledger.projection import Body, Entry, Kind, moment_or_none
from emotion_triage.ledger.schema import decisions, entries, meta, subjects
from emotion_triage.ledger.seals import Seal
from emotion_triage.routing.call_ids import safe_call_id

__all__ = ["EASY", "KNOWN", "SETTLED", "TOLD", "Link", "Queries", "holdings"]

FINGERPRINT = "fingerprint"
SUBJECT_BYTES = 16
ROWS_AT_ONCE = 1000
NAMED = 3
"""Rows that a message names; the check of the log names them all."""
OPINIONS = ("void", "verdict", "outcome", "flag")
"""What is said of a contact, before it arrives or after."""

_COLUMNS = tuple(entries.c[name] for name in Entry._fields)
_ENTRIES = select(*_COLUMNS)
_KEYS = select(meta.c.value).where(meta.c.key == FINGERPRINT)
# One row at least, so that a ledger whose key was changed elsewhere is never taken for one that knows nobody.
KNOWN = (
    select(meta.c.value, subjects.c.subject_id, subjects.c.seal, *_COLUMNS)
    .select_from(
        meta.outerjoin(subjects, subjects.c.pseudonym == bindparam("pseudonym")).outerjoin(
            entries, and_(entries.c.subject_id == subjects.c.subject_id, entries.c.kind != "windows")
        )
    )
    .where(meta.c.key == FINGERPRINT)
)
"""The keys' fingerprint beside each entry of one caller."""
_THEIRS = entries.c.agent_id.in_(bindparam("agents", expanding=True))
_IN_SHIFT = entries.c.at_us > bindparam("shift_us")
_DISPUTED = select(entries.c.contact_id).where(_THEIRS, entries.c.marked == true(), entries.c.kind.in_(OPINIONS))
_HARD = select(entries.c.contact_id).where(
    _THEIRS, entries.c.marked == true(), entries.c.kind.in_(("contact", "evidence")), _IN_SHIFT
)
EASY = (
    select(entries.c.agent_id, func.max(entries.c.at_us))
    .where(
        _THEIRS,
        entries.c.marked == false(),
        entries.c.kind == "contact",
        _IN_SHIFT,
        entries.c.at_us <= bindparam("now_us"),
        entries.c.contact_id.not_in(union(_DISPUTED, _HARD)),
    )
    .group_by(entries.c.agent_id)
)
"""When the last contact of each agent ended that was easy beyond question."""
TOLD = select(*_COLUMNS).where(entries.c.contact_id.in_(union(_DISPUTED, _HARD)), entries.c.kind != "windows")
"""Everything about the contacts of some agents that may be hard in the shift, or of which people said something."""
SETTLED = (
    select(entries.c.agent_id, func.aggregate_strings(cast(entries.c.at_us, String), " "))
    .where(
        _THEIRS,
        entries.c.marked == true(),
        entries.c.kind == "contact",
        entries.c.at_us > bindparam("window_us"),
        ~_IN_SHIFT,
        entries.c.contact_id.not_in(_DISPUTED),
    )
    .group_by(entries.c.agent_id)
)
"""When those contacts ended, of the window before the shift, that are abusive and nobody disputes: many, so that an
agent has one row."""


class Link(NamedTuple):
    """Whom an entry is about, and when it is to be removed."""

    subject_id: str | None = None
    agent_id: str | None = None
    expires_at_us: int | None = None


class Queries:
    """Every statement of the ledger, on one connection.

    Rows that this library did not write under the ledger's key, or cannot read, are left out and counted.

    Parameters
    ----------
    connection : Connection
        From `Store.read` or `Store.write`.
    seal : Seal
        Signs rows.
    """

    def __init__(self, connection: Connection, seal: Seal) -> None:
        self.connection = connection
        self.seal = seal
        self.left_out: set[int] = set()
        self._stranger = False

    @property
    def problem(self) -> str | None:
        """What was left out so far, and the fix; None where nothing was."""
        if not self.left_out and not self._stranger:
            return None
        rows = [f"entry {entry_id}" for entry_id in sorted(self.left_out)[:NAMED]]
        named = ", ".join([*rows, *(["the caller's pseudonym"] if self._stranger else [])])
        return (
            f"ledger: left out what this library did not write or cannot read ({named}); expected rows signed with the "
            "ledger's key: see `emotion-triage log verify`, and restore them from a backup"
        )

    def _kept(self, rows: Iterable[Any]) -> list[Entry]:
        return [entry for row in rows if (entry := self._readable(Entry(*row))) is not None]

    def _readable(self, entry: Entry) -> Entry | None:
        if entry.readable(self.seal):
            return entry
        self.left_out.add(entry.entry_id)
        return None

    def wait(self) -> None:
        """Let the writers before finish, and keep the next ones out until the transaction ends."""
        self.connection.execute(_KEYS.with_for_update())

    def fingerprint(self) -> str:
        """Return the fingerprint of the keys in use; empty in a ledger that was just made."""
        return str(self.connection.scalars(_KEYS).one())

    def set_fingerprint(self, value: str) -> str:
        """Note the fingerprint of the keys in use, and return it."""
        self.connection.execute(update(meta).where(meta.c.key == FINGERPRINT).values(value=value))
        return value

    def known(self, pseudonym: str) -> tuple[str, list[Entry]]:
        """Return the fingerprint of the keys in use, and every entry of a caller."""
        rows = self.connection.execute(KNOWN, {"pseudonym": pseudonym}).all()
        fingerprint, subject_id, signature = rows[0][:3]
        if subject_id is not None and not self.seal.holds(signature, "subject", subject_id, pseudonym):
            self._stranger = True
            return fingerprint, []
        return fingerprint, self._kept(row[3:] for row in rows if row[3] is not None)

    def subject_of(self, pseudonym: str) -> str | None:
        """Return a caller's subject; None where nothing is known of them.

        Raises
        ------
        LedgerError
            If the row was altered.
        """
        find = select(subjects.c.subject_id, subjects.c.seal).where(subjects.c.pseudonym == pseudonym)
        row = self.connection.execute(find).one_or_none()
        if row is None:
            return None
        if not self.seal.holds(row.seal, "subject", row.subject_id, pseudonym):
            self._stranger = True
            raise LedgerError(str(self.problem))
        return str(row.subject_id)

    def new_subject(self, pseudonym: str) -> str:
        """Give a caller a subject, and return it."""
        subject_id = secrets.token_hex(SUBJECT_BYTES)
        signature = self.seal.of("subject", subject_id, pseudonym)
        self.connection.execute(insert(subjects).values(subject_id=subject_id, pseudonym=pseudonym, seal=signature))
        return subject_id

    def append(
        self,
        kind: Kind,
        body: Body,
        *,
        at_us: int,
        now_us: int,
        link: Link,
        contact_id: str | None = None,
        marked: bool = False,
    ) -> None:
        """Append an entry of a moment, recorded now."""
        content = msgspec.json.encode(body).decode()
        entry = Entry(
            0, kind, contact_id, link.agent_id, at_us, content, link.subject_id, now_us, link.expires_at_us, marked
        )
        self.connection.execute(insert(entries).values(**self._values(entry)))

    def require_contact(self, contact_id: str) -> None:
        """Raise where no contact has this name."""
        try:
            name = safe_call_id(contact_id, "contact_id")
        except CallIdError as error:
            raise LedgerError(str(error)) from None
        if self.contact_of(name) is None:
            raise LedgerError(f"contact {name}: got a name that no contact has; check it, or record the contact first")

    def contact_of(self, contact_id: str) -> tuple[Entry, Link] | None:
        """Return a contact and whom it is about."""
        its = _ENTRIES.where(entries.c.contact_id == contact_id, entries.c.kind == "contact")
        row = self.connection.execute(its).one_or_none()
        if row is None:
            return None
        entry = self._readable(Entry(*row))
        if entry is None:
            raise LedgerError(f"contact {contact_id}: {self.problem}")
        return entry, Link(entry.subject_id, entry.agent_id, entry.expires_at_us)

    def has(self, contact_id: str, kind: Kind, body: Body) -> bool:
        """Return whether a contact has this very entry."""
        its = select(entries.c.body).where(entries.c.contact_id == contact_id, entries.c.kind == kind)
        return msgspec.json.encode(body).decode() in self.connection.scalars(its)

    def link(self, contact_id: str, about: Link) -> None:
        """Link what was said of a contact before it arrived."""
        for entry in self.opinions_of(contact_id):
            self._replace(entry._replace(**about._asdict()))

    def mark(self, contact_id: str) -> None:
        """Mark a contact as one that people judged."""
        if (known := self.contact_of(contact_id)) is not None:
            self._replace(known[0]._replace(marked=True))

    def opinions_of(self, contact_id: str) -> list[Entry]:
        """Return what was said of a contact."""
        its = _ENTRIES.where(entries.c.contact_id == contact_id, entries.c.kind.in_(OPINIONS))
        return self._kept(self.connection.execute(its))

    def suffered(self, agents: Sequence[str], window_us: int, shift_us: int, now_us: int) -> Suffered:
        """Return what some agents had by now, in the window and in the shift that began at these times."""
        times = {"agents": list(agents), "window_us": window_us, "shift_us": shift_us, "now_us": now_us}
        settled, easy, told = (self.connection.execute(each, times).all() for each in (SETTLED, EASY, TOLD))
        return Suffered(
            settled={agent: [int(end) for end in ends.split() if end.isdecimal()] for agent, ends in settled},
            easy={agent: at_us for agent, at_us in easy if isinstance(at_us, int)},
            told=self._kept(told),
        )

    def entries_that_ask(self, since_us: int) -> list[Entry]:
        """Return what asks a person: restrictions, and contacts since a moment that ask for a verdict."""
        asking = (
            select(entries.c.contact_id)
            .where(entries.c.kind.in_(("evidence", "flag")), entries.c.at_us > since_us, entries.c.marked == true())
            .scalar_subquery()
        )
        contacts = _ENTRIES.where(entries.c.contact_id.in_(asking), entries.c.kind != "windows")
        imposed = _ENTRIES.where(entries.c.kind.in_(("restriction", "lift")))
        return self._kept(row for statement in (contacts, imposed) for row in self.connection.execute(statement))

    def entries_of_kinds(self, kinds: Sequence[Kind]) -> Iterator[Entry]:
        """Give all entries of some kinds, contact by contact."""
        theirs = _ENTRIES.where(entries.c.kind.in_(kinds))
        ordered = theirs.order_by(entries.c.contact_id, entries.c.entry_id).execution_options(yield_per=ROWS_AT_ONCE)
        with self.connection.execute(ordered) as rows:
            yield from (entry for row in rows if (entry := self._readable(Entry(*row))) is not None)

    def latest_us(self) -> int | None:
        """Return when the latest entry or line of the log was written, by the clock of whoever wrote it."""
        last = select(decisions.c.at_us).order_by(decisions.c.seq.desc()).limit(1)
        latest = (self.connection.scalar(each) for each in (select(func.max(entries.c.recorded_at_us)), last))
        return max((at_us for at_us in latest if isinstance(at_us, int)), default=None)

    def entries_about(self, subject_id: str) -> list[tuple[Entry, int, int | None]]:
        """Return all entries of a caller, each with when it was recorded and when it is to be removed."""
        theirs = _ENTRIES.where(entries.c.subject_id == subject_id)
        kept = self._kept(self.connection.execute(theirs.order_by(entries.c.at_us, entries.c.entry_id)))
        return [(entry, entry.recorded_at_us, entry.expires_at_us) for entry in kept]

    def decisions_about(self, subject_id: str) -> list[tuple[int, str]]:
        """Return when and what was decided about a caller, as the decision log has it."""
        theirs = select(decisions).where(decisions.c.subject_id == subject_id, decisions.c.body.is_not(None))
        return [
            (line.at_us, line.body)
            for line in self.connection.execute(theirs.order_by(decisions.c.seq))
            if moment_or_none(line.at_us) is not None
            and committed(line.salt, line.call_id, line.subject_id, line.body) == line.commitment
        ]

    def forget(self, subject_id: str) -> list[str]:
        """Delete a caller and every entry about them; return the names of their contacts.

        What was said of a call of theirs that is no contact yet goes too.
        """
        theirs = entries.c.subject_id == subject_id
        contacts = list(
            self.connection.scalars(select(entries.c.contact_id).where(theirs, entries.c.kind == "contact"))
        )
        calls = select(decisions.c.call_id).where(
            decisions.c.subject_id == subject_id, decisions.c.call_id.is_not(None)
        )
        self.connection.execute(delete(entries).where(theirs))
        self.connection.execute(
            delete(entries).where(
                entries.c.subject_id.is_(None), entries.c.kind != "contact", entries.c.contact_id.in_(calls)
            )
        )
        self.connection.execute(delete(subjects).where(subjects.c.subject_id == subject_id))
        return contacts

    def remove_expired(self, now_us: int) -> dict[str, int]:
        """Delete what is past its time, and callers of whom nothing is left; return how many of what."""
        expired = delete(entries).where(entries.c.expires_at_us <= now_us)
        named = (exists().where(table.c.subject_id == subjects.c.subject_id) for table in (entries, decisions))
        lonely = delete(subjects).where(*(~each for each in named))
        return {
            "entries": self.connection.execute(expired).rowcount,
            "callers": self.connection.execute(lonely).rowcount,
        }

    def rewrap(self, rewrapped: Callable[[str], str], following: Seal) -> None:
        """Replace every pseudonym, and sign every row with another key; what was not signed with this one stays so."""
        replace = update(subjects).where(subjects.c.subject_id == bindparam("subject"))
        replace = replace.values(pseudonym=bindparam("replacement"), seal=bindparam("signature"))
        for rows in self._batches(select(subjects.c.subject_id, subjects.c.pseudonym, subjects.c.seal)):
            values = []
            for subject_id, old, signature in rows:
                new = rewrapped(old)
                holds = self.seal.holds(signature, "subject", subject_id, old)
                signature = following.of("subject", subject_id, new) if holds else None
                values.append({"subject": subject_id, "replacement": new, "signature": signature})
            self.connection.execute(replace, values)
        for rows in self._batches(_ENTRIES):
            read = [Entry(*row) for row in rows]
            self._sign(((entry, self.seal.holds(entry.seal, *entry.signed)) for entry in read), following)

    def sign_all(self) -> dict[str, int]:
        """Sign every row as it is found, where an older release left them unsigned; return how many of what."""
        sign = update(subjects).where(subjects.c.subject_id == bindparam("subject")).values(seal=bindparam("signature"))
        counts = {"callers": 0, "entries": 0}
        for rows in self._batches(select(subjects.c.subject_id, subjects.c.pseudonym)):
            values = [{"subject": row[0], "signature": self.seal.of("subject", *row)} for row in rows]
            self.connection.execute(sign, values)
            counts["callers"] += len(rows)
        for rows in self._batches(_ENTRIES):
            self._sign(((Entry(*row), True) for row in rows), self.seal)
            counts["entries"] += len(rows)
        return counts

    def _batches(self, statement: Select[Any]) -> Iterator[Sequence[Any]]:
        """Give the rows of a statement, so many at once; all are read before the first batch is changed."""
        rows = self.connection.execute(statement).all()
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield rows[start : start + ROWS_AT_ONCE]

    def _sign(self, judged: Iterable[tuple[Entry, bool]], seal: Seal) -> None:
        sign = update(entries).where(entries.c.entry_id == bindparam("entry")).values(seal=bindparam("signature"))
        values = [
            {"entry": entry.entry_id, "signature": seal.of(*entry.signed) if holds else None} for entry, holds in judged
        ]
        self.connection.execute(sign, values)

    def _replace(self, entry: Entry) -> None:
        self.connection.execute(
            update(entries).where(entries.c.entry_id == entry.entry_id).values(**self._values(entry))
        )

    def _values(self, entry: Entry) -> dict[str, Any]:
        values = entry._replace(seal=self.seal.of(*entry.signed))._asdict()
        del values["entry_id"]
        return values


def holdings(connection: Connection) -> list[Holding]:
    """Return how much is kept: callers, entries of each kind, lines of the decision log; needs no key."""
    callers = connection.execute(select(func.count()).select_from(subjects)).scalar_one()
    kinds = select(entries.c.kind, func.count(), func.min(entries.c.at_us), func.max(entries.c.at_us))
    logged = select(literal("decision"), func.count(), func.min(decisions.c.at_us), func.max(decisions.c.at_us))
    rows = [*connection.execute(kinds.group_by(entries.c.kind).order_by(entries.c.kind))]
    rows += [row for row in connection.execute(logged) if row[1]]
    return [
        Holding(kind="caller", count=callers),
        *(
            Holding(kind=kind, count=count, first_at=moment_or_none(first), last_at=moment_or_none(last))
            for kind, count, first, last in rows
        ),
    ]
