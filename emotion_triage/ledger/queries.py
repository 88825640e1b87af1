"""Entries into the tables and out of them: every statement that the ledger makes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    Connection,
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

from emotion_triage.ledger.exposures import Suffered
from emotion_triage.ledger.fairness import Holding
from emotion_triage.ledger.projection import Body, Entry, Kind, moment
from emotion_triage.ledger.schema import decisions, entries, meta, subjects

__all__ = ["EASY", "KNOWN", "SETTLED", "TOLD", "Link", "Queries"]

FINGERPRINT = "fingerprint"
SUBJECT_BYTES = 16
ROWS_AT_ONCE = 1000
OPINIONS = ("void", "verdict", "outcome")
"""What is said of a contact, before it arrives or after."""

_COLUMNS = tuple(entries.c[name] for name in Entry._fields)
_KEYS = select(meta.c.value).where(meta.c.key == FINGERPRINT)
# One row at least, so that a ledger whose key was changed elsewhere is never taken for one that knows nobody.
KNOWN = (
    select(meta.c.value, *_COLUMNS)
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

    Parameters
    ----------
    connection : Connection
        From `Store.read` or `Store.write`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

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
        return rows[0][0], [Entry(*row[1:]) for row in rows if row[1] is not None]

    def subject_of(self, pseudonym: str) -> str | None:
        """Return a caller's subject; None where nothing is known of them."""
        return self.connection.scalar(select(subjects.c.subject_id).where(subjects.c.pseudonym == pseudonym))

    def new_subject(self, pseudonym: str) -> str:
        """Give a caller a subject, and return it."""
        subject_id = secrets.token_hex(SUBJECT_BYTES)
        self.connection.execute(insert(subjects).values(subject_id=subject_id, pseudonym=pseudonym))
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
        self.connection.execute(
            insert(entries).values(
                kind=kind,
                **link._asdict(),
                contact_id=contact_id,
                at_us=at_us,
                recorded_at_us=now_us,
                marked=marked,
                body=msgspec.json.encode(body).decode(),
            )
        )

    def contact_of(self, contact_id: str) -> tuple[Entry, Link] | None:
        """Return a contact and whom it is about."""
        links = tuple(entries.c[name] for name in Link._fields)
        its = select(*_COLUMNS, *(column.label(f"link_{column.name}") for column in links))
        row = self.connection.execute(
            its.where(entries.c.contact_id == contact_id, entries.c.kind == "contact")
        ).one_or_none()
        return None if row is None else (Entry(*row[: len(_COLUMNS)]), Link(*row[len(_COLUMNS) :]))

    def has(self, contact_id: str, kind: Kind, body: Body) -> bool:
        """Return whether a contact has this very entry."""
        its = select(entries.c.body).where(entries.c.contact_id == contact_id, entries.c.kind == kind)
        return msgspec.json.encode(body).decode() in self.connection.scalars(its)

    def link(self, contact_id: str, about: Link) -> None:
        """Link what was said of a contact before it arrived."""
        its = update(entries).where(entries.c.contact_id == contact_id, entries.c.kind.in_(OPINIONS))
        self.connection.execute(its.values(**about._asdict()))

    def mark(self, contact_id: str) -> None:
        """Mark a contact as one that people judged."""
        its = update(entries).where(entries.c.contact_id == contact_id, entries.c.kind == "contact")
        self.connection.execute(its.values(marked=True))

    def opinions_of(self, contact_id: str) -> list[Entry]:
        """Return what was said of a contact."""
        its = select(*_COLUMNS).where(entries.c.contact_id == contact_id, entries.c.kind.in_(OPINIONS))
        return [Entry(*row) for row in self.connection.execute(its)]

    def suffered(self, agents: Sequence[str], window_us: int, shift_us: int, now_us: int) -> Suffered:
        """Return what some agents had by now, in the window and in the shift that began at these times."""
        times = {"agents": list(agents), "window_us": window_us, "shift_us": shift_us, "now_us": now_us}
        settled, easy, told = (self.connection.execute(each, times).all() for each in (SETTLED, EASY, TOLD))
        return Suffered(
            settled={agent: [*map(int, ends.split())] for agent, ends in settled},
            easy={agent: at_us for agent, at_us in easy},
            told=[Entry(*row) for row in told],
        )

    def entries_that_ask(self, since_us: int) -> list[Entry]:
        """Return what asks a person: restrictions, and contacts since a moment whose evidence asks for a verdict."""
        asking = (
            select(entries.c.contact_id)
            .where(entries.c.kind == "evidence", entries.c.at_us > since_us, entries.c.marked == true())
            .scalar_subquery()
        )
        contacts = select(*_COLUMNS).where(entries.c.contact_id.in_(asking))
        imposed = select(*_COLUMNS).where(entries.c.kind.in_(("restriction", "lift")))
        return [Entry(*row) for statement in (contacts, imposed) for row in self.connection.execute(statement)]

    def entries_of_kinds(self, kinds: Sequence[Kind]) -> Iterator[Entry]:
        """Give all entries of some kinds, contact by contact."""
        theirs = select(*_COLUMNS).where(entries.c.kind.in_(kinds))
        ordered = theirs.order_by(entries.c.contact_id, entries.c.entry_id).execution_options(yield_per=ROWS_AT_ONCE)
        with self.connection.execute(ordered) as rows:
            yield from (Entry(*row) for row in rows)

    def holdings(self) -> list[Holding]:
        """Return how much is kept: callers, entries of each kind, lines of the decision log."""
        callers = self.connection.execute(select(func.count()).select_from(subjects)).scalar_one()
        kinds = select(entries.c.kind, func.count(), func.min(entries.c.at_us), func.max(entries.c.at_us))
        logged = select(literal("decision"), func.count(), func.min(decisions.c.at_us), func.max(decisions.c.at_us))
        rows = [*self.connection.execute(kinds.group_by(entries.c.kind).order_by(entries.c.kind))]
        rows += [row for row in self.connection.execute(logged) if row[1]]
        return [
            Holding(kind="caller", count=callers),
            *(Holding(kind=kind, count=n, first_at=moment(a), last_at=moment(z)) for kind, n, a, z in rows),
        ]

    def entries_about(self, subject_id: str) -> list[tuple[Entry, int, int | None]]:
        """Return all entries of a caller, each with when it was recorded and when it is to be removed."""
        own = select(*_COLUMNS, entries.c.recorded_at_us, entries.c.expires_at_us).where(
            entries.c.subject_id == subject_id
        )
        rows = self.connection.execute(own.order_by(entries.c.at_us, entries.c.entry_id))
        return [(Entry(*row[:-2]), row[-2], row[-1]) for row in rows]

    def decisions_about(self, subject_id: str) -> list[tuple[int, str]]:
        """Return when and what was decided about a caller, as the decision log has it."""
        own = select(decisions.c.at_us, decisions.c.body).where(decisions.c.subject_id == subject_id)
        return [
            (at_us, body) for at_us, body in self.connection.execute(own.order_by(decisions.c.seq)) if body is not None
        ]

    def forget(self, subject_id: str) -> list[str]:
        """Delete a caller and all their entries; return the names of their contacts."""
        own = entries.c.subject_id == subject_id
        contacts = list(self.connection.scalars(select(entries.c.contact_id).where(own, entries.c.kind == "contact")))
        self.connection.execute(delete(entries).where(own))
        self.connection.execute(delete(subjects).where(subjects.c.subject_id == subject_id))
        return contacts

    def remove_expired(self, now_us: int) -> dict[str, int]:
        """Delete what is past its time, and callers of whom nothing is left; return how many of what."""
        expired = delete(entries).where(entries.c.expires_at_us <= now_us)
        lonely = delete(subjects).where(~exists().where(entries.c.subject_id == subjects.c.subject_id))
        return {
            "entries": self.connection.execute(expired).rowcount,
            "callers": self.connection.execute(lonely).rowcount,
        }

    def rewrap(self, rewrapped: Callable[[str], str]) -> int:
        """Replace every pseudonym; return how many."""
        rows = self.connection.execute(select(subjects.c.subject_id, subjects.c.pseudonym)).all()
        replace = (
            update(subjects)
            .where(subjects.c.subject_id == bindparam("subject"))
            .values(pseudonym=bindparam("replacement"))
        )
        for start in range(0, len(rows), ROWS_AT_ONCE):
            batch = rows[start : start + ROWS_AT_ONCE]
            self.connection.execute(
                replace, [{"subject": subject, "replacement": rewrapped(old)} for subject, old in batch]
            )
        return len(rows)
