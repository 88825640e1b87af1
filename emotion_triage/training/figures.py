"""Figures of held-out scores with intervals by bootstrap over speakers, never over clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

__all__ = ["Figure", "auc", "bootstrap", "calibration_error"]

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]


class Figure(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc(truth: Truth, scores: Array, weights: Array | None = None) -> float:
    """Area under the ROC curve; NaN where one class is missing."""
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, scores, sample_weight=weights))


def bootstrap(
    figure: Callable[[NDArray[np.intp]], float], speakers: NDArray[np.str_], *, draws: int = 200, seed: int = 0
) -> Figure:
    """Return a figure over all rows, and its 95 % interval when speakers are drawn with replacement.

    Parameters
    ----------
    figure : callable
        From row indices to a number.
    speakers : ndarray of str, shape (n,)
    """
    rng = np.random.default_rng(seed)
    names, inverse = np.unique(speakers, return_inverse=True)
    rows = [np.flatnonzero(inverse == k) for k in range(len(names))]
    values = [
        figure(np.concatenate([rows[k] for k in rng.integers(len(names), size=len(names))])) for _ in range(draws)
    ]
    low, high = np.nanpercentile(values, (2.5, 97.5)) if np.isfinite(values).any() else (np.nan, np.nan)
    return Figure(figure(np.arange(len(speakers))), float(low), float(high))


def calibration_error(truth: Truth, probabilities: Array, weights: Array, bins: int = 10) -> float:
    """Return the mean gap of predicted and seen rates over equal-width bins (expected; Naeini et al. 2015)."""
    at = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = weights.sum()
    gaps = 0.0
    for k in range(bins):
        inside = at == k
        if inside.any():
            gap = np.average(probabilities[inside], weights=weights[inside]) - np.average(
                truth[inside], weights=weights[inside]
            )
            gaps += abs(gap) * weights[inside].sum() / total
    return float(gaps)
