"""Composed calls: who loses his temper is found, how soon, how often a calm caller is taken for angry."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.composed import ComposedCall, changes, reached
from benchmarks.detection.measures import fraction, rate
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.call.caller import Event
from emotion_triage.routing.escalation import Level
from emotion_triage.training.fit import UNTAUGHT

__all__ = ["FOUND_WITHIN_S", "delays", "run", "taught"]

FOUND_WITHIN_S = {"calm then angry": 10.0, "angry": 8.0}
"""Seconds from the onset within which an escalation counts as found."""
TAUGHT = f"all but {', '.join(sorted(UNTAUGHT))}"
Heard = list[tuple[ComposedCall, list[Event]]]


def run(study: Study) -> list[Table]:
    """Hits and delays, false escalations, levels that come down, delays counted."""
    groups = {TAUGHT: taught(study.calls), "all corpora": study.calls}
    for group in sorted({call.group for call, _ in study.calls}):
        groups[group] = [each for each in study.calls if each[0].group == group]
    policy = f"policy {study.policy.name}; each call scored by a model that never heard its corpus"
    return [
        Table(
            "Anger found",
            ("corpora", "kind", "calls", "found", "median delay, s", "90th percentile, s"),
            [(name, *row) for name, calls in groups.items() for row in found(calls)],
            policy + "; " + ", ".join(f"{kind}: within {s:.0f} s" for kind, s in FOUND_WITHIN_S.items()),
        ),
        Table(
            "False escalations of calm callers",
            ("corpora", "kind", "calls", "hours", "an hour", "changes of level a minute"),
            [(name, *row) for name, calls in groups.items() for row in false_alarms(calls)],
            policy,
        ),
        Table(
            "Calm, then angry, then calming down",
            ("corpora", "calls", "escalated when calming", "came down", "median, s", "90th percentile, s"),
            [(name, *coming_down(calls)) for name, calls in groups.items()],
            policy + "; came down: below ESCALATED before the call's end",
        ),
        Table(
            "Changes of level a minute, by kind of call",
            ("kind", "calls", "changes a minute", "most in a call"),
            [flapping(taught(study.calls), kind) for kind in dict.fromkeys(call.kind for call, _ in study.calls)],
            policy,
        ),
        Table(
            "Delays counted",
            ("up to, s", *FOUND_WITHIN_S),
            histogram(taught(study.calls)),
            "calls found in each second",
        ),
    ]


def taught(calls: Heard) -> Heard:
    """Calls of corpora that are learned from: of the others, anger sounds calmer than calm speech to every model."""
    return [each for each in calls if each[0].group not in UNTAUGHT]


def of_kind(calls: Heard, *kinds: str) -> Heard:
    """Calls of some kinds."""
    return [each for each in calls if each[0].kind in kinds]


def speakers(calls: Heard) -> np.ndarray:
    """Who speaks in each call."""
    return np.array([call.speaker for call, _ in calls])


def delays(calls: Heard, within_s: float) -> np.ndarray:
    """Seconds from the onset of anger (a call's last part) to ESCALATED; NaN where it is not reached in time."""
    return np.array(
        [min(reached(said, call.turn_s, call.turn_s + within_s), default=np.nan) - call.turn_s for call, said in calls]
    )


def calm_spans(calls: Heard, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return false escalations, changes of level, hours and speaker of each span of calm speech of a kind."""
    ends = [(*each, each[0].duration_s) for each in of_kind(calls, kind)]
    if kind == "calm":
        ends += [(*each, each[0].turn_s) for each in of_kind(calls, "calm then angry")]
    return (
        np.array([len(reached(said, 0.0, end_s)) for _, said, end_s in ends], float),
        np.array([sum(change.time_s <= end_s for change in changes(said)) for _, said, end_s in ends], float),
        np.array([end_s for *_, end_s in ends]) / 3600.0,
        np.array([call.speaker for call, *_ in ends]),
    )


def found(calls: Heard) -> list[tuple[Cell, ...]]:
    """One row for each kind of call with anger to find."""
    rows: list[tuple[Cell, ...]] = []
    for kind, within_s in FOUND_WITHIN_S.items():
        these = of_kind(calls, kind)
        seen = delays(these, within_s)
        rows.append((kind, len(these), fraction(np.isfinite(seen), speakers(these)), *middle_and_late(seen)))
    return rows


def middle_and_late(times_s: np.ndarray) -> tuple[Cell, Cell]:
    """Median and 90th percentile."""
    seen = times_s[np.isfinite(times_s)]
    if not len(seen):
        return None, None
    middle, late = np.percentile(seen, (50, 90))
    return round(float(middle), 1), round(float(late), 1)


def false_alarms(calls: Heard) -> list[tuple[Cell, ...]]:
    """One row for each kind of calm speech."""
    rows: list[tuple[Cell, ...]] = []
    for kind in ("calm", "calm and joy"):
        alarms, moves, hours, who = calm_spans(calls, kind)
        counts = len(alarms), round(float(hours.sum()), 2)
        rows.append((kind, *counts, rate(alarms, hours, who), rate(moves, hours * 60.0, who)))
    return rows


def coming_down(calls: Heard) -> tuple[Cell, ...]:
    """Of the callers who were escalated when they calmed down, how many came down, and after how long."""
    these = of_kind(calls, "calming down")
    high, times = [], []
    for call, said in these:
        before = [change.level for change in changes(said) if change.time_s <= call.turn_s]
        high.append(bool(before) and before[-1] is Level.ESCALATED)
        below = [c.time_s for c in changes(said) if c.time_s > call.turn_s and c.level < Level.ESCALATED]
        times.append(min(below, default=np.nan) - call.turn_s if high[-1] else np.nan)
    down, who = np.isfinite(times), speakers(these)
    among = np.array(high, bool)
    return (
        len(these),
        fraction(among, who),
        fraction(down[among], who[among]),
        *middle_and_late(np.array(times)),
    )


def flapping(calls: Heard, kind: str) -> tuple[Cell, ...]:
    """How often a level changes; one change up and one down is what a call deserves at most."""
    these = of_kind(calls, kind)
    counts = np.array([len(changes(said)) for _, said in these], float)
    minutes = np.array([call.duration_s for call, _ in these]) / 60.0
    return kind, len(these), rate(counts, minutes, speakers(these)), int(counts.max(initial=0))


def histogram(calls: Heard) -> list[tuple[Cell, ...]]:
    """Calls found in each second after the onset."""
    edges = np.arange(0.0, max(FOUND_WITHIN_S.values()) + 1.0)
    counts = [np.histogram(delays(of_kind(calls, kind), s), edges)[0] for kind, s in FOUND_WITHIN_S.items()]
    return [(float(edge), *map(int, each)) for edge, *each in zip(edges[1:], *counts, strict=True)]
