"""Jitter and shimmer of pulse trains whose irregularity is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_mulaw, encode_mulaw
from emotion_triage.prosody.frames import FRAME_LENGTH
from emotion_triage.prosody.pitch import normalise
from emotion_triage.prosody.voice import Voice, voice

Array = NDArray[np.float64]


class Train(NamedTuple):
    """A pulse train and its truth."""

    wave: Array
    jitter: float
    shimmer_db: float


def pulse_train(f0_hz: float, jitter: float, shimmer_db: float, n: int, rng: np.random.Generator) -> Train:
    """Return damped resonances (600 and 1500 Hz) with the jitter and the shimmer that their pulses have."""
    size = int(n * f0_hz / SAMPLE_RATE_HZ * 1.2) + 3
    period = SAMPLE_RATE_HZ / f0_hz * (1.0 + jitter * rng.standard_normal(size))
    level_db = shimmer_db * rng.standard_normal(size)
    wave = np.zeros(n + 200)
    for at, level in zip(np.cumsum(period) - period[0], 0.1 * 10 ** (level_db / 20), strict=True):
        start = int(np.ceil(at))
        if start < n:
            since_s = (start + np.arange(200) - at) / SAMPLE_RATE_HZ
            ring = np.sin(2 * np.pi * 600 * since_s) + 0.5 * np.sin(2 * np.pi * 1500 * since_s)
            wave[start : start + 200] += level * ring * np.exp(-600.0 * since_s)
    wave = wave[:n]
    return Train(wave, np.mean(np.abs(np.diff(period))) / np.mean(period), np.mean(np.abs(np.diff(level_db))))


def framed(wave: Array) -> Array:
    return np.stack([wave[at : at + FRAME_LENGTH] for at in range(160, len(wave) - FRAME_LENGTH, 160)])


def train(f0_hz: float, jitter: float = 0.0, shimmer_db: float = 0.0, n: int = 4 * SAMPLE_RATE_HZ) -> Train:
    return pulse_train(f0_hz, jitter, shimmer_db, n, np.random.default_rng(round(f0_hz)))


def through_line(wave: Array) -> Array:
    """Cut to 300-3400 Hz and code as G.711 mu-law."""
    spectrum = np.fft.rfft(wave)
    frequency_hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)
    spectrum[(frequency_hz < 300.0) | (frequency_hz > 3400.0)] = 0.0
    return decode_mulaw(encode_mulaw(np.fft.irfft(spectrum, len(wave)).astype(np.float32))).astype(np.float64)


def voice_of(frames: Array, f0_hz: float) -> Voice:
    return voice(normalise(frames.astype(np.float32)).samples, np.full(len(frames), f0_hz))


@pytest.mark.parametrize("f0_hz", [110.0, 160.0, 220.0, 330.0])
@pytest.mark.parametrize("jitter", [0.005, 0.01, 0.02])
def test_jitter_is_that_of_the_pulses(f0_hz: float, jitter: float) -> None:
    """Pulses whose periods vary by a known amount have that jitter, within a quarter."""
    made = train(f0_hz, jitter)
    assert np.nanmean(voice_of(framed(made.wave), f0_hz).jitter_local) == pytest.approx(made.jitter, rel=0.25)


@pytest.mark.parametrize("f0_hz", [110.0, 160.0, 220.0, 330.0])
@pytest.mark.parametrize("shimmer_db", [0.3, 0.6, 1.0])
def test_shimmer_is_that_of_the_pulses(f0_hz: float, shimmer_db: float) -> None:
    """Pulses whose levels vary by a known amount have that shimmer, within a quarter and 0.1 dB."""
    made = train(f0_hz, shimmer_db=shimmer_db)
    found = np.nanmean(voice_of(framed(made.wave), f0_hz).shimmer_local_db)
    assert found == pytest.approx(made.shimmer_db, rel=0.25, abs=0.1)


@pytest.mark.parametrize("f0_hz", [110.0, 220.0])
def test_a_line_keeps_them(f0_hz: float) -> None:
    """Through 300-3400 Hz and mu-law jitter and shimmer are still there, and a steady voice has little of both."""
    steady, rough, uneven = train(f0_hz), train(f0_hz, 0.02), train(f0_hz, 0.0, 1.0)
    calm, jittered, shimmered = (voice_of(framed(through_line(made.wave)), f0_hz) for made in (steady, rough, uneven))
    assert np.nanmean(calm.jitter_local) < 0.005
    assert np.nanmean(calm.shimmer_local_db) < 0.3
    assert np.nanmean(jittered.jitter_local) == pytest.approx(rough.jitter, rel=0.3)
    assert np.nanmean(shimmered.shimmer_local_db) == pytest.approx(uneven.shimmer_db, rel=0.3)


@given(jitter=st.floats(0.0, 0.03), shimmer_db=st.floats(0.0, 1.0), gain=st.sampled_from([0.1, 0.01]))
@settings(max_examples=20, deadline=None)
def test_gain_leaves_them_alone(jitter: float, shimmer_db: float, gain: float) -> None:
    """Gain changes neither jitter nor shimmer."""
    frames = framed(train(180.0, jitter, shimmer_db, n=1600).wave)
    plain, quiet = voice_of(frames, 180.0), voice_of(gain * frames, 180.0)
    np.testing.assert_allclose(quiet.jitter_local, plain.jitter_local, atol=1e-4)
    np.testing.assert_allclose(quiet.shimmer_local_db, plain.shimmer_local_db, atol=1e-3)


def test_two_periods_are_too_few() -> None:
    """At 65 Hz a frame holds fewer than three periods, so jitter is NaN; at 120 Hz it is not."""
    assert np.isnan(voice_of(framed(train(65.0).wave), 65.0).jitter_local).all()
    assert not np.isnan(voice_of(framed(train(120.0).wave), 120.0).jitter_local).any()


@given(f0_hz=st.lists(st.floats(60.0, 500.0), min_size=1, max_size=30), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_any_f0_is_taken(f0_hz: list[float], seed: int) -> None:
    """Noise under any F0 from 60 to 500 Hz gives ratios in [0, 0.2] or NaN, and no warning."""
    noise = normalise(np.random.default_rng(seed).standard_normal((len(f0_hz), FRAME_LENGTH)).astype(np.float32))
    found = voice(noise.samples, np.array(f0_hz))
    assert found.jitter_local.shape == found.shimmer_local_db.shape == (len(f0_hz),)
    known = found.jitter_local[~np.isnan(found.jitter_local)]
    assert np.all((known >= 0.0) & (known <= 0.25))
    assert not np.isinf(found.shimmer_local_db).any()


def test_jitter_and_shimmer_agree_with_praat() -> None:
    """A rough pulse train has Praat's jitter within 30 % and Praat's shimmer within 40 %."""
    parselmouth = pytest.importorskip("parselmouth")
    praat = pytest.importorskip("parselmouth.praat")
    made = pulse_train(170.0, 0.015, 0.8, SAMPLE_RATE_HZ, np.random.default_rng(7))
    sound = parselmouth.Sound(made.wave, SAMPLE_RATE_HZ)
    marks = praat.call(sound, "To PointProcess (periodic, cc)", 60, 500)
    jitter = praat.call(marks, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3)
    shimmer_db = praat.call([sound, marks], "Get shimmer (local_dB)", 0, 0, 0.0001, 0.02, 1.3, 1.6)
    found = voice_of(framed(made.wave), 170.0)
    assert np.nanmean(found.jitter_local) == pytest.approx(jitter, rel=0.3)
    assert np.nanmean(found.shimmer_local_db) == pytest.approx(shimmer_db, rel=0.4)
