"""The encoder's input: Whisper's mel spectrum, from 8 kHz directly."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import soxr

from emotion_triage.prosody.mel import N_BANDS, N_FRAMES, SECOND, log_mel
from emotion_triage.synthesis.speech import synthetic_speech

SPEECH = synthetic_speech(3.0, mood="angry", seed=2)[SECOND : 2 * SECOND]


def reference(samples: np.ndarray) -> np.ndarray:
    """Whisper's definition, by librosa at 16 kHz."""
    x = soxr.resample(samples, 8000, 16000)
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-7)
    power = np.abs(librosa.stft(x, n_fft=400, hop_length=160, window="hann", center=True, pad_mode="reflect")) ** 2
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=N_BANDS)
    bands = np.log10(np.maximum(filters @ power[:, :N_FRAMES], 1e-10))
    return np.asarray((np.maximum(bands, bands.max() - 8.0) + 4.0) / 4.0)


def test_bands_below_the_telephone_s_end_are_whisper_s() -> None:
    """Up to 3.4 kHz the spectrum at 8 kHz is that of librosa at 16 kHz, but for the resampler's own ripple."""
    got, want = log_mel(SPEECH), reference(SPEECH)
    below = librosa.mel_frequencies(N_BANDS + 2, fmax=8000.0)[2:] < 3400.0
    inner = slice(3, -3)  # at the ends the two reflect other samples
    assert np.abs(got - want)[below, inner].max() < 0.02


def test_bands_above_hold_the_floor() -> None:
    """Above 4 kHz nothing was sampled: the bands lie at the bottom of the range."""
    got = log_mel(SPEECH)
    np.testing.assert_allclose(got[70:], got.max() - 2.0, atol=1e-6)


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
def test_level_says_nothing(gain: float) -> None:
    """A louder or softer second has the same spectrum: level is told by the descriptors, against the caller's own."""
    np.testing.assert_allclose(log_mel((gain * SPEECH).astype(np.float32)), log_mel(SPEECH), atol=2e-3)


def test_silence_is_finite() -> None:
    """Digital silence gives numbers."""
    assert np.isfinite(log_mel(np.zeros(SECOND, np.float32))).all()


def test_input_is_not_written_to() -> None:
    """Samples of a call are read alone."""
    samples = SPEECH.copy()
    samples.flags.writeable = False
    log_mel(samples)
