"""The page's drawings show what was scored and nothing between."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("prometheus_client")

from emotion_triage.affect.affect import log_odds
from emotion_triage.call.triage import Triage
from emotion_triage.server.calls import LiveCall, Point
from emotion_triage.server.drawing import BREAK_S, Span, sparkline, timeline
from emotion_triage.server.schemas import detail


def runs_of(times_s: list[float]) -> list[list[float]]:
    """The times of each run, found by looking at each pair in turn."""
    runs = [[times_s[0]]] if times_s else []
    for before, now in pairwise(times_s):
        if now - before > BREAK_S:
            runs.append([now])
        else:
            runs[-1].append(now)
    return runs


@given(st.lists(st.sampled_from([0.5, 1.0, 2.5, 3.0, 3.5, 10.0, 120.0]), max_size=30))
def test_points_are_not_joined_across_silence(gaps_s: list[float]) -> None:
    """A line ends where nothing was scored for longer than a window, and nowhere else; it has a point each second."""
    times_s = [sum(gaps_s[: i + 1]) for i in range(len(gaps_s))]
    points = [Point(time_s, 0.25) for time_s in times_s]
    expected = [max(2, len({int(time_s) for time_s in run})) for run in runs_of(times_s)]
    assert [len(run.split()) for run in sparkline(points, 120, 32)] == expected


def test_a_small_drawing_keeps_the_angriest_moment() -> None:
    """Of several scores in a second the drawing has the highest."""
    (line,) = sparkline([Point(0.0, 0.0), Point(1.0, 0.1), Point(1.5, 0.9), Point(2.0, 0.2)], 100, 10)
    assert "75.0,1.0" in line


def test_the_timeline_breaks_where_the_caller_is_silent(triage: Triage) -> None:
    """A call's large drawing has a line for each stretch of speech, at its place in the call."""
    live = LiveCall(triage.call("call"), wire="audiosocket", queue=None, caller=None, caller_name=None)
    call = msgspec.structs.replace(
        detail(live), duration_s=100.0, points=(Point(10.0, 0.0), Point(12.0, 1.0), Point(50.0, 0.5), Point(51.0, 0.5))
    )
    drawn = timeline(call)
    assert drawn.anger == ["100.0,200.0 120.0,0.0", "500.0,100.0 510.0,100.0"]
    assert drawn.silences == [Span(120.0, 380.0, "silence"), Span(510.0, 490.0, "silence")]


def test_a_level_begins_at_its_line(triage: Triage) -> None:
    """The line of a level is the anger whose score, by the policy's slopes and shifts, is the level's onset."""
    policy = triage.policy.escalation
    live = LiveCall(triage.call("call"), wire="audiosocket", queue=None, caller=None, caller_name=None)
    told = msgspec.structs.replace(detail(live), duration_s=100.0, own_from_s=20.0)
    for each, onset in zip(told.thresholds, (policy.tense_onset, policy.escalated_onset), strict=True):
        for anger, slope, shift in (
            (each.alone, policy.absolute_slope, policy.absolute_shift),
            (each.own, policy.relative_slope, policy.relative_shift),
        ):
            assert 1.0 / (1.0 + math.exp(-slope * log_odds(anger) - shift)) == pytest.approx(onset)
    level, points = timeline(told).thresholds[0]
    first, *_, last = [tuple(map(float, point.split(","))) for point in points.split()]
    assert level == "tense"
    assert first == (0.0, pytest.approx(200.0 * (1.0 - told.thresholds[0].alone), abs=0.06))
    assert last == (1000.0, pytest.approx(200.0 * (1.0 - told.thresholds[0].own), abs=0.06))
    assert points.split()[1].startswith("200.0,")
