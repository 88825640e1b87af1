"""Whether a probability means what it says on corpora that the model never heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.measures import ALONE, KNOWN, interval
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.affect.classifier import LABELS
from emotion_triage.training.corpora import ANGER
from emotion_triage.training.figures import Figure, calibration_error
from emotion_triage.training.fit import balanced, known

__all__ = ["run"]

BINS = 10
NOTE = "the corpus is held out from fit and calibration; every corpus and every emotion in it counts alike"


def run(study: Study) -> list[Table]:
    """Expected calibration error of each corpus, and predicted against seen rates over all of them."""
    windows, scores = study.spoken
    angry, weights = np.isin(windows.emotion, sorted(ANGER)), balanced(windows)
    probability = 1.0 / (1.0 + np.exp(-scores))
    usable = {ALONE: np.ones(len(angry), np.bool_), KNOWN: known(windows)}
    errors: list[tuple[Cell, ...]] = []
    for name in (*np.unique(windows.group), None):
        inside = windows.group == name if name else np.ones(len(angry), np.bool_)
        figures = [
            error(angry, probability[:, label], weights, windows.speaker, inside & usable[label])
            for label in (ALONE, KNOWN)
        ]
        errors.append((str(name) if name else "all corpora together", *figures))
    reliability = [
        (LABELS[label], *row)
        for label in (ALONE, KNOWN)
        for row in curve(angry[usable[label]], probability[usable[label], label], weights[usable[label]])
    ]
    return [
        Table("Expected calibration error of anger", ("corpus", "alone", "known"), errors, NOTE),
        Table("Predicted and seen anger, all corpora", ("label", "predicted", "seen", "share"), reliability, NOTE),
    ]


def error(
    angry: NDArray[np.bool_],
    probability: NDArray[np.float64],
    weights: NDArray[np.float64],
    speaker: NDArray[np.str_],
    rows: NDArray[np.bool_],
) -> Figure | None:
    """Expected calibration error over ten bins."""
    t, p, w = angry[rows], probability[rows], weights[rows]
    return interval(lambda drawn: calibration_error(t[drawn], p[drawn], w[drawn], BINS), speaker[rows])


def curve(
    angry: NDArray[np.bool_], probability: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[tuple[Cell, ...]]:
    """Mean prediction, seen rate and share of each bin that holds anything."""
    at = np.minimum((probability * BINS).astype(int), BINS - 1)
    found: list[tuple[Cell, ...]] = []
    for k in np.unique(at):
        w = weights[at == k]
        means = (np.average(each[at == k], weights=w) for each in (probability, angry))
        found.append((*map(float, means), float(w.sum() / weights.sum())))
    return found
