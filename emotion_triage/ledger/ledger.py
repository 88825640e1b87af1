"""The ledger: contacts over time, never voices and never numbers; what people decide, and what follows for routing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from emotion_triage.arguments import of_type, sequence
from emotion_triage.errors import LedgerError, MissingExtraError
from emotion_triage.ledger.exposures import ranked
from emotion_triage.ledger.fairness import AUDITED, GroupAudit, audit, cases
from emotion_triage.ledger.labelled import labelled, packed
from emotion_triage.ledger.log_events import Decision, Noted
from emotion_triage.ledger.projection import days_us, now_us
from emotion_triage.ledger.reviews import Copy, copied, reviews, without_names
from emotion_triage.ledger.standings import standing
from emotion_triage.routing.contacts import Candidates, Contact, Exposure, Restriction, Review
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR, Standing

# The database library is heavy: it is loaded when a ledger is opened.
if TYPE_CHECKING:
    from emotion_triage.ledger.access import Access
    from emotion_triage.ledger.seals import Seal

__all__ = ["MOST_IDLE_DAYS", "Ledger"]

MOST_IDLE_DAYS = 183.0
"""Days after the ledger was last written to beyond which a purge asks whether the clock is right: half a year."""


class Ledger:
    """Contacts over time, in one database that many processes may share; safe to use from many threads.

    Made by `Ledger.open`. Each method takes the clock as `at`, with a time zone; left out, it is now. Every method
    raises `LedgerError` where the ledger cannot be used, a person or reason is empty, or a caller who must be told
    apart withheld the number, and `ArgumentError` for an argument of another type. What a call waits for, `standing`
    and `eligible`, goes on without the ledger.

    Attributes
    ----------
    policy : Policy
        What counts, for how long, and what is kept.
    store : Store
        The database, for the decision log and audits.
    """

    def __init__(self, access: Access, policy: Policy) -> None:
        self.store = access.store
        self.policy = policy
        self._access = access

    @classmethod
    def open(
        cls, url: str, *, policy: Policy, key: bytes, previous_keys: Sequence[bytes] = (), create: bool = True
    ) -> Ledger:
        """Open a ledger, made where there is none, and upgraded where an older release made it.

        Parameters
        ----------
        url : str
            ``sqlite:///FILE`` or ``postgresql+psycopg://USER@HOST/NAME``.
        policy : Policy
            Its section ``protection`` decides.
        key : bytes
            32 bytes or more, kept apart from the database: who has both can try every number.
        previous_keys : sequence of bytes
            The keys before it, the oldest first, since `rotate_key` wraps and does not replace.
        create : bool, optional
            Whether to make a ledger where there is none.

        Raises
        ------
        ArgumentError
            An argument is of another type.
        LedgerMissing
            There is no ledger, and none was to be made.
        LedgerError
            The database cannot be used, was made by a newer release, or has other keys.
        MissingExtraError
            The database's driver is not installed.
        """
        try:
            from emotion_triage.ledger.access import Access
            from emotion_triage.ledger.identity import Identity
            from emotion_triage.ledger.store import Store
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"the ledger needs {error.name}, which is not installed; "
                "install the extra 'ledger', see docs/install.md"
            ) from None
        of_type(str, url=url)
        of_type(Policy, "Policy.load reads one", policy=policy)
        identity = Identity((*sequence("previous_keys", previous_keys, bytes), key), policy.protection.region)
        of_type(bool, create=create)
        store = Store(url, must_exist=not create)
        try:
            return cls(Access(store, policy, identity), policy)
        except LedgerError:
            store.close()
            raise

    @property
    def seal(self) -> Seal:
        """What signs the ledger's rows and its log, under the keys it was opened with."""
        return self._access.identity.seal

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self.store.name!r})"

    def standing(self, caller: str | None, *, queue: str | None = None, at: datetime | None = None) -> Standing:
        """Return a caller's standing, before the first word.

        Parameters
        ----------
        caller : str or None
            Number, ``tel:`` or SIP URI, ``crm:ID``; None, or what carriers send for a withheld number: always clear.
        queue : str, optional
            Where the caller wants to go: in the policy's exempt queues nobody is restricted.

        Returns
        -------
        Standing
            Where the ledger cannot be asked, or the caller cannot be read: clear, not `known`, with a
            objecting as `when_unknown` says. Rows that something else wrote or altered are left out, with a `problem`.
        """
        of_type(str | None, queue=queue)
        at_us = now_us(at)
        try:
            with self._access.read() as rows:
                return self._access.standing(rows, caller, queue, at_us)
        except LedgerError as error:
            return self.policy.protection.unknown_standing(str(error))

    def eligible(
        self,
        agents: Sequence[str],
        *,
        caller: str | None,
        level: Level = Level.CALM,
        queue: str | None = None,
        at: datetime | None = None,
    ) -> Candidates:
        """Return who of the free and qualified agents may take a call of this level, best first.

        Returns
        -------
        Candidates
            Never neither an agent nor a fallback. Where the ledger cannot be asked: the agents as they were given. The
            reason says so, and what else was left out.
        """
        of_type(str | None, queue=queue)
        of_type(Level, level=level)
        sequence("agents", agents, str)
        at_us = now_us(at)
        try:
            with self._access.read() as rows:
                own = self._access.standing(rows, caller, queue, at_us)
                had = self._access.exposures(rows, agents, at_us)
        except LedgerError as error:
            return self.policy.protection.unranked(agents, str(error))
        told = ranked(agents, had, own, level, self.policy.protection)
        problem = rows.problem or own.problem
        return told if problem is None else msgspec.structs.replace(told, reason=f"{told.reason}; {problem}")

    def exposure(self, agent_id: str, *, at: datetime | None = None) -> Exposure:
        """Return what an agent has been through, counted from contacts alone."""
        of_type(str, agent_id=agent_id)
        with self._access.read() as rows:
            return self._access.exposures(rows, [agent_id], now_us(at))[agent_id]

    def reviews(self, *, at: datetime | None = None) -> tuple[Review, ...]:
        """Return what waits for a person, the oldest first.

        These are contacts that their agent flagged, or whose evidence asks for a verdict or contradicts the agent's
        disposition, as long as scores are kept, and restrictions in force whose review is due.
        """
        at_us, kept_us = now_us(at), days_us(self.policy.protection.retention.scores_days)
        with self._access.scan() as rows:
            return reviews(rows.entries_that_ask(at_us - kept_us), self.policy.protection, at_us)

    def export(self, caller: str, *, at: datetime | None = None) -> Copy:
        """Return everything that is kept of a caller, for them to read.

        Agents and whoever decided have names of their own in it (``staff-1``, ...), unless the policy's
        ``protection.export_names`` says otherwise: who abused an agent is not told the agent's name.
        """
        pseudonym, at_us = self._access.required(caller), now_us(at)
        with self._access.scan() as rows:
            self._access.refuse_other_keys(rows.fingerprint())
            subject_id = rows.subject_of(pseudonym)
            if subject_id is None:
                return copied([], [], CLEAR)
            kept, decided = rows.entries_about(subject_id), rows.decisions_about(subject_id)
        copy = copied(kept, decided, standing([entry for entry, _, _ in kept], self.policy.protection, at_us))
        return copy if self.policy.protection.export_names == "names" else without_names(copy)

    def log_all(self, decisions: Sequence[Decision]) -> None:
        """Append decisions to the log, all or none."""
        sequence("decisions", decisions, Decision)
        with self._access.write(None) as acts:
            acts.log_all([(each, self._access.known(each.caller)) for each in decisions])

    def record(self, contact: Contact, *, at: datetime | None = None) -> None:
        """Keep a contact; the same contact again changes nothing, and contacts may arrive in any order.

        Of a caller whose number is withheld only the agent's side is kept.

        Raises
        ------
        LedgerError
            If another contact has this `contact_id`, or the caller cannot be read.
        """
        of_type(Contact, contact=contact)
        with self._access.write(at) as acts:
            acts.record(contact, self._access.identity.pseudonym(contact.caller))

    def require_contact(self, contact_id: str) -> None:
        """Raise `LedgerError` where no contact has this name: what is said of it would wait for one, without a word."""
        with self._access.scan() as rows:
            rows.require_contact(contact_id)

    def void(self, contact_id: str, *, by: str, reason: str, at: datetime | None = None) -> None:
        """Declare that a contact counts no more: it was recorded by mistake. Nothing undoes this."""
        with self._access.write(at) as acts:
            acts.void(contact_id, by, reason)

    def verdict(self, contact_id: str, *, by: str, abusive: bool, reason: str, at: datetime | None = None) -> None:
        """Say whether a contact was abusive: this outweighs the agent's disposition, and the latest verdict holds."""
        with self._access.write(at) as acts:
            acts.verdict(contact_id, by, abusive, reason)

    def flag(
        self, contact_id: str, *, by: str, reason: str = "", caller: str | None = None, at: datetime | None = None
    ) -> None:
        """Ask for a person's verdict on a contact in the name of its agent, be it recorded already or not.

        A flag counts against nobody. With `caller`, forgetting them erases it where no contact is recorded.
        """
        pseudonym = self._access.known(caller)
        with self._access.write(at) as acts:
            acts.flag(contact_id, by, reason, pseudonym)

    def outcome(
        self,
        contact_id: str,
        *,
        survey: float | None = None,
        false_alarm: bool | None = None,
        by: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Attach to a contact what became known afterwards.

        Parameters
        ----------
        contact_id : str
            The contact.
        survey : float, optional
            What the caller answered after the call, on the policy's `protection.survey_scale`.
        false_alarm : bool, optional
            Whether a person found that the voice was not escalated; the contact then weighs on nobody.
        by : str, optional
            The person; needed with `false_alarm`.
        """
        with self._access.write(at) as acts:
            acts.outcome(contact_id, survey, false_alarm, by)

    def restrict(self, caller: str, restriction: Restriction, *, at: datetime | None = None) -> None:
        """Restrict a caller, by a named person's decision; it ends by itself. The same one again changes nothing.

        Raises
        ------
        LedgerError
            If it names no person or reason, lasts longer than the policy lets it, or is reviewed after its end.
        """
        of_type(Restriction, restriction=restriction)
        pseudonym = self._access.required(caller)
        with self._access.write(at) as acts:
            acts.restrict(pseudonym, restriction)

    def lift(self, caller: str, *, by: str, reason: str, at: datetime | None = None) -> None:
        """End every restriction of a caller that is in force."""
        pseudonym = self._access.required(caller)
        with self._access.write(at) as acts:
            acts.lift(pseudonym, by, reason)

    def appeal(self, caller: str, *, by: str, text: str, at: datetime | None = None) -> None:
        """Note a caller's appeal against their restriction; `by` is who noted it down."""
        pseudonym = self._access.required(caller)
        with self._access.write(at) as acts:
            acts.appeal(pseudonym, by, text)

    def object_to_scoring(self, caller: str, *, at: datetime | None = None) -> None:
        """Remember that a caller objects to being scored, until they are forgotten or withdraw it."""
        pseudonym = self._access.required(caller)
        with self._access.write(at) as acts:
            acts.object_to_scoring(pseudonym, True)

    def withdraw_objection(self, caller: str, *, at: datetime | None = None) -> None:
        """Remember that a caller no longer objects to being scored."""
        pseudonym = self._access.required(caller)
        with self._access.write(at) as acts:
            acts.object_to_scoring(pseudonym, False)

    def forget(self, caller: str, *, by: str, reason: str, at: datetime | None = None) -> None:
        """Erase a caller: pseudonym, contacts, restrictions, objection, and what the decision log says of them.

        That includes what was logged with ``caller=`` of calls that were never recorded. Their contacts leave the
        agents' exposure too. Of a SQLite database no trace stays in its files; PostgreSQL
        keeps deleted rows in its files until it vacuums.
        """
        pseudonym = self._access.required(caller)
        with self._access.write(at) as acts:
            acts.forget(pseudonym, by, reason)
        self.store.compact()

    def log(
        self,
        noted: Noted,
        *,
        call_id: str,
        caller: str | None = None,
        model_digest: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Note in the decision log what was recommended for a call, or what a person did with it.

        `call_id` is the contact's name, never a number; with `caller`, forgetting them erases this where no contact
        is recorded. A route brings the digest of its model, an `Escalation` is given it.
        """
        of_type(Struct, "give a Route, an Escalation, an Override, or another body of the log", noted=noted)
        of_type(str | None, model_digest=model_digest)
        with self._access.write(at) as acts:
            acts.log(noted, call_id, self._access.known(caller), model_digest)

    def keep_windows(
        self, contact_id: str, windows: ArrayLike, *, model_digest: str | None = None, at: datetime | None = None
    ) -> None:
        """Keep a contact's windows: features, or a model's scores, as `emotion_triage.ledger.labelled.packed` says."""
        of_type(str | None, model_digest=model_digest)
        with self._access.write(at) as acts:
            acts.keep_windows(contact_id, packed(windows, model_digest))

    def audit(self) -> list[GroupAudit]:
        """Return hits, false alarms and routes by group, from what people said of the contacts that are kept."""
        with self._access.scan() as rows:
            return audit(cases(rows.entries_of_kinds(AUDITED)).values())

    def labelled_windows(self, model_digest: str) -> Iterator[NDArray[np.float64]]:
        """Give the windows kept of contacts that people judged: `emotion_triage.ledger.labelled.labelled`."""
        of_type(str, model_digest=model_digest)
        with self._access.scan() as rows:
            told, windows = (rows.entries_of_kinds(kinds) for kinds in (AUDITED, ("windows",)))
            yield from labelled(cases(told), windows, model_digest)

    def purge(self, *, at: datetime | None = None, most_idle_days: float = MOST_IDLE_DAYS) -> None:
        """Remove what the policy keeps no longer. No standing and no exposure changes by it.

        Raises
        ------
        LedgerError
            If the last write is more than `most_idle_days` ago: a clock that runs ahead would erase all.
        """
        with self._access.write(at) as acts:
            acts.purge(most_idle_days)
        self.store.compact()

    def rotate_key(self, key: bytes, *, by: str, at: datetime | None = None) -> None:
        """Wrap every pseudonym with a new key; from now on open with it as `key` and those before as `previous_keys`.

        Other processes that have the ledger open raise `LedgerError` (and `standing` is unknown) until they do so.

        Raises
        ------
        LedgerError
            If the key is too short or was used before.
        """
        following = self._access.identity.followed_by(key)
        with self._access.write(at) as acts:
            acts.rotate(self._access.identity, following, key, by)
        self._access.identity = following
        self.store.compact()
