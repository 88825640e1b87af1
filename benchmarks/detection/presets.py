"""The policies that ship, side by side on the same composed calls."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.asked import PRESET
from benchmarks.detection.calls import FOUND_WITHIN_S, Heard, calm_spans, delays, of_kind, speakers, taught
from benchmarks.detection.measures import fraction, rate
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.routing.policy import PRESETS, Policy
from emotion_triage.training.fit import UNTAUGHT

__all__ = ["run"]


def run(study: Study) -> list[Table]:
    """One row a preset; the middle one once more with the corpora that no model learns from."""
    calls = {name: study.calls_under(Policy.load(name)) for name in PRESETS}
    rows = [(name, *figures(taught(each))) for name, each in calls.items()]
    rows.append((f"{PRESET}, with {', '.join(sorted(UNTAUGHT))}", *figures(calls[PRESET])))
    found = [
        name for kind, s in FOUND_WITHIN_S.items() for name in (f"{kind}: found in {s:.0f} s", f"{kind}: median, s")
    ]
    columns = ("preset", *found, "false an hour, calm", "false an hour, with joy")
    return [Table("Presets", columns, rows, "composed calls, each scored by a model that never heard its corpus")]


def figures(calls: Heard) -> list[Cell]:
    """What a policy gives on calls."""
    row: list[Cell] = []
    for kind, within_s in FOUND_WITHIN_S.items():
        these = of_kind(calls, kind)
        seen = delays(these, within_s)
        found = np.isfinite(seen)
        row += [fraction(found, speakers(these)), round(float(np.median(seen[found])), 1) if found.any() else None]
    for kind in ("calm", "calm and joy"):
        alarms, _, hours, who = calm_spans(calls, kind)
        row.append(rate(alarms, hours, who))
    return row
