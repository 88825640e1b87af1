"""A synthetic caller, for the demo and for tests: never a real voice.

A formant synthesiser after Klatt (1980), in its harmonic form: a voiced sample is the sum of the harmonics of
F0, each weighted by the spectrum of a glottal pulse (Rosenberg 1971) and by the resonances of a vocal tract.
Frication and breath are noise, shaped alike. The text is nonsense: syllables of drawn consonants and vowels
(formants of Peterson and Barney 1952), in phrases with declination, accents and pauses.

References
----------
D. H. Klatt, "Software for a cascade/parallel formant synthesizer", JASA 67(3), 1980.
A. E. Rosenberg, "Effect of glottal pulse shape on the quality of natural vowels", JASA 49(2B), 1971.
G. E. Peterson, H. L. Barney, "Control methods used in a study of the vowels", JASA 24(2), 1952.
P. N. Juslin, P. Laukka, "Communication of emotions in vocal expression and music performance", Psychological
Bulletin 129(5), 2003.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import shown
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.errors import ArgumentError
from emotion_triage.synthesis.sounds import at_level, random_numbers, samples_in, telephone_band

__all__ = ["synthetic_speech"]

_CONTROL_S = 0.005
_CONTROL_LENGTH = round(_CONTROL_S * SAMPLE_RATE_HZ)
_LINE_NOISE_DBFS = -62.0


class _Mood(NamedTuple):
    """How a speaker is disposed; levels and pitches as between neutral and hot anger."""

    level_dbfs: float
    f0_ratio: float
    accent_semitones: float
    syllables_per_s: float
    pause_s: tuple[float, float]
    tilt_hz: float
    closing: float
    jitter: float
    f1_ratio: float


_MOODS = {
    "calm": _Mood(-28.0, 1.0, 3.6, 4.3, (0.45, 0.9), 550.0, 0.14, 0.032, 1.0),
    "angry": _Mood(-19.0, 1.42, 5.2, 5.4, (0.15, 0.35), 2600.0, 0.08, 0.045, 1.06),
}


class _Voice(NamedTuple):
    f0_hz: float
    tract_ratio: float
    breath_db: float


_VOICES = {"female": _Voice(195.0, 1.17, -11.0), "male": _Voice(112.0, 1.0, -15.0)}

_VOWELS_HZ = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (500, 1500, 2500),
    ],
    dtype=np.float64,
)
_VOWEL_SHARES = (0.13, 0.17, 0.15, 0.06, 0.07, 0.08, 0.08, 0.08, 0.18)
_HIGHER_HZ = (3300.0, 4000.0)
_BANDWIDTHS_HZ = (130.0, 130.0, 150.0, 200.0, 250.0)
_LOCI_HZ = (900.0, 1700.0, 2200.0)


class _Segment(NamedTuple):
    """A stretch of constant targets: voice and noise are amplitudes in [0, 1], the pitch is in semitones."""

    duration_s: float
    voice: float
    noise: float
    noise_hz: float
    f1_hz: float
    f2_hz: float
    f3_hz: float
    pitch: float


def _syllable(
    draw: np.random.Generator, duration_s: float, stress: float, pitch: tuple[float, float]
) -> list[_Segment]:
    """Consonant, vowel and perhaps a coda; the pitch glides from its first to its second value."""
    f1, f2, f3 = _VOWELS_HZ[draw.choice(len(_VOWELS_HZ), p=_VOWEL_SHARES)] * draw.normal(1.0, 0.07, 3)
    locus = _LOCI_HZ[draw.integers(len(_LOCI_HZ))]
    onset, coda = draw.choice(["none", "sonorant", "fricative", "stop", "voiced stop"], 2, p=[0.1, 0.3, 0.2, 0.2, 0.2])
    start, end = pitch

    def consonant(kind: str, length_s: float, semitones: float) -> list[_Segment]:
        hiss_hz = float(draw.uniform(1800, 3300))
        if kind == "sonorant":
            return [_Segment(length_s, 0.25, 0.0, 0.0, 280.0, locus, 2300.0, semitones)]
        if kind == "fricative":
            return [_Segment(length_s * 1.2, 0.0, 0.07, hiss_hz, f1, locus, f3, semitones)]
        if kind == "stop":
            closure = _Segment(length_s, 0.0, 0.0, hiss_hz, f1, locus, f3, semitones)
            return [closure, closure._replace(duration_s=0.02, noise=0.15)]
        if kind == "voiced stop":
            closure = _Segment(length_s, 0.12, 0.0, hiss_hz, 220.0, locus, f3, semitones)
            return [closure, closure._replace(duration_s=0.01, noise=0.1)]
        return []

    before = consonant(str(onset), 0.28 * duration_s, start)
    after = consonant(str(coda), 0.2 * duration_s, end) if draw.random() < 0.3 else []
    rest_s = max(0.06, duration_s - sum(segment.duration_s for segment in before + after))
    nucleus = _Segment(rest_s / 2, stress, 0.0, 0.0, f1, f2, f3, start)
    return [*before, nucleus, nucleus._replace(pitch=end), *after]


def _utterance(draw: np.random.Generator, mood: _Mood, duration_s: float) -> list[_Segment]:
    """Phrases with declination, accents, final lengthening and pauses, longer than asked."""
    rest = _Segment(0.15, 0.0, 0.0, 0.0, 500.0, 1500.0, 2500.0, 0.0)
    segments = [rest]
    while len(segments) == 1 or sum(segment.duration_s for segment in segments) <= duration_s:
        n_syllables = int(draw.integers(5, 13))
        accented = draw.random(n_syllables) < 0.35
        accented[draw.integers(n_syllables)] = True
        declination = np.linspace(0.8, -0.8, n_syllables) * mood.accent_semitones
        pitch = declination + mood.accent_semitones * (accented - 0.4) + draw.normal(0, 0.5, n_syllables)
        pitch[-1] += mood.accent_semitones * draw.choice([-0.8, 0.8], p=[0.75, 0.25])
        stress = 10 ** ((np.linspace(0.0, -3.0, n_syllables) + np.where(accented, 0.0, -2.5)) / 20)
        lengths_s = draw.lognormal(0.0, 0.22, n_syllables) * np.where(accented, 1.1, 0.9) / mood.syllables_per_s
        lengths_s[-1] *= 1.4
        for index in range(n_syllables):
            glide = (float(pitch[index]), float(pitch[index] + draw.normal(-0.3, 1.2)))
            segments += _syllable(draw, float(lengths_s[index]), float(stress[index]), glide)
        segments.append(rest._replace(duration_s=float(draw.uniform(*mood.pause_s))))
    return segments


def _smooth(track: NDArray[np.float64], width_s: float) -> NDArray[np.float64]:
    """Articulators have mass: a Hann-weighted moving mean of the control track, edges held."""
    half = round(width_s / 2 / _CONTROL_S)
    window = np.hanning(2 * half + 3)[1:-1]
    return np.convolve(np.pad(track, half, mode="edge"), window / window.sum(), mode="valid")


def _tract(frequency_hz: NDArray[np.float64], formants_hz: list[NDArray[np.float64]]) -> NDArray[np.complex128]:
    """Complex gain of a cascade of resonators, each of gain 1 at 0 Hz (Klatt 1980, in continuous time)."""
    gain = np.ones(np.broadcast_shapes(frequency_hz.shape, formants_hz[0].shape), np.complex128)
    for centre_hz, width_hz in zip(formants_hz, _BANDWIDTHS_HZ, strict=True):
        gain *= centre_hz**2 / (centre_hz**2 - frequency_hz**2 + 1j * frequency_hz * width_hz)
    return gain


def _glottal_harmonics(n_harmonics: int, closing: float) -> NDArray[np.complex128]:
    """Fourier coefficients of the flow derivative of Rosenberg's pulse C, opening for 0.4 of a period."""
    phase = np.arange(512) / 512
    opening = 0.4
    flow = np.where(phase < opening, 0.5 * (1 - np.cos(np.pi * phase / opening)), 0.0)
    falls = (phase >= opening) & (phase < opening + closing)
    flow = np.where(falls, np.cos(np.pi * (phase - opening) / (2 * closing)), flow)
    order = np.arange(1, n_harmonics + 1)
    return np.asarray(np.fft.rfft(flow)[order] * 1j * order / len(phase), np.complex128)


