"""Vega-Lite pictures as SVG: no script, a few tens of kilobytes, colours that follow the page's light or dark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.errors import MissingExtraError
from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.vad import WINDOW_FRAMES
from emotion_triage.report.audit import LEVEL_NAMES, Batch
from emotion_triage.report.envelope import Peak
from emotion_triage.report.wording import WORDS
from emotion_triage.texts import Language, clock

__all__ = ["Picture", "days_picture", "hours_picture", "queues_picture", "timeline_picture"]

VEGA_LITE = "5.20"
NUMBER_FORMATS: dict[Language, Literal["en-US", "fr-FR"]] = {"en": "en-US", "fr": "fr-FR"}
WIDTHS = {"wide": 900, "narrow": 330}
"""In CSS pixels: a page on a desk, and on a telephone."""
MAX_POINTS = 700
BREAK_S = WINDOW_FRAMES * HOP_S
"""Scores further apart are not joined: between them lay a window without enough speech."""
TICKS = {"wide": 10, "narrow": 4}
TICK_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
MAX_DAYS = 62
"""Of the picture by hour, the latest: more would not be read."""
COLOURS = {"calm": "var(--calm)", "tense": "var(--tense)", "escalated": "var(--escalated)"}
INK, LINE = "var(--ink)", "var(--line)"
_CONFIG: dict[str, Any] = {
    "background": None,
    "aria": False,  # the page tells it in words; thousands of labelled marks would bury them
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
    },
    "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "orient": "top", "title": None},
    "text": {"fill": INK},
}


class Picture(NamedTuple):
    """SVG for wide pages and paper, and for narrow pages; Vega escapes the text that it was given."""

    wide: str
    narrow: str


def timeline_picture(
    timeline: Sequence[TimelineRow], envelope: Sequence[Peak], duration_s: float, language: Language
) -> Picture:
    """Draw anger and arousal over time, over the caller's outline, with bands for levels and gaps."""
    return _both(lambda size: _timeline(timeline, envelope, duration_s, language, size), language)


def days_picture(batch: Batch, language: Language) -> Picture:
    """Draw how many calls reached which level, day by day."""
    counts: dict[tuple[str, str], int] = {}
    for (day, _, level), count in batch.by_hour.items():
        counts[day, level] = counts.get((day, level), 0) + count
    rows = [_stacked(day, level, count, language) for (day, level), count in sorted(counts.items())]
    return _both(lambda size: _bars(rows, language, size, horizontal=False), language)


def queues_picture(batch: Batch, language: Language) -> Picture:
    """Draw how many calls of which level were recommended to which queue."""
    rows = [_stacked(queue, level, count, language) for (queue, level), count in sorted(batch.by_queue.items())]
    return _both(lambda size: _bars(rows, language, size, horizontal=True), language)


def hours_picture(batch: Batch, language: Language) -> Picture:
    """Draw the share of calls that were tense or escalated, by day and hour, and how many they are."""
    days = sorted({day for day, _, _ in batch.by_hour})[-MAX_DAYS:]
    rows = []
    for day, hour in sorted({(day, hour) for day, hour, _ in batch.by_hour if day in set(days)}):
        calm, *raised = (batch.by_hour[day, hour, level] for level in LEVEL_NAMES)
        rows.append({"day": day[5:], "hour": hour, "share": sum(raised) / (calm + sum(raised)), "n": sum(raised) or ""})
    return _both(lambda size: _hours(rows, language, size), language)


