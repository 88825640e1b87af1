"""The decision log: append-only, hash-chained, signed, and yet able to forget.

An entry commits to its content by ``commitment = SHA-256(JSON [salt, call_id, subject_id, body])``, and the chain
runs over commitments: ``digest = SHA-256(JSON [digest before, seq, at_us, kind, commitment])``. So a caller who is
forgotten takes body, salt and identifiers along and every digest still follows from the one before; without the
salt nobody can try contents until one fits. What may be missing is itself in the chain: a `Forgotten` entry lists the
entries that it emptied, a `Pruned` one tells where the log begins. The head holds the last digest and is signed with a
key derived from the ledger's: without the key nobody can add a line, or excuse one that is missing.

Every function works inside the caller's transaction, which must be one that writes (``BEGIN IMMEDIATE`` on SQLite): the
head row is locked until it ends, so that entries come one after another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from emotion_triage.ledger.log_events import Altered, Body, Forgotten, Pruned, told
from emotion_triage.ledger.schema import decisions, heads
from emotion_triage.ledger.seals import Seal

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["GENESIS", "Head", "append", "begin", "chained", "committed", "erase", "prune", "reseal", "signed"]

GENESIS = "0" * 64
"""The digest before the first entry."""
SALT_BYTES = 32
ROWS_AT_ONCE = 1000


class Head(NamedTuple):
    """The ends of the log: its last line, and where it begins once old lines were pruned."""

    seq: int
    digest: str
    first_seq: int
    first_digest: str


GENESIS_HEAD = Head(0, GENESIS, 1, GENESIS)


def committed(salt: str, call_id: str | None, subject_id: str | None, body: str) -> str:
    """Return an entry's commitment, 64 hex digits; `salt` is random, `body` is JSON text."""
    return hashlib.sha256(msgspec.json.encode([salt, call_id, subject_id, body])).hexdigest()


def chained(before: str, seq: int, at_us: int, kind: str, commitment: str) -> str:
    """Return an entry's digest, 64 hex digits, from the digest before it.

    Examples
    --------
    >>> chained(GENESIS, 1, 0, "route", GENESIS)[:16] == chained(GENESIS, 1, 0, "forget", GENESIS)[:16]
    False
    """
    return hashlib.sha256(msgspec.json.encode([before, seq, at_us, kind, commitment])).hexdigest()


def append(
    connection: Connection,
    seal: Seal,
    body: Body,
    *,
    at_us: int,
    call_id: str | None = None,
    subject_id: str | None = None,
) -> int:
    """Append one decision, and sign the head.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
    seal : Seal
        Signs the head.
    body : Body
        What was decided; its tag becomes the entry's kind.
    at_us : int
        When, in microseconds since 1970 (UTC).
    call_id : str, optional
        The call it was decided for.
    subject_id : str, optional
        The caller it was decided for; `erase` finds entries by it.

    Returns
    -------
    int
        The entry's `seq`.

    Raises
    ------
    LedgerError
        If the body holds a number that is not finite.
    """
    head = _lock(connection, seal, at_us)
    return _append(connection, seal, head, body, at_us, call_id, subject_id).seq


def begin(connection: Connection, seal: Seal) -> None:
    """Sign the head as it is found; to be done once, where the ledger was never signed before."""
    row = connection.execute(select(heads)).one_or_none()
    if row is None:
        connection.execute(insert(heads).values(**GENESIS_HEAD._asdict(), id=1))
    head = GENESIS_HEAD if row is None else Head(row.seq, row.digest, row.first_seq, row.first_digest)
    _set_head(connection, seal, head)


def reseal(connection: Connection, seal: Seal, following: Seal, *, at_us: int) -> None:
    """Sign the head with another key."""
    _set_head(connection, following, _lock(connection, seal, at_us))


def signed(head: Head) -> tuple[str, int, str, int, str]:
    """Return what the seal of a head signs."""
    return "head", head.seq, head.digest, head.first_seq, head.first_digest


