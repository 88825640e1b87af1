"""Figures that several protocols share; every interval is by bootstrap over speakers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emotion_triage.affect.classifier import LABELS
from emotion_triage.training.corpora import ANGER, CALM
from emotion_triage.training.figures import Figure, bootstrap

__all__ = ["ALONE", "AUC_COLUMNS", "KNOWN", "area", "auc_cells", "fraction", "interval", "mean_auc", "rate"]

ALONE, KNOWN = LABELS.index("anger"), LABELS.index("anger_against_baseline")
AUC_COLUMNS = ("alone, all else", "alone, calm", "known, all else", "known, calm")
NONE_SEEN = -np.log(0.05)
"""Events that a Poisson process may have had while none was seen: the upper end of the one-sided 95 % interval."""

Array = NDArray[np.float64]
Names = NDArray[np.str_]


def interval(figure: Callable[[NDArray[np.intp]], float], speakers: Names, draws: int = 200) -> Figure | None:
    """A figure with its interval; None of nothing."""
    return bootstrap(figure, speakers, draws=draws) if len(speakers) else None


def area(angry: NDArray[np.bool_], scores: Array) -> float:
    """AUC as `emotion_triage.training.figures.auc` gives it, without weights and fast enough for every draw."""
    _, rank = np.unique(scores, return_inverse=True)
    others, hits = (np.bincount(rank[angry == truth], minlength=rank.max(initial=0) + 1) for truth in (False, True))
    below = np.cumsum(others) - others / 2
    return float(hits @ below / (hits.sum() * others.sum())) if hits.any() and others.any() else float("nan")


def mean_auc(angry: NDArray[np.bool_], scores: Array, group: Names, rows: NDArray[np.intp] | None = None) -> float:
    """AUC of each corpus, their mean over the corpora that have both classes."""
    if rows is not None:
        angry, scores, group = angry[rows], scores[rows], group[rows]
    each = [area(angry[group == name], scores[group == name]) for name in np.unique(group)]
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def auc_cells(emotion: Names, alone: Array, known: Array, group: Names, speaker: Names) -> Iterator[Figure | None]:
    """Anger against all else and against calm speech, by the voice alone and with the caller known (NaN where not)."""
    angry, calm = np.isin(emotion, sorted(ANGER)), np.isin(emotion, sorted(CALM))
    for scores in (alone, known):
        for among in (np.ones(len(emotion), np.bool_), angry | calm):
            rows = np.flatnonzero(among & np.isfinite(scores))
            columns = angry[rows], scores[rows], group[rows]
            yield interval(partial(mean_auc, *columns), speaker[rows])


def fraction(hits: NDArray[np.bool_], speakers: Names) -> Figure | None:
    """Share of hits."""
    return interval(lambda drawn: float(hits[drawn].mean()), speakers)


def rate(counts: Array, exposure: Array, speakers: Names) -> Figure | None:
    """Events in a unit of exposure; where none was seen, the upper end says how many could have stayed hidden."""
    if not len(counts):
        return None
    if not counts.any():
        return Figure(0.0, 0.0, float(NONE_SEEN / exposure.sum()))
    return interval(lambda drawn: float(counts[drawn].sum() / exposure[drawn].sum()), speakers)
