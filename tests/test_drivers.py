"""Drivers of the shipped model, checked by changing the voice: what was raised must be what is told."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from emotion_triage.affect.affect import Affect, Driver, log_odds
from emotion_triage.call.triage import Triage
from emotion_triage.synthesis.speech import synthetic_speech

RATE_HZ = 8000
SHARP = butter(2, 1200.0, "highpass", fs=RATE_HZ, output="sos")


def after(triage: Triage, changed: np.ndarray, calm: np.ndarray) -> list[Affect]:
    """What is said of the second part of a call that begins calm."""
    call = triage.call("call", encoding="float32")
    call.push(calm)
    whole_s = call.position_s + 3.0  # windows from here on hold nothing of the first part
    return [event for event in call.push(changed) if isinstance(event, Affect) and event.time_s >= whole_s]


def named(affects: list[Affect], name: str) -> list[Driver]:
    """One driver of each Affect that tells it."""
    return [driver for affect in affects for driver in affect.drivers if driver.name == name]


@pytest.fixture(scope="module")
def shipped() -> Triage:
    """The model and the policy that ship."""
    return Triage.load()


@pytest.fixture(scope="module")
def calm() -> np.ndarray:
    """Twenty seconds of calm speech."""
    return synthetic_speech(20.0, mood="calm", seed=5)


def test_a_louder_voice_drives_by_its_loudness(shipped: Triage, calm: np.ndarray) -> None:
    """The same words 9 dB louder are told as about 9 dB, and speak for anger."""
    again = after(shipped, calm[-8 * RATE_HZ :], calm[: 14 * RATE_HZ])
    louder = after(shipped, calm[-8 * RATE_HZ :] * np.float32(2.8), calm[: 14 * RATE_HZ])
    told = named(louder, "loudness")
    assert told
    assert all(driver.weight > 0 for driver in told)
    # the words differ in level among themselves
    assert np.median([driver.change for driver in told]) == pytest.approx(9.0, abs=3.0)
    gains = [log_odds(now.anger) - log_odds(before.anger) for now, before in zip(louder, again, strict=True)]
    assert np.median(gains) > 0.1
    assert min(gains) > -0.1  # int8 rounds the tone of a louder second another way


def test_a_softer_voice_is_never_told_as_a_reason_for_anger(shipped: Triage, calm: np.ndarray) -> None:
    """The same words 9 dB softer give no loudness that speaks for anger."""
    softer = after(shipped, calm[-8 * RATE_HZ :] / np.float32(2.8), calm[: 14 * RATE_HZ])
    assert all(driver.weight <= 0 or driver.change > 0 for driver in named(softer, "loudness"))


def test_a_sharper_voice_drives_by_its_effort(shipped: Triage, calm: np.ndarray) -> None:
    """The same words with 12 dB an octave less of their low tones are told as sharper, and that speaks for anger."""
    sharper = after(shipped, sosfilt(SHARP, calm[-8 * RATE_HZ :]).astype(np.float32), calm[: 14 * RATE_HZ])
    told = named(sharper, "effort")
    assert told
    assert all(driver.weight > 0 and driver.change > 3.0 for driver in told)
