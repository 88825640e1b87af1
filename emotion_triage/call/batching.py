"""What many calls heard to what follows from it, in as few passes of array code as can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from emotion_triage.affect.classifier import LABELS, Classifier
from emotion_triage.audio.stream import Coding
from emotion_triage.call.caller import CallerState, Event, measure_windows
from emotion_triage.prosody.windows import HOP_BYTES, Window, WindowStream, rows_of

__all__ = ["Due", "Heard", "process", "score_windows"]

SLAB_FRAMES = 500
"""Frames of one call taken at once (10 s): bounds the memory of a push of any length."""


class Heard(NamedTuple):
    """What a call heard: the hops of one `WindowStream.frames`, and the list that its events go to."""

    stream: WindowStream
    caller: CallerState
    events: list[Event]
    hops: bytes


class Due(NamedTuple):
    """The windows of one call that are due, in order, and the list that its events go to."""

    caller: CallerState
    events: list[Event]
    windows: list[Window]


def process(heard: Sequence[Heard], classifier: Classifier) -> None:
    """Turn hops of many calls into events: one pass over all rows, one classifier run for each step that is due."""
    by_coding: dict[Coding, list[Heard]] = {}
    for each in heard:
        by_coding.setdefault(each.stream.coding, []).append(each)
    n_hops = [max(len(one.hops) for one in each) // HOP_BYTES[coding] for coding, each in by_coding.items()]
    for start in range(0, max(n_hops, default=0) - 1, SLAB_FRAMES):
        due = []
        for coding, calls in by_coding.items():
            slab = slice(start * HOP_BYTES[coding], (start + SLAB_FRAMES + 1) * HOP_BYTES[coding])
            rows = rows_of([call.stream for call in calls], [call.hops[slab] for call in calls])
            for call, new in zip(calls, rows, strict=True):
                if windows := call.stream.windows(new):
                    due.append(Due(call.caller, call.events, windows))
        score_windows(due, classifier)


def score_windows(due: Sequence[Due], classifier: Classifier) -> None:
    """Turn windows of many calls into events, in as few classifier runs as can be.

    Steps of a caller whose baseline is settled are one run; before that each may change what the next is held against.
    """
    windows = [window for each in due for window in each.windows]
    if not windows:
        return
    steps = iter(measure_windows(windows, classifier.contour, min(each.caller.min_speech_s for each in due)))
    queues = [(each.caller, each.events, list(islice(steps, len(each.windows)))) for each in due]
    while queues:
        turns = [(caller, events, queue if caller.settled else queue[:1]) for caller, events, queue in queues]
        inputs = [[caller.inputs(step) for step in turn] for caller, _, turn in turns]
        pieces = [rows for each in inputs for rows in each if rows is not None]
        scores = classifier.score(np.concatenate(pieces)) if pieces else np.empty((0, len(LABELS)), np.float32)
        for (caller, events, turn), each in zip(turns, inputs, strict=True):
            for step, rows in zip(turn, each, strict=True):
                events += caller.wait(step.time_s)
                n_rows = 0 if rows is None else len(rows)
                events += caller.hear(step, scores[:n_rows] if n_rows else None)
                scores = scores[n_rows:]
        queues = [
            (caller, events, queue[len(turn) :])
            for (caller, events, queue), (*_, turn) in zip(queues, turns, strict=True)
            if len(turn) < len(queue)
        ]
