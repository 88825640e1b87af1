"""A day of a simulated centre, with and without protection: who is abused, how often, and who waits for it.

60 agents, 8 hours, 4,000 calls, 3 % of them abusive. Every arm meets the same calls: the same callers at the same times
with the same things to say. Only who takes a call differs, and what follows from that.

- Calls come as a Poisson process, at most a tenth above or below the day's mean rate by the hour. Talk is lognormal
  (mean 300 s, coefficient of variation 0.8), wrap-up 60 s: 83 % of the agents' time.
- 100,000 customers call alike. Half of the abuse is theirs, once each, from nobody who was rude before. The other half
  comes from 30 people at a time, who call twice a day for ten working days and then stop; one in five of their calls is
  quiet. Nobody withholds his number: who does so cannot be known again.
- A voicebot answers first, so that some are heard before an agent takes them: half of the abusive callers are ESCALATED
  by then, and 1 % of the others; at the end of the call 80 % and 2 %.
- An agent marks abuse at wrap-up. 30 minutes after a caller has become ``protected``, a supervisor restricts him to the
  supervisors' line for 30 days; four supervisors take it, and the calls for which every agent is shielded.
- Every agent is qualified for every call, and every caller's usual adviser comes first, in each arm.

``none`` is a centre without protection: the usual adviser, then who has rested longest. ``first day`` has protection and
an empty ledger; ``known`` a ledger of the 90 days before (64 working days). Standing, order of agents and rest are the
`Ledger`'s own, on SQLite; routes are the balanced policy's.

    python -m benchmarks.centre [--quick] [--seeds N] [--json] [--plots FOLDER]
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import stats
from sqlalchemy import insert

from emotion_triage.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.escalation import Level
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.accounts import ContactBody, micros
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.schema import entries, subjects
from emotion_triage.policy import Policy
from emotion_triage.routing import CLEAR, Standing, StandingState

ABUSIVE_SHARE, REPEATED_SHARE, QUIET_SHARE = 0.03, 0.5, 0.2
CUSTOMERS, SPELL_DAYS, CALLS_A_DAY = 100_000, 10, 2
TALK_S, TALK_VARIATION, WRAP_UP_S = 300.0, 0.8, 60.0
HEARD_BEFORE, HEARD_AT_ALL = {True: 0.5, False: 0.01}, {True: 0.8, False: 0.02}
REVIEW_AFTER_S, RESTRICTED_DAYS = 1800.0, 30
HOURLY = (0.95, 1.05, 1.1, 1.0, 0.9, 1.0, 1.05, 0.95)
MAX_GROWTH = 0.03
KEY = b"a key for benchmarks, 32 bytes or more"
MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = Policy.load()
ARMS = ("none", "first day", "known")


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


class Taken(NamedTuple):
    """A call as it went."""

    call: Call
    agent: str
    wait_s: float


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
            fresh = {int(each["subject_id"], 16) for each in rows} - known
            known |= fresh
            connection.execute(
                insert(subjects),
                [{"subject_id": f"{each:032x}", "pseudonym": identity.pseudonym(name(each))} for each in fresh],
            )
            connection.execute(insert(entries), rows)
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


class Unprotected:
    """The usual adviser, then who has rested longest; nobody remembers abuse."""

    def __init__(self, past: Past) -> None:
        self.spoke = {caller: Counter(spoke) for caller, spoke in past.spoke.items()}

    def standing(self, call: Call, now_s: float) -> Standing:
        return CLEAR

    def choose(self, call: Call, free: Sequence[str], now_s: float) -> str | None:
        """Return who takes a call, of those who are free in order of their rest."""
        spoke = self.spoke.get(call.caller, Counter[str]())
        return min(free, key=lambda agent: -spoke[agent])

    def ended(self, call: Call, agent: str, now_s: float) -> Iterable[tuple[float, str]]:
        """Take note of a contact; return what is to happen in so many seconds."""
        self.spoke.setdefault(call.caller, Counter())[agent] += 1
        return ()

    def review(self, call: Call, now_s: float) -> None:
        """Let a supervisor look at a caller."""


class Protected:
    """The ledger's own word on everything."""

    def __init__(self, ledger: Ledger, agents: Sequence[str]) -> None:
        self.ledger = ledger
        self.agents = agents

    def standing(self, call: Call, now_s: float) -> Standing:
        return self.ledger.standing(name(call.caller), at=at_time(now_s))

    def choose(self, call: Call, free: Sequence[str], now_s: float) -> str | None:
        def first(agents: Sequence[str]) -> str | None:
            told = self.ledger.eligible(agents, caller=name(call.caller), level=call.before, at=at_time(now_s))
            return next(iter(told.agents), None)

        return first(free) or (None if first(self.agents) else "supervisor")

    def ended(self, call: Call, agent: str, now_s: float) -> Iterable[tuple[float, str]]:
        contact = Contact(
            contact_id=f"c-{call.number}",
            caller=name(call.caller),
            agent_id=agent,
            started_at=at_time(now_s - call.talk_s),
            duration_s=call.talk_s,
            peak=call.peak,
            disposition=Disposition.ABUSE if call.abusive else Disposition.OK,
        )
        self.ledger.record(contact, at=at_time(now_s + 1))
        if call.abusive:
            yield POLICY.protection.after_call_work_s + 1, "rested"
            if self.standing(call, now_s + 1).state is StandingState.PROTECTED:
                yield REVIEW_AFTER_S, "review"

    def review(self, call: Call, now_s: float) -> None:
        if self.standing(call, now_s).state is not StandingState.RESTRICTED:
            restrict(self.ledger, call.caller, at_time(now_s))


