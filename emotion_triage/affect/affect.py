"""What was heard and why: `Affect` and its `Driver`s.

A driver is a group of prosodic features. Its weight is measured, not guessed: the window is scored once more with
the group put back to the caller's own baseline (before they have one, to the mean of the training speech), and the
difference in log-odds of anger is what the group added (occlusion: Zeiler & Fergus, ECCV 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.arguments import sequence
from emotion_triage.prosody.functionals import DRIVER_GROUPS, FEATURE_NAMES, HEADLINES
from emotion_triage.texts import Language, Text, number

__all__ = [
    "Affect",
    "Driver",
    "describe",
    "describe_fall",
    "driver_weights",
    "log_odds",
    "measure_drivers",
    "measure_fall",
    "occlusions",
]

_OCCLUDED = np.zeros((1 + len(DRIVER_GROUPS), len(FEATURE_NAMES)), np.bool_)
for _row, _columns in zip(_OCCLUDED[1:], DRIVER_GROUPS.values(), strict=True):
    _row[_columns] = True
MIN_WEIGHT = 0.05
"""Log-odds below which a group is not worth a word."""
MAX_DRIVERS = 4
RISING = frozenset({"loudness", "f0", "effort", "rate", "tone"})
"""Groups whose headline rises with anger; where it fell and finer features rose, there is no word for the reason."""
JUST_NOTICEABLE = {"dB": 1.0, "%": 5.0, "st": 1.0, "pt": 5.0, "log-odds": 0.5}
"""A headline that changed by less is not told: nobody hears it (about 1 dB, 5 % and a semitone in running speech)."""


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """One prosodic reason for a score.

    Attributes
    ----------
    name : str
        ``loudness``, ``f0``, ``intonation``, ``rate``, ``pauses``, ``effort``, ``voice_quality`` or ``tone``.
    change : float
        How far the caller is from `reference`, in `unit`; signed.
    unit : str
        ``dB``, ``%``, ``st`` (semitones) or ``pt`` (points of a share).
    reference : {"caller", "population", "peak"}
        The caller's own first seconds, the training speech before they have a baseline, or the angriest window before.
    weight : float
        Log-odds of anger that the group added; negative where it spoke against anger, or adds less than at the peak.

    Examples
    --------
    >>> driver = Driver(name="f0", change=38.2, unit="%", reference="caller", weight=1.1)
    >>> driver.text("en"), driver.text("fr")
    ('F0 +38 %', 'F0 +38 %')
    """

    name: str
    change: float
    unit: str
    reference: Literal["caller", "population", "peak"]
    weight: float

    def text(self, language: Language = "en") -> str:
        """Return the driver in words."""
        up, down = _WORDS[self.name]
        phrase = up if self.change >= 0 else down
        size = abs(self.change)
        return phrase[language].format(number(size, 0 if self.unit in ("%", "pt") or size >= WHOLE else 1, language))


WHOLE = 3.0
"""Changes from here on are written without decimals."""
_WORDS = {
    "loudness": (Text("driver", "voice {} dB louder"), Text("driver", "voice {} dB softer")),
    "f0": (Text("driver", "F0 +{} %"), Text("driver", "F0 -{} %")),
    "intonation": (
        Text("driver", "intonation wider by {} semitones"),
        Text("driver", "intonation narrower by {} semitones"),
    ),
    "rate": (Text("driver", "speech rate +{} %"), Text("driver", "speech rate -{} %")),
    "pauses": (Text("driver", "pauses +{} points"), Text("driver", "pauses -{} points")),
    "effort": (
        Text("driver", "sharper timbre (+{} dB above 1 kHz)"),
        Text("driver", "duller timbre (-{} dB above 1 kHz)"),
    ),
    "voice_quality": (Text("driver", "clearer voice (HNR +{} dB)"), Text("driver", "rougher voice (HNR -{} dB)")),
    # what the encoder hears has no unit that a supervisor knows
    "tone": (Text("driver", "tone of voice more like anger"), Text("driver", "tone of voice less like anger")),
}


class Affect(msgspec.Struct, frozen=True, kw_only=True):
    """How a window of the caller's speech sounded.

    Attributes
    ----------
    time_s : float
        End of the last sample used, in seconds of the call's stream.
    anger, distress, arousal : float
        Calibrated probabilities, 0 to 1.
    anger_alone : float or None
        Where the caller has a baseline, and `anger` knows it: what the voice by itself says, 0 to 1.
    speech_s, lost_s : float
        Speech and lost audio in the window, in seconds.
    drivers : tuple of Driver
        What moved `anger`, strongest first.
    """

    time_s: float
    anger: float
    distress: float
    arousal: float
    speech_s: float
    lost_s: float
    anger_alone: float | None = None
    drivers: tuple[Driver, ...] = ()


def log_odds(probability: float) -> float:
    """Return log-odds, finite at 0 and 1.

    Examples
    --------
    >>> log_odds(0.5)
    0.0
    """
    p = min(max(probability, 1e-5), 1.0 - 1e-5)
    return math.log(p / (1.0 - p))


def describe(drivers: tuple[Driver, ...], language: Language = "en") -> str:
    """Return the reasons for anger as one sentence for a supervisor; what spoke against it is left out.

    Examples
    --------
    >>> louder = Driver(name="loudness", change=8.0, unit="dB", reference="caller", weight=1.4)
    >>> faster = Driver(name="rate", change=25.0, unit="%", reference="caller", weight=0.4)
    >>> describe((louder, faster), "fr")
    'voix 8 dB plus forte, débit +25 %'
    """
    return ", ".join(
        driver.text(language)
        for driver in sequence("drivers", drivers, Driver)
        if driver.weight > 0 and (driver.change > 0 or driver.name not in RISING)
    )


def describe_fall(drivers: tuple[Driver, ...], language: Language = "en") -> str:
    """Return what fell since the angriest window as one sentence for a supervisor.

    Examples
    --------
    >>> softer = Driver(name="loudness", change=-5.0, unit="dB", reference="peak", weight=-1.4)
    >>> describe_fall((softer,))
    'voice 5 dB softer'
    """
    return ", ".join(
        driver.text(language)
        for driver in sequence("drivers", drivers, Driver)
        if driver.weight < 0 and (driver.change < 0 or driver.name not in RISING)
    )


def occlusions(features: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows to score: the window itself, then the window with each driver group put back to the reference.

    Parameters
    ----------
    features, reference : ndarray of float32, shape (n_features,)

    Returns
    -------
    ndarray of float32, shape (1 + n_groups, n_features)
    """
    return np.where(_OCCLUDED, reference, features)


