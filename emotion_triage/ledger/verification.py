"""Whether the decision log is as it was written: every line altered, missing, moved or added is found and named.

The chain shows that nothing was changed by whoever could not recompute all of it. Against one who can, keep a digest
outside of the database (`Verification.head`, printed, mailed or signed) and give it back as `head`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select, true

from emotion_triage.errors import LedgerError
from emotion_triage.ledger.audit_log import GENESIS, chained, committed
from emotion_triage.ledger.log_events import Forgotten, Pruned
from emotion_triage.ledger.schema import decisions, heads

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

__all__ = ["Entry", "Head", "Verification", "entries", "lines", "verify", "verify_lines"]

ROWS_AT_ONCE = 1000
EXCUSES = frozenset(each.__struct_config__.tag for each in (Forgotten, Pruned))
"""Kinds of entries that say what is missing, and by right."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log begins and ends; the first line of an exported log.

    Attributes
    ----------
    seq : int
        The last entry's number; 0 where there has been none.
    digest : str
        Its digest, 64 hex digits.
    first_seq : int
        The first entry's number: 1, or more once old entries were dropped.
    first_digest : str
        The digest before it.
    """

    seq: int
    digest: str
    first_seq: int
    first_digest: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log, as it lies in the database and in an export; columns are explained in `decisions`."""

    seq: int
    at_us: int
    kind: str
    call_id: str | None
    subject_id: str | None
    salt: str | None
    body: str | None
    commitment: str
    digest: str

    @property
    def erased(self) -> bool:
        """Whether a person's forgetting has emptied it."""
        return self.body is None and self.salt is None and self.call_id is None and self.subject_id is None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What checking the log told.

    Attributes
    ----------
    entries, erased : int
        Lines read, and how many of them were emptied for callers who were forgotten.
    first_seq, last_seq : int
        The numbers of the first and last line, as the head has them.
    head : str
        The last line's digest, as the head has it: what to keep outside of the database.
    bad_seq : int or None
        The first line that is not as it was written; None where all are.
    problem : str or None
        What is wrong with it.

    Examples
    --------
    >>> Verification(entries=3, erased=0, first_seq=1, last_seq=3, head="", bad_seq=2, problem="is missing").sound
    False
    """

    entries: int
    erased: int
    first_seq: int
    last_seq: int
    head: str
    bad_seq: int | None = None
    problem: str | None = None

    @property
    def sound(self) -> bool:
        """Whether every line is as it was written."""
        return self.bad_seq is None


def verify(connection: Connection, *, head: str | None = None) -> Verification:
    """Check the log of a database.

    Parameters
    ----------
    connection : Connection
        In any transaction.
    head : str, optional
        A digest that was kept outside of the database: it must still be in the chain.

    Returns
    -------
    Verification
    """
    log = _read(connection)
    return _verified(next(log), log, head)


def verify_lines(path: str | os.PathLike[str], *, head: str | None = None) -> Verification:
    """Check an exported log, as `verify` does a database's.

    Parameters
    ----------
    path : path
        What `lines` gave.
    head : str, optional
        A digest that was kept elsewhere: it must still be in the chain.

    Raises
    ------
    LedgerError
        The file cannot be read, or does not begin as an exported log does.
    """
    try:
        with open(path, "rb") as file:
            try:
                beginning = msgspec.json.decode(file.readline(), type=Head)
            except msgspec.MsgspecError as error:
                raise LedgerError(
                    f"{path}: the first line is not the head of an exported log ({error}); expected what "
                    "`emotion-triage log export` writes"
                ) from None
            return _verified(beginning, _decoded(file), head)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror}); expected an exported log") from None


def lines(connection: Connection) -> Iterator[str]:
    """Give the log as JSON lines, without line ends: its head, then each entry.

    Examples
    --------
    >>> from emotion_triage.ledger.store import Store
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(f"sqlite:///{folder}/ledger.db")
    ...     with store.read() as connection:
    ...         head, *entries = lines(connection)
    ...     store.close()
    >>> head[:10], entries
    ('{"seq":0,"', [])
    """
    for each in _read(connection):
        yield msgspec.json.encode(each).decode()


def entries(connection: Connection) -> Iterator[Entry]:
    """Give the entries of the log, oldest first."""
    log = _read(connection)
    next(log)
    for each in log:
        assert isinstance(each, Entry)
        yield each


def _read(connection: Connection) -> Iterator[Any]:
    """Give the head, then each entry, all of one moment: one statement sees one snapshot of the database."""
    named = [column.label(f"head_{column.name}") for column in heads.c]
    log = select(*named, *decisions.c).outerjoin_from(heads, decisions, true()).order_by(decisions.c.seq)
    with connection.execution_options(yield_per=ROWS_AT_ONCE).execute(log) as result:
        rows: Iterator[RowMapping] = result.mappings()
        first = next(rows, None)
        if first is not None:
            yield Head(**{name: first[f"head_{name}"] for name in Head.__struct_fields__})
            yield from (_entry(row) for row in chain((first,), rows) if row["seq"] is not None)
            return
    # Nothing was ever logged; or the head was removed, and whatever there is lies beyond it.
    yield Head(seq=0, digest=GENESIS, first_seq=1, first_digest=GENESIS)
    yield from map(_entry, connection.execute(select(*decisions.c).order_by(decisions.c.seq)).mappings())


def _entry(row: RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__struct_fields__})


def _decoded(file: Iterable[bytes]) -> Iterator[Entry | str]:
    """Give each line's entry, or what is wrong with the line."""
    decoder = msgspec.json.Decoder(Entry)
    for number, line in enumerate(file, 2):
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError as error:
            yield f"cannot be read: line {number} is not an entry ({error})"


