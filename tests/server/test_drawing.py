"""The page's drawings show what was scored and nothing between."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("prometheus_client")

from emotion_triage.call.triage import Triage
from emotion_triage.server.calls import LiveCall, Point
from emotion_triage.server.drawing import BREAK_S, sparkline, timeline
from emotion_triage.server.schemas import detail


def runs_of(times_s: list[float]) -> list[int]:
    """How many points each run has, found by looking at each pair in turn."""
    runs = [1] if times_s else []
    for before, now in pairwise(times_s):
        if now - before > BREAK_S:
            runs.append(1)
        else:
            runs[-1] += 1
    return runs


@given(st.lists(st.sampled_from([0.5, 1.0, 2.5, 3.0, 3.5, 10.0, 120.0]), max_size=30))
def test_points_are_not_joined_across_silence(gaps_s: list[float]) -> None:
    """A line ends where nothing was scored for longer than a window, in the small drawing and in the large one."""
    times_s = [sum(gaps_s[: i + 1]) for i in range(len(gaps_s))]
    points = [Point(time_s, 0.25) for time_s in times_s]
    expected = [max(2, n) for n in runs_of(times_s)]
    assert [len(run.split()) for run in sparkline(points, 120, 32)] == expected


def test_the_timeline_breaks_where_the_caller_is_silent(triage: Triage) -> None:
    """A call's large drawing has a line for each stretch of speech, at its place in the call."""
    live = LiveCall(triage.call("call"), wire="audiosocket", queue=None, caller=None, caller_name=None)
    call = msgspec.structs.replace(
        detail(live), duration_s=100.0, points=(Point(10.0, 0.0), Point(12.0, 1.0), Point(50.0, 0.5), Point(51.0, 0.5))
    )
    assert timeline(call).anger == ["100.0,200.0 120.0,0.0", "500.0,100.0 510.0,100.0"]
