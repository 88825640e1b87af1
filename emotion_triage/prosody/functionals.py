"""Statistics of the LLD rows over a window of speech, and their change against the caller's baseline.

The choice follows GeMAPS (Eyben et al. 2016, doi:10.1109/TAFFC.2015.2457417) within the telephone band: means and
coefficients of variation of few descriptors carry over to unseen corpora better than thousands. Absolute level is not
among the features, since a telephone's gain says nothing; its change against the caller's own baseline is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.lld import COLUMN, LLD_NAMES
from emotion_triage.prosody.vad import SpeechFrames, count, quantiles, steady_ratio

__all__ = [
    "CHANGE_NAMES",
    "DRIVER_GROUPS",
    "FEATURE_NAMES",
    "FUNCTIONAL_NAMES",
    "HEADLINES",
    "STATISTIC_NAMES",
    "TONE_NAMES",
    "Baseline",
    "Functionals",
    "features",
    "functionals",
    "population",
]

Real = NDArray[np.floating]
F0_REFERENCE_HZ = 27.5
"""0 semitones, as in GeMAPS."""
FLOOR_RANK = 0.05
"""Between words only the line is heard; its level is the 5th percentile of a window's frames."""
JUMP_ST = 3.0
"""Steps of more semitones in 20 ms are tracking errors or new phrases, not intonation."""

_VOICED: tuple[str, ...] = (
    "voicing",
    "hnr_db",
    "jitter_local",
    "shimmer_local_db",
    "slope_300_1000_db_per_khz",
    "slope_1000_3400_db_per_khz",
    "band_balance_db",
    "peak_balance_db",
)
_SPEECH: tuple[str, ...] = (
    "zero_crossing_rate_hz",
    "centroid_hz",
    "flatness_db",
    "spectral_flux",
    *(name for name in LLD_NAMES if name.startswith("mfcc_")),
)

FUNCTIONAL_NAMES: tuple[str, ...] = (
    "level_dbfs",
    "level_std_db",
    "level_range_db",
    "level_delta_db",
    "f0_mean_semitone",
    "f0_std_semitone",
    "f0_p20_semitone",
    "f0_p50_semitone",
    "f0_p80_semitone",
    "f0_range_semitone",
    "f0_rise_semitone_per_s",
    "f0_fall_semitone_per_s",
    "f0_steady_ratio",
    "f0_jump_ratio",
    *(f"{name}_{statistic}" for name in _VOICED for statistic in ("mean", "std")),
    *(f"{name}_{statistic}" for name in _SPEECH for statistic in ("mean", "std")),
    "syllable_rate_hz",
    "voiced_ratio",
    "voiced_runs_hz",
    "pause_ratio",
)
"""What a window is measured by; units in the names, ratios 0 to 1."""
TONE_NAMES: tuple[str, ...] = ("tone_anger", "tone_distress", "tone_arousal")
"""What the encoder makes of the seconds of speech in a window: the mean of each, about log-odds."""
STATISTIC_NAMES: tuple[str, ...] = (*FUNCTIONAL_NAMES, *TONE_NAMES)
"""What is known of a window: its prosody, then its tone."""

_AT = {name: i for i, name in enumerate(STATISTIC_NAMES)}

CHANGE_NAMES: tuple[str, ...] = tuple(
    name for name in STATISTIC_NAMES if not (name.startswith("mfcc_") and name.endswith("_mean"))
)
"""Statistics whose change against the caller's baseline is a feature; mean MFCCs tell the handset and the words."""
_ABSOLUTE = tuple(name for name in CHANGE_NAMES if name != "level_dbfs")
_CHANGE_AT = np.array([_AT[name] for name in CHANGE_NAMES])
_ABSOLUTE_AT = np.array([_AT[name] for name in _ABSOLUTE])

FEATURE_NAMES: tuple[str, ...] = (*_ABSOLUTE, *(f"{name}_change" for name in CHANGE_NAMES))
"""The classifier's input, in order: statistics, then their changes against the caller's baseline."""


def _group(*prefixes: str) -> NDArray[np.intp]:
    return np.array([i for i, name in enumerate(FEATURE_NAMES) if name.startswith(prefixes)], np.intp)