def restrict(ledger: Ledger, caller: int, at: datetime) -> None:
    restriction = Restriction(
        kind=RestrictionKind.SUPERVISOR_LINE,
        decided_by="s-0",
        reason="abused three agents",
        until=at + timedelta(days=RESTRICTED_DAYS),
        review_at=at + timedelta(days=RESTRICTED_DAYS / 2),
    )
    ledger.restrict(name(caller), restriction, at=at)


def simulate(calls: Sequence[Call], size: Size, arm: Unprotected | Protected) -> list[Taken]:
    """Return how the calls of a day went."""
    order = count()
    events = [(call.at_s, next(order), "call", call, "") for call in calls]
    heapq.heapify(events)
    free = {"agent": agents_of(size), "supervisor": [f"s-{i}" for i in range(size.supervisors)]}
    waiting: dict[str, list[tuple[int, int, Call]]] = {"agent": [], "supervisor": []}
    taken = []

    def take(call: Call, agent: str, now_s: float) -> None:
        taken.append(Taken(call, agent, now_s - call.at_s))
        heapq.heappush(events, (now_s + call.talk_s, next(order), "ended", call, agent))

    while events:
        now_s, _, what, call, agent = heapq.heappop(events)
        if what == "call":
            route = POLICY.router.route(
                call_id=f"c-{call.number}",
                time_s=0.0,
                level=call.before,
                standing=arm.standing(call, now_s),
                model_digest="",
                policy_digest="",
            )
            queue = "supervisor" if route.queue == "supervisor" else "agent"
            heapq.heappush(waiting[queue], (-route.priority, call.number, call))
        elif what == "ended":
            heapq.heappush(events, (now_s + WRAP_UP_S, next(order), "ready", call, agent))
            for in_s, then in arm.ended(call, agent, now_s):
                heapq.heappush(events, (now_s + in_s, next(order), then, call, agent))
        elif what == "ready":
            free["supervisor" if agent.startswith("s-") else "agent"].append(agent)
        elif what == "review":
            arm.review(call, now_s)
        kept = []
        while waiting["agent"] and free["agent"]:
            place = heapq.heappop(waiting["agent"])
            chosen = arm.choose(place[2], free["agent"], now_s)
            if chosen == "supervisor":
                heapq.heappush(waiting["supervisor"], place)
            elif chosen is None:
                kept.append(place)
            else:
                free["agent"].remove(chosen)
                take(place[2], chosen, now_s)
        for place in kept:
            heapq.heappush(waiting["agent"], place)
        while waiting["supervisor"] and free["supervisor"]:
            place = heapq.heappop(waiting["supervisor"])
            take(place[2], free["supervisor"].pop(0), now_s)
    return taken


def figures(taken: Sequence[Taken], past: Past, size: Size) -> dict[str, float]:
    """Return what a day did to its agents and callers."""
    abused = {caller: set(agents) for caller, agents in past.abused.items()}
    offences: dict[str, list[tuple[bool, bool]]] = {agent: [] for agent in agents_of(size)}
    again = 0
    for each in taken:  # in the order in which they were taken
        if each.agent not in offences:
            continue
        before = abused.setdefault(each.call.caller, set())
        offences[each.agent].append((each.call.abusive, bool(before) or each.call.before is Level.ESCALATED))
        if each.call.abusive:
            again += each.agent in before
            before.add(each.agent)
    in_a_row = [second for told in offences.values() for first, second in pairwise(told) if first[0] and second[0]]
    others = [each.wait_s for each in taken if each.call.caller < CUSTOMERS and not each.call.abusive]
    hit = [sum(abusive for abusive, _ in told) for told in offences.values()]
    supervised = [each for each in taken if each.agent not in offences]
    return {
        "abusive contacts of agents": sum(hit),
        "on the worst-off agent": max(hit),
        "twice in a row": len(in_a_row),
        "... of them foreseeable": sum(foreseen for _, foreseen in in_a_row),
        "same agent again": again,
        "others' mean wait, s": statistics.fmean(others),
        "others' wait, 95 %, s": float(np.quantile(others, 0.95)),
        "abusers' mean wait, s": statistics.fmean(each.wait_s for each in taken if each.call.abusive),
        "calls to supervisors": len(supervised),
        "supervisors' hours": sum(each.call.talk_s + WRAP_UP_S for each in supervised) / 3600,
        "occupancy": sum(each.call.talk_s + WRAP_UP_S for each in taken if each.agent in offences)
        / (3600 * size.hours * size.agents),
    }


