"""Learning curves: what is held out, what grows, what is extrapolated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection.learning import Point, Spoken, by_corpora, by_speakers, curve, forecasts, power_law
from benchmarks.detection.study import Size
from emotion_triage.prosody.functionals import STATISTIC_NAMES
from emotion_triage.training.dataset import WindowSet
from emotion_triage.training.encoder import WIDTH

CORPORA = ("a", "b", "c", "d")
SPEAKERS, EACH = 4, 30


def a_study(turned: str = "", draws: int = 2) -> Any:
    """Corpora of random statistics in which F0 tells anger; in the one `turned` it tells the opposite."""
    rng = np.random.default_rng(0)
    n = len(CORPORA) * SPEAKERS * EACH
    group = np.repeat(CORPORA, SPEAKERS * EACH)
    speaker = np.char.add(group, np.tile(np.repeat(np.arange(SPEAKERS), EACH), len(CORPORA)).astype(str))
    emotion = np.resize(["angry", "neutral"], n)
    statistics = rng.standard_normal((n, len(STATISTIC_NAMES))).astype(np.float32)
    sign = np.where(emotion == "angry", 1.0, -1.0) * np.where(group == turned, -1.0, 1.0)
    statistics[:, STATISTIC_NAMES.index("f0_mean_semitone")] += 2.0 * sign
    embeddings = np.zeros((n, WIDTH), np.float16)
    words = emotion, group, speaker, np.full(n, "en"), np.full(n, "")
    windows = WindowSet(embeddings, statistics, np.zeros_like(statistics), *words)
    clips = [SimpleNamespace(group=name[0], speaker=str(name), duration_s=90.0) for name in np.unique(speaker)]
    return SimpleNamespace(windows=windows, angry_clips=clips, seed=0, size=Size(draws=draws))


def test_a_corpus_is_never_learned_from_where_it_is_asked_about() -> None:
    """A corpus in which anger is turned round is told wrongly however much else is learned from."""
    study = a_study(turned="a")
    points = [*by_corpora(Spoken(study), study), *by_speakers(Spoken(study), study)]
    assert max(point.auc[0] for point in points if point.target == "a") < 0.3
    assert min(point.auc[0] for point in points if point.target == "b" and point.size == "all") > 0.5


def test_how_much_was_learned_from_is_counted() -> None:
    """Corpora, speakers and hours grow with each size; all others are all of three corpora."""
    study = a_study()
    of = {}
    for point in (*by_corpora(Spoken(study), study), *by_speakers(Spoken(study), study)):
        of[point.target, point.size] = point.corpora, point.speakers, point.hours
    assert of["a", "2"] == (2, 2 * SPEAKERS, pytest.approx(2 * SPEAKERS * 90 / 3600))
    assert of["a", "all"] == of["a", "1"] == (3, 3 * SPEAKERS, pytest.approx(3 * SPEAKERS * 90 / 3600))
    assert of["a", "0.125"][:2] == (3, 3)
    assert of["a", "0.5"][:2] == (3, 6)


def points(error: float, slope: float, exponent: float) -> list[Point]:
    """A curve without noise, of two corpora that lie apart."""
    return [
        Point(target, str(n), n, 10 * n, n, (1 - error - slope * n**-exponent + apart,) * 4)
        for n in (1, 2, 4, 8)
        for target, apart in (("a", 0.01), ("b", -0.01))
    ]


def test_a_curve_tells_what_was_gained() -> None:
    """The gain is over the first size, of the same corpora: how far these lie apart does not widen it."""
    table = curve("Curve", "others", points(0.2, 0.2, 1.0), "")
    gains = table.column("known, all else, gain")
    assert gains[0] is None
    assert gains[-1].value == pytest.approx(0.2 * (1 - 1 / 8))
    assert gains[-1].high - gains[-1].low < 1e-9
    alone = table.column("alone, all else")[0]
    assert (alone.low, alone.value, alone.high) == pytest.approx((0.59, 0.6, 0.61))


@given(st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.sampled_from([0.5, 1.0, 1.5]))
def test_a_power_law_is_found_again(limit: float, slope: float, exponent: float) -> None:
    """Errors that follow the law give its three numbers back."""
    n = np.array([1.0, 2.0, 4.0, 8.0])
    assert power_law(n, limit + slope * n**-exponent) == pytest.approx((limit, slope, exponent), abs=1e-3)


def test_more_is_never_forecast_to_be_worse() -> None:
    """An error that rises with what was learned from is continued as it is: a fit that falls is not made up of it."""
    n = np.array([1.0, 2.0, 4.0])
    limit, slope, _ = power_law(n, np.array([0.2, 0.25, 0.3]))
    assert (limit, slope) == pytest.approx((0.25, 0.0), abs=1e-6)


def test_a_forecast_continues_the_curve() -> None:
    """Twice to eight times as many corpora bring what the law says, and speakers what it says of speakers."""
    rows = forecasts("corpora", points(0.2, 0.2, 1.0))
    assert [row[:2] for row in rows] == [(2, "8 corpora"), (4, "8 corpora"), (8, "8 corpora")]
    assert [row[2].value for row in rows] == pytest.approx([1 - 0.2 - 0.2 / n for n in (16, 32, 64)], abs=1e-6)
    speakers = forecasts("speakers", points(0.2, 0.2, 1.0))
    assert [row[2].value for row in speakers] == pytest.approx([row[2].value for row in rows], abs=1e-6)
