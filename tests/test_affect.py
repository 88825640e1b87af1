"""Drivers name what moved a score, with the right sign and in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.affect.affect import (
    MAX_DRIVERS,
    MIN_WEIGHT,
    Driver,
    describe,
    log_odds,
    measure_drivers,
    occlusions,
)
from emotion_triage.affect.classifier import LABELS, Classifier
from emotion_triage.call.triage import Triage
from emotion_triage.prosody.functionals import DRIVER_GROUPS, HEADLINES, STATISTIC_NAMES, features
from emotion_triage.texts import LANGUAGES

CALM = np.array([3.5 + 0.01 * k for k in range(len(STATISTIC_NAMES))], np.float32)
"""A caller's own statistics; any will do, since the hand-made model sees their changes."""


def changed(**by: float) -> np.ndarray:
    """The caller's statistics with some moved."""
    now = CALM.copy()
    for name, shift in by.items():
        now[STATISTIC_NAMES.index(name)] += np.float32(shift)
    return now


def all_moved() -> np.ndarray:
    """The caller's statistics with every headline moved far enough to be heard."""
    now = CALM.copy()
    now[[at for at, _ in HEADLINES.values()]] += 10.0
    return now


def drivers_of(model: Path, statistics: np.ndarray) -> dict[str, Driver]:
    rows = occlusions(features(statistics, CALM), features(CALM, CALM))
    anger = Classifier.load(model).score(rows)[:, LABELS.index("anger_against_baseline")].tolist()
    return {driver.name: driver for driver in measure_drivers(anger, statistics, CALM, "caller")}


# Weights


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("weight", [2.0, -2.0])
@pytest.mark.parametrize(
    ("statistic", "group", "shift"), [("level_dbfs", "loudness", 4.0), ("f0_mean_semitone", "f0", 3.0)]
)
def test_a_weight_has_the_sign_of_what_it_did(
    write_model: Callable[..., Path], statistic: str, group: str, shift: float, weight: float, sign: float
) -> None:
    """What raises anger weighs positive and what lowers it negative, whichever way the caller moved."""
    model = write_model({f"{statistic}_change": weight}, bias=0.0)
    drivers = drivers_of(model, changed(**{statistic: sign * shift}))
    assert list(drivers) == [group]
    # the hand-made scales are 4 dB and 4 semitones, so the log-odds that the group added are known
    assert drivers[group].weight == pytest.approx(sign * weight * shift / 4.0, abs=1e-3)
    assert np.sign(drivers[group].change) == sign
    assert drivers[group].reference == "caller"


def test_drivers_come_strongest_first(write_model: Callable[..., Path]) -> None:
    """Of three that moved the score, the one that added most comes first, whatever its sign."""
    model = write_model({"level_dbfs_change": 1.0, "f0_mean_semitone_change": -2.0, "syllable_rate_hz": 0.2}, bias=0.0)
    moved = drivers_of(model, changed(level_dbfs=4.0, f0_mean_semitone=4.0, syllable_rate_hz=1.0))
    assert list(moved) == ["f0", "loudness", "rate"]
    assert [np.sign(driver.weight) for driver in moved.values()] == [-1, 1, 1]


def test_what_did_not_move_is_no_driver(anger_model: Path) -> None:
    """A caller who is as he was has no drivers."""
    assert drivers_of(anger_model, CALM) == {}


def test_each_group_is_put_back_alone() -> None:
    """Row 0 is the window; row k differs from it exactly in the features of group k, which are the reference's."""
    draw = np.random.default_rng(0)
    window, reference = draw.standard_normal((2, sum(map(len, DRIVER_GROUPS.values())))).astype(np.float32)
    rows = occlusions(window, reference)
    assert np.array_equal(rows[0], window)
    for row, columns in zip(rows[1:], DRIVER_GROUPS.values(), strict=True):
        assert np.flatnonzero(row != window).tolist() == sorted(columns.tolist())
        assert np.array_equal(row[columns], reference[columns])


def test_a_group_without_a_reference_is_left_out() -> None:
    """Before there is a baseline nobody's level is known, so loudness is no driver."""
    reference = CALM.copy()
    reference[STATISTIC_NAMES.index("level_dbfs")] = np.nan
    anger = [0.9] + [0.1] * len(DRIVER_GROUPS)
    named = [driver.name for driver in measure_drivers(anger, all_moved(), reference, "population")]
    assert "loudness" not in named
    assert len(named) == MAX_DRIVERS


@given(st.lists(st.floats(0.001, 0.999), min_size=1 + len(HEADLINES), max_size=1 + len(HEADLINES)))
def test_at_most_four_drivers_worth_a_word(anger: list[float]) -> None:
    """Never more than four, each above the least weight, sorted, and none stronger is left out."""
    found = measure_drivers(anger, all_moved(), CALM, "caller")
    strengths = [abs(driver.weight) for driver in found]
    weights = [abs(log_odds(anger[0]) - log_odds(each)) for each in anger[1:]]
    expected = sorted((weight for weight in weights if weight >= MIN_WEIGHT), reverse=True)[:MAX_DRIVERS]
    assert strengths == pytest.approx(expected)


