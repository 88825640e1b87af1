"""Windows to a calibrated linear model, and its honest figures: every score of a corpus comes from a model that never heard it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from emotion_triage.classifier import LABELS
from emotion_triage.training.corpora import ANGER, AROUSED, DISTRESS
from emotion_triage.training.dataset import NOISE, WindowSet

__all__ = ["CLIP", "Linear", "fit", "held_out_scores", "targets"]

Array = NDArray[np.float64]

CLIP = 4.0
"""Standardised features are kept within ± this many standard deviations: an odd line must not decide alone."""
INVERSE_PENALTY = 0.003
"""scikit-learn's C: a strong penalty carried over best to corpora left out (docs/decisions/0003-features-and-first-model.md)."""
MAX_ITERATIONS = 500


class Linear(NamedTuple):
    """A calibrated logistic regression for each label.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (n_features,)
        Standardisation.
    weights : ndarray of float64, shape (n_labels, n_features)
    bias : ndarray of float64, shape (n_labels,)
    """

    mean: Array
    scale: Array
    weights: Array
    bias: Array

    def log_odds(self, features: NDArray[np.float32]) -> Array:
        """Return log-odds, float64 of shape (n, n_labels)."""
        return _standardise(features, self.mean, self.scale) @ self.weights.T + self.bias


def _standardise(features: NDArray[np.float32], mean: Array, scale: Array) -> Array:
    return np.asarray(np.clip((features.astype(np.float64) - mean) / scale, -CLIP, CLIP))


def targets(windows: WindowSet) -> NDArray[np.bool_]:
    """Return what each label should say of each window, bool of shape (n, n_labels)."""
    emotion = windows.emotion
    truth = {
        "anger": np.isin(emotion, sorted(ANGER)),
        "distress": np.isin(emotion, sorted(DISTRESS)),
        "arousal": np.isin(emotion, sorted(AROUSED)),
        "speech": emotion != NOISE,
    }
    return np.stack([truth[label] for label in LABELS], axis=-1)


def _balanced(windows: WindowSet) -> Array:
    """Weights under which every corpus counts alike, and within it every emotion (of noise: every kind)."""
    weights = np.zeros(len(windows.emotion))
    kind = np.where(windows.emotion == NOISE, windows.speaker, windows.emotion)
    for group in np.unique(windows.group):
        inside = windows.group == group
        kinds = np.unique(kind[inside])
        for each in kinds:
            these = inside & (kind == each)
            weights[these] = 1.0 / (these.sum() * len(kinds))
    return weights * len(weights) / weights.sum()


def _fit_label(x: Array, truth: NDArray[np.bool_], weights: Array) -> tuple[Array, float]:
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS).fit(x, truth, sample_weight=weights)
    return np.asarray(model.coef_[0]), float(model.intercept_[0])


def _fit_raw(windows: WindowSet) -> Linear:
    features = windows.features
    weights, truth = _balanced(windows), targets(windows)
    spoken = windows.emotion != NOISE
    mean = np.average(features[spoken], axis=0, weights=weights[spoken]).astype(np.float64)
    spread = np.average((features[spoken] - mean) ** 2, axis=0, weights=weights[spoken])
    scale = np.sqrt(spread) + 1e-6
    x = _standardise(features, mean, scale)
    coefficients, biases = [], []
    for k, label in enumerate(LABELS):
        balance = weights.copy()
        if label == "speech":  # as much noise as speech
            balance[~spoken] *= balance[spoken].sum() / max(balance[~spoken].sum(), 1e-9)
        if truth[:, k].all() or not truth[:, k].any():
            coefficients.append(np.zeros(x.shape[1]))
            biases.append(0.0 if not truth.any() else 8.0 * (1 if truth[0, k] else -1))
            continue
        weight, bias = _fit_label(x, truth[:, k], balance)
        coefficients.append(weight)
        biases.append(bias)
    return Linear(mean, scale, np.stack(coefficients), np.array(biases))


def held_out_scores(windows: WindowSet) -> Array:
    """Return log-odds of each window by a model that heard neither its corpus nor any other corpus of its speakers.

    Noise is held out kind by kind.

    Returns
    -------
    ndarray of float64, shape (n, n_labels)
        Before calibration.
    """
    scores = np.zeros((len(windows.emotion), len(LABELS)))
    unit = np.where(windows.emotion == NOISE, windows.speaker, windows.group)
    for each in np.unique(unit):
        out = unit == each
        scores[out] = _fit_raw(windows.take(~out)).log_odds(windows.take(out).features)
    return scores


def calibration(windows: WindowSet, scores: Array) -> Array:
    """Return slope and offset of each label's log-odds on corpora held out (Platt 1999), float64 of shape (n_labels, 2)."""
    truth, weights = targets(windows), _balanced(windows)
    spoken = windows.emotion != NOISE
    lines = []
    for k, label in enumerate(LABELS):
        use = np.ones_like(spoken) if label == "speech" else spoken
        if truth[use, k].all() or not truth[use, k].any():
            lines.append((1.0, 0.0))
            continue
        model = LogisticRegression(C=1e6).fit(scores[use, k : k + 1], truth[use, k], sample_weight=weights[use])
        lines.append((float(max(model.coef_[0, 0], 0.0)), float(model.intercept_[0])))
    return np.array(lines)


def fit(windows: WindowSet, lines: Array) -> Linear:
    """Fit on everything and fold the calibration in.

    Parameters
    ----------
    windows : WindowSet
    lines : ndarray of float64, shape (n_labels, 2)
        From `calibration`.
    """
    raw = _fit_raw(windows)
    return raw._replace(weights=raw.weights * lines[:, :1], bias=raw.bias * lines[:, 0] + lines[:, 1])