def compared(
    size: Size, seeds: int
) -> tuple[list[dict[str, dict[str, float]]], list[list[list[int]]], dict[str, float]]:
    """Return the figures of each seed and arm, the abusive contacts of each agent, and what an order of agents costs."""
    told, hits = [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        before, ledger_of = (
            Path(folder, "before.db"),
            lambda path: Ledger.open(f"sqlite:///{path}", policy=POLICY, key=KEY),
        )
        with ledger_of(before) as ledger:
            past = fill(ledger, size)
            for caller in past.restricted:
                restrict(ledger, caller, MORNING - timedelta(hours=1))
            ledger.store.compact()
            cost = costs(ledger, size)
        for seed in range(seeds):
            calls, told_here, hits_here = calls_of(size, seed), {}, []
            for arm in ARMS:
                if arm == "none":
                    taken = simulate(calls, size, Unprotected(past))
                else:
                    day = Path(folder, "day.db")
                    if arm == "known":
                        shutil.copy(before, day)
                    with ledger_of(day) as ledger:
                        taken = simulate(calls, size, Protected(ledger, agents_of(size)))
                    for each in Path(folder).glob("day.db*"):
                        each.unlink()
                told_here[arm] = figures(taken, Past() if arm == "first day" else past, size)
                hit = Counter(each.agent for each in taken if each.call.abusive)
                hits_here.append([hit[agent] for agent in agents_of(size)])
            told.append(told_here)
            hits.append(hits_here)
    return told, hits, cost


def costs(ledger: Ledger, size: Size) -> dict[str, float]:
    """Return what an order of all agents takes, beside a standing, of one core."""
    chance, agents = random.Random(1), agents_of(size)
    of: dict[str, list[float]] = {"standing": [], "eligible": []}
    asked: dict[str, Callable[[str], object]] = {
        "standing": lambda caller: ledger.standing(caller, at=MORNING),
        "eligible": lambda caller: ledger.eligible(agents, caller=caller, at=MORNING),
    }
    for _ in range(30):  # in turn, so that both meet the same machine
        for what, ask in asked.items():
            caller = name(chance.randrange(CUSTOMERS))
            start_s = time.process_time()
            ask(caller)
            of[what].append(time.process_time() - start_s)
    each_s = {what: statistics.median(took) for what, took in of.items()}
    return {f"{what}, ms": 1000 * took for what, took in each_s.items()} | {
        "eligible / standing": each_s["eligible"] / each_s["standing"]
    }


def growth(told: Sequence[dict[str, dict[str, float]]], arm: str) -> tuple[float, float, float]:
    """Return how much longer others wait than without protection, as a share, with an interval of 95 %."""
    waits = np.array([[each[of]["others' mean wait, s"] for of in ("none", arm)] for each in told])
    grown = (waits[:, 1] - waits[:, 0]) / waits[:, 0].mean()
    half = stats.sem(grown) * stats.t.ppf(0.975, len(grown) - 1)
    return float(grown.mean()), float(grown.mean() - half), float(grown.mean() + half)


def plot(folder: Path, told: Sequence[dict[str, dict[str, float]]], hits: Sequence[Sequence[Sequence[int]]]) -> None:
    """Draw how abuse is spread over agents, and how long others wait, in each arm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    spread, waits = figure.subplots(1, 2)
    most = max(max(each) for day in hits for each in day)
    for i, arm in enumerate(ARMS):
        of_agents = np.concatenate([day[i] for day in hits])
        share = np.bincount(of_agents, minlength=most + 1) / len(of_agents)
        spread.bar(np.arange(most + 1) + 0.27 * (i - 1), share, 0.27, label=arm)
    spread.set(xlabel="abusive contacts in the shift", ylabel="share of agents", title="Who is abused how often")
    spread.legend(title="protection")
    waits.boxplot([[each[arm]["others' mean wait, s"] for each in told] for arm in ARMS], tick_labels=ARMS)
    waits.set(ylabel="seconds", title="Mean wait of everyone else, day by day", ylim=(0, None))
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "centre.png", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="15 agents, 2 hours, 250 calls")
    parser.add_argument("--seeds", type=int, help="days to simulate")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    seeds = arguments.seeds or size.seeds
    told, hits, cost = compared(size, seeds)
    grown = {arm: growth(told, arm) for arm in ARMS[1:]}
    if arguments.plots:
        plot(arguments.plots, told, hits)
    if arguments.json:
        print(json.dumps({"size": size._asdict(), "days": told, "growth": grown, "cost": cost}))
        return
    print(f"{size.agents} agents, {size.hours} h, {size.calls} calls; mean of {seeds} days and standard deviation")
    print(f"{'':28}" + "".join(f"{arm:>18}" for arm in ARMS))
    for what in told[0]["none"]:
        cells = []
        for arm in ARMS:
            values = [each[arm][what] for each in told]
            cells.append(f"{statistics.fmean(values):10.2f} ± {statistics.stdev(values):5.2f}")
        print(f"{what:28}" + "".join(cells))
    for arm, (mean, low, high) in grown.items():
        print(f"others' mean wait, {arm}: {100 * mean:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]; at most +3 %")
    print(", ".join(f"{what} {value:.2f}" for what, value in cost.items()))


if __name__ == "__main__":
    main()
