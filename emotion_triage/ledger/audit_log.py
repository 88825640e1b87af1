"""The decision log: append-only, hash-chained, and yet able to forget.

An entry commits to its content by ``commitment = SHA-256(JSON [salt, call_id, subject_id, body])``, and the chain
runs over commitments: ``digest = SHA-256(JSON [digest before, seq, at_us, kind, commitment])``. So a caller who is
forgotten takes body, salt and identifiers with them and every digest still follows from the one before; without the
salt nobody can try contents until one fits. What may be missing is itself in the chain: a `Forgotten` entry lists the
entries that it emptied, a `Pruned` one tells where the log begins.

Every function works inside the caller's transaction, which must be one that writes (``BEGIN IMMEDIATE`` on SQLite): the
head row is locked until it ends, so that entries come one after another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import delete, insert, or_, select, text, update

from emotion_triage.errors import LedgerError
from emotion_triage.ledger.log_events import Body, Forgotten, Pruned, told
from emotion_triage.ledger.schema import decisions, heads

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["GENESIS", "append", "chained", "committed", "erase", "prune"]

GENESIS = "0" * 64
"""The digest before the first entry."""
SALT_BYTES = 32
BEGIN_LOG = text(
    "INSERT INTO heads (id, seq, digest, first_seq, first_digest) SELECT 1, 0, :genesis, 1, :genesis "
    "WHERE NOT EXISTS (SELECT 1 FROM decisions) ON CONFLICT DO NOTHING"
)


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


class _Head(NamedTuple):
    seq: int
    digest: str


def append(
    connection: Connection, body: Body, *, at_us: int, call_id: str | None = None, subject_id: str | None = None
) -> int:
    """Append one decision.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
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
    """
    head = _lock(connection)
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
    connection.execute(update(heads).values(seq=seq, digest=digest))
    return seq


def erase(
    connection: Connection, subject_id: str, *, at_us: int, by: str, reason: str, call_ids: Sequence[str] = ()
) -> int:
    """Empty every entry of a caller, and append the `Forgotten` entry that says which.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
    subject_id : str
        The caller.
    at_us : int
        When, in microseconds since 1970 (UTC).
    by, reason : str
        Who forgets them, and why.
    call_ids : sequence of str, optional
        Their calls, whose entries may name no caller.

    Returns
    -------
    int
        How many entries were emptied.
    """
    _lock(connection)
    own = or_(decisions.c.subject_id == subject_id, decisions.c.call_id.in_(call_ids))
    seqs = list(connection.scalars(select(decisions.c.seq).where(own).order_by(decisions.c.seq)))
    connection.execute(update(decisions).where(own).values(call_id=None, subject_id=None, salt=None, body=None))
    append(connection, Forgotten(by=by, reason=reason, erased=_runs(seqs)), at_us=at_us)
    return len(seqs)


def prune(connection: Connection, before_us: int, *, at_us: int) -> int:
    """Drop the oldest entries, up to the first that is not older than a date, and append the `Pruned` entry.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
    before_us, at_us : int
        The date, and when it is done, in microseconds since 1970 (UTC).

    Returns
    -------
    int
        How many entries were dropped; where there were none to drop, nothing is appended.
    """
    head = _lock(connection)
    kept = select(decisions.c.seq).where(decisions.c.at_us >= before_us).order_by(decisions.c.seq).limit(1)
    first = connection.scalar(kept) or head.seq + 1
    old = decisions.c.seq < first
    last = connection.execute(
        select(decisions.c.seq, decisions.c.digest).where(old).order_by(decisions.c.seq.desc()).limit(1)
    ).one_or_none()
    if last is None:
        return 0
    dropped = connection.execute(delete(decisions).where(old)).rowcount
    append(connection, Pruned(first_seq=first, first_digest=last.digest, dropped=dropped), at_us=at_us)
    connection.execute(update(heads).values(first_seq=first, first_digest=last.digest))
    return dropped


def _lock(connection: Connection) -> _Head:
    """Return the head, held against every other writer until the transaction ends."""
    held = select(heads.c.seq, heads.c.digest).with_for_update()
    row = connection.execute(held).one_or_none()
    if row is None:
        connection.execute(BEGIN_LOG, {"genesis": GENESIS})
        row = connection.execute(held).one_or_none()
    if row is None:
        raise LedgerError(
            "the decision log has entries and no head, expected both; restore the database from a backup, since what "
            "was in the log can no longer be told from what was added to it"
        )
    return _Head(row.seq, row.digest)


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
