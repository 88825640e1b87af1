"""A telephone line between the corpora's studio and the model: band, noise, gain, clipping, G.711."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_alaw, decode_mulaw, encode_alaw, encode_mulaw

__all__ = ["Line", "trim"]

Samples = NDArray[np.float32]
TRIM_DB = 45.0
"""Leading and trailing audio this far below a clip's loudest 20 ms is not speech; its zeros and length leak labels."""


def trim(samples: Samples) -> Samples:
    """Cut leading and trailing silence, DC and all."""
    samples = samples - samples.mean()
    n = len(samples) // 160
    if n == 0:
        return samples
    power = np.square(samples[: n * 160]).reshape(n, 160).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-TRIM_DB / 10))
    return samples[loud[0] * 160 : (loud[-1] + 1) * 160] if len(loud) else samples


class Line:
    """One caller's line, drawn at random: the same for all that they say in a call.

    Parameters
    ----------
    rng : numpy.random.Generator
    noises : list of ndarray of float32
        Backgrounds that may lie under the speech.
    """

    def __init__(self, rng: np.random.Generator, noises: list[Samples]) -> None:
        low_hz, high_hz = (300.0, 3400.0) if rng.random() < 0.6 else (rng.uniform(60, 300), rng.uniform(3300, 3850))
        self._band = butter(4, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
        self._tilt_db = rng.normal(0.0, 2.5)
        self._gain_control = rng.random() if rng.random() < 0.5 else 0.0
        self._level_dbfs = rng.uniform(-38.0, -16.0)
        self._noise_db = rng.uniform(12.0, 45.0)
        self._noise = noises[rng.integers(len(noises))] if noises and rng.random() < 0.5 else None
        self._clip = rng.uniform(0.3, 0.9) if rng.random() < 0.08 else 1.0
        self._companded = (encode_mulaw, decode_mulaw) if rng.random() < 0.6 else (encode_alaw, decode_alaw)
        self._rng = rng

    def carry(self, samples: Samples, reference_rms: float) -> Samples:
        """Return what arrives at the other end.

        Parameters
        ----------
        samples : ndarray of float32, shape (n,)
            Clean speech at 8 kHz.
        reference_rms : float
            The speaker's typical level in `samples`, so that loud clips stay louder than soft ones.
        """
        x = samples / max(reference_rms, 1e-6)
        # what a telephone's automatic gain control takes away of the difference between loud and soft stretches
        x = x / max(float(np.sqrt(np.mean(x**2))), 1e-3) ** self._gain_control
        x = np.asarray(sosfilt(self._band, x + self._hiss(len(x)) * 10 ** (-self._noise_db / 20)))
        pre = np.tanh(self._tilt_db / 10.0)  # a one-pole shelf: handsets and microphones differ by a few dB
        x = x + pre * np.diff(x, prepend=0.0)
        x *= 10 ** (self._level_dbfs / 20)
        limit = self._clip if self._clip == 1.0 else self._clip * float(np.abs(x).max(initial=1e-6))
        encode, decode = self._companded
        return decode(np.frombuffer(encode(np.clip(x, -limit, limit).astype(np.float32)), np.uint8))

    def _hiss(self, n: int) -> NDArray[np.float64]:
        if self._noise is None:
            return self._rng.standard_normal(n)
        start = self._rng.integers(len(self._noise))
        piece = np.resize(np.roll(self._noise, -start), n).astype(np.float64)
        return np.asarray(piece / max(float(np.sqrt(np.mean(piece**2))), 1e-6))