def _timeline(
    timeline: Sequence[TimelineRow], envelope: Sequence[Peak], duration_s: float, language: Language, size: str
) -> dict[str, Any]:
    step_s = next((each for each in TICK_STEPS_S if duration_s / each <= TICKS[size]), TICK_STEPS_S[-1])
    ticks = [i * step_s for i in range(int(duration_s / step_s) + 1)]
    labels = "{" + ",".join(f"'{tick}':'{clock(tick)}'" for tick in ticks) + "}"
    x = {
        "type": "quantitative",
        "scale": {"domain": [0, duration_s], "nice": False},
        "axis": {"values": ticks, "labelExpr": f"({labels})[datum.value]", "title": None, "grid": False},
    }
    layers: list[dict[str, Any]] = []
    bands = _bands(timeline, duration_s)
    names = [name for name in ("tense", "escalated", "gap") if any(band["kind"] == name for band in bands)]
    if bands:
        layers.append(
            {
                "data": {"values": [{**band, "kind": WORDS[band["kind"]][language]} for band in bands]},
                "mark": {"type": "rect", "opacity": 0.35},
                "encoding": {
                    "x": {"field": "from", **x},
                    "x2": {"field": "to"},
                    "fill": {
                        "field": "kind",
                        "type": "nominal",
                        "scale": {
                            "domain": [WORDS[name][language] for name in names],
                            "range": [COLOURS.get(name, "var(--gap)") for name in names],
                        },
                    },
                },
            }
        )
    if envelope:
        outline = [{"t": peak.time_s, "lo": 0.5 - peak.height / 2, "hi": 0.5 + peak.height / 2} for peak in envelope]
        layers.append(
            {
                "data": {"values": outline},
                "mark": {"type": "area", "color": "var(--wave)", "opacity": 0.5, "interpolate": "step-after"},
                "encoding": {"x": {"field": "t", **x}, "y": {"field": "lo", **_SCORE}, "y2": {"field": "hi"}},
            }
        )
    scores = ("anger", "arousal")
    domain = [WORDS[name][language] for name in scores]
    colour = {
        "field": "score",
        "type": "nominal",
        "scale": {"domain": domain, "range": ["var(--anger)", "var(--arousal)"]},
        "legend": {"symbolType": "stroke"},
    }
    points = _lines(timeline, scores, language)
    place = {"x": {"field": "t", **x}, "y": {"field": "v", **_SCORE}, "stroke": colour}
    dashes = {"field": "score", "type": "nominal", "scale": {"domain": domain, "range": [[1, 0], [6, 3]]}}
    layers.append(
        {
            "data": {"values": points},
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {**place, "detail": {"field": "run"}, "strokeDash": dashes},
        }
    )
    if alone := _alone(points):  # a line through one point is nothing
        layers.append(
            {"data": {"values": alone}, "mark": {"type": "point", "size": 12, "opacity": 1}, "encoding": place}
        )
    return {"height": 260 if size == "wide" else 220, "layer": layers}


_SCORE: dict[str, Any] = {
    "type": "quantitative",
    "scale": {"domain": [0, 1]},
    "axis": {"title": None, "values": [0, 0.5, 1], "grid": True},
}


def _bands(timeline: Sequence[TimelineRow], duration_s: float) -> list[dict[str, Any]]:
    """Return stretches of tense, escalated and gaps, from and to, in seconds."""
    bands = []
    level, since_s = "calm", 0.0
    for row in timeline:
        if row.kind == "gap":
            bands.append({"kind": "gap", "from": row.time_s, "to": row.time_s + (row.lost_s or 0.0)})
        elif row.kind == "escalation":
            if level != "calm":
                bands.append({"kind": level, "from": since_s, "to": row.time_s})
            level, since_s = row.level, row.time_s
    if level != "calm":
        bands.append({"kind": level, "from": since_s, "to": duration_s})
    return bands


