"""The rival pipeline on composed calls: alarms and thresholds as its page tells them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.rivals import HOLD_S, OWN_S, WINDOW_S, Course, alarms_s, lowest, smoothed, told

NOTHING = np.zeros((0, 88), np.float32)
TURNING = Course("calm then angry", "a", "s", 30.0, 50.0, NOTHING)
CALM = Course("calm", "a", "s", 0.0, 60.0, NOTHING)


def rising(at_s: float, duration_s: float) -> np.ndarray:
    """A score of 0 that is 1 from a time on."""
    return (np.arange(WINDOW_S, duration_s + 1) >= at_s).astype(float)


def test_scores_are_less_the_callers_own_first_seconds() -> None:
    """A caller whose voice never changes has no evidence, however angry it sounds; a change is."""
    assert np.allclose(smoothed(np.full(40, 5.0)), 0.0)
    scores = np.concatenate((np.full(OWN_S - WINDOW_S + 1, 5.0), np.full(30, 7.0)))
    assert smoothed(scores)[-1] == pytest.approx(2.0, abs=1e-3)


def test_an_alarm_that_goes_on_is_one() -> None:
    """Alarms closer than the hold are one; the next begins after it."""
    scores = np.zeros(80)
    scores[[5, 10, 25, 60]] = 1.0
    assert alarms_s(scores, 0.5) == [5 + WINDOW_S, 60 + WINDOW_S]
    assert HOLD_S < 60 - 25


@pytest.mark.parametrize(("at_s", "false", "delay_s"), [(20, 1, None), (33, 0, 3.0), (45, 0, None)])
def test_found_means_an_alarm_after_the_turn_and_in_time(at_s: float, false: int, delay_s: float | None) -> None:
    """One that was on before the turn is false; one that comes after 10 s is neither."""
    alarms, seen = told([TURNING], [rising(at_s, 50)], 0.5)
    assert alarms.tolist() == [false]
    assert np.isnan(seen[0]) if delay_s is None else seen[0] == pytest.approx(delay_s)


def test_the_threshold_is_the_lowest_that_is_allowed() -> None:
    """With no false alarm allowed it lies above all calm speech, with one below the loudest of it."""
    scores = [0.5 * rising(40, 60), rising(32, 50)]
    none, one = (lowest([CALM, TURNING], scores, allowed) for allowed in (0.0, 1.0))
    assert 0.5 < none <= 1.0
    assert one <= 0.5
    assert told([CALM, TURNING], scores, none)[0].sum() == 0
