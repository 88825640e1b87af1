"""What else is on a line is what it says it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.synthesis import sounds

RATE_HZ = 8000
# ITU-T Q.23, table 1, written out rather than computed.
KEYS_HZ = {
    "1": (697, 1209), "2": (697, 1336), "3": (697, 1477), "A": (697, 1633),
    "4": (770, 1209), "5": (770, 1336), "6": (770, 1477), "B": (770, 1633),
    "7": (852, 1209), "8": (852, 1336), "9": (852, 1477), "C": (852, 1633),
    "*": (941, 1209), "0": (941, 1336), "#": (941, 1477), "D": (941, 1633),
}  # fmt: skip
DRAWN: dict[str, Callable[[int], np.ndarray]] = {
    "comfort noise": lambda seed: sounds.comfort_noise(2.0, seed=seed),
    "clipped noise": lambda seed: sounds.clipped_noise(2.0, seed=seed),
    "hold music": lambda seed: sounds.hold_music(4.0, seed=seed),
    "drums": lambda seed: sounds.drums(4.0, seed=seed),
}


def dbfs(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def peaks_hz(samples: np.ndarray, count: int) -> list[float]:
    """The strongest frequencies, at a resolution of 1 Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), RATE_HZ))
    inner = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:])
    bins = np.flatnonzero(inner) + 1
    return sorted(bins[np.argsort(spectrum[bins])[-count:]].tolist())


@given(st.floats(100, 3800), st.floats(-60, -3))
def test_a_tone_has_its_frequency_and_level(frequency_hz: float, level_dbfs: float) -> None:
    """A tone's peak is within 2 Hz of what was asked, and its RMS within 0.1 dB."""
    samples = sounds.tone(frequency_hz, 1.0, level_dbfs=level_dbfs)
    assert peaks_hz(samples, 1)[0] == pytest.approx(frequency_hz, abs=2)
    assert dbfs(samples) == pytest.approx(level_dbfs, abs=0.1)


@pytest.mark.parametrize("digit", KEYS_HZ)
def test_a_digit_is_its_two_tones(digit: str) -> None:
    """Each key sounds its row and its column, as Q.23 has them."""
    assert peaks_hz(sounds.dtmf(digit, tone_s=0.5, gap_s=0.0), 2) == pytest.approx(KEYS_HZ[digit], abs=3)


def test_digits_follow_one_another() -> None:
    """Three digits of 80 ms with gaps of 50 ms take 390 ms, and the gaps are silent."""
    samples = sounds.dtmf("911", tone_s=0.08, gap_s=0.05)
    assert len(samples) == round(0.39 * RATE_HZ)
    assert not samples[round(0.08 * RATE_HZ) : round(0.13 * RATE_HZ)].any()


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_is_that_of_its_mains(mains_hz: int) -> None:
    """The two strongest components are the mains frequency and its third harmonic."""
    samples = sounds.hum(mains_hz, 1.0, level_dbfs=-25.0)
    assert peaks_hz(samples, 2) == pytest.approx([mains_hz, 3 * mains_hz], abs=1)
    assert dbfs(samples) == pytest.approx(-25.0, abs=0.1)


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_decides_every_sample(name: str) -> None:
    """The same seed gives the same sound, another seed another."""
    make = DRAWN[name]
    assert np.array_equal(make(3), make(3))
    assert not np.array_equal(make(3), make(4))


@pytest.mark.parametrize("name", DRAWN)
def test_sounds_stay_within_full_scale(name: str) -> None:
    """No sample leaves [-1, 1], and all are float32."""
    samples = DRAWN[name](5)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 1


@pytest.mark.parametrize("level_dbfs", [-60.0, -30.0])
def test_comfort_noise_has_its_level(level_dbfs: float) -> None:
    """Comfort noise has the RMS asked for."""
    assert dbfs(sounds.comfort_noise(3.0, level_dbfs=level_dbfs, seed=0)) == pytest.approx(level_dbfs, abs=0.1)


def test_clipped_noise_is_clipped() -> None:
    """More than half of the samples sit at full scale."""
    assert np.mean(np.abs(sounds.clipped_noise(1.0, seed=0)) == 1) > 0.5


@pytest.mark.parametrize("name", ["hold music", "drums"])
def test_music_goes_on(name: str) -> None:
    """Music leaves no second silent, and has the level of a line's music."""
    seconds = DRAWN[name](1).reshape(-1, RATE_HZ)
    assert min(dbfs(second) for second in seconds) > -40
    assert dbfs(seconds) == pytest.approx(-22.0, abs=0.1)


def test_hold_music_is_tonal_and_drums_are_not() -> None:
    """The flatness of the spectrum is far lower for a melody than for a drum beat."""

    def flatness(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples))[2000:12000] ** 2 + 1e-12
        return float(np.exp(np.log(power).mean()) / power.mean())

    assert flatness(sounds.hold_music(4.0, seed=1)) < 0.3 * flatness(sounds.drums(4.0, seed=1))


@given(st.sampled_from([60.0, 120.0, 3900.0]))
def test_the_telephone_band_cuts_what_lies_outside(frequency_hz: float) -> None:
    """A tone well outside the band loses more than 9 dB, one at 1 kHz loses nothing."""
    assert dbfs(sounds.telephone_band(sounds.tone(frequency_hz, 1.0))) < -29
    assert dbfs(sounds.telephone_band(sounds.tone(1000.0, 1.0))) == pytest.approx(-20.0, abs=0.05)
