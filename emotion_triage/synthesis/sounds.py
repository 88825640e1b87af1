"""What else is on a telephone line: tones, hum, noise and hold music, none of which is speech.

Each generator gives float32 samples at 8 kHz. A level is an RMS, in dB relative to an RMS of 1 (dBFS).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import number, shown, whole_number
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.errors import ArgumentError

__all__ = [
    "at_level",
    "clipped_noise",
    "comfort_noise",
    "drums",
    "dtmf",
    "hold_music",
    "hum",
    "random_numbers",
    "samples_in",
    "telephone_band",
    "tone",
]

_BAND_HZ = (200.0, 3400.0)


def telephone_band(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Keep 200 to 3400 Hz: Butterworth magnitudes of order 4 (low) and 8 (high), without phase.

    Analogue lines cut at 300 Hz; a digital one lets a woman's fundamental through.

    Parameters
    ----------
    samples : ndarray of float, shape (n,)
        Samples at 8 kHz.

    Returns
    -------
    ndarray of float64, shape (n,)
        The same, band-limited; a new array.

    Examples
    --------
    >>> loud = telephone_band(tone(50.0, 1.0, level_dbfs=-10.0))
    >>> bool(abs(loud).max() < 0.002)
    True
    """
    low_hz, high_hz = _BAND_HZ
    frequency_hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    below = 1 / np.sqrt(1 + (low_hz / np.maximum(frequency_hz, 1e-3)) ** 8)
    above = 1 / np.sqrt(1 + (frequency_hz / high_hz) ** 16)
    return np.asarray(np.fft.irfft(np.fft.rfft(samples) * below * above, len(samples)), np.float64)


def at_level(samples: NDArray[np.floating], level_dbfs: float) -> NDArray[np.float64]:
    """Scale to an RMS of `level_dbfs`; silence stays silence.

    Examples
    --------
    >>> at_level(np.array([3.0, -3.0]), -20.0).round(6).tolist()
    [0.1, -0.1]
    """
    number("level_dbfs", level_dbfs, "a level in dBFS, -300 to 300", least=-300.0, most=300.0)
    return np.asarray(samples * (10 ** (level_dbfs / 20) / np.sqrt(np.mean(samples**2) + 1e-30)), np.float64)


def samples_in(duration_s: float, name: str = "duration_s") -> int:
    """Return how many samples so many seconds are.

    Raises
    ------
    ArgumentError
        If it is no number of seconds, or more than a day.
    """
    return round(number(name, duration_s, "seconds, 0 to 86400", least=0.0, most=86400.0) * SAMPLE_RATE_HZ)


def random_numbers(seed: int) -> np.random.Generator:
    """Return a generator of random numbers.

    Raises
    ------
    ArgumentError
        If the seed is no whole number from 0.
    """
    return np.random.default_rng(whole_number("seed", seed, "a whole number from 0", most=math.inf))


def _time_s(duration_s: float) -> NDArray[np.float64]:
    return np.arange(samples_in(duration_s)) / SAMPLE_RATE_HZ


def tone(frequency_hz: float, duration_s: float, *, level_dbfs: float = -20.0) -> NDArray[np.float32]:
    """Make a sine.

    Examples
    --------
    >>> len(tone(440.0, 0.5))
    4000
    """
    number("frequency_hz", frequency_hz, "Hz, 0 to 4000", least=0.0, most=SAMPLE_RATE_HZ / 2)
    return at_level(np.sin(2 * np.pi * frequency_hz * _time_s(duration_s)), level_dbfs).astype(np.float32)


def dtmf(digits: str, *, tone_s: float = 0.1, gap_s: float = 0.1) -> NDArray[np.float32]:
    """Dial: two tones a digit (ITU-T Q.23), each digit followed by a gap of digital silence; RMS -13 dBFS.

    Examples
    --------
    >>> dtmf("#42").shape
    (4800,)
    """
    rows = ("123A", "456B", "789C", "*0#D")
    samples_in(tone_s, "tone_s")
    silence = np.zeros(samples_in(gap_s, "gap_s"), np.float32)
    parts = [silence[:0]]
    if not isinstance(digits, str) or any(digit not in "".join(rows) for digit in digits):
        raise ArgumentError(f"digits: got {shown(digits)}, expected a text of 0 to 9, A to D, * and #")
    for digit in digits:
        row = next(row for row, keys in enumerate(rows) if digit in keys)
        low_hz, high_hz = (697, 770, 852, 941)[row], (1209, 1336, 1477, 1633)[rows[row].index(digit)]
        parts += [tone(low_hz, tone_s, level_dbfs=-16.0) + tone(high_hz, tone_s, level_dbfs=-16.0), silence]
    return np.concatenate(parts)


