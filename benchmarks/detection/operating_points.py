"""Where the shipped policies' thresholds could lie: a grid, on speakers whom no other figure is reported on.

Scores do not depend on the thresholds: each call is scored once, and its evidence is then put through the levels of
every policy of the grid.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.detection.calls import FOUND_WITHIN_S, calm_spans, delays, of_kind
from benchmarks.detection.composed import ComposedCall, events
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.affect.affect import Affect
from emotion_triage.call.caller import Event
from emotion_triage.routing.escalation import Escalation, EscalationPolicy, Escalator

__all__ = ["run"]

RELATIVE_SHIFTS = np.round(np.arange(-1.0, 1.01, 0.25), 2)
ABSOLUTE_SHIFTS = np.round(np.arange(-1.0, 2.01, 0.25), 2)
SMOOTHINGS_S = (0.7, 1.0, 1.5)
DWELLS_S = (0.0,)
"""A dwell of half a second found no more, and would take a level beyond 1.6 s of the algorithm's own time."""
CALM_AN_HOUR = (0.5, 1.0, 2.0, 5.0, 10.0)
JOY_TO_CALM = 2.0
"""False escalations an hour with joy among the calm speech that are let pass, for one of calm speech alone."""


class Evidence(NamedTuple):
    """What one window gives a caller's level."""

    affect: Affect
    absolute: float
    relative: float | None
    new_speech_s: float


class Recorder(Escalator):
    """Keeps the evidence that it is given."""

    __slots__ = ("taken",)

    def __init__(self, policy: EscalationPolicy) -> None:
        super().__init__(policy)
        self.taken: list[Evidence] = []

    def push(
        self, affect: Affect, *, absolute: float, relative: float | None, new_speech_s: float
    ) -> Escalation | None:
        self.taken.append(Evidence(affect, absolute, relative, new_speech_s))
        return super().push(affect, absolute=absolute, relative=relative, new_speech_s=new_speech_s)


class Point(NamedTuple):
    """A policy of the grid and what it gives."""

    relative_shift: float
    absolute_shift: float
    smoothing_s: float
    min_duration_on_s: float
    found: float
    median_s: float
    at_once: float
    calm: float
    joy: float


def run(study: Study) -> list[Table]:
    """The best policy of the grid for each number of false escalations an hour."""
    calls = []
    for call in study.choosing_calls:
        recorder = Recorder(study.policy.escalation)
        events(call.steps, call.embeddings, study.model_without(call.group), study.policy, recorder)
        calls.append((call, recorder.taken))
    points = []
    for relative, absolute, smoothing_s, dwell_s in product(RELATIVE_SHIFTS, ABSOLUTE_SHIFTS, SMOOTHINGS_S, DWELLS_S):
        policy = msgspec.structs.replace(
            study.policy.escalation,
            relative_shift=float(relative),
            absolute_shift=float(absolute),
            smoothing_s=smoothing_s,
            min_duration_on_s=dwell_s,
        )
        points.append(point(policy, [(call, levels(evidence, policy)) for call, evidence in calls]))
    rows: list[tuple[Cell, ...]] = []
    for allowed in CALM_AN_HOUR:
        within = [p for p in points if p.calm <= allowed and p.joy <= JOY_TO_CALM * allowed]
        if within:
            best = max(within, key=lambda p: (p.found + p.at_once, -p.median_s))
            rows.append((f"{allowed:g}", *best))
    columns = ("allowed an hour", *Point._fields)
    note = (
        f"{len(calls)} calls of the speakers that are not reported on; found: within 10 s, at_once: angry from the "
        f"first word, within 8 s; with joy at most {JOY_TO_CALM:g} times as many; best: found and at_once"
    )
    return [Table("Operating points", columns, rows, note)]


def levels(evidence: list[Evidence], policy: EscalationPolicy) -> list[Event]:
    """Return the changes of level that a policy makes of evidence."""
    escalator = Escalator(policy)
    found: list[Event] = []
    for each in evidence:
        found += escalator.wait(each.affect.time_s)
        change = escalator.push(
            each.affect, absolute=each.absolute, relative=each.relative, new_speech_s=each.new_speech_s
        )
        found += [change] if change else []
    return found


def point(policy: EscalationPolicy, calls: list[tuple[ComposedCall, list[Event]]]) -> Point:
    """Return what a policy gives on calls."""
    turning, at_once = (delays(of_kind(calls, kind), within_s) for kind, within_s in FOUND_WITHIN_S.items())
    seen = np.isfinite(turning)
    rates = []
    for kind in ("calm", "calm and joy"):
        alarms, _, hours, _ = calm_spans(calls, kind)
        rates.append(round(float(alarms.sum() / hours.sum()), 2))
    return Point(
        policy.relative_shift,
        policy.absolute_shift,
        policy.smoothing_s,
        policy.min_duration_on_s,
        round(float(seen.mean()), 3),
        round(float(np.median(turning[seen])), 1) if seen.any() else float("inf"),
        round(float(np.isfinite(at_once).mean()), 3),
        *rates,
    )
