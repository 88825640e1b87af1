"""The outline of the caller's side of a recording, for a picture; no audio is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from emotion_triage.audio.decoding import is_pipe
from emotion_triage.audio.recordings import Headerless, open_recording
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.batch.record import Record
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.errors import TriageError, TruncatedError

__all__ = ["Peak", "envelope_of"]

PEAKS = 600
"""Of a picture: about one for each pixel and a half."""
FLOOR_DBFS = -60.0


class Peak(NamedTuple):
    """The loudest moment of a stretch: when it begins, in seconds, and how loud, 0 at -60 dBFS to 1 at full scale."""

    time_s: float
    height: float


def envelope_of(record: Record, timeline: Sequence[TimelineRow], *, headerless: Headerless | None = None) -> list[Peak]:
    """Return the caller's outline; empty where the recording is gone, or no longer what it was.

    Parameters
    ----------
    record : Record
        Says where the recording was and which channel is the caller's.
    timeline : sequence of TimelineRow
        Its timeline: gaps are not looked at, so that of a mono file of both sides only the caller is drawn.
    headerless : Headerless, optional
        How a recording without a header is coded.
    """
    if record.duration_s is None or is_pipe(record.source):  # a pipe was read once
        return []
    step = max(1, math.ceil(record.duration_s * SAMPLE_RATE_HZ / PEAKS))
    heights: dict[int, float] = {}
    try:
        recording = open_recording(
            record.source,
            caller_channel=record.caller_channel,
            caller_spans=None if record.caller_channel else _spoken(timeline, record.duration_s),
            headerless=headerless,
        )
        with suppress(TruncatedError):  # what is there of it was scored
            for at, samples in recording.blocks():
                for i in range(at // step, (at + len(samples) - 1) // step + 1):
                    part = samples[max(0, i * step - at) : (i + 1) * step - at]
                    loudest = float(abs(part).max())
                    heights[i] = max(heights.get(i, 0.0), loudest)
    except (TriageError, OSError, UnicodeError):
        return []
    return [Peak(i * step / SAMPLE_RATE_HZ, _height(peak)) for i, peak in sorted(heights.items())]


def _height(peak: float) -> float:
    return min(1.0, max(0.0, 1.0 - 20.0 * math.log10(peak) / FLOOR_DBFS)) if peak > 0 else 0.0


def _spoken(timeline: Sequence[TimelineRow], duration_s: float) -> list[tuple[float, float]]:
    """Return what lies between the gaps."""
    spans, at_s = [], 0.0
    for gap in timeline:
        if gap.kind == "gap":
            if gap.time_s > at_s:
                spans.append((at_s, gap.time_s))
            at_s = gap.time_s + (gap.lost_s or 0.0)
    return [*spans, (at_s, duration_s)] if at_s < duration_s else spans
