"""A synthetic caller whose temper rises: calm, then angry, then calmer. Never a real voice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.synthesis.speech import synthetic_speech

__all__ = ["SCENES", "synthetic_caller"]

SCENES: tuple[tuple[Literal["calm", "angry"], float], ...] = (("calm", 20.0), ("angry", 15.0), ("calm", 20.0))
"""Moods of the synthetic caller and how long each lasts, in seconds."""
SEED = 14
"""Chosen so that all three levels are seen, on the way up and down."""


def synthetic_caller(block_s: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Speak as the caller would, always the same.

    Parameters
    ----------
    block_s : float
        Length of a block, in seconds.

    Yields
    ------
    at : int
        Index of the block's first sample.
    samples : ndarray of float32, shape (n,)
        At 8 kHz.

    Examples
    --------
    >>> sum(len(samples) for _, samples in synthetic_caller(block_s=1.0)) / 8000
    55.0
    """
    block, at = round(block_s * SAMPLE_RATE_HZ), 0
    for scene, (mood, duration_s) in enumerate(SCENES):
        speech = synthetic_speech(duration_s, mood=mood, voice="male", seed=SEED + scene)
        for start in range(0, len(speech), block):
            samples = speech[start : start + block]
            yield at, samples
            at += len(samples)
