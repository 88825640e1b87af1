"""Whether the decision log is as it was written: every line altered, missing, moved or added is found and named.

The chain shows that no line was changed, and the signed head that nobody without the ledger's key wrote it all anew.
Against whoever has the key, or puts back a whole older database, keep heads elsewhere (`emotion-triage log head`,
mailed or posted each day) and give them back as `anchors`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select, true

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import audit_log
from emotion_triage.ledger.audit_log import GENESIS, chained, committed
from emotion_triage.ledger.log_events import Altered, Forgotten, Pruned
from emotion_triage.ledger.schema import decisions, heads
from emotion_triage.ledger.seals import Seal

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

__all__ = ["Anchor", "Entry", "Head", "Verification", "entries", "head_of", "lines", "verify", "verify_lines"]

ROWS_AT_ONCE = 1000
EXCUSES = frozenset(each.__struct_config__.tag for each in (Forgotten, Pruned))
"""Kinds of entries that say what is missing, and by right."""
ALTERED = Altered.__struct_config__.tag


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
    seal : str or None
        The signature of all this under the ledger's key.
    """

    seq: int
    digest: str
    first_seq: int
    first_digest: str
    seal: str | None = None

    def signed_by(self, seals: Sequence[Seal]) -> bool:
        """Return whether one of some seals signed it."""
        named = audit_log.Head(self.seq, self.digest, self.first_seq, self.first_digest)
        return any(seal.holds(self.seal, *audit_log.signed(named)) for seal in seals)


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """A head as it was once, kept elsewhere: its line must still be in the log, or have been pruned by right.

    Attributes
    ----------
    digest : str
        The digest of the last line then.
    seq : int or None
        Its number; None where only the digest was kept.
    """

    digest: str
    seq: int | None = None


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
    signed : bool or None
        Whether the head is signed with the ledger's key; None where no key was given.

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
    signed: bool | None = None

    @property
    def sound(self) -> bool:
        """Whether every line is as it was written."""
        return self.bad_seq is None


def verify(
    connection: Connection, *, head: str | None = None, seals: Sequence[Seal] = (), anchors: Collection[Anchor] = ()
) -> Verification:
    """Check the log of a database.

    Parameters
    ----------
    connection : Connection
        In any transaction.
    head : str, optional
        A digest that was kept elsewhere: it must still be in the chain.
    seals : sequence of Seal, optional
        Under the ledger's key: one of them must have signed the head. Without, only the chain is checked.
    anchors : collection of Anchor, optional
        Heads that were kept elsewhere.

    Returns
    -------
    Verification
    """
    log = _read(connection)
    return _verified(next(log), log, seals, _kept(head, anchors))


def verify_lines(
    path: str | os.PathLike[str],
    *,
    head: str | None = None,
    seals: Sequence[Seal] = (),
    anchors: Collection[Anchor] = (),
) -> Verification:
    """Check an exported log, as `verify` does a database's.

    Parameters
    ----------
    path : path
        What `lines` gave.
    head : str, optional
        As in `verify`.
    seals : sequence of Seal, optional
        Under the ledger's keys, the one in use and those before it.
    anchors : collection of Anchor, optional
        Heads that were kept elsewhere.

    Raises
    ------
    LedgerError
        The file cannot be read, or does not begin as an exported log does.
    """
    try:
        with open(path, "rb") as file:
            try:
                beginning = msgspec.json.decode(file.readline(), type=Head)
            except (msgspec.MsgspecError, UnicodeError) as error:
                raise LedgerError(
                    f"{path}: the first line is not the head of an exported log ({error}); expected what "
                    "`emotion-triage log export` writes"
                ) from None
            return _verified(beginning, _decoded(file), seals, _kept(head, anchors))
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror}); expected an exported log") from None


