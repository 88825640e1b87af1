"""A day of a simulated centre, with and without protection: who is abused, how often, and who waits for it.

60 agents, 8 hours, 4,000 calls, 3 % of them abusive. Every arm meets the same calls: the same callers at the same times
with the same things to say. Only who takes a call differs, and what follows from that.

- Calls come as a Poisson process, at most a tenth above or below the day's mean rate by the hour. Talk is lognormal
  (mean 300 s, coefficient of variation 0.8), wrap-up 60 s: 83 % of the agents' time.
- 100,000 customers call alike. Half of the abuse is theirs, once each, from nobody who was rude before. The other half
  comes from 30 people at a time, who call twice a day for ten working days and then stop; one in five of their calls is
  quiet. Nobody withholds his number: who does so cannot be known again.
- A voicebot answers first, so that some are heard before an agent takes them: 20 % of the abusive are ESCALATED by
  then, as many as `benchmarks.detection` finds in time, and 0.5 % of the others; at the end of the call 50 % and 2 %.
- An agent marks abuse at wrap-up. 30 minutes after a caller has become ``protected``, a supervisor restricts him to the
  supervisors' line for 30 days; four supervisors take it, and the calls for which every agent is shielded.
- Every agent is qualified for every call, and every caller's usual adviser comes first, in each arm.

``none`` is a centre without protection: the usual adviser, then who has rested longest. ``first day`` has protection
and an empty ledger; ``known`` a ledger of the 90 days before (64 working days). Standing, order of agents and rest are
the `Ledger`'s own, on SQLite; routes are the balanced policy's.

    python -m benchmarks.centre [--quick] [--seeds N] [--json] [--plots FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.centre.day import Protected, Taken, Unprotected, restrict, simulate
from benchmarks.centre.world import (
    CUSTOMERS,
    FULL,
    KEY,
    MORNING,
    POLICY,
    QUICK,
    WRAP_UP_S,
    Past,
    Size,
    agents_of,
    at_time,
    calls_of,
    fill,
    name,
)
from emotion_triage.ledger import Ledger
from emotion_triage.routing.escalation import Level

ARMS = ("none", "first day", "known")


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
    """Return the figures of each day and arm, each agent's abusive contacts, and what an order of agents costs."""
    told, hits = [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        before = Path(folder, "before.db")

        def ledger_of(path: Path) -> Ledger:
            return Ledger.open(f"sqlite:///{path}", policy=POLICY, key=KEY)

        with ledger_of(before) as ledger:
            past = fill(ledger, size)
            for caller in past.restricted:
                restrict(ledger, caller, MORNING - timedelta(hours=1))
            ledger.store.compact()
            cost = costs(ledger, size)
        for seed in range(seeds):
            calls, told_here, hits_here = calls_of(size, seed), {}, []
            for arm in ARMS:
                shields = fallbacks = 0
                if arm == "none":
                    taken = simulate(calls, size, Unprotected(past))
                else:
                    day = Path(folder, "day.db")
                    if arm == "known":
                        shutil.copy(before, day)
                    with ledger_of(day) as ledger:
                        protected = Protected(ledger, agents_of(size))
                        taken, fallbacks = simulate(calls, size, protected), protected.fallbacks
                        evening = at_time(3600 * size.hours)
                        exposed = [ledger.exposure(agent, at=evening) for agent in agents_of(size)]
                        shields = sum(each.shielded_until is not None for each in exposed)
                    for each in Path(folder).glob("day.db*"):
                        each.unlink()
                told_here[arm] = figures(taken, Past() if arm == "first day" else past, size) | {
                    "agents shielded at the end": shields,
                    "calls no agent might take": fallbacks,
                }
                hit = Counter(each.agent for each in taken if each.call.abusive)
                hits_here.append([hit[agent] for agent in agents_of(size)])
            told.append(told_here)
            hits.append(hits_here)
    return told, hits, cost


def costs(ledger: Ledger, size: Size) -> dict[str, float]:
    """Return what an order of all agents takes at the end of a full shift, beside a standing, of one core."""
    evening = MORNING - timedelta(days=90 / 64) + timedelta(hours=size.hours)
    chance, agents = random.Random(1), agents_of(size)
    of: dict[str, list[float]] = {"standing": [], "eligible": []}
    asked: dict[str, Callable[[str], object]] = {
        "standing": lambda caller: ledger.standing(caller, at=evening),
        "eligible": lambda caller: ledger.eligible(agents, caller=caller, at=evening),
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