DRIVER_GROUPS: dict[str, NDArray[np.intp]] = {
    "loudness": _group("level_"),
    "f0": _group("f0_mean", "f0_p20", "f0_p50", "f0_p80"),
    "intonation": _group("f0_std", "f0_range", "f0_rise", "f0_fall", "f0_steady", "f0_jump"),
    "rate": _group("syllable_rate", "voiced_runs", "spectral_flux"),
    "pauses": _group("pause_ratio", "voiced_ratio"),
    "effort": _group("slope_", "band_balance", "peak_balance", "centroid", "mfcc_", "zero_crossing"),
    "voice_quality": _group("voicing", "hnr", "jitter", "shimmer", "flatness"),
    "tone": _group("tone_"),
}
"""Features by the name a supervisor knows; every feature is in exactly one group."""

HEADLINES: dict[str, tuple[int, str]] = {
    "loudness": (_AT["level_dbfs"], "dB"),
    "f0": (_AT["f0_mean_semitone"], "%"),
    "intonation": (_AT["f0_range_semitone"], "st"),
    "rate": (_AT["syllable_rate_hz"], "%"),
    "pauses": (_AT["pause_ratio"], "pt"),
    "effort": (_AT["band_balance_db_mean"], "dB"),
    "voice_quality": (_AT["hnr_db_mean"], "dB"),
    "tone": (_AT["tone_anger"], "log-odds"),
}
"""The statistic that stands for a group in words, and the unit its change is told in."""


class Functionals(NamedTuple):
    """What `functionals` measured.

    Attributes
    ----------
    statistics : ndarray of float32, shape (n_windows, n_functionals)
        In the order of `FUNCTIONAL_NAMES`; finite.
    snr_db : ndarray of float32, shape (n_windows,)
        Level of the voiced frames over the 5th percentile of all that was heard, in dB: how far the voice stands out.
    """

    statistics: NDArray[np.float32]
    snr_db: Real


