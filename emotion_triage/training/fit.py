"""Windows to tone, calibrated linear models and their honest figures.

Every score that a figure or a calibration rests on comes from a model that heard neither the corpus nor the speaker.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from emotion_triage.affect.classifier import LABELS
from emotion_triage.prosody.functionals import CHANGE_NAMES, FEATURE_NAMES, TONE_NAMES
from emotion_triage.training.corpora import ANGER, AROUSED, DISTRESS
from emotion_triage.training.dataset import NOISE, WindowSet
from emotion_triage.training.tone import Sums, Tone, fit_tone, sums

__all__ = [
    "CLIP",
    "FOLDS",
    "UNTAUGHT",
    "Linear",
    "Model",
    "Stacking",
    "calibrated",
    "calibrated_log_odds",
    "fit",
    "folds",
    "held_out_scores",
    "held_out_tone",
    "known",
    "mixing",
    "targets",
    "taught",
    "tone_of",
    "units",
]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CLIP = 4.0
"""Standardised features are kept within ± this many standard deviations: an odd line must not decide alone."""
INVERSE_PENALTY = 0.003
"""scikit-learn's C: a strong penalty carried over best to corpora left out (docs/decisions/0003-first-model.md)."""
MAX_ITERATIONS = 500
FOLDS = 16
"""Tones that are fitted to be asked about what they never heard: corpora up to this number are each held out alone."""
TONE_SCALE = 2.0
"""Log-odds of a tone that count as one standard deviation."""
UNTAUGHT = frozenset({"ko_emotts"})
"""Corpora that are scored but not learned from: a model of all others finds this one's anger calmer than its calm
speech, and learning from it costs every other corpus (docs/decisions/0010-contour-network.md)."""
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
"""Louder, higher, sharper or faster than usual never speaks against a caller's anger: a driver must be believed."""

_TONE = np.array([FEATURE_NAMES.index(name) for name in (*TONE_NAMES, *(f"{name}_change" for name in TONE_NAMES))])
_CHANGES = np.arange(len(FEATURE_NAMES)) >= len(FEATURE_NAMES) - len(CHANGE_NAMES)
_IS_TONE = np.isin(np.arange(len(FEATURE_NAMES)), _TONE)
_RISING = np.isin(FEATURE_NAMES, RISING)
_ALONE, _KNOWN, _DISTRESS, _AROUSAL, _SPEECH = map(LABELS.index, LABELS)
_SOURCES = {
    _ALONE: ([_ALONE], [0]),
    _KNOWN: ([_KNOWN, _ALONE], [0, len(TONE_NAMES)]),
    _DISTRESS: ([_DISTRESS], [1]),
    _AROUSAL: ([_AROUSAL], [2]),
}
"""What is weighed for a label: held-out scores, then tones and their changes, in the order of `_TONE`."""


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


class Model(NamedTuple):
    """What is trained: the tone of an embedding, and what is made of features."""

    tone: Tone
    linear: Linear


class Stacking(NamedTuple):
    """How held-out scores make calibrated ones (Platt 1999).

    Attributes
    ----------
    scores : ndarray of float64, shape (n_labels, n_labels)
    tone : ndarray of float64, shape (n_labels, 2 * n_tones)
        Of the tones, then of their changes against the caller's baseline, in standard deviations.
    offset : ndarray of float64, shape (n_labels,)
    """

    scores: Array
    tone: Array
    offset: Array


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


def taught(windows: WindowSet) -> Mask:
    """Return the windows of corpora that are learned from."""
    return ~np.isin(windows.group, sorted(UNTAUGHT))


def _usable(windows: WindowSet, label: int) -> Mask:
    """Return the windows that can teach a label: noise teaches only what speech is."""
    if label == _SPEECH:
        return np.ones(len(windows.emotion), np.bool_)
    spoken = np.asarray(windows.emotion != NOISE)
    return spoken & known(windows) if label == _KNOWN else spoken


