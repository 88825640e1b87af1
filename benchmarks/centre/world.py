"""Who calls, when, how it goes, and what a ledger knows of him before."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from sqlalchemy import insert

from emotion_triage.ledger import Ledger
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.projection import ContactBody, micros
from emotion_triage.ledger.queries import Queries
from emotion_triage.ledger.schema import entries, subjects
from emotion_triage.routing.contacts import Disposition
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy

ABUSIVE_SHARE, REPEATED_SHARE, QUIET_SHARE = 0.03, 0.5, 0.2
CUSTOMERS, SPELL_DAYS, CALLS_A_DAY = 100_000, 10, 2
TALK_S, TALK_VARIATION, WRAP_UP_S = 300.0, 0.8, 60.0
HEARD_BEFORE, HEARD_AT_ALL = {True: 0.2, False: 0.005}, {True: 0.5, False: 0.02}
HOURLY = (0.95, 1.05, 1.1, 1.0, 0.9, 1.0, 1.05, 0.95)
KEY = b"a key for benchmarks, 32 bytes or more"
MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = Policy.load()


class Size(NamedTuple):
    """How large a centre."""

    agents: int
    supervisors: int
    hours: int
    calls: int
    days_before: int
    seeds: int


FULL, QUICK = Size(60, 4, 8, 4000, 64, 10), Size(15, 1, 2, 250, 5, 2)


class Call(NamedTuple):
    """One call, and what its caller will do."""

    number: int
    at_s: float
    caller: int
    abusive: bool
    talk_s: float
    before: Level
    peak: Level


def name(caller: int) -> str:
    return f"+331{caller:08d}"


def callers_of_day(day: int, size: Size, chance: random.Random) -> list[tuple[int, bool]]:
    """Return who calls on a working day in order, and whether he abuses."""
    abusive = round(size.calls * ABUSIVE_SHARE)
    repeated = round(abusive * REPEATED_SHARE)
    people = [CUSTOMERS + 1000 * slot + (day + slot) // SPELL_DAYS for slot in range(max(1, repeated // CALLS_A_DAY))]
    rude = [(people[i % len(people)], True) for i in range(repeated)]
    quiet = [(chance.choice(people), False) for _ in range(round(repeated * QUIET_SHARE / (1 - QUIET_SHARE)))]
    once = [(caller, True) for caller in chance.sample(range(CUSTOMERS), abusive - repeated)]
    others = [(chance.randrange(CUSTOMERS), False) for _ in range(size.calls - abusive - len(quiet))]
    return chance.sample([*rude, *quiet, *once, *others], size.calls)


def calls_of(size: Size, seed: int) -> list[Call]:
    """Return the calls of the simulated day, in order of their times."""
    chance = random.Random(seed)
    hours = chance.choices(range(size.hours), HOURLY[: size.hours], k=size.calls)
    times = sorted(3600 * (hour + chance.random()) for hour in hours)
    sigma = float(np.sqrt(np.log1p(TALK_VARIATION**2)))
    calls = []
    for number, (at_s, (caller, abusive)) in enumerate(
        zip(times, callers_of_day(size.days_before, size, chance), strict=True)
    ):
        talk_s = TALK_S * chance.lognormvariate(-(sigma**2) / 2, sigma)
        heard = chance.random()  # one draw for both: who was escalated before an agent took him still is afterwards
        before, peak = (
            Level.ESCALATED if heard < share[abusive] else Level.CALM for share in (HEARD_BEFORE, HEARD_AT_ALL)
        )
        calls.append(Call(number, at_s, caller, abusive, talk_s, before, peak))
    return calls


@dataclass
class Past:
    """What happened before the simulated day."""

    spoke: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    abused: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    restricted: list[int] = field(default_factory=list)


def agents_of(size: Size) -> list[str]:
    return [f"a-{i}" for i in range(size.agents)]


def fill(ledger: Ledger, size: Size) -> Past:
    """Fill a ledger with the days before, in bulk: `record` would wait for the disk after each contact."""
    chance, past = random.Random(90), Past()
    identity, agents = Identity([KEY], POLICY.protection.region), agents_of(size)
    offences: Counter[int] = Counter()
    kept_s = 86_400 * (POLICY.protection.window_days + POLICY.protection.retention.contacts_days)
    known: set[int] = set()
    for day in range(size.days_before):
        morning = MORNING - timedelta(days=(size.days_before - day) * 90 / 64)
        rows = []
        for number, (caller, abusive) in enumerate(callers_of_day(day, size, chance)):
            offences[caller] += abusive
            free = [agent for agent in chance.sample(agents, 4) if agent not in past.abused[caller]]
            banned = offences[caller] > POLICY.protection.protected_after
            agent = "s-0" if banned or not free else free[0]
            at = morning + timedelta(seconds=number * 3600 * size.hours / size.calls)
            past.spoke[caller][agent] += 1
            if abusive:
                past.abused[caller].add(agent)
            rows.append(row(f"d{day}-{number}", caller, agent, at, abusive, kept_s))
        with ledger.store.write() as connection:
            fresh = {int(str(each["subject_id"]), 16) for each in rows} - known
            known |= fresh
            connection.execute(
                insert(subjects),
                [{"subject_id": f"{each:032x}", "pseudonym": identity.pseudonym(name(each))} for each in fresh],
            )
            connection.execute(insert(entries), rows)
    with ledger.store.write() as connection:
        Queries(connection, ledger.seal).sign_all()
    past.restricted = [each for each, times in offences.items() if times >= POLICY.protection.protected_after]
    return past


def row(contact_id: str, caller: int, agent: str, at: datetime, abusive: bool, kept_s: float) -> dict[str, object]:
    disposition = Disposition.ABUSE if abusive else Disposition.OK
    body = ContactBody(started_at=at, duration_s=0.0, disposition=disposition, queue="general")
    return {
        "kind": "contact",
        "subject_id": f"{caller:032x}",
        "contact_id": contact_id,
        "agent_id": agent,
        "at_us": micros(at),
        "recorded_at_us": micros(at),
        "expires_at_us": micros(at + timedelta(seconds=kept_s)),
        "marked": abusive,
        "body": msgspec.json.encode(body).decode(),
    }


def at_time(now_s: float) -> datetime:
    return MORNING + timedelta(seconds=now_s)
