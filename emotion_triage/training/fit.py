"""Windows to a calibrated linear model and its honest figures.

Every score that a figure or a calibration rests on comes from a model that heard neither the corpus nor the speaker.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from emotion_triage.classifier import LABELS
from emotion_triage.functionals import CHANGE_NAMES, FEATURE_NAMES
from emotion_triage.training.corpora import ANGER, AROUSED, DISTRESS
from emotion_triage.training.dataset import NOISE, WindowSet

__all__ = ["CLIP", "Linear", "calibrated", "fit", "held_out_scores", "known", "mixing", "targets"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CLIP = 4.0
"""Standardised features are kept within ± this many standard deviations: an odd line must not decide alone."""
INVERSE_PENALTY = 0.003
"""scikit-learn's C: a strong penalty carried over best to corpora left out (docs/decisions/0003-first-model.md)."""
MAX_ITERATIONS = 500
CERTAIN = 8.0
"""Log-odds of a label that the training data never or always has."""

RISING = tuple(
    f"{name}_change"
    for name in (
        "level_dbfs",
        "f0_mean_semitone",
        "f0_p20_semitone",
        "f0_p50_semitone",
        "f0_p80_semitone",
        "band_balance_db_mean",
        "syllable_rate_hz",
    )
)
"""Louder, higher, sharper or faster than himself never speaks against a caller's anger: a driver must be believed."""

_CHANGES = np.arange(len(FEATURE_NAMES)) >= len(FEATURE_NAMES) - len(CHANGE_NAMES)
_RISING = np.isin(FEATURE_NAMES, RISING)
_ALONE, _KNOWN, _SPEECH = (LABELS.index(label) for label in ("anger", "anger_against_baseline", "speech"))


class Linear(NamedTuple):
    """A logistic regression for each label.

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
        return standardised(features, self.mean, self.scale) @ self.weights.T + self.bias


def standardised(features: NDArray[np.float32], mean: Array, scale: Array) -> Array:
    """Return features in standard deviations from the mean, clipped; float64 of the same shape."""
    return np.asarray(np.clip((features - mean) / scale, -CLIP, CLIP))


def known(windows: WindowSet) -> Mask:
    """Return which windows have a baseline to be compared with, bool of shape (n,)."""
    return np.asarray(np.isfinite(windows.reference[:, 0]))


def targets(windows: WindowSet) -> Mask:
    """Return what each label should say of each window, bool of shape (n, n_labels)."""
    emotion = windows.emotion
    truth = {
        "anger": np.isin(emotion, sorted(ANGER)),
        "anger_against_baseline": np.isin(emotion, sorted(ANGER)),
        "distress": np.isin(emotion, sorted(DISTRESS)),
        "arousal": np.isin(emotion, sorted(AROUSED)),
        "speech": emotion != NOISE,
    }
    return np.stack([truth[label] for label in LABELS], axis=-1)


def _usable(windows: WindowSet, label: int) -> Mask:
    """Return the windows that can teach a label: noise teaches only what speech is."""
    if label == _SPEECH:
        return np.ones(len(windows.emotion), np.bool_)
    spoken = np.asarray(windows.emotion != NOISE)
    return spoken & known(windows) if label == _KNOWN else spoken


def balanced(windows: WindowSet) -> Array:
    """Return weights under which every corpus counts alike, and within it every emotion or kind of noise alike."""
    weights = np.zeros(len(windows.emotion))
    kind = np.where(windows.emotion == NOISE, windows.speaker, windows.emotion)
    for group in np.unique(windows.group):
        inside = windows.group == group
        kinds = np.unique(kind[inside])
        for each in kinds:
            these = inside & (kind == each)
            weights[these] = 1.0 / (these.sum() * len(kinds))
    return np.asarray(weights * len(weights) / weights.sum())


def _regression(
    x: Array, truth: Mask, weights: Array, inverse_penalty: float, rising: Mask | None = None
) -> tuple[Array, float]:
    """Fit one label; features of `rising` that would get a negative weight are left out, and the rest fitted again."""
    coefficients = np.zeros(x.shape[1])
    if truth.all() or not truth.any():
        return coefficients, CERTAIN if truth.any() else -CERTAIN
    kept = np.ones(x.shape[1], np.bool_)
    while True:
        model = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS)
        model.fit(x[:, kept], truth, sample_weight=weights)
        coefficients[kept] = model.coef_[0]
        wrong = kept & (coefficients < 0.0) & rising if rising is not None else np.zeros_like(kept)
        if not wrong.any():
            return coefficients, float(model.intercept_[0])
        kept &= ~wrong
        coefficients[wrong] = 0.0


def fit(windows: WindowSet) -> Linear:
    """Fit every label, before calibration.

    Anger against a baseline is judged by the changes alone, all else by the statistics alone: a corpus in which anger
    is louder than calm speech must not teach that loud corpora are angry.

    Parameters
    ----------
    windows : WindowSet

    Returns
    -------
    Linear
    """
    features, truth = windows.features, targets(windows)
    spoken, compared = windows.emotion != NOISE, known(windows)
    mean, scale = np.zeros(len(FEATURE_NAMES)), np.ones(len(FEATURE_NAMES))
    for columns, rows in ((~_CHANGES, spoken), (_CHANGES, spoken & compared)):
        if rows.any():
            mean[columns] = features[rows][:, columns].mean(axis=0)
            scale[columns] = features[rows][:, columns].std(axis=0) + 1e-6
    x = standardised(features, mean, scale)
    weights, bias = np.zeros((len(LABELS), len(FEATURE_NAMES))), np.zeros(len(LABELS))
    for label in range(len(LABELS)):
        columns = _CHANGES if label == _KNOWN else ~_CHANGES
        rows = _usable(windows, label)
        balance = balanced(windows.take(rows))
        if label == _SPEECH:  # as much noise as speech
            noise = ~truth[rows, label]
            balance[noise] *= balance[~noise].sum() / max(balance[noise].sum(), 1e-9)
        rising = _RISING[columns] if label == _KNOWN else None
        weights[label, columns], bias[label] = _regression(
            x[np.ix_(rows, columns)], truth[rows, label], balance, INVERSE_PENALTY, rising
        )
    return Linear(mean, scale, weights, bias)


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
        scores[out] = fit(windows.take(~out)).log_odds(windows.features[out])
    return scores


def mixing(windows: WindowSet, scores: Array) -> tuple[Array, Array]:
    """Return how held-out scores make calibrated ones: ``scores @ matrix.T + offset`` (Platt 1999).

    Each label is calibrated by itself, but for anger against a baseline, which weighs what the changes say together
    with what the voice says by itself.

    Returns
    -------
    matrix : ndarray of float64, shape (n_labels, n_labels)
    offset : ndarray of float64, shape (n_labels,)
    """
    truth = targets(windows)
    matrix, offset = np.eye(len(LABELS)), np.zeros(len(LABELS))
    for label in range(len(LABELS)):
        sources = [_KNOWN, _ALONE] if label == _KNOWN else [label]
        rows = _usable(windows, label)
        if truth[rows, label].all() or not truth[rows, label].any():
            continue
        weights, offset[label] = _regression(
            scores[rows][:, sources], truth[rows, label], balanced(windows.take(rows)), 1e6
        )
        matrix[label, sources] = np.maximum(weights, 0.0)
    return matrix, offset


def calibrated(model: Linear, matrix: Array, offset: Array) -> Linear:
    """Return the model with its calibration folded in."""
    return model._replace(weights=matrix @ model.weights, bias=matrix @ model.bias + offset)
