"""Scores and levels to the geometry of two small drawings, in the units of their view boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.vad import WINDOW_FRAMES
from emotion_triage.server.calls import Point
from emotion_triage.server.schemas import CallDetail

__all__ = ["Span", "Timeline", "sparkline", "timeline"]

WIDTH, HEIGHT = 1000.0, 200.0
BREAK_S = WINDOW_FRAMES * HOP_S
"""Scores further apart are not joined: between them lay a window without enough speech."""
TICKS = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


def sparkline(points: Sequence[Point], width: float, height: float) -> list[str]:
    """Return the points of polylines: time from left to right, anger 0 at the bottom and 1 at the top.

    Points further apart than a window are not joined: between them nothing was scored.

    Examples
    --------
    >>> sparkline([Point(0.0, 0.0), Point(2.0, 1.0), Point(8.0, 0.5)], 100, 20)
    ['0.0,20.0 25.0,0.0', '100.0,10.0 100.0,10.0']
    """
    if not points:
        return []
    first_s = points[0].time_s
    span_s = max(points[-1].time_s - first_s, 1.0)
    runs = [_thinned(run) for run in _runs(points)]
    return _lines(runs, lambda time_s: width * (time_s - first_s) / span_s, height)


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """Return the stretches of points without a break."""
    runs: list[list[Point]] = []
    before_s = -math.inf
    for point in points:
        if point.time_s - before_s > BREAK_S:
            runs.append([])
        runs[-1].append(point)
        before_s = point.time_s
    return runs


def _thinned(run: Sequence[Point]) -> list[Point]:
    """Return the angriest point of each second: a small drawing shows no more, and many drawings are sent."""
    seconds = (list(group) for _, group in groupby(run, lambda point: int(point.time_s)))
    return [max(each, key=lambda point: point.anger) for each in seconds]


def _lines(runs: Sequence[Sequence[Point]], x: Callable[[float], float], height: float) -> list[str]:
    """Return a polyline for each run; a lone point is a line of no length, drawn as a dot."""
    lines = [[f"{x(point.time_s):.1f},{height * (1.0 - point.anger):.1f}" for point in run] for run in runs]
    return [" ".join(line * 2 if len(line) == 1 else line) for line in lines]


class Span(NamedTuple):
    """A rectangle from `x`, `width` wide, of a kind: a level, a gap, or silence."""

    x: float
    width: float
    kind: str


class Timeline(NamedTuple):
    """A call from left to right: levels, gaps, anger, where levels begin, and marks of time (x, seconds).

    `silences` are stretches in which nothing was scored; a threshold has its level and its points.
    """

    bands: list[Span]
    gaps: list[Span]
    silences: list[Span]
    anger: list[str]
    baseline_y: float | None
    thresholds: list[tuple[str, str]]
    ticks: list[tuple[float, int]]


def timeline(call: CallDetail) -> Timeline:
    """Return the geometry of a call's timeline, 1000 by 200."""
    end_s = max(call.duration_s, 1.0)

    def x(time_s: float) -> float:
        return round(WIDTH * min(max(time_s, 0.0), end_s) / end_s, 1)

    def y(anger: float) -> float:
        return round(HEIGHT * (1.0 - anger), 1)

    def span(from_s: float, to_s: float, kind: str) -> Span:
        return Span(x(from_s), max(1.0, round(x(to_s) - x(from_s), 1)), kind)

    ends = [band.from_s for band in call.bands[1:]] + [end_s]
    step = next((tick for tick in TICKS if end_s / tick <= 8), TICKS[-1])
    own_x = WIDTH if call.own_from_s is None else x(call.own_from_s)
    scored_s = [point.time_s for point in call.points]
    if scored_s:
        scored_s.append(end_s)
    return Timeline(
        bands=[
            Span(x(band.from_s), x(to) - x(band.from_s), band.level) for band, to in zip(call.bands, ends, strict=False)
        ],
        gaps=[span(gap.from_s, gap.to_s, "gap") for gap in call.gaps],
        silences=[span(from_s, to_s, "silence") for from_s, to_s in pairwise(scored_s) if to_s - from_s > BREAK_S],
        anger=_lines(_runs(call.points), x, HEIGHT),
        baseline_y=None if call.baseline_anger is None else y(call.baseline_anger),
        thresholds=[
            (each.level, f"0,{y(each.alone)} {own_x},{y(each.alone)} {own_x},{y(each.own)} {WIDTH},{y(each.own)}")
            for each in call.thresholds
        ],
        ticks=[(x(tick), tick) for tick in range(0, int(end_s) + 1, step)],
    )
