"""The synthetic caller sounds as asked: pitch, level, rate, spectrum, voice quality."""

from __future__ import annotations

import functools

import numpy as np
import parselmouth
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from emotion_triage.synthesis.speech import synthetic_speech

RATE_HZ = 8000
SEEDS = (1, 2, 3)


@functools.cache
def speak(mood: str, voice: str = "female") -> np.ndarray:
    """Half a minute from three seeds, so that no single phrase decides."""
    return np.concatenate([synthetic_speech(10.0, mood=mood, voice=voice, seed=seed) for seed in SEEDS])


def f0_hz(samples: np.ndarray) -> np.ndarray:
    pitch = parselmouth.Sound(samples.astype(np.float64), RATE_HZ).to_pitch_ac(pitch_floor=60, pitch_ceiling=500)
    track = pitch.selected_array["frequency"]
    return track[track > 0]


def hop_dbfs(samples: np.ndarray) -> np.ndarray:
    hops = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(np.float64)
    return 10 * np.log10((hops**2).mean(axis=1) + 1e-12)


def speech_dbfs(samples: np.ndarray) -> float:
    levels = hop_dbfs(samples)
    active = levels[levels > levels.max() - 35]
    return float(10 * np.log10(np.mean(10 ** (active / 10))))


def share_db(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Energy between two frequencies, relative to all of it."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequency_hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(10 * np.log10(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum() / power.sum()))


@given(
    st.floats(0.0, 4.0),
    st.sampled_from(["calm", "angry"]),
    st.sampled_from(["female", "male"]),
    st.integers(0),
)
@settings(max_examples=25, deadline=None)
def test_any_caller_is_well_formed(duration_s: float, mood: str, voice: str, seed: int) -> None:
    """Any duration, mood, voice and seed gives so many finite float32 samples within full scale."""
    samples = synthetic_speech(duration_s, mood=mood, voice=voice, seed=seed)
    assert samples.dtype == np.float32
    assert samples.shape == (round(duration_s * RATE_HZ),)
    assert np.isfinite(samples).all()
    assert (np.abs(samples) <= 1).all()


def test_a_seed_decides_every_sample() -> None:
    """The same seed speaks the same samples, another seed others."""
    first, again, other = (synthetic_speech(2.0, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert np.corrcoef(first, other)[0, 1] < 0.2


@pytest.mark.parametrize(("voice", "expected_hz"), [("female", 195.0), ("male", 112.0)])
def test_a_calm_voice_has_its_pitch(voice: str, expected_hz: float) -> None:
    """The median F0 that Praat hears is within 8 % of the voice's."""
    assert np.median(f0_hz(speak("calm", voice))) == pytest.approx(expected_hz, rel=0.08)


@pytest.mark.parametrize("voice", ["female", "male"])
def test_anger_raises_and_widens_the_pitch(voice: str) -> None:
    """An angry caller's F0 is 35 to 50 % higher than the calm one's, and its range in semitones wider."""
    calm, angry = f0_hz(speak("calm", voice)), f0_hz(speak("angry", voice))
    assert 1.35 < np.median(angry) / np.median(calm) < 1.5
    calm_range, angry_range = (np.subtract(*np.percentile(12 * np.log2(f0), [90, 10])) for f0 in (calm, angry))
    assert angry_range > 1.2 * calm_range


@pytest.mark.parametrize(("mood", "expected_dbfs"), [("calm", -28.0), ("angry", -19.0)])
def test_speech_has_its_level(mood: str, expected_dbfs: float) -> None:
    """Speech without its pauses is within 1 dB of the level that its mood sets, so anger is 9 dB louder."""
    assert speech_dbfs(speak(mood)) == pytest.approx(expected_dbfs, abs=1.0)


@pytest.mark.parametrize("voice", ["female", "male"])
def test_anger_flattens_the_spectrum(voice: str) -> None:
    """An angry voice has at least 3 dB more of its energy above 1 kHz than the same voice when calm."""
    assert share_db(speak("angry", voice), 1000, 3400) > share_db(speak("calm", voice), 1000, 3400) + 3


def test_anger_shortens_the_pauses() -> None:
    """A calm caller is silent for more of the time than an angry one, and both breathe between phrases."""
    calm, angry = (np.mean(hop_dbfs(speak(mood)) < -55) for mood in ("calm", "angry"))
    assert calm > 1.3 * angry > 0.01


def test_the_rate_is_that_of_speech() -> None:
    """Three to six swells of level come in a second of phrase, and 15 to 40 % more in anger."""
    rates = []
    for mood in ("calm", "angry"):
        level = np.convolve(np.maximum(hop_dbfs(speak(mood)), -60), np.hanning(7)[1:-1] / 3, mode="same")
        rates.append(len(find_peaks(level, prominence=3)[0]) / (0.02 * np.sum(level > -55)))
    calm, angry = rates
    assert 3 < calm < 6
    assert 1.15 < angry / calm < 1.4


def test_the_line_keeps_the_telephone_band() -> None:
    """Less than a thousandth of the energy lies below 100 or above 3700 Hz."""
    samples = speak("angry", "male")
    assert share_db(samples, 0, 100) < -30
    assert share_db(samples, 3700, 4001) < -30


@pytest.mark.parametrize("voice", ["female", "male"])
@pytest.mark.parametrize("mood", ["calm", "angry"])
def test_the_voice_is_human_in_quality(mood: str, voice: str) -> None:
    """Praat's jitter, shimmer and HNR lie where running speech lies, not where a buzzer or a whisper does."""
    sound = parselmouth.Sound(speak(mood, voice).astype(np.float64), RATE_HZ)
    pulses = parselmouth.praat.call(sound, "To PointProcess (periodic, cc)", 60, 500)
    jitter = parselmouth.praat.call(pulses, "Get jitter (local)", 0, 0, 1e-4, 0.02, 1.3)
    shimmer = parselmouth.praat.call([sound, pulses], "Get shimmer (local_dB)", 0, 0, 1e-4, 0.02, 1.3, 1.6)
    hnr = sound.to_harmonicity_ac().values
    assert 0.005 < jitter < 0.03
    assert 0.3 < shimmer < 1.5
    assert 4 < hnr[hnr > 0].mean() < 20


def test_the_line_is_never_digitally_silent() -> None:
    """Pauses hold line noise at -62 dBFS, as on a real line."""
    assert hop_dbfs(speak("calm")).min() == pytest.approx(-62, abs=3)