def head_of(connection: Connection) -> Head:
    """Return the head of the log as it is now: what to keep elsewhere."""
    row = connection.execute(select(heads)).mappings().one_or_none()
    return _head({} if row is None else {name: row[name] for name in Head.__struct_fields__})


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
    with connection.execute(log.execution_options(yield_per=ROWS_AT_ONCE)) as result:
        rows: Iterator[RowMapping] = result.mappings()
        first = next(rows, None)
        if first is not None:
            yield _head({name: first[f"head_{name}"] for name in Head.__struct_fields__})
            yield from (_entry(row) for row in chain((first,), rows) if row["seq"] is not None)
            return
    # Nothing was ever logged; or the head was removed, and whatever there is lies beyond it.
    yield Head(seq=0, digest=GENESIS, first_seq=1, first_digest=GENESIS)
    yield from map(_entry, connection.execute(select(*decisions.c).order_by(decisions.c.seq)).mappings())


def _head(row: dict[str, Any]) -> Head:
    """Return the head that a row holds; one that nothing follows from where it holds none."""
    try:
        return msgspec.convert(row, Head)
    except msgspec.ValidationError:
        return Head(seq=0, digest="", first_seq=1, first_digest=GENESIS)


def _entry(row: RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__struct_fields__})


def _decoded(file: Iterable[bytes]) -> Iterator[Entry | str]:
    """Give each line's entry, or what is wrong with the line."""
    decoder = msgspec.json.Decoder(Entry)
    for number, line in enumerate(file, 2):
        try:
            yield decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            yield f"cannot be read: line {number} is not an entry ({error})"


def _kept(head: str | None, anchors: Collection[Anchor]) -> Collection[Anchor]:
    return anchors if head is None else [*anchors, Anchor(digest=head)]


def _verified(
    head: Head, log: Iterable[Entry | str], seals: Sequence[Seal], anchors: Collection[Anchor]
) -> Verification:
    followed = _Chain(head, anchors)
    for each in log:
        followed.follow(each)
    signed = head.signed_by(seals) if seals else None
    followed.end(signed)
    return Verification(
        entries=followed.entries,
        erased=len(followed.empty),
        first_seq=head.first_seq,
        last_seq=head.seq,
        head=head.digest,
        bad_seq=None if followed.fault is None else followed.fault[0],
        problem=None if followed.fault is None else followed.fault[1],
        signed=signed,
    )


class _Chain:
    """Follows the chain; keeps its earliest fault and goes on, since a later entry may excuse what an earlier lacks."""

    def __init__(self, head: Head, anchors: Collection[Anchor]) -> None:
        self._head = head
        self._anchors = {anchor.digest: anchor for anchor in anchors if anchor.digest != head.first_digest}
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
        elif not _follows(self._digest, entry):
            self._blame(entry.seq, "does not follow from the line before it: one of the two was altered or replaced")
        self._seq, self._digest = entry.seq, entry.digest
        anchor = self._anchors.get(entry.digest)
        if anchor is not None and anchor.seq in (None, entry.seq):
            del self._anchors[entry.digest]
        if entry.erased and entry.kind not in EXCUSES:
            self.empty.add(entry.seq)
        elif entry.salt is None or entry.body is None:
            self._blame(entry.seq, f"is a {entry.kind} emptied in a way that no forgetting does")
        elif not _as_committed(entry):
            self._blame(entry.seq, "says something else than it did: body, call, caller or salt was altered")
        else:
            self._heed(entry)

    def end(self, signed: bool | None) -> None:
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
        if signed is False:
            self._blame(max(head.seq, 1), "is the last, and the log's head is not signed with this ledger's key")
        for anchor in self._anchors.values():
            if anchor.seq is None or anchor.seq >= head.first_seq:
                self._blame(
                    max(anchor.seq or head.first_seq, 1),
                    f"or one before it was rewritten or cut off: no line has the digest {anchor.digest} now",
                )

    def _heed(self, entry: Entry) -> None:
        if entry.kind == ALTERED:
            self._blame(entry.seq, "notes that the log's head had been altered before it was written")
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


def _follows(before: str, entry: Entry) -> bool:
    try:
        return chained(before, entry.seq, entry.at_us, entry.kind, entry.commitment) == entry.digest
    except (TypeError, ValueError):  # a database may hold anything
        return False


def _as_committed(entry: Entry) -> bool:
    try:
        return committed(str(entry.salt), entry.call_id, entry.subject_id, str(entry.body)) == entry.commitment
    except (TypeError, ValueError):
        return False
