"""Whatever happens in whatever order, the ledger says what the plain model says, on both stores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from ledger_model import Imposed, Model

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.routing.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy

POLICY = Policy.parse(
    "[protection]\nwindow_days = 2\nshift_s = 14400\nmax_per_window = 4\nmax_in_a_row = 2\nmax_per_shift = 3\n"
    "[protection.retention]\nscores_days = 1\ncontacts_days = 1"
)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
CALLERS = {"ann": ["+33123456789", "01 23 45 67 89"], "bob": ["sip:bob@example.org"], "cid": ["crm:7", "CRM: 7"]}
AGENTS = ["a-1", "a-2"]
# On both sides of a shift, of the window, and of what is kept.
AGES_S = [
    0.0,
    200.0,
    1500.0,
    7_000.0,
    14_000.0,
    15_000.0,
    90_000.0,
    172_000.0,
    173_000.0,
    200_000.0,
    258_000.0,
    300_000.0,
]
callers = st.sampled_from(sorted(CALLERS))
names = st.sampled_from([f"c-{i}" for i in range(12)])


def spelt(contact: Contact, spelling: int) -> Contact:
    """A contact whose caller is given as the line would give him."""
    if contact.caller is None:
        return contact
    spellings = CALLERS[contact.caller]
    return msgspec.structs.replace(contact, caller=spellings[spelling % len(spellings)])


arrivals = st.builds(
    Contact,
    contact_id=names,
    caller=callers | callers | st.none(),
    agent_id=st.sampled_from(AGENTS),
    # how long ago it ended, in seconds, until it arrives: see `LedgerMachine.record`
    duration_s=st.sampled_from(AGES_S),
    started_at=st.just(START),
    disposition=st.sampled_from([*Disposition, Disposition.ABUSE, Disposition.THREAT]),
    peak=st.none() | st.sampled_from(Level),
)


class LedgerMachine(RuleBasedStateMachine):
    """Random acts on a ledger and on the model; a subclass says on which database."""

    url: Callable[[], str]

    @initialize(arrived=st.lists(arrivals, min_size=3, max_size=8, unique_by=lambda each: each.contact_id))
    def open(self, arrived: list[Contact]) -> None:
        self.address = type(self).url()
        self.keys = [uuid4().bytes * 2]
        self.ledger = Ledger.open(self.address, policy=POLICY, key=self.keys[-1])
        self.model = Model(POLICY.protection)
        self.now = START
        for each in arrived:
            self.record(each, 0)

    def tick(self) -> None:
        self.now += timedelta(seconds=1)

    @rule(arrived=st.lists(arrivals, min_size=2, max_size=5))
    def record_several(self, arrived: list[Contact]) -> None:
        """Several contacts arrive, in any order of their ends."""
        for each in arrived:
            self.record(each, 1)

    @rule(arrived=arrivals, spelling=st.integers(0, 1))
    def record(self, arrived: Contact, spelling: int) -> None:
        """A contact that ended some time ago arrives; known names with other facts are refused."""
        self.tick()
        started_at = self.now - timedelta(seconds=arrived.duration_s + 60)
        contact = msgspec.structs.replace(arrived, started_at=started_at, duration_s=60.0, escalated_s=20.0)
        if contact.contact_id in self.model.contacts:
            with pytest.raises(LedgerError, match="other facts"):
                self.ledger.record(spelt(contact, spelling), at=self.now)
        else:
            self.ledger.record(spelt(contact, spelling), at=self.now)
            self.model.contacts[contact.contact_id] = contact

    @rule(name=names)
    def record_again(self, name: str) -> None:
        """The same contact comes a second time."""
        self.tick()
        if contact := self.model.contacts.get(name):
            self.ledger.record(spelt(contact, 1), at=self.now)

    @rule(name=names, abusive=st.booleans())
    def verdict(self, name: str, abusive: bool) -> None:
        """A supervisor judges a contact, which may not have arrived yet."""
        self.tick()
        self.ledger.verdict(name, by="s", abusive=abusive, reason="heard it", at=self.now)
        self.model.verdicts.append((self.now, name, abusive))

    @rule(name=names, caller=callers)
    def flag(self, name: str, caller: str) -> None:
        """An agent flags a contact, which may not have arrived yet: nothing counts that did not before."""
        self.tick()
        self.ledger.flag(name, by="a-1", reason="insults", caller=CALLERS[caller][0], at=self.now)

    @rule(name=names)
    def void(self, name: str) -> None:
        """A contact is declared void, which may not have arrived yet."""
        self.tick()
        self.ledger.void(name, by="s", reason="wrong call", at=self.now)
        self.model.voids.append((self.now, name))

    @rule(name=names, false_alarm=st.booleans())
    def outcome(self, name: str, false_alarm: bool) -> None:
        """An escalation is marked as a false alarm, or as none."""
        self.tick()
        self.ledger.outcome(name, false_alarm=false_alarm, by="s", at=self.now)
        self.model.alarms.append((self.now, name, false_alarm))

    @rule(caller=callers, kind=st.sampled_from(RestrictionKind), hours=st.integers(1, 100))
    def restrict(self, caller: str, kind: RestrictionKind, hours: int) -> None:
        """A person restricts a caller for some hours."""
        self.tick()
        until = self.now + timedelta(hours=hours)
        restriction = Restriction(kind=kind, decided_by="d", reason="r", until=until, review_at=until)
        self.ledger.restrict(CALLERS[caller][0], restriction, at=self.now)
        self.model.imposed.append(Imposed(caller, restriction, self.now))

    @rule(caller=callers)
    def lift(self, caller: str) -> None:
        """A person lifts what is in force; where nothing is, that is an error."""
        self.tick()
        imposed = self.model.in_force(caller, self.now)
        if not imposed:
            with pytest.raises(LedgerError, match="not restricted now"):
                self.ledger.lift(CALLERS[caller][0], by="d", reason="r", at=self.now)
            return
        self.ledger.lift(CALLERS[caller][0], by="d", reason="r", at=self.now)
        for each in imposed:
            each.lifted_at = self.now

    @rule(caller=callers, objects=st.booleans())
    def object_to_scoring(self, caller: str, objects: bool) -> None:
        """A caller objects to being scored, or withdraws it."""
        self.tick()
        act = self.ledger.object_to_scoring if objects else self.ledger.withdraw_objection
        act(CALLERS[caller][-1], at=self.now)
        self.model.objections.append((self.now, caller, objects))

    @rule(seconds=st.integers(0, 7200) | st.integers(0, 2 * 86_400))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def purge(self) -> None:
        """What is past its time is removed; a name whose contact is gone may come again."""
        self.tick()
        self.ledger.purge(at=self.now)
        kept = timedelta(days=POLICY.protection.window_days + POLICY.protection.retention.contacts_days)
        gone = {name for name, contact in self.model.contacts.items() if contact.ended_at + kept <= self.now}
        for name in gone:
            del self.model.contacts[name]
        for said in (self.model.verdicts, self.model.voids, self.model.alarms):
            said[:] = [
                each
                for each in said
                if each[1] not in gone and (each[1] in self.model.contacts or each[0] + kept > self.now)
            ]

    @rule(caller=callers)
    def forget(self, caller: str) -> None:
        """A caller is forgotten."""
        self.tick()
        self.ledger.forget(CALLERS[caller][0], by="d", reason="asked", at=self.now)
        self.model.forget(caller)

    @rule()
    def rotate(self) -> None:
        """The key is rotated, and the ledger opened anew with all of them."""
        self.tick()
        self.keys.append(uuid4().bytes * 2)
        self.ledger.rotate_key(self.keys[-1], by="d", at=self.now)
        self.ledger.close()
        self.ledger = Ledger.open(self.address, policy=POLICY, key=self.keys[-1], previous_keys=self.keys[:-1])

    @invariant()
    def standings_agree(self) -> None:
        """Every caller's standing is the model's, however his number is spelt."""
        for caller, spellings in CALLERS.items():
            expected = self.model.standing(caller, self.now)
            for spelling in spellings:
                told = self.ledger.standing(spelling, at=self.now)
                assert told.known, told.problem
                assert expected == (
                    told.state.value,
                    told.abusive_contacts,
                    told.avoid_agents,
                    told.since,
                    told.expires_at,
                    told.objection,
                )

    @invariant()
    def exposures_agree(self) -> None:
        """Every agent's exposure is the model's."""
        for agent in AGENTS:
            assert self.ledger.exposure(agent, at=self.now) == self.model.exposure(agent, self.now)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()


def run(url: Callable[[], str], examples: int) -> None:
    machine = type("Machine", (LedgerMachine,), {"url": staticmethod(url)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_sqlite_agrees_with_the_model(tmp_path: Path) -> None:
    """Any interleaving of acts and time leaves a SQLite ledger saying what the model says."""
    run(lambda: f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/ledger.db", examples=25)


def test_postgresql_agrees_with_the_model(postgres_url: str) -> None:
    """Any interleaving of acts and time leaves a PostgreSQL ledger saying what the model says."""
    import psycopg

    def emptied() -> str:
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return postgres_url

    run(emptied, examples=15)
