"""Embeddings of speech to its tone: linear discriminants, one for anger, one for distress, one for arousal.

Fisher's discriminant (1936) with a covariance that is shrunk towards its diagonal. Means are taken within corpora:
what parts one corpus from another is its line and its speakers, not their anger. All that a corpus adds are sums, so a
discriminant that heard all but one corpus costs a subtraction, and training is exact and repeatable.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.prosody.functionals import TONE_NAMES
from emotion_triage.training.encoder import WIDTH

__all__ = ["Tone", "fit_tone", "silent", "sums"]

Array = NDArray[np.float64]
SHRINKAGE = 0.5
"""What is added to the covariance's diagonal, as a share of it (docs/decisions/0014-pretrained-encoder.md)."""
WITHOUT_CONTRAST = 0.3
"""Weight of a corpus that cannot teach a contrast, since all its speech is on one side: it tells what varies anyway."""


class Tone(NamedTuple):
    """A discriminant for each of `TONE_NAMES`.

    Attributes
    ----------
    weights : ndarray of float64, shape (768, n_tones)
    bias : ndarray of float64, shape (n_tones,)
    """

    weights: Array
    bias: Array

    def of(self, embeddings: NDArray[np.floating]) -> Array:
        """Return tones, about log-odds, float64 of shape (n, n_tones), of embeddings, or of means of them."""
        return np.asarray(embeddings.astype(np.float64) @ self.weights + self.bias)


class Sums(NamedTuple):
    """What some speech adds to a discriminant of one tone; arrays as float64."""

    scatter: Array
    contrast: Array
    mean: Array
    weight: float

    def plus(self, other: Sums, sign: float = 1.0) -> Sums:
        """Return both together, or this without the other."""
        return Sums(
            self.scatter + sign * other.scatter,
            self.contrast + sign * other.contrast,
            self.mean + sign * other.mean,
            self.weight + sign * other.weight,
        )


def silent() -> Tone:
    """Return a tone that is always 0, for corpora that cannot teach one."""
    return Tone(np.zeros((WIDTH, len(TONE_NAMES))), np.zeros(len(TONE_NAMES)))


def sums(
    embeddings: NDArray[np.float16], truth: NDArray[np.bool_], weights: Array, group: NDArray[np.str_]
) -> list[Sums]:
    """Return what windows add to the discriminant of each tone.

    Parameters
    ----------
    embeddings : ndarray of float16, shape (n, 768)
    truth : ndarray of bool, shape (n, n_tones)
    weights : ndarray of float64, shape (n,)
        Under which every corpus counts alike.
    group : ndarray of str, shape (n,)
        Corpus of each; means are taken within it.
    """
    found = []
    for label in range(truth.shape[1]):
        total = Sums(np.zeros((WIDTH, WIDTH)), np.zeros(WIDTH), np.zeros(WIDTH), 0.0)
        for name in np.unique(group):
            at = np.flatnonzero(group == name)
            w, true = weights[at], truth[at, label]
            share = w.sum()
            if true.any() and not true.all():
                w = np.where(true, w / w[true].sum(), w / w[~true].sum()) * share / 2.0
            else:
                w, share = w * WITHOUT_CONTRAST, share * WITHOUT_CONTRAST
            x = embeddings[at].astype(np.float32)
            mean = w @ x / share
            x -= mean.astype(np.float32)
            weighed = x * w[:, None].astype(np.float32)
            scatter = (x.T @ weighed).astype(np.float64)
            contrast = np.where(true, 1.0, -1.0) @ weighed if 0 < true.sum() < len(true) else np.zeros(WIDTH)
            total = total.plus(Sums(scatter, np.asarray(contrast, np.float64), mean * share, float(share)))
        found.append(total)
    return found


def fit_tone(parts: Sequence[list[Sums]]) -> Tone:
    """Return the discriminants of all parts together.

    Parameters
    ----------
    parts : sequence of list of Sums
        From `sums`.
    """
    tone = silent()
    for label, each in enumerate(zip(*parts, strict=True)):
        together = reduce(Sums.plus, each)
        if together.weight <= 0.0 or not together.contrast.any():
            continue
        scatter, contrast = together.scatter / together.weight, together.contrast / together.weight
        diagonal = np.diag_indices(WIDTH)
        scatter[diagonal] += SHRINKAGE * scatter[diagonal] + 1e-9
        direction = np.linalg.solve(scatter, contrast)
        # of total scatter a regression is made, of that within classes a discriminant: they differ by a factor
        weights = 2.0 * direction / (1.0 - contrast @ direction)
        tone.weights[:, label], tone.bias[label] = weights, -(together.mean / together.weight) @ weights
    return tone