def _moments(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[Real, Real]:
    """Mean and standard deviation along the last axis over the masked frames whose value is a number; 0 without any."""
    use = mask & ~np.isnan(values)
    x = np.where(use, values, np.float32(0.0))
    n_used = np.maximum(count(use), 1).astype(np.float32)
    mean = np.add.reduce(x, axis=-1) / n_used
    x -= mean[..., None]
    x *= use
    return mean, np.sqrt(np.einsum("...i,...i->...", x, x) / n_used)


def _interleave(pairs: tuple[Real, Real]) -> Real:
    return np.stack(pairs, axis=-1).reshape(len(pairs[0]), -1)


def functionals(windows: NDArray[np.float32], frames: SpeechFrames) -> Functionals:
    """Measure windows of rows.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_lld, n_frames)
        Rows of `emotion_triage.prosody.lld.lld`, transposed; a frame that was never heard is NaN throughout.
    frames : SpeechFrames
        From `emotion_triage.prosody.vad.speech_frames`, of the same windows.

    Returns
    -------
    Functionals

    Examples
    --------
    >>> import numpy as np
    >>> from emotion_triage.prosody.vad import speech_frames
    >>> silence = np.full((1, len(LLD_NAMES), 150), np.nan, np.float32)
    >>> functionals(silence, speech_frames(silence)).statistics.shape == (1, len(FUNCTIONAL_NAMES))
    True
    """
    columns = [_level(windows, frames), _f0(frames)]
    floor = quantiles(windows[:, COLUMN["energy_dbfs"]], ~frames.lost, (FLOOR_RANK,))
    for names, mask in ((_VOICED, frames.voiced), (_SPEECH, frames.speech)):
        values = windows[:, [COLUMN[name] for name in names]]
        columns.append(_interleave(_moments(values, mask[:, None, :])))
    columns.append(_rhythm(frames))
    return Functionals(np.concatenate(columns, axis=-1).astype(np.float32), columns[0][:, 0] - floor[:, 0])


def _level(windows: NDArray[np.float32], frames: SpeechFrames) -> Real:
    energy = windows[:, COLUMN["energy_dbfs"]]
    mean, std = _moments(energy, frames.voiced)
    low_high = quantiles(energy, frames.voiced, (0.2, 0.8))
    delta, _ = _moments(np.abs(np.diff(energy, axis=-1)), frames.speech[:, 1:] & frames.speech[:, :-1])
    return np.stack((mean, std, low_high[:, 1] - low_high[:, 0], delta), axis=-1)


def _f0(frames: SpeechFrames) -> Real:
    hz = np.where(frames.voiced, frames.f0_hz, np.float32(F0_REFERENCE_HZ))
    semitones = np.float32(12.0) * np.log2(hz / np.float32(F0_REFERENCE_HZ))
    mean, std = _moments(semitones, frames.voiced)
    p20, p50, p80 = quantiles(semitones, frames.voiced, (0.2, 0.5, 0.8)).T
    slope = np.diff(semitones, axis=-1) / np.float32(HOP_S)
    together = frames.voiced[:, 1:] & frames.voiced[:, :-1]
    glides = together & (np.abs(slope) * HOP_S < JUMP_ST)
    rise, _ = _moments(slope, glides & (slope > 0))
    fall, _ = _moments(slope, glides & (slope < 0))
    jumps = count(together & ~glides) / np.maximum(count(together), 1)
    steady = steady_ratio(semitones, frames.voiced)
    return np.stack((mean, std, p20, p50, p80, p80 - p20, rise, fall, steady, jumps), axis=-1)


def _rhythm(frames: SpeechFrames) -> Real:
    n_speech = count(frames.speech)
    speech_s = np.maximum(n_speech, 1) * HOP_S
    starts = count(frames.voiced[:, 1:] & ~frames.voiced[:, :-1])
    # pauses are counted from the first to the last speech frame: how long the caller waited before is not their rhythm
    order = np.arange(frames.speech.shape[-1])
    first = np.where(frames.speech, order, order[-1]).min(axis=-1)
    last = np.where(frames.speech, order, 0).max(axis=-1)
    span = np.maximum(last - first + 1, 1)
    return np.stack(
        (
            count(frames.nuclei) / speech_s,
            count(frames.voiced) * HOP_S / speech_s,
            starts / speech_s,
            1.0 - np.minimum(n_speech / span, 1.0),
        ),
        axis=-1,
    )


def features(statistics: NDArray[np.float32], baseline: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return the classifier's input for one window.

    Parameters
    ----------
    statistics : ndarray of float32, shape (..., n_statistics)
    baseline : ndarray of float32, shape (n_statistics,) or broadcastable, or None
        The caller's own mean statistics; None before they have a baseline: then every change is 0.

    Returns
    -------
    ndarray of float32, shape (..., n_features)
        In the order of `FEATURE_NAMES`.
    """
    absolute = statistics[..., _ABSOLUTE_AT]
    now = statistics[..., _CHANGE_AT]
    change = np.zeros_like(now) if baseline is None else now - baseline[..., _CHANGE_AT]
    return np.concatenate((absolute, change), axis=-1)


def population(feature_mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the training speech's mean statistics, NaN where no absolute feature tells one (the level).

    Parameters
    ----------
    feature_mean : ndarray of float32, shape (n_features,)
        From the model's contract.

    Returns
    -------
    ndarray of float32, shape (n_statistics,)
    """
    statistics = np.full(len(STATISTIC_NAMES), np.nan, np.float32)
    statistics[_ABSOLUTE_AT] = feature_mean[: len(_ABSOLUTE_AT)]
    return statistics


class Baseline:
    """The caller's own reference: their mean statistics over their first seconds of speech.

    It fills up once and then stays: a baseline that went on following the caller would follow them into their anger.

    Examples
    --------
    >>> baseline = Baseline(full_s=1.0)
    >>> baseline.add(np.full(len(STATISTIC_NAMES), 2.0, np.float32), speech_s=0.5)
    >>> baseline.statistics is None
    True
    >>> baseline.add(np.full(len(STATISTIC_NAMES), 3.0, np.float32), speech_s=0.5)
    >>> float(baseline.statistics[0])
    2.5
    """

    __slots__ = ("_speech_s", "_sum", "full_s")

    def __init__(self, full_s: float) -> None:
        self.full_s = full_s
        self._speech_s = 0.0
        self._sum = np.zeros(len(STATISTIC_NAMES))

    def add(self, statistics: NDArray[np.float32], speech_s: float) -> None:
        """Count a window, weighted by the speech it brought; ignored once the baseline is full."""
        if self._speech_s < self.full_s:
            self._sum += statistics * speech_s
            self._speech_s += speech_s

    @property
    def so_far(self) -> NDArray[np.float32] | None:
        """Mean statistics, float32 of shape (n_statistics,); None before any speech."""
        return (self._sum / self._speech_s).astype(np.float32) if self._speech_s else None

    @property
    def statistics(self) -> NDArray[np.float32] | None:
        """Mean statistics as `so_far`; None until the baseline is full."""
        return self.so_far if self._speech_s >= self.full_s else None