def hum(mains_hz: Literal[50, 60], duration_s: float, *, level_dbfs: float = -30.0) -> NDArray[np.float32]:
    """Make mains hum: 20 harmonics, the odd ones strong, falling with their order."""
    number("mains_hz", mains_hz, "50 or 60", least=50, most=60)
    time_s = _time_s(duration_s)
    waves = [np.sin(2 * np.pi * mains_hz * k * time_s + k) / (k if k % 2 else 4 * k) for k in range(1, 21)]
    return at_level(np.sum(waves, axis=0), level_dbfs).astype(np.float32)


def comfort_noise(duration_s: float, *, level_dbfs: float = -50.0, seed: int) -> NDArray[np.float32]:
    """Make white noise of the telephone band, as gateways fill pauses with (RFC 3389)."""
    white = random_numbers(seed).standard_normal(samples_in(duration_s))
    return at_level(telephone_band(white), level_dbfs).astype(np.float32)


def clipped_noise(duration_s: float, *, seed: int) -> NDArray[np.float32]:
    """Make noise driven 12 dB past full scale, as from a broken headset: most samples are -1 or 1."""
    return np.clip(comfort_noise(duration_s, level_dbfs=12.0, seed=seed), -1.0, 1.0)


def hold_music(duration_s: float, *, seed: int) -> NDArray[np.float32]:
    """Make hold music: a plucked melody over chords and a bass, RMS -22 dBFS in the telephone band.

    Examples
    --------
    >>> len(hold_music(2.0, seed=0))
    16000
    """
    draw = random_numbers(seed)
    beat_s, key = float(draw.uniform(0.4, 0.65)), float(draw.uniform(-5, 6))
    degrees = np.array((0, 2, 4, 5, 7, 9, 11, 12, 14, 16))
    out = np.zeros(samples_in(duration_s))

    def play(at_s: float, semitone: float, length_s: float, loudness: float) -> None:
        start = round(at_s * SAMPLE_RATE_HZ)
        time_s = _time_s(length_s)[: max(0, len(out) - start)]
        for order in range(1, 8):
            frequency_hz = order * 261.6 * 2 ** ((semitone + key) / 12)
            if frequency_hz < 3900:
                decay = np.exp(-time_s * (1.5 + 0.8 * order) / length_s) * np.minimum(1, time_s / 0.01)
                out[start : start + len(time_s)] += (
                    loudness / order**1.3 * decay * np.sin(2 * np.pi * frequency_hz * time_s)
                )

    for bar in range(int(duration_s / (4 * beat_s)) + 1):
        root = (0, 5, 9, 7)[bar % 4] - 12
        for semitone in (root - 12, root, root + (3 if bar % 4 == 2 else 4), root + 7):
            play(bar * 4 * beat_s, semitone, 4 * beat_s, 0.5)
        for half_beat in np.flatnonzero(draw.random(8) < 0.6):
            play((bar * 8 + half_beat) * beat_s / 2, float(draw.choice(degrees)), 1.2 * beat_s, 1.0)
    return at_level(telephone_band(out), -22.0).astype(np.float32)


def drums(duration_s: float, *, seed: int) -> NDArray[np.float32]:
    """Make a drum beat: kick, snare and hi-hat at 90 to 130 beats a minute, RMS -22 dBFS."""
    draw = random_numbers(seed)
    half_beat_s = 30 / float(draw.uniform(90, 130))
    out = np.zeros(samples_in(duration_s))
    hit_s = _time_s(0.2)
    kick = np.sin(2 * np.pi * (60 * hit_s + 6 * (1 - np.exp(-hit_s / 0.02)))) * np.exp(-hit_s / 0.06)
    for index in range(int(duration_s / half_beat_s) + 1):
        noise = draw.standard_normal(len(hit_s))
        hit = 0.3 * noise * np.exp(-hit_s / 0.015)
        hit += (kick, 0.0, noise * np.exp(-hit_s / 0.05), 0.0)[index % 4]
        start = round(index * half_beat_s * SAMPLE_RATE_HZ)
        out[start : start + len(hit)] += hit[: max(0, len(out) - start)]
    return at_level(telephone_band(np.tanh(out)), -22.0).astype(np.float32)