@pytest.mark.parametrize(
    ("group", "statistic", "before", "now", "change"),
    [
        ("loudness", "level_dbfs", -30.0, -22.0, 8.0),
        ("f0", "f0_mean_semitone", 30.0, 42.0, 100.0),
        ("f0", "f0_mean_semitone", 30.0, 18.0, -50.0),
        ("intonation", "f0_range_semitone", 4.0, 6.5, 2.5),
        ("rate", "syllable_rate_hz", 4.0, 5.0, 25.0),
        ("pauses", "pause_ratio", 0.30, 0.12, -18.0),
        ("effort", "band_balance_db_mean", -16.0, -10.0, 6.0),
        ("voice_quality", "hnr_db_mean", 15.0, 11.0, -4.0),
    ],
)
def test_a_change_is_told_in_its_unit(group: str, statistic: str, before: float, now: float, change: float) -> None:
    """dB and semitones are differences, F0 and rate per cent (an octave up is +100 %), pauses points of a share."""
    reference, statistics = CALM.copy(), CALM.copy()
    at = STATISTIC_NAMES.index(statistic)
    reference[at], statistics[at] = before, now
    anger = [0.8] + [0.4 if name == group else 0.8 for name in DRIVER_GROUPS]
    (driver,) = measure_drivers(anger, statistics, reference, "caller")
    assert (driver.name, driver.unit) == (group, HEADLINES[group][1])
    assert driver.change == pytest.approx(change, rel=1e-4)


@pytest.mark.parametrize(("shift", "told"), [(0.9, []), (1.1, ["loudness"]), (-0.9, []), (-1.1, ["loudness"])])
def test_what_nobody_hears_is_no_driver(shift: float, told: list[str]) -> None:
    """A change of less than 1 dB is not told, whatever the model makes of it."""
    anger = [0.9] + [0.1] * len(DRIVER_GROUPS)
    found = measure_drivers(anger, changed(level_dbfs=shift), CALM, "caller")
    assert [driver.name for driver in found] == told


# Words

PHRASES = {
    ("loudness", "en"): ("voice 8 dB louder", "voice 8 dB softer"),
    ("loudness", "fr"): ("voix 8 dB plus forte", "voix 8 dB plus faible"),
    ("tone", "en"): ("tone of voice more like anger", "tone of voice less like anger"),
    ("tone", "fr"): ("ton de voix plus proche de la colère", "ton de voix plus loin de la colère"),
    ("f0", "en"): ("F0 +8 %", "F0 -8 %"),
    ("f0", "fr"): ("F0 +8 %", "F0 -8 %"),
    ("intonation", "en"): ("intonation wider by 8 semitones", "intonation narrower by 8 semitones"),
    ("intonation", "fr"): ("intonation plus ample de 8 demi-tons", "intonation plus plate de 8 demi-tons"),
    ("rate", "en"): ("speech rate +8 %", "speech rate -8 %"),
    ("rate", "fr"): ("débit +8 %", "débit -8 %"),
    ("pauses", "en"): ("pauses +8 points", "pauses -8 points"),
    ("pauses", "fr"): ("pauses +8 points", "pauses -8 points"),
    ("effort", "en"): ("sharper timbre (+8 dB above 1 kHz)", "duller timbre (-8 dB above 1 kHz)"),
    ("effort", "fr"): (
        "timbre plus tendu (+8 dB au-dessus de 1 kHz)",
        "timbre plus sourd (-8 dB au-dessus de 1 kHz)",
    ),
    ("voice_quality", "en"): ("clearer voice (HNR +8 dB)", "rougher voice (HNR -8 dB)"),
    ("voice_quality", "fr"): ("voix plus claire (HNR +8 dB)", "voix plus rauque (HNR -8 dB)"),
}


def driver(name: str, change: float, weight: float = 1.0) -> Driver:
    return Driver(name=name, change=change, unit=HEADLINES[name][1], reference="caller", weight=weight)


@pytest.mark.parametrize(("name", "language"), PHRASES)
def test_words_follow_the_change(name: str, language: str) -> None:
    """Every group has a phrase for more and one for less, in both languages."""
    assert tuple(driver(name, change).text(language) for change in (8.0, -8.0)) == PHRASES[name, language]


def test_every_group_has_words_in_every_language() -> None:
    """The phrases of this test leave out no group and no language."""
    assert set(PHRASES) == {(name, language) for name in DRIVER_GROUPS for language in LANGUAGES}


def test_small_changes_keep_a_decimal() -> None:
    """Below 3 dB or semitones one decimal is told, with a comma in French; per cent and points are whole."""
    assert driver("loudness", 1.26).text("en") == "voice 1.3 dB louder"
    assert driver("loudness", -1.26).text("fr") == "voix 1,3 dB plus faible"
    assert driver("rate", 1.26).text("en") == "speech rate +1 %"


def test_a_description_pulls_one_way() -> None:
    """A sentence holds, in order, the reasons for anger, and nothing of what spoke against it."""
    drivers = (driver("loudness", 8, 2.0), driver("f0", -20, -1.0), driver("rate", 25, 0.5))
    assert describe(drivers, "en") == "voice 8 dB louder, speech rate +25 %"
    assert describe(drivers[1:], "fr") == "débit +25 %"
    assert describe(drivers[1:2], "en") == ""
    assert describe((), "en") == ""


@given(st.floats(0, 1))
def test_log_odds_are_finite_and_rise(probability: float) -> None:
    """Log-odds invert the logistic function inside (1e-5, 1 - 1e-5) and stay finite at 0 and 1."""
    odds = log_odds(probability)
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(np.clip(probability, 1e-5, 1 - 1e-5), rel=1e-9)


def test_drivers_of_a_call_are_those_of_its_speech(triage: Triage, temper: np.ndarray) -> None:
    """While the caller shouts, he is told louder, higher and sharper than before, against himself."""
    call = triage.call("call", encoding="float32")
    affect = call.push(temper[: 17 * 8000])[-1]
    told = {each.name: each for each in affect.drivers}
    assert {"loudness", "f0", "effort"} <= set(told)
    for name in ("loudness", "f0", "effort"):
        assert told[name].change > 0 < told[name].weight
        assert told[name].reference == "caller"
    assert re.match(r"(voice \d+ dB louder|F0 \+\d+ %|sharper timbre)", describe(affect.drivers, "en"))
