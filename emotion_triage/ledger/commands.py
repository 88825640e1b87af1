"""What changes the ledger: each act is its entries and its line in the decision log, in one transaction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from emotion_triage.arguments import number, of_type
from emotion_triage.errors import LedgerError
from emotion_triage.ledger import audit_log
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.intake import call_name, of_its_types, require
from emotion_triage.ledger.log_events import (
    Appealed,
    Attached,
    Body,
    Decision,
    Flagged,
    Judged,
    Lifted,
    Noted,
    Objected,
    Purged,
    Restricted,
    Rotated,
    Sealed,
    Voided,
    Warned,
    body_of,
    finite,
    without_numbers,
)
from emotion_triage.ledger.projection import (
    ContactBody,
    Evidence,
    Kind,
    Opinion,
    Windows,
    days_us,
    instant,
    micros,
    moment,
)
from emotion_triage.ledger.queries import Link, Queries
from emotion_triage.ledger.standings import restrictions
from emotion_triage.routing.contacts import Contact, Restriction
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy

__all__ = ["Commands"]

MOST_DAYS = 36600.0
"""A century, in days: no ledger was idle for longer."""


class Commands:
    """What may be done in one transaction, at one moment.

    Parameters
    ----------
    rows : Queries
        On a connection that writes.
    policy : Policy
        What is asked of a restriction, and how long things are kept.
    now_us : int
        The moment, in microseconds since 1970 (UTC).
    """

    def __init__(self, rows: Queries, policy: Policy, now_us: int) -> None:
        self.rows = rows
        self.policy = policy
        self.now_us = now_us

    def log_all(self, about: Sequence[tuple[Decision, str | None]]) -> None:
        """Append decisions, each with its caller's pseudonym, so that forgetting the caller finds them."""
        for decision, pseudonym in about:
            self._note(decision.body, decision.call_id, pseudonym, at_us=instant("at", decision.at))

    def record(self, contact: Contact, pseudonym: str | None) -> None:
        """Keep a contact, unless it is kept already."""
        call_name(contact.contact_id, "contact_id")
        require(agent_id=contact.agent_id)
        finite(duration_s=contact.duration_s, escalated_s=contact.escalated_s)
        instant("started_at", contact.started_at)
        contact = of_its_types(contact)
        try:
            at_us = instant("started_at", contact.ended_at)
        except OverflowError:
            raise LedgerError(
                f"contact {contact.contact_id}: got an end beyond the year 9999, expected seconds in duration_s"
            ) from None
        body = ContactBody.of(contact)
        subject_id = None if pseudonym is None else self.rows.subject_of(pseudonym)
        before = self.rows.contact_of(contact.contact_id)
        if before is not None:
            entry, link = before
            same = (subject_id, contact.agent_id, at_us, body) == (
                link.subject_id,
                entry.agent_id,
                entry.at_us,
                entry.decoded(),
            )
            if same and (pseudonym is None) == (subject_id is None):
                return
            raise LedgerError(
                f"contact {contact.contact_id}: got other facts than were recorded under this name before; what was "
                "recorded stays: correct it by a verdict or a void, or give the contact a name of its own"
            )
        if subject_id is None and pseudonym is not None:
            subject_id = self.rows.new_subject(pseudonym)
        link = Link(subject_id, contact.agent_id, at_us + self._kept_us())
        said = [opinion.decoded() for opinion in self.rows.opinions_of(contact.contact_id)]
        self.rows.link(contact.contact_id, link)
        abused = contact.disposition.abusive
        marked = abused or any(isinstance(each, Opinion) and each.abusive for each in said)
        self.rows.append(
            "contact",
            body,
            at_us=at_us,
            now_us=self.now_us,
            link=link,
            contact_id=contact.contact_id,
            marked=marked,
        )
        question = None
        if contact.peak is not None:
            evidence = Evidence(peak=contact.peak, escalated_s=contact.escalated_s, drivers=contact.drivers)
            question = evidence.question(contact.disposition, self.policy.protection.warn_escalated_s)
            self.rows.append(
                "evidence",
                evidence,
                at_us=at_us,
                now_us=self.now_us,
                link=link._replace(expires_at_us=at_us + days_us(self.policy.protection.retention.scores_days)),
                contact_id=contact.contact_id,
                marked=question is not None or contact.peak is Level.ESCALATED,
            )
        if abused:
            told = Judged(
                contact_id=contact.contact_id, verdict=contact.disposition, by=contact.agent_id, reason="at wrap-up"
            )
            self._log(told, call_id=contact.contact_id, subject_id=subject_id)
        if question is not None and contact.peak is not None:
            warning = Warned(
                contact_id=contact.contact_id,
                reason=question,
                peak=contact.peak,
                escalated_s=contact.escalated_s,
                drivers=contact.drivers,
                policy_digest=self.policy.digest,
            )
            self._log(warning, call_id=contact.contact_id, subject_id=subject_id)

    def void(self, contact_id: str, by: str, reason: str) -> None:
        """Declare that a contact counts no more."""
        contact_id = call_name(contact_id, "contact_id")
        require(by=by, reason=reason)
        voided = Voided(contact_id=contact_id, by=by, reason=without_numbers(reason))
        self._say("void", voided, voided)

    def verdict(self, contact_id: str, by: str, abusive: bool, reason: str) -> None:
        """Say whether a contact was abusive."""
        of_type(bool, abusive=abusive)
        contact_id = call_name(contact_id, "contact_id")
        require(by=by, reason=reason)
        opinion = Opinion(by=by, abusive=abusive, reason=without_numbers(reason))
        told = Judged(contact_id=contact_id, verdict="abusive" if abusive else "not abusive", by=by, reason=reason)
        self._say("verdict", opinion, told)
        if abusive:
            self.rows.mark(contact_id)

    def flag(self, contact_id: str, by: str, reason: str, pseudonym: str | None) -> None:
        """Ask for a person's verdict on a contact, in its agent's name."""
        contact_id = call_name(contact_id, "contact_id")
        require(by=by)
        flagged = Flagged(contact_id=contact_id, by=by, reason=without_numbers(reason))
        self._say("flag", flagged, flagged, self._subject_or_none(pseudonym))

    def outcome(self, contact_id: str, survey: float | None, false_alarm: bool | None, by: str | None) -> None:
        """Attach to a contact what became known afterwards."""
        contact_id = call_name(contact_id, "contact_id")
        finite(survey=survey)
        of_type(bool | None, false_alarm=false_alarm)
        of_type(str | None, by=by)
        if survey is None and false_alarm is None:
            raise LedgerError(f"contact {contact_id}: got nothing to attach, expected survey or false_alarm")
        lowest, highest = self.policy.protection.survey_scale
        if survey is not None and not lowest <= survey <= highest:
            raise LedgerError(
                f"contact {contact_id}: got a survey's answer of {survey:g}, expected {lowest:g} to {highest:g} "
                "(protection.survey_scale of the policy)"
            )
        if false_alarm is not None:
            require(by=by)
        attached = Attached(contact_id=contact_id, survey=survey, false_alarm=false_alarm, by=by)
        self._say("outcome", attached, attached)

    def restrict(self, pseudonym: str, restriction: Restriction) -> None:
        """Restrict a caller."""
        require(decided_by=restriction.decided_by, reason=restriction.reason, restriction_id=restriction.restriction_id)
        instant("until", restriction.until), instant("review_at", restriction.review_at)
        restriction = of_its_types(restriction)
        latest_us = self.now_us + days_us(self.policy.protection.max_restriction_days)
        until_us, review_us = instant("until", restriction.until), instant("review_at", restriction.review_at)
        if not self.now_us < until_us <= latest_us:
            raise LedgerError(
                f"restriction: got an end at {restriction.until.isoformat()}, expected one from now to "
                f"{moment(latest_us).isoformat()} (protection.max_restriction_days); decide anew when it ends"
            )
        if not self.now_us < review_us <= until_us:
            raise LedgerError(
                f"restriction: got a review at {restriction.review_at.isoformat()}, expected one from now to its end "
                f"at {restriction.until.isoformat()}"
            )
        restriction = msgspec.structs.replace(restriction, reason=without_numbers(restriction.reason))
        _, own = self.rows.known(pseudonym)
        if any(
            entry.kind == "restriction" and entry.decoded().restriction_id == restriction.restriction_id
            for entry in own
        ):
            return
        link = Link(self._subject(pseudonym), None, until_us)
        self.rows.append("restriction", restriction, at_us=self.now_us, now_us=self.now_us, link=link)
        told = Restricted(
            restriction_id=restriction.restriction_id,
            restriction=restriction.kind,
            decided_by=restriction.decided_by,
            reason=restriction.reason,
            until=restriction.until,
            review_at=restriction.review_at,
        )
        self._log(told, subject_id=link.subject_id)

    def lift(self, pseudonym: str, by: str, reason: str) -> None:
        """End every restriction in force."""
        require(by=by, reason=reason)
        for restriction in self._in_force(pseudonym):
            lifted = Lifted(restriction_id=restriction.restriction_id, by=by, reason=without_numbers(reason))
            self._tell("lift", lifted, pseudonym, expires_at_us=micros(restriction.until))

    def appeal(self, pseudonym: str, by: str, text: str) -> None:
        """Note an appeal against the restriction that is told to the caller."""
        require(by=by, text=text)
        restriction = self._in_force(pseudonym)[0]
        appealed = Appealed(restriction_id=restriction.restriction_id, by=by, text=without_numbers(text))
        self._tell("appeal", appealed, pseudonym, expires_at_us=micros(restriction.until))

    def object_to_scoring(self, pseudonym: str, objects: bool) -> None:
        """Remember whether a caller objects to being scored."""
        self._tell("objection", Objected(objects=objects), pseudonym)

    def forget(self, pseudonym: str, by: str, reason: str) -> None:
        """Erase a caller; where nothing is known of them, nothing is done."""
        require(by=by, reason=reason)
        subject_id = self.rows.subject_of(pseudonym)
        if subject_id is None:
            return
        contacts = self.rows.forget(subject_id)
        log, seal = self.rows.connection, self.rows.seal
        audit_log.erase(log, seal, subject_id, at_us=self.now_us, by=by, reason=reason, call_ids=contacts)

    def keep_windows(self, contact_id: str, windows: Windows) -> None:
        """Keep the windows of a contact, as long as its scores; the same ones again change nothing."""
        contact_id = call_name(contact_id, "contact_id")
        known = self.rows.contact_of(contact_id)
        if known is None:
            raise LedgerError(f"contact {contact_id}: got windows of a contact that is not recorded; record it first")
        if self.rows.has(contact_id, "windows", windows):
            return
        entry, link = known
        expires_at_us = entry.at_us + days_us(self.policy.protection.retention.scores_days)
        link = Link(subject_id=link.subject_id, expires_at_us=expires_at_us)
        self.rows.append("windows", windows, at_us=entry.at_us, now_us=self.now_us, link=link, contact_id=contact_id)

    def log(self, noted: Noted, call_id: str, pseudonym: str | None, model_digest: str | None) -> None:
        """Note what was recommended, or what a person did with it; it is held against nobody."""
        body = body_of(noted, model_digest=model_digest, policy_digest=self.policy.digest)
        self._note(body, call_id, pseudonym, at_us=self.now_us)

    def _note(self, body: Body, call_id: str, pseudonym: str | None, *, at_us: int) -> None:
        subject_id = self._subject_or_none(pseudonym)
        self._log(body, at_us=at_us, call_id=call_name(call_id, "call_id"), subject_id=subject_id)

    def purge(self, most_idle_days: float) -> None:
        """Remove what is past its time."""
        most_idle_days = number("most_idle_days", most_idle_days, f"days, 0 to {MOST_DAYS}", least=0.0, most=MOST_DAYS)
        latest_us = self.rows.latest_us()
        if latest_us is not None and self.now_us - latest_us > days_us(most_idle_days):
            idle_days = (self.now_us - latest_us) / days_us(1)
            raise LedgerError(
                f"purge: got {moment(self.now_us).isoformat()}, {idle_days:.0f} days after the last write; "
                f"expected at most {most_idle_days:g}, since a clock that runs ahead would erase what must be kept; "
                f"set the clock, or purge with most_idle_days={math.ceil(idle_days)} (--most-idle-days)"
            )
        before_us = self.now_us - days_us(self.policy.protection.retention.decisions_days)
        dropped = audit_log.prune(self.rows.connection, self.rows.seal, before_us, at_us=self.now_us)
        self._log(Purged(removed={**self.rows.remove_expired(self.now_us), "decisions": dropped}))

    def rotate(self, identity: Identity, following: Identity, key: bytes, by: str) -> None:
        """Wrap every pseudonym with a new key."""
        require(by=by)
        self.rows.rewrap(lambda pseudonym: identity.rewrapped(pseudonym, key), following.seal)
        self.rows.set_fingerprint(following.fingerprint)
        self._log(Rotated(before=identity.fingerprint, after=following.fingerprint, by=by))
        audit_log.reseal(self.rows.connection, self.rows.seal, following.seal, at_us=self.now_us)

    def adopt(self, identity: Identity) -> None:
        """Sign every row as it is found: in a ledger that was just made, or that an older release left unsigned."""
        signed = self.rows.sign_all()
        audit_log.begin(self.rows.connection, self.rows.seal)
        if any(signed.values()):
            self._log(Sealed(signed=signed))
        self.rows.set_fingerprint(identity.fingerprint)

    def _log(
        self, body: Body, *, at_us: int | None = None, call_id: str | None = None, subject_id: str | None = None
    ) -> None:
        at_us = self.now_us if at_us is None else at_us
        log, seal = self.rows.connection, self.rows.seal
        audit_log.append(log, seal, body, at_us=at_us, call_id=call_id, subject_id=subject_id)

    def _say(
        self,
        kind: Kind,
        body: Voided | Opinion | Attached | Flagged,
        told: Voided | Judged | Attached | Flagged,
        subject_id: str | None = None,
    ) -> None:
        """Append what someone says of a contact; where it has not arrived yet, it is linked when it does."""
        known = self.rows.contact_of(told.contact_id)
        link = Link(subject_id, None, self.now_us + self._kept_us()) if known is None else known[1]
        self.rows.append(
            kind, body, at_us=self.now_us, now_us=self.now_us, link=link, contact_id=told.contact_id, marked=True
        )
        self._log(told, call_id=told.contact_id, subject_id=link.subject_id)

    def _tell(
        self,
        kind: Kind,
        told: Lifted | Appealed | Objected,
        pseudonym: str,
        *,
        expires_at_us: int | None = None,
    ) -> None:
        """Append what someone decides about a caller."""
        link = Link(subject_id=self._subject(pseudonym), expires_at_us=expires_at_us)
        self.rows.append(kind, told, at_us=self.now_us, now_us=self.now_us, link=link)
        self._log(told, subject_id=link.subject_id)

    def _subject(self, pseudonym: str) -> str:
        return self.rows.subject_of(pseudonym) or self.rows.new_subject(pseudonym)

    def _subject_or_none(self, pseudonym: str | None) -> str | None:
        """Return a caller's subject; None where they are nobody, or their pseudonym was altered: the line stands."""
        if pseudonym is not None:
            with suppress(LedgerError):
                return self._subject(pseudonym)
        return None

    def _in_force(self, pseudonym: str) -> list[Restriction]:
        _, own = self.rows.known(pseudonym)
        imposed = [restriction for _, restriction in restrictions(own, self.now_us)]
        if not imposed:
            raise LedgerError(
                "caller: got one who is not restricted now, expected a restriction in force; nothing changed"
            )
        return imposed

    def _kept_us(self) -> int:
        return micros(self.policy.protection.window) + days_us(self.policy.protection.retention.contacts_days)
