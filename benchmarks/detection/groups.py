"""Hits and false alarms by gender and by language at the policy's operating point, and the gap of women to men."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.calls import FOUND_WITHIN_S, delays
from benchmarks.detection.composed import ComposedCall, reached
from benchmarks.detection.measures import ALONE, KNOWN, interval, rate
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.affect.affect import log_odds
from emotion_triage.training.corpora import ANGER
from emotion_triage.training.figures import Figure
from emotion_triage.training.fit import known

__all__ = ["run"]

WOMEN, MEN = "female", "male"


class Items(NamedTuple):
    """Calls or windows: `events` in `exposure` of each, and whose they are."""

    events: NDArray[np.float64]
    exposure: NDArray[np.float64]
    speaker: NDArray[np.str_]
    corpus: NDArray[np.str_]
    gender: NDArray[np.str_]
    language: NDArray[np.str_]

    def rate(self, rows: NDArray[np.intp]) -> float:
        """Events for each unit of exposure."""
        exposure = self.exposure[rows].sum()
        return float(self.events[rows].sum() / exposure) if exposure else float("nan")

    def gap(self, rows: NDArray[np.intp]) -> float:
        """Women's rate less men's."""
        gender = self.gender[rows]
        return self.rate(rows[gender == WOMEN]) - self.rate(rows[gender == MEN])

    def gap_within(self, rows: NDArray[np.intp]) -> float:
        """The gap in each corpus, its mean over those with women and men."""
        corpus = self.corpus[rows]
        gaps = [self.gap(rows[corpus == name]) for name in np.unique(corpus)]
        return float(np.nanmean(gaps)) if np.isfinite(gaps).any() else float("nan")


def run(study: Study) -> list[Table]:
    """One row a group, then the gaps."""
    columns = {
        "found within 10 s": found(study),
        "false escalations an hour": false_escalations(study),
        "angry windows past the onset": past_onset(study, angry=True),
        "other windows past the onset": past_onset(study, angry=False),
    }
    rows: list[tuple[Cell, ...]] = []
    for kind in ("gender", "language"):
        for value in sorted({name for items in columns.values() for name in getattr(items, kind)} - {""}):
            rows.append((value, *(of_group(items, getattr(items, kind) == value) for items in columns.values())))
    for name, gap in (("women less men", Items.gap), ("women less men, mean within corpora", Items.gap_within)):
        rows.append((name, *(interval(partial(gap, items), items.speaker) for items in columns.values())))
    note = (
        f"policy {study.policy.name}, corpora held out; calls: calm then angry, and calm; "
        f"windows: evidence at {study.policy.escalation.escalated_onset} or more"
    )
    return [Table("Groups", ("group", *columns), rows, note)]


def of_group(items: Items, inside: NDArray[np.bool_]) -> Figure | None:
    """A group's rate."""
    return rate(items.events[inside], items.exposure[inside], items.speaker[inside])


def found(study: Study) -> Items:
    """Calls in which a calm caller grew angry."""
    kind = "calm then angry"
    these = [each for each in study.calls if each[0].kind == kind]
    hits = np.isfinite(delays(these, FOUND_WITHIN_S[kind])).astype(float)
    return Items(hits, np.ones(len(hits)), *labels([call for call, _ in these]))


def false_escalations(study: Study) -> Items:
    """Calls in which a caller stayed calm."""
    these = [(call, said) for call, said in study.calls if call.kind == "calm"]
    alarms = np.array([len(reached(said, 0.0, call.duration_s)) for call, said in these], float)
    hours = np.array([call.duration_s for call, _ in these]) / 3600.0
    return Items(alarms, hours, *labels([call for call, _ in these]))


def labels(calls: list[ComposedCall]) -> tuple[NDArray[np.str_], ...]:
    """Whose calls they are."""
    return tuple(
        np.array([getattr(call, name) for call in calls]) for name in ("speaker", "group", "gender", "language")
    )


def past_onset(study: Study, *, angry: bool) -> Items:
    """Windows whose evidence, before smoothing, would make ESCALATED."""
    windows, scores = study.spoken
    policy = study.policy.escalation
    against, alone = scores[:, KNOWN] + policy.relative_shift, scores[:, ALONE] + policy.absolute_shift
    evidence = np.where(known(windows), against, alone)
    rows = np.isin(windows.emotion, sorted(ANGER)) == angry
    past = (evidence >= log_odds(policy.escalated_onset))[rows].astype(float)
    heard = windows.take(rows)
    return Items(past, np.ones(len(past)), heard.speaker, heard.group, heard.gender, heard.language)