def erase(
    connection: Connection,
    seal: Seal,
    subject_id: str,
    *,
    at_us: int,
    by: str,
    reason: str,
    call_ids: Sequence[str] = (),
) -> int:
    """Empty every entry of a caller, and append the `Forgotten` entry that says which.

    Lines about their calls that name no caller go with them; lines that name another caller stay.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
    seal : Seal
        Signs the head.
    subject_id : str
        The caller.
    at_us : int
        When, in microseconds since 1970 (UTC).
    by, reason : str
        Who forgets the caller, and why.
    call_ids : sequence of str, optional
        Their contacts.

    Returns
    -------
    int
        How many entries were emptied.
    """
    head = _lock(connection, seal, at_us)
    of_subject = decisions.c.subject_id == subject_id
    calls = select(decisions.c.call_id).where(of_subject, decisions.c.call_id.is_not(None))
    unnamed = decisions.c.subject_id.is_(None) & decisions.c.call_id.in_(calls)
    seqs = set(connection.scalars(select(decisions.c.seq).where(or_(of_subject, unnamed))))
    for start in range(0, len(call_ids), ROWS_AT_ONCE):
        some = decisions.c.call_id.in_(call_ids[start : start + ROWS_AT_ONCE])
        seqs |= set(connection.scalars(select(decisions.c.seq).where(some)))
    emptied = update(decisions).where(decisions.c.seq == bindparam("line"))
    if seqs:
        nothing = dict.fromkeys(("call_id", "subject_id", "salt", "body"))
        connection.execute(emptied.values(**nothing), [{"line": seq} for seq in seqs])
    body = Forgotten(by=by, reason=reason, erased=_runs(sorted(seqs)))
    _append(connection, seal, head, body, at_us, None, None)
    return len(seqs)


def prune(connection: Connection, seal: Seal, before_us: int, *, at_us: int) -> int:
    """Drop the oldest entries, up to the first that is not older than a date, and append the `Pruned` entry.

    A line dated later than `at_us` says nothing of its age: it goes with the older lines behind it.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
    seal : Seal
        Signs the head.
    before_us, at_us : int
        The date, and when it is done, in microseconds since 1970 (UTC).

    Returns
    -------
    int
        How many entries were dropped; where there were none to drop, nothing is appended.
    """
    head = _lock(connection, seal, at_us)
    stays = decisions.c.at_us.between(before_us, at_us)
    kept = connection.scalar(select(func.min(decisions.c.seq)).where(stays)) or head.seq + 1
    oldest = select(decisions.c.seq, decisions.c.digest).where(decisions.c.at_us < before_us, decisions.c.seq < kept)
    last = connection.execute(oldest.order_by(decisions.c.seq.desc()).limit(1)).one_or_none()
    if last is None:
        return 0
    dropped = connection.execute(delete(decisions).where(decisions.c.seq <= last.seq)).rowcount
    first = last.seq + 1
    body = Pruned(first_seq=first, first_digest=last.digest, dropped=dropped)
    head = _append(connection, seal, head, body, at_us, None, None)
    _set_head(connection, seal, head._replace(first_seq=first, first_digest=last.digest))
    return dropped


def _append(
    connection: Connection, seal: Seal, head: Head, body: Body, at_us: int, call_id: str | None, subject_id: str | None
) -> Head:
    kind = body.__struct_config__.tag
    assert isinstance(kind, str)
    salt, content = os.urandom(SALT_BYTES).hex(), told(body)
    commitment = committed(salt, call_id, subject_id, content)
    seq = head.seq + 1
    digest = chained(head.digest, seq, at_us, kind, commitment)
    connection.execute(
        insert(decisions).values(
            seq=seq,
            at_us=at_us,
            kind=kind,
            call_id=call_id,
            subject_id=subject_id,
            salt=salt,
            body=content,
            commitment=commitment,
            digest=digest,
        )
    )
    head = head._replace(seq=seq, digest=digest)
    _set_head(connection, seal, head)
    return head


def _lock(connection: Connection, seal: Seal, at_us: int) -> Head:
    """Return the head, held against every other writer until the transaction ends.

    Where it is not as it was signed, or lines lie beyond it, the log says so itself and goes on after all of them.
    """
    row = connection.execute(select(heads).with_for_update()).one_or_none()
    head = GENESIS_HEAD if row is None else Head(row.seq, row.digest, row.first_seq, row.first_digest)
    last = connection.scalar(select(func.max(decisions.c.seq))) or 0
    if row is not None and last <= head.seq and seal.holds(row.seal, *signed(head)):
        return head
    if row is None:
        connection.execute(insert(heads).values(**head._asdict(), id=1))
    found = head._replace(seq=max(head.seq, last))
    return _append(connection, seal, found, Altered(seq=found.seq), at_us, None, None)


def _set_head(connection: Connection, seal: Seal, head: Head) -> None:
    connection.execute(update(heads).values(**head._asdict(), seal=seal.of(*signed(head))))


def _runs(seqs: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return ascending numbers as runs of first and last.

    Examples
    --------
    >>> _runs([2, 3, 4, 9])
    ((2, 4), (9, 9))
    """
    runs: list[tuple[int, int]] = []
    for seq in seqs:
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = runs[-1][0], seq
        else:
            runs.append((seq, seq))
    return tuple(runs)