def _shaped_noise(draw: np.random.Generator, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """White noise through a spectrum that changes every 5 ms; `gain` is (n_control, n_bins), overlap-add."""
    n_control, n_bins = gain.shape
    length = 2 * (n_bins - 1)
    window = np.hanning(length + 1)[:-1]
    frames = np.fft.irfft(np.fft.rfft(draw.standard_normal((n_control, length))) * gain) * window
    out = np.zeros((n_control + length // _CONTROL_LENGTH, _CONTROL_LENGTH))
    for part in range(length // _CONTROL_LENGTH):
        out[part : part + n_control] += frames[:, part * _CONTROL_LENGTH : (part + 1) * _CONTROL_LENGTH]
    overlap = float((window**2).sum()) / _CONTROL_LENGTH
    return np.asarray(out.ravel()[: n_control * _CONTROL_LENGTH] / np.sqrt(overlap), np.float64)


def synthetic_speech(
    duration_s: float,
    *,
    mood: Literal["calm", "angry"] = "calm",
    voice: Literal["female", "male"] = "female",
    seed: int,
) -> NDArray[np.float32]:
    """Nonsense speech over a telephone line.

    Parameters
    ----------
    duration_s : float
        Length in seconds.
    mood : {"calm", "angry"}
        Angry speech is 9 dB louder, its F0 42 % higher and wider in range, its rate 25 % faster, its pauses
        shorter and its spectrum flatter: the directions that Juslin and Laukka (2003) report.
    voice : {"female", "male"}
        Mean F0 of 195 or 112 Hz when calm, and the length of the vocal tract.
    seed : int
        The same seed gives the same samples.

    Returns
    -------
    ndarray of float32, shape (round(duration_s * 8000),)
        Samples at 8 kHz in [-1, 1]: phrases at an RMS of -28 (calm) or -19 dBFS (angry), over line noise at
        -62 dBFS.

    Examples
    --------
    >>> import numpy as np
    >>> calm, angry = (synthetic_speech(5.0, mood=mood, seed=1) for mood in ("calm", "angry"))
    >>> len(calm)
    40000
    >>> bool(np.std(angry) > 2 * np.std(calm))
    True
    """
    n_samples = samples_in(duration_s)
    for name, given, known in (("mood", mood, _MOODS), ("voice", voice, _VOICES)):
        if not isinstance(given, str) or given not in known:
            raise ArgumentError(f"{name}: got {shown(given)}, expected {' or '.join(known)}")
    draw = random_numbers(seed)
    manner, speaker = _MOODS[mood], _VOICES[voice]
    segments = _utterance(draw, manner, duration_s)
    ends = np.round(np.cumsum([segment.duration_s for segment in segments]) / _CONTROL_S).astype(int)
    table = np.repeat(np.array(segments)[:, 1:], np.diff(ends, prepend=0), axis=0)
    n_control = len(table)
    voiced, noisy = _smooth(table[:, 0], 0.03), _smooth(table[:, 1], 0.015)
    formants_hz = [speaker.tract_ratio * _smooth(table[:, column], 0.04) for column in (3, 4, 5)]
    formants_hz[0] = formants_hz[0] * manner.f1_ratio
    formants_hz += [np.full(n_control, speaker.tract_ratio * centre_hz) for centre_hz in _HIGHER_HZ]

    # The pitch wanders by itself, slowly, besides what the text asks for.
    wander = _smooth(draw.normal(0.0, 2.0, n_control), 0.1)
    f0_hz = speaker.f0_hz * manner.f0_ratio * 2 ** ((_smooth(table[:, 6], 0.07) + wander) / 12)
    time = np.arange(n_control * _CONTROL_LENGTH) / _CONTROL_LENGTH
    control = np.arange(n_control) + 0.5
    cycles = np.cumsum(np.interp(time, control, f0_hz)) / SAMPLE_RATE_HZ
    n_cycles = int(cycles[-1]) + 2
    # White displacements of pulses with deviation s give a mean |difference of periods| of 1.95 s.
    cycles += np.interp(cycles, np.arange(n_cycles), draw.normal(0.0, manner.jitter / 1.95, n_cycles))
    shimmer = 10 ** (draw.normal(0.0, 0.6, n_cycles) / 20)

    n_harmonics = int(3900 / f0_hz.min())
    source = _glottal_harmonics(n_harmonics, manner.closing)
    order = np.arange(1, n_harmonics + 1)[:, None]
    harmonics_hz = order * f0_hz
    # Vocal effort: the louder a syllable, the flatter its spectrum.
    corner_hz = manner.tilt_hz * (0.3 + 1.2 * voiced)
    tilt = np.hypot(1, harmonics_hz / (4 * corner_hz)) / np.hypot(1, harmonics_hz / corner_hz)
    gains = source[:, None] * tilt * _tract(harmonics_hz, formants_hz) * (harmonics_hz < 3900)
    # A speaker evens out their vowels: half of the differences in loudness that the tract alone would make.
    gains *= voiced / np.sqrt(np.linalg.norm(gains, axis=0))
    sound = np.zeros(len(time))
    for number, gain in enumerate(gains, start=1):
        sound += (np.interp(time, control, gain) * np.exp(2j * np.pi * number * cycles)).real
    sound *= np.interp(cycles, np.arange(n_cycles), shimmer)

    voiced_rms = np.sqrt(np.mean(sound**2))
    bins_hz = np.arange(81) * SAMPLE_RATE_HZ / 160
    breath = np.abs(_tract(bins_hz[None, :], [centre_hz[:, None] for centre_hz in formants_hz]))
    breath *= 10 ** (speaker.breath_db / 20) * voiced[:, None]
    hiss = noisy[:, None] * np.exp(-(((bins_hz[None, :] - table[:, 2:3]) / 900) ** 2))
    sound += 0.5 * voiced_rms * _shaped_noise(draw, breath) + 4 * voiced_rms * _shaped_noise(draw, hiss)

    sound = telephone_band(sound)
    speaking = np.repeat(voiced + noisy > 0.01, _CONTROL_LENGTH)
    sound *= 10 ** (manner.level_dbfs / 20) / np.sqrt(np.mean(sound[speaking] ** 2))
    sound += at_level(telephone_band(draw.standard_normal(len(sound))), _LINE_NOISE_DBFS)
    return np.clip(sound[:n_samples], -1.0, 1.0).astype(np.float32)