def balanced(windows: WindowSet) -> Array:
    """Return weights under which every corpus counts alike, and within it every emotion or kind of noise alike.

    Corpora of one emotion count as one together: they tell how their speakers and lines sound, and nothing of what
    parts one emotion from another (docs/decisions/0012-corpora-without-anger.md).
    """
    weights = np.zeros(len(windows.emotion))
    kind = np.where(windows.emotion == NOISE, windows.speaker, windows.emotion)
    kinds = {group: np.unique(kind[windows.group == group]) for group in np.unique(windows.group)}
    n_single = sum(len(each) == 1 for each in kinds.values())
    for group, inside in kinds.items():
        for each in inside:
            these = (windows.group == group) & (kind == each)
            weights[these] = 1.0 / (these.sum() * (len(inside) if len(inside) > 1 else n_single))
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
        model = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS, solver="newton-cholesky")
        model.fit(x[:, kept], truth, sample_weight=weights)
        coefficients[kept] = model.coef_[0]
        wrong = kept & (coefficients < 0.0) & rising if rising is not None else np.zeros_like(kept)
        if not wrong.any():
            return coefficients, float(model.intercept_[0])
        kept &= ~wrong
        coefficients[wrong] = 0.0
        if not kept.any():  # nothing rises with the label: its share is all that is known
            share = float(np.average(truth, weights=weights))
            return coefficients, float(np.log(share / (1.0 - share)))


def fit(windows: WindowSet) -> Linear:
    """Fit every label, before calibration.

    Anger against a baseline is judged by the changes alone, all else by the statistics alone: a corpus in which anger
    is louder than calm speech must not teach that loud corpora are angry. The tone has no weight yet: `mixing`
    gives it one.

    Parameters
    ----------
    windows : WindowSet

    Returns
    -------
    Linear
    """
    windows = windows.without_embeddings()
    features, truth = windows.features, targets(windows)
    spoken, compared = windows.emotion != NOISE, known(windows)
    mean, scale = np.zeros(len(FEATURE_NAMES)), np.ones(len(FEATURE_NAMES))
    for columns, rows in ((~_CHANGES, spoken), (_CHANGES, spoken & compared)):
        if rows.any():
            mean[columns] = features[rows][:, columns].mean(axis=0)
            scale[columns] = features[rows][:, columns].std(axis=0) + 1e-6
    mean[_TONE], scale[_TONE] = 0.0, TONE_SCALE
    x = standardised(features, mean, scale)
    weights, bias = np.zeros((len(LABELS), len(FEATURE_NAMES))), np.zeros(len(LABELS))
    for label in range(len(LABELS)):
        columns = (_CHANGES if label == _KNOWN else ~_CHANGES) & ~_IS_TONE
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


def units(windows: WindowSet) -> NDArray[np.str_]:
    """Return what each window is held out with: its group of corpora, or its kind of noise.

    Where there is one group only, a site's own calls, it is the speaker.
    """
    spoken = windows.emotion != NOISE
    one_group = len(np.unique(windows.group[spoken])) < 2
    return np.where(spoken & (not one_group), windows.group, windows.speaker)


