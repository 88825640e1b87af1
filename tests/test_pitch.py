"""F0, voicing and HNR against signals whose truth is known, and against Praat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_mulaw, encode_mulaw
from emotion_triage.prosody.frames import FRAME_LENGTH
from emotion_triage.prosody.lld import LLD_NAMES, lld
from emotion_triage.prosody.pitch import (
    F0_MAX_HZ,
    F0_MIN_HZ,
    VOICING_THRESHOLD,
    Pitch,
    normalise,
    pitch,
    power_spectrum,
)

Array = NDArray[np.float64]


def pitch_of(frames: NDArray[np.floating]) -> Pitch:
    return pitch(power_spectrum(normalise(np.atleast_2d(frames).astype(np.float32)).samples))


def harmonics(f0_hz: float, low_hz: float, high_hz: float, n: int = FRAME_LENGTH, seed: int = 0) -> Array:
    """Return a sum of equal harmonics between two frequencies, with random phases, at RMS 0.1."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    numbers = np.arange(np.ceil(low_hz / f0_hz), high_hz // f0_hz + 1)[:, None]
    wave = np.sum(np.cos(2 * np.pi * f0_hz * numbers * time_s + rng.uniform(0, 2 * np.pi, numbers.shape)), axis=0)
    return np.asarray(0.1 * wave / np.sqrt(np.mean(wave**2)))


@pytest.mark.parametrize("through_mulaw", [False, True])
@pytest.mark.parametrize("f0_hz", [75.0, 98.3, 131.0, 187.7, 244.4, 311.0, 402.5, 487.0])
def test_f0_survives_a_line_without_the_fundamental(f0_hz: float, through_mulaw: bool) -> None:
    """Harmonics in 300-3400 Hz alone give their common F0 within 0.5 %."""
    wave = harmonics(f0_hz, 300.0, 3400.0).astype(np.float32)
    found = pitch_of(decode_mulaw(encode_mulaw(wave)) if through_mulaw else wave)
    assert found.f0_hz[0] == pytest.approx(f0_hz, rel=5e-3)
    assert found.voicing[0] > 0.9