def _lines(timeline: Sequence[TimelineRow], scores: Sequence[str], language: Language) -> list[dict[str, Any]]:
    """Return points of each score, broken where nothing was heard; of a long call, the highest of each few."""
    affects = [row for row in timeline if row.kind == "affect"]
    few = -(-len(affects) // MAX_POINTS) if affects else 1
    points = []
    for score in scores:
        run, last_s = 0, None
        for i in range(0, len(affects), few):
            group = affects[i : i + few]
            if last_s is not None and group[0].time_s - last_s > BREAK_S:
                run += 1
            last_s = group[-1].time_s
            highest = max(getattr(each, score) or 0.0 for each in group)
            points.append({"t": group[0].time_s, "v": highest, "score": WORDS[score][language], "run": run})
    return points


def _alone(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points that have no neighbour in their run."""
    sizes = Counter((point["score"], point["run"]) for point in points)
    return [point for point in points if sizes[point["score"], point["run"]] == 1]


def _stacked(of: str, level: str, count: int, language: Language) -> dict[str, Any]:
    return {"of": of, "level": WORDS[level][language], "order": LEVEL_NAMES.index(level), "n": count}


def _bars(rows: list[dict[str, Any]], language: Language, size: str, *, horizontal: bool) -> dict[str, Any]:
    many = len({row["of"] for row in rows})
    of: dict[str, Any] = {"field": "of", "type": "ordinal", "axis": {"title": None, "labelLimit": 160}}
    if not horizontal:
        of["axis"] |= {"labelAngle": -60, "labelOverlap": True}
    highest = max(sum(row["n"] for row in rows if row["of"] == each) for each in {row["of"] for row in rows})
    whole = range(0, highest + 1, -(-highest // TICKS["narrow"]))
    n = {"field": "n", "type": "quantitative", "axis": {"title": WORDS["calls"][language], "values": list(whole)}}
    return {
        "height": 28 * many if horizontal else 200,
        "data": {"values": rows},
        "mark": {"type": "bar"},
        "encoding": {
            **({"y": of, "x": n} if horizontal else {"x": of, "y": n}),
            "order": {"field": "order"},
            "fill": {
                "field": "level",
                "type": "nominal",
                "scale": {
                    "domain": [WORDS[name][language] for name in LEVEL_NAMES],
                    "range": [COLOURS[name] for name in LEVEL_NAMES],
                },
            },
        },
    }


def _hours(rows: list[dict[str, Any]], language: Language, size: str) -> dict[str, Any]:
    axis = {"labelAngle": 0, "labelOverlap": True, "titlePadding": 8}
    return {
        "height": {"step": 22},
        "data": {"values": rows},
        "encoding": {
            "x": {"field": "hour", "type": "ordinal", "axis": {**axis, "title": WORDS["hour"][language]}},
            "y": {"field": "day", "type": "ordinal", "axis": {**axis, "title": None}},
        },
        "layer": [
            {
                "mark": {"type": "rect", "fill": "var(--escalated)", "stroke": "var(--paper)"},
                "encoding": {
                    "fillOpacity": {
                        "field": "share",
                        "type": "quantitative",
                        "legend": None,
                        "scale": {"domain": [0, 1], "range": [0.06, 1]},
                    }
                },
            },
            {"mark": {"type": "text", "fontSize": 11}, "encoding": {"text": {"field": "n"}}},
        ],
    }


def _both(spec_of: Callable[[str], dict[str, Any]], language: Language) -> Picture:
    return Picture(*(_svg({**spec_of(size), "width": width}, language) for size, width in WIDTHS.items()))


def _svg(spec: dict[str, Any], language: Language) -> str:
    try:
        import vl_convert
    except ImportError:
        raise MissingExtraError(
            "reports need vl-convert-python, which is not installed; install the extra 'report', see docs/install.md"
        ) from None
    whole = {"autosize": {"type": "fit-x", "contains": "padding"}, "config": _CONFIG, **spec}
    svg = vl_convert.vegalite_to_svg(whole, vl_version=VEGA_LITE, format_locale=NUMBER_FORMATS[language])
    svg = re.sub(r'(<svg[^>]*?) xmlns="[^"]*"( xmlns:xlink="[^"]*")?', r"\1", svg, count=1)
    return re.sub(r' d="[^"]*"', lambda path: _TENTHS.sub(r"\1", path[0]), svg)


_TENTHS = re.compile(r"(\d+\.\d)\d+")
"""Numbers of paths need no more than a tenth of a pixel."""
