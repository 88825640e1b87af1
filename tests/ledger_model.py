"""The ledger as a plain person would keep it: lists, no database, no cleverness. The tests compare with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from emotion_triage.routing.contacts import Contact, Exposure, Restriction
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.protection import ProtectionPolicy

State = tuple[str, int, tuple[str, ...], datetime | None, datetime | None, bool]


@dataclass
class Imposed:
    caller: str
    restriction: Restriction
    at: datetime
    lifted_at: datetime | None = None


@dataclass
class Model:
    """Callers by their plain names; everything that was ever said, in order."""

    policy: ProtectionPolicy
    contacts: dict[str, Contact] = field(default_factory=dict)
    verdicts: list[tuple[datetime, str, bool]] = field(default_factory=list)
    voids: list[tuple[datetime, str]] = field(default_factory=list)
    alarms: list[tuple[datetime, str, bool]] = field(default_factory=list)
    imposed: list[Imposed] = field(default_factory=list)
    objections: list[tuple[datetime, str, bool]] = field(default_factory=list)

    def forget(self, caller: str) -> None:
        gone = {key for key, contact in self.contacts.items() if contact.caller == caller}
        self.contacts = {key: contact for key, contact in self.contacts.items() if key not in gone}
        self.verdicts = [each for each in self.verdicts if each[1] not in gone]
        self.voids = [each for each in self.voids if each[1] not in gone]
        self.alarms = [each for each in self.alarms if each[1] not in gone]
        self.imposed = [each for each in self.imposed if each.caller != caller]
        self.objections = [each for each in self.objections if each[1] != caller]

    def in_force(self, caller: str, now: datetime) -> list[Imposed]:
        return [
            each
            for each in self.imposed
            if each.caller == caller and each.at <= now < each.restriction.until and each.lifted_at is None
        ]

    def void(self, contact: Contact, now: datetime) -> bool:
        return any(name == contact.contact_id and at <= now for at, name in self.voids)

    def abusive(self, contact: Contact, now: datetime) -> bool:
        if self.void(contact, now):
            return False
        said = [abusive for at, name, abusive in self.verdicts if name == contact.contact_id and at <= now]
        return said[-1] if said else contact.disposition in ("ABUSE", "THREAT")

    def hard(self, contact: Contact, now: datetime) -> bool:
        alarms = [false for at, name, false in self.alarms if name == contact.contact_id and at <= now]
        false_alarm = bool(alarms) and alarms[-1]
        escalated = contact.peak is Level.ESCALATED and not self.void(contact, now) and not false_alarm
        return escalated or self.abusive(contact, now)

    def past(self, now: datetime, length: timedelta) -> list[Contact]:
        """Contacts that ended within a length of time before now, and are not void, in order."""
        known = [each for each in self.contacts.values() if now - length < each.ended_at <= now]
        return sorted(
            (each for each in known if not self.void(each, now)), key=lambda each: (each.ended_at, each.contact_id)
        )

    def standing(self, caller: str, now: datetime) -> State:
        window = timedelta(days=self.policy.window_days)
        his = [each for each in self.past(now, window) if each.caller == caller]
        abusive = [each for each in his if self.abusive(each, now)]
        avoided: list[str] = []
        for each in abusive:
            if each.agent_id not in avoided:
                avoided.append(each.agent_id)
        state, since, until = "clear", None, None
        for name, needed in (("watch", self.policy.watch_after), ("protected", self.policy.protected_after)):
            if len(abusive) >= needed:
                state, since = name, abusive[needed - 1].ended_at
                until = abusive[-needed].ended_at + window
        if imposed := self.in_force(caller, now):
            state, since, until = "restricted", imposed[-1].at, imposed[-1].restriction.until
        said = [objects for at, name, objects in self.objections if name == caller and at <= now]
        return state, len(abusive), tuple(avoided), since, until, bool(said) and said[-1]

    def exposure(self, agent_id: str, now: datetime) -> Exposure:
        window, shift = timedelta(days=self.policy.window_days), timedelta(seconds=self.policy.shift_s)
        abusive = [each for each in self.past(now, window) if each.agent_id == agent_id and self.abusive(each, now)]
        recent = [each for each in self.past(now, shift) if each.agent_id == agent_id]
        hard = [each for each in recent if self.hard(each, now)]
        easy = [each.ended_at for each in recent if each not in hard]
        in_a_row = len([each for each in hard if not easy or each.ended_at >= easy[-1]])
        shields = []
        if in_a_row >= self.policy.max_in_a_row:
            shields.append(recent[-1].ended_at + timedelta(seconds=self.policy.rest_s))
        if len(hard) >= self.policy.max_per_shift:
            shields.append(hard[-self.policy.max_per_shift].ended_at + shift)
        if len(abusive) >= self.policy.max_per_window:
            shields.append(abusive[-self.policy.max_per_window].ended_at + window)
        rested = abusive[-1].ended_at + timedelta(seconds=self.policy.after_call_work_s) if abusive else now
        shielded = [each for each in shields if each > now]
        return Exposure(
            agent_id=agent_id,
            abusive_contacts=len(abusive),
            hard_in_shift=len(hard),
            hard_in_a_row=in_a_row,
            after_call_work_s=max(0.0, (rested - now).total_seconds()),
            shielded_until=max(shielded, default=None),
            last_at=recent[-1].ended_at if recent else None,
        )