def driver_weights(anger: Sequence[float]) -> tuple[float, ...]:
    """Return what each driver group adds to a window's anger, in log-odds.

    Parameters
    ----------
    anger : sequence of float, length 1 + n_groups
        Probabilities of the rows of `occlusions`.
    """
    odds = log_odds(anger[0])
    return tuple(odds - log_odds(occluded) for occluded in anger[1:])


def measure_drivers(
    anger: Sequence[float],
    statistics: NDArray[np.float32],
    reference: NDArray[np.float32],
    source: Literal["caller", "population"],
) -> tuple[Driver, ...]:
    """Name what moved a window's anger, strongest first.

    Parameters
    ----------
    anger : sequence of float, length 1 + n_groups
        Probabilities of the rows of `occlusions`.
    statistics, reference : ndarray of float32, shape (n_statistics,)
        The window's statistics and those it is compared with; a group whose headline is NaN is left out.
    source : {"caller", "population"}
        Whose `reference` it is.

    Returns
    -------
    tuple of Driver
        At most four.
    """
    return _named(driver_weights(anger), statistics, reference, source)


def measure_fall(
    weights: Sequence[float],
    statistics: NDArray[np.float32],
    peak_weights: Sequence[float],
    peak_statistics: NDArray[np.float32],
) -> tuple[Driver, ...]:
    """Name what adds less to anger than in the angriest window before, strongest first; weights by `driver_weights`."""
    fallen = [min(now - then, 0.0) for now, then in zip(weights, peak_weights, strict=True)]
    return _named(fallen, statistics, peak_statistics, "peak")


def _named(
    weights: Sequence[float],
    statistics: NDArray[np.float32],
    reference: NDArray[np.float32],
    source: Literal["caller", "population", "peak"],
) -> tuple[Driver, ...]:
    found = []
    for weight, (name, (at, unit)) in zip(weights, HEADLINES.items(), strict=True):
        change = _change(statistics.item(at), reference.item(at), unit, name)
        if abs(weight) >= MIN_WEIGHT and abs(change) >= JUST_NOTICEABLE[unit]:  # NaN is never noticeable
            found.append(Driver(name=name, change=change, unit=unit, reference=source, weight=weight))
    return tuple(sorted(found, key=lambda driver: -abs(driver.weight))[:MAX_DRIVERS])


def _change(now: float, before: float, unit: str, name: str) -> float:
    if unit == "pt":
        return 100.0 * (now - before)
    if unit != "%":
        return now - before
    if name == "f0":  # F0 is measured in semitones and told in per cent
        return 100.0 * (math.exp2((now - before) / 12.0) - 1.0)
    return 100.0 * (now / before - 1.0) if before > 0 else float("nan")
