"""How the ledger's methods reach its rows: transactions, keys, and callers by their pseudonyms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec

from emotion_triage.errors import LedgerError, LedgerUnavailable
from emotion_triage.ledger.commands import Commands
from emotion_triage.ledger.exposures import exposures
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.projection import micros, now_us
from emotion_triage.ledger.queries import Queries
from emotion_triage.ledger.standings import standing
from emotion_triage.ledger.store import Store
from emotion_triage.routing.contacts import Exposure
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR, Standing

__all__ = ["Access"]


class Access:
    """One ledger's database under its keys.

    Parameters
    ----------
    store : Store
        The database.
    policy : Policy
        What counts, for how long, and what is kept.
    identity : Identity
        Callers to pseudonyms, and what signs rows.

    Raises
    ------
    LedgerError
        If the database has other keys.
    """

    def __init__(self, store: Store, policy: Policy, identity: Identity) -> None:
        self.store = store
        self.identity = identity
        self._policy = policy
        with self.scan() as rows:
            fingerprint = rows.fingerprint()
        if fingerprint != identity.fingerprint:
            with self._transaction() as rows:
                fingerprint = self._adopted(rows)
        self.refuse_other_keys(fingerprint)

    @contextmanager
    def read(self) -> Iterator[Queries]:
        """Give the rows to what a call waits for."""
        with self.store.read() as connection:
            yield Queries(connection, self.identity.seal)

    @contextmanager
    def scan(self) -> Iterator[Queries]:
        """Give the rows to what may take its time."""
        with self.store.scan() as connection:
            yield Queries(connection, self.identity.seal)

    @contextmanager
    def write(self, at: datetime | None) -> Iterator[Commands]:
        """Give what may be done at a moment, in one transaction."""
        at_us = now_us(at)
        with self._transaction() as rows:
            self.refuse_other_keys(rows.fingerprint())
            yield Commands(rows, self._policy, at_us)

    @contextmanager
    def _transaction(self) -> Iterator[Queries]:
        with self.store.write() as connection:
            rows = Queries(connection, self.identity.seal)
            rows.wait()
            yield rows

    def standing(self, rows: Queries, caller: str | None, queue: str | None, at_us: int) -> Standing:
        """Return a caller's standing; of one who cannot be read, and of altered rows, with the problem."""
        protection = self._policy.protection
        try:
            pseudonym = self.identity.pseudonym(caller)
        except LedgerError as error:
            return protection.unknown_standing(str(error))
        if pseudonym is None:
            return CLEAR
        fingerprint, theirs = rows.known(pseudonym)
        self.refuse_other_keys(fingerprint)
        told = standing(theirs, protection, at_us, queue) if theirs else CLEAR
        if rows.problem is None:
            return told
        # what was left out may have been their objection
        objection = told.objection or protection.when_unknown == "neutral"
        return msgspec.structs.replace(told, objection=objection, problem=rows.problem)

    def exposures(self, rows: Queries, agents: Sequence[str], at_us: int) -> dict[str, Exposure]:
        """Return what each of some agents has been through."""
        protection = self._policy.protection
        had = rows.suffered(agents, at_us - micros(protection.window), at_us - micros(protection.shift), at_us)
        return exposures(agents, had, protection, at_us)

    def known(self, caller: str | None) -> str | None:
        """Return a caller's pseudonym; None where they are nobody, or cannot be read."""
        try:
            return self.identity.pseudonym(caller)
        except LedgerError:
            return None

    def required(self, caller: str) -> str:
        """Return a caller's pseudonym, or refuse one who is nobody."""
        pseudonym = self.identity.pseudonym(caller)
        if pseudonym is None:
            raise LedgerError("caller: got a withheld number, expected one that tells them apart; nothing is kept")
        return pseudonym

    def refuse_other_keys(self, fingerprint: str | None) -> None:
        """Refuse a database that is under other keys."""
        if fingerprint != self.identity.fingerprint:
            raise LedgerUnavailable(
                f"ledger {self.store.name}: got a key that is not the one in use here; open it with the newest key as "
                "`key` and all before it, the oldest first, as `previous_keys`"
            )

    def _adopted(self, rows: Queries) -> str:
        """Sign what a new ledger holds, or one that an older release left unsigned; return its fingerprint."""
        fingerprint = rows.fingerprint()
        if not fingerprint and rows.latest_us() is not None:
            raise LedgerUnavailable(
                f"ledger {self.store.name}: got rows and no fingerprint of their key, expected both; restore the "
                "database from a backup, since what was in it can no longer be told from what was added to it"
            )
        if fingerprint in ("", self.identity.unsealed_fingerprint):
            Commands(rows, self._policy, now_us(None)).adopt(self.identity)
        return rows.fingerprint()