@given(f0_hz=st.floats(80.0, 440.0), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_f0_holds_whatever_the_phases(f0_hz: float, seed: int) -> None:
    """Up to 440 Hz the phases of the harmonics do not move F0 by more than 1 %."""
    assert pitch_of(harmonics(f0_hz, 60.0, 3800.0, seed=seed)).f0_hz[0] == pytest.approx(f0_hz, rel=1e-2)


@pytest.mark.parametrize("hnr_db", [3.0, 6.0, 10.0, 15.0, 20.0])
def test_strength_is_the_share_of_the_harmonics(hnr_db: float) -> None:
    """Noise at a known level gives that HNR within 1.5 dB on average."""
    rng = np.random.default_rng(1)
    noise = 0.1 * 10 ** (-hnr_db / 20) * rng.standard_normal((200, FRAME_LENGTH))
    strength = pitch_of(np.stack([harmonics(160.0, 100.0, 3800.0, seed=k) for k in range(200)]) + noise).voicing
    assert np.mean(10 * np.log10(strength / (1 - strength))) == pytest.approx(hnr_db, abs=1.5)


def test_noise_is_unvoiced() -> None:
    """White noise is unvoiced in at least 95 of 100 frames."""
    noise = np.random.default_rng(2).standard_normal((300, FRAME_LENGTH)) * 0.1
    assert np.mean(np.isnan(pitch_of(noise).f0_hz)) >= 0.95


@pytest.mark.parametrize("level", [0.0, 0.25, -1.0])
def test_a_constant_has_no_pitch(level: float) -> None:
    """Digital zeros and DC have strength 0, no F0 and no candidate."""
    found = pitch_of(np.full(FRAME_LENGTH, level))
    assert np.isnan(found.f0_hz[0])
    assert np.isnan(found.f0_second_hz[0])
    assert (found.voicing[0], found.voicing_second[0]) == (0.0, 0.0)


@given(f0_hz=st.floats(70.0, 480.0), gain=st.sampled_from([0.1, 0.003, 7.0]), dc=st.sampled_from([0.0, 0.2]))
@settings(max_examples=40, deadline=None)
def test_gain_and_dc_leave_f0_alone(f0_hz: float, gain: float, dc: float) -> None:
    """Gain and DC change neither F0 nor strength."""
    rng = np.random.default_rng(3)
    wave = harmonics(f0_hz, 60.0, 3800.0) + 0.02 * rng.standard_normal(FRAME_LENGTH)
    plain, changed = pitch_of(wave), pitch_of(gain * wave + dc)
    assert changed.f0_hz[0] == pytest.approx(plain.f0_hz[0], rel=1e-3)
    assert changed.voicing[0] == pytest.approx(plain.voicing[0], abs=1e-3)


@pytest.mark.parametrize("f0_hz", [180.0, 240.0, 333.0])
def test_second_candidate_is_a_whole_number_of_periods(f0_hz: float) -> None:
    """The second candidate of a voice lies whole octaves, twelfths, ... below the first: what octave repair needs."""
    found = pitch_of(harmonics(f0_hz, 100.0, 3000.0))
    ratio = found.f0_hz[0] / found.f0_second_hz[0]
    assert round(ratio) >= 2
    assert ratio == pytest.approx(round(ratio), abs=0.03)


def test_candidates_stay_in_range() -> None:
    """No candidate lies outside 60 to 500 Hz, no strength outside 0 to 1, and voiced means strong."""
    frames = np.random.default_rng(4).standard_normal((200, FRAME_LENGTH)).cumsum(axis=-1) * 0.01
    found = pitch_of(frames)
    candidates = np.concatenate((found.f0_hz, found.f0_second_hz))
    candidates = candidates[~np.isnan(candidates)]
    assert F0_MIN_HZ <= candidates.min() <= candidates.max() <= F0_MAX_HZ
    assert 0.0 <= found.voicing_second.min() <= max(found.voicing.max(), found.voicing_second.max()) < 1.0
    assert np.array_equal(~np.isnan(found.f0_hz), found.voicing >= VOICING_THRESHOLD)


def test_normalise_gives_unit_power() -> None:
    """A normalised frame has mean 0 and RMS 1, and remembers its power."""
    wave = harmonics(150.0, 100.0, 3000.0) + 0.3
    found = normalise(wave[None].astype(np.float32))
    assert np.mean(found.samples) == pytest.approx(0.0, abs=1e-7)
    assert np.mean(found.samples**2) == pytest.approx(1.0)
    assert found.power[0] == pytest.approx(np.var(wave), rel=1e-5)


def test_f0_agrees_with_praat() -> None:
    """A gliding voice has Praat's F0 within 1 % and Praat's HNR within 2 dB, frame by frame."""
    parselmouth = pytest.importorskip("parselmouth")
    rng = np.random.default_rng(6)
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * (150.0 * time_s + 40.0 * time_s**2)
    wave = 0.05 * sum(np.cos(k * phase) / k for k in range(1, 14)) + 0.005 * rng.standard_normal(len(time_s))
    sound = parselmouth.Sound(wave, SAMPLE_RATE_HZ)
    centres_s = np.arange(5, 45) * 0.02
    starts = np.rint(centres_s * SAMPLE_RATE_HZ).astype(int) - FRAME_LENGTH // 2
    rows = lld(np.stack([wave[start : start + FRAME_LENGTH] for start in starts]).astype(np.float32))
    track = sound.to_pitch_ac(pitch_floor=F0_MIN_HZ, pitch_ceiling=F0_MAX_HZ)
    harmonicity = sound.to_harmonicity_cc(minimum_pitch=F0_MIN_HZ)
    f0_hz = np.array([track.get_value_at_time(t) for t in centres_s])
    hnr_db = np.array([harmonicity.get_value(t) for t in centres_s])
    np.testing.assert_allclose(rows[:, LLD_NAMES.index("f0_hz")], f0_hz, rtol=1e-2)
    np.testing.assert_allclose(rows[:, LLD_NAMES.index("hnr_db")], hnr_db, atol=2.0)
