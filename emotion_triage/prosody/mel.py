"""Log-mel spectra of one second of speech, as Whisper's encoder expects them, from 8 kHz directly.

Whisper (Radford et al. 2022, arXiv:2212.04356) computes 80 mel bands of 16 kHz audio. A telephone line carries nothing
above 4 kHz: the upper bands hold the floor, and the lower ones are the same at half the rate, since 200 samples at
8 kHz are the 25 ms that 400 are at 16 kHz.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ

__all__ = ["N_BANDS", "N_FRAMES", "SECOND", "log_mel"]

SECOND = SAMPLE_RATE_HZ
"""Samples of a chunk: one second."""
N_BANDS = 80
FFT_LENGTH = 200
"""25 ms."""
HOP_LENGTH = 80
"""10 ms."""
N_FRAMES = SECOND // HOP_LENGTH
ENCODER_RATE_HZ = 16_000
"""The rate that the encoder was trained at."""
POWER_RATIO = np.float32((ENCODER_RATE_HZ / SAMPLE_RATE_HZ) ** 2)
"""A frame has twice as many samples at the encoder's rate, and so four times the power in each bin."""
POWER_FLOOR = np.float32(1e-10)
DYNAMIC_RANGE = np.float32(8.0)
"""Decades below the loudest value at which a band is cut off."""
LEAST_VARIANCE = np.float32(1e-7)
_LINEAR_END_HZ, _LINEAR_END_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0


def _mel(frequency_hz: float) -> float:
    """Return mels on Slaney's scale (Auditory Toolbox, 1998)."""
    if frequency_hz < _LINEAR_END_HZ:
        return 3.0 * frequency_hz / 200.0
    return float(_LINEAR_END_MEL + np.log(frequency_hz / _LINEAR_END_HZ) / _LOG_STEP)


def _frequency_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LINEAR_END_HZ * np.exp(_LOG_STEP * (mel - _LINEAR_END_MEL))
    return np.where(mel < _LINEAR_END_MEL, 200.0 * mel / 3.0, above)


@cache
def _bank() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the window of a frame, and the triangular filters, float32 of shape (101, 80)."""
    edges_hz = _frequency_hz(np.linspace(0.0, _mel(ENCODER_RATE_HZ / 2), N_BANDS + 2))
    bins_hz = np.arange(FFT_LENGTH // 2 + 1) * SAMPLE_RATE_HZ / FFT_LENGTH
    from_edge = edges_hz[None] - bins_hz[:, None]
    widths_hz = np.diff(edges_hz)
    rising, falling = -from_edge[:, :-2] / widths_hz[:-1], from_edge[:, 2:] / widths_hz[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (edges_hz[2:] - edges_hz[:-2])
    window = np.hanning(FFT_LENGTH + 1)[:-1]
    return window.astype(np.float32), np.ascontiguousarray(filters, np.float32)


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-mel spectrum of one second, normalised by itself alone.

    Level is lost on purpose: the waveform is scaled by its own deviation, the spectrum by its own peak. A chunk never
    depends on its neighbours, so it is computed once and gives the same bits in any company.

    Parameters
    ----------
    samples : ndarray of float32, shape (8000,)
        One second at 8 kHz.

    Returns
    -------
    ndarray of float32, shape (80, 100)
        Log10 of power, shifted and scaled to about -1 to 1, one column each 10 ms.

    Examples
    --------
    >>> log_mel(np.sin(np.arange(8000, dtype=np.float32))).shape
    (80, 100)
    """
    window, filters = _bank()
    x = samples - samples.mean()
    x /= np.sqrt(np.square(x).mean() + LEAST_VARIANCE)
    padded = np.pad(x, FFT_LENGTH // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_LENGTH)[::HOP_LENGTH][:N_FRAMES]
    spectrum = np.fft.rfft(frames * window, axis=-1)
    power = POWER_RATIO * (np.square(spectrum.real) + np.square(spectrum.imag)).astype(np.float32)
    bands = np.log10(np.maximum(power @ filters, POWER_FLOOR))
    bands = np.maximum(bands, bands.max() - DYNAMIC_RANGE)
    return np.ascontiguousarray((bands.T + np.float32(4.0)) / np.float32(4.0))