def _verified(head: Head, log: Iterable[Entry | str], anchor: str | None) -> Verification:
    followed = _Chain(head, anchor)
    for each in log:
        followed.follow(each)
    followed.end()
    return Verification(
        entries=followed.entries,
        erased=len(followed.empty),
        first_seq=head.first_seq,
        last_seq=head.seq,
        head=head.digest,
        bad_seq=None if followed.fault is None else followed.fault[0],
        problem=None if followed.fault is None else followed.fault[1],
    )


class _Chain:
    """Follows the chain; keeps its earliest fault and goes on, since a later entry may excuse what an earlier lacks."""

    def __init__(self, head: Head, anchor: str | None) -> None:
        self._head, self._anchor = head, anchor
        self._anchored = anchor in (None, head.first_digest)
        self._seq, self._digest = head.first_seq - 1, head.first_digest
        self._excused: list[tuple[int, int]] = []
        self._pruned: Pruned | None = None
        self.entries = 0
        self.empty: set[int] = set()
        self.fault: tuple[int, str] | None = None

    def follow(self, entry: Entry | str) -> None:
        """Take the next entry, or what is wrong with its line."""
        self.entries += 1
        expected = self._seq + 1
        if isinstance(entry, str):
            self._seq = expected
            self._blame(expected, entry)
            return
        if entry.seq > expected:
            self._blame(expected, "is missing")
        elif entry.seq < expected:
            self._blame(entry.seq, f"stands where {expected} was expected: it was moved, repeated or added")
        elif chained(self._digest, entry.seq, entry.at_us, entry.kind, entry.commitment) != entry.digest:
            self._blame(entry.seq, "does not follow from the line before it: one of the two was altered or replaced")
        self._seq, self._digest = entry.seq, entry.digest
        self._anchored = self._anchored or entry.digest == self._anchor
        if entry.erased and entry.kind not in EXCUSES:
            self.empty.add(entry.seq)
        elif entry.salt is None or entry.body is None:
            self._blame(entry.seq, f"is a {entry.kind} emptied in a way that no forgetting does")
        elif committed(entry.salt, entry.call_id, entry.subject_id, entry.body) != entry.commitment:
            self._blame(entry.seq, "says something else than it did: body, call, caller or salt was altered")
        else:
            self._heed(entry)

    def end(self) -> None:
        """Compare the end with the head, and what is missing with what the log says was removed."""
        head = self._head
        if self._seq < head.seq:
            self._blame(self._seq + 1, f"is missing: the log was cut, it went on to {head.seq}")
        elif self._seq > head.seq:
            self._blame(head.seq + 1, "lies beyond the log's head: it was added")
        elif self._digest != head.digest:
            self._blame(max(head.seq, 1), "is not what the log's head knows: it, or the head, was replaced")
        begins = (1, GENESIS) if self._pruned is None else (self._pruned.first_seq, self._pruned.first_digest)
        if (head.first_seq, head.first_digest) != begins:
            self._blame(begins[0], f"should begin the log, which begins at {head.first_seq}: nothing says why")
        # In a chain that is not whole, the entry that excuses an empty line may be what is missing.
        if self.fault is None:
            excused = {seq for first, last in self._excused for seq in range(max(first, head.first_seq), last + 1)}
            if left := self.empty - excused:
                self._blame(min(left), "is emptied, and no entry says that its caller was forgotten")
            if left := excused - self.empty:
                self._blame(min(left), "was to be emptied when its caller was forgotten, and is not")
        if not self._anchored:
            self._blame(
                head.first_seq, f"or a later one was rewritten with all that follow: no digest is {self._anchor} now"
            )

    def _heed(self, entry: Entry) -> None:
        if entry.kind not in EXCUSES or entry.body is None:
            return
        try:
            told = msgspec.json.decode(entry.body, type=Forgotten | Pruned)
        except msgspec.MsgspecError as error:
            self._blame(entry.seq, f"is no {entry.kind} of this version ({error})")
            return
        if isinstance(told, Pruned):
            self._pruned = told
        else:
            self._excused += ((first, last) for first, last in told.erased if last < entry.seq)

    def _blame(self, seq: int, problem: str) -> None:
        if self.fault is None or seq < self.fault[0]:
            self.fault = seq, problem