def folds(windows: WindowSet) -> dict[str, int]:
    """Return for each unit of speech the fold that it is held out with; large ones are dealt out first."""
    names, counts = np.unique(units(windows)[windows.emotion != NOISE], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    return {str(name): k % FOLDS for k, name in enumerate(order)}


def _sums(windows: WindowSet) -> list[list[Sums]]:
    """Return what each fold of the windows that can teach a tone adds to it, fold by fold."""
    dealt = folds(windows)
    fold = np.array([dealt.get(unit, 0) for unit in units(windows)])
    useful = (windows.emotion != NOISE) & taught(windows)
    weights = np.zeros(len(fold))
    weights[useful] = balanced(windows.without_embeddings().take(useful))
    truth = targets(windows)[:, [_ALONE, _DISTRESS, _AROUSAL]]
    each = (np.flatnonzero(useful & (fold == k)) for k in range(max(dealt.values()) + 1))
    return [sums(windows.embeddings[at], truth[at], weights[at], windows.group[at]) for at in each]


def tone_of(windows: WindowSet) -> Tone:
    """Fit the tone to the windows that can teach it."""
    return fit_tone(_sums(windows))


def held_out_tone(windows: WindowSet) -> tuple[Array, list[Tone]]:
    """Return what tones that heard nothing of a window's fold say of it, and those tones, fold by fold.

    Returns
    -------
    scores : ndarray of float64, shape (n, n_tones)
    tones : list of Tone
    """
    dealt = folds(windows)
    fold = np.array([dealt.get(unit, 0) for unit in units(windows)])
    parts = _sums(windows)
    tones = [fit_tone([part for j, part in enumerate(parts) if j != k]) for k in range(len(parts))]
    scores = np.zeros((len(fold), len(TONE_NAMES)))
    for k, tone in enumerate(tones):
        scores[fold == k] = tone.of(windows.embeddings[fold == k])
    return scores, tones


def held_out_scores(windows: WindowSet) -> Array:
    """Return log-odds of each window by a model that heard neither its corpus nor any other corpus of its speakers.

    Noise is held out kind by kind.

    Returns
    -------
    ndarray of float64, shape (n, n_labels)
        Before calibration.
    """
    windows = windows.without_embeddings()
    scores = np.zeros((len(windows.emotion), len(LABELS)))
    unit = units(windows)
    for each in np.unique(unit):
        out = unit == each
        scores[out] = fit(windows.take(~out & taught(windows))).log_odds(windows.features[out])
    return scores


def _tone_features(windows: WindowSet) -> Array:
    """Return tones and their changes, as the linear model sees them; shape (n, 2 * n_tones)."""
    return np.clip(windows.features[:, _TONE] / TONE_SCALE, -CLIP, CLIP)


def _weighed(x: Array, truth: Mask, weights: Array, group: NDArray[np.str_]) -> Array:
    """Return how much each score counts within corpora: every corpus has an intercept of its own, then forgotten.

    What parts a corpus of calm speech from the others is its line and its speakers, not their anger. A corpus in which
    all are angry, or none, says nothing.
    """
    telling = np.isin(group, group[truth]) & np.isin(group, group[~truth])
    if not telling.any():
        return np.zeros(x.shape[1])
    own = (group[telling, None] == np.unique(group[telling])[1:]).astype(np.float64)
    rising = np.arange(x.shape[1] + own.shape[1]) < x.shape[1]
    coefficients, _ = _regression(np.hstack((x[telling], own)), truth[telling], weights[telling], 1e6, rising)
    return coefficients[: x.shape[1]]


def mixing(windows: WindowSet, scores: Array) -> Stacking:
    """Return how held-out scores make calibrated ones.

    Each label weighs prosody and tone; anger against a baseline weighs the changes of both, and what the voice says by
    itself. They are weighed within corpora and calibrated across them.
    """
    windows = windows.without_embeddings()
    truth, tone = targets(windows), _tone_features(windows)
    mixed = Stacking(np.eye(len(LABELS)), np.zeros((len(LABELS), tone.shape[1])), np.zeros(len(LABELS)))
    for label in range(len(LABELS)):
        from_scores, from_tone = _SOURCES.get(label, ([label], []))
        rows = _usable(windows, label) & taught(windows)
        if truth[rows, label].all() or not truth[rows, label].any():
            continue
        x = np.column_stack((scores[rows][:, from_scores], tone[rows][:, from_tone]))
        true, balance = truth[rows, label], balanced(windows.take(rows))
        weights = _weighed(x, true, balance, windows.group[rows]) if label in _SOURCES else np.ones(1)
        scale, mixed.offset[label] = _regression((x @ weights)[:, None], true, balance, 1e6, np.ones(1, np.bool_))
        weights = scale * weights
        mixed.scores[label, from_scores], mixed.tone[label, from_tone] = np.split(weights, [len(from_scores)])
    return mixed


def calibrated_log_odds(windows: WindowSet, scores: Array, mixed: Stacking) -> Array:
    """Return calibrated log-odds of held-out scores, float64 of shape (n, n_labels)."""
    return scores @ mixed.scores.T + _tone_features(windows) @ mixed.tone.T + mixed.offset


def calibrated(model: Linear, mixed: Stacking) -> Linear:
    """Return the model with its calibration folded in."""
    weights = mixed.scores @ model.weights
    weights[:, _TONE] = mixed.tone
    return model._replace(weights=weights, bias=mixed.scores @ model.bias + mixed.offset)
