"""What many calls heard to what follows from it, in as few passes of array code as can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from emotion_triage.affect.classifier import LABELS, Classifier
from emotion_triage.audio.stream import Coding
from emotion_triage.call.caller import CallerState, Event
from emotion_triage.prosody.measurement import measure_windows
from emotion_triage.prosody.windows import HOP_BYTES, Window, WindowStream, rows_of

__all__ = ["PATIENCE_IN_A_TICK", "Due", "Heard", "keep_freed_memory", "process", "score_windows", "seconds_in_a_tick"]

SLAB_FRAMES = 500
"""Frames of one call taken at once (10 s): bounds the memory of a push of any length."""
PATIENCE_IN_A_TICK = 5
"""Frames of a call pushed with others that wait to be described together."""
KEPT_BYTES = 1 << 25
"""Freed memory that a process keeps for the next tick: a third of its time would go into asking for it again."""
LEAST_SECONDS_IN_A_TICK, CALLS_FOR_A_SECOND = 16, 12


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


def keep_freed_memory() -> None:
    """Let the process keep the memory of a tick for the next.

    glibc keeps up to twice the largest block freed so far: one is freed that was never touched.
    """
    np.empty(KEPT_BYTES // 2, np.uint8)


def seconds_in_a_tick(n_calls: int) -> int:
    """Return how many seconds of speech may be encoded in a tick of `n_calls`; what is due beyond waits for the next.

    Of calls that send 20 ms a tick one in fifty has a second due: all that fall due together are served within a
    quarter of a second.

    Examples
    --------
    >>> seconds_in_a_tick(3), seconds_in_a_tick(600)
    (16, 50)
    """
    return max(LEAST_SECONDS_IN_A_TICK, n_calls // CALLS_FOR_A_SECOND)


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
            slabs = [call.hops[slab] for call in calls]
            rows = rows_of([call.stream for call in calls], slabs)
            for call, new, hops in zip(calls, rows, slabs, strict=True):
                if windows := call.stream.windows(new, hops):
                    due.append(Due(call.caller, call.events, windows))
        score_windows(due, classifier)


def score_windows(due: Sequence[Due], classifier: Classifier) -> None:
    """Turn windows of many calls into events, in as few classifier runs as can be.

    Steps of a caller whose baseline is settled are one run; before that each may change what the next is held against.
    """
    windows = [window for each in due for window in each.windows]
    if not windows:
        return
    steps = iter(measure_windows(windows, classifier.tone, min(each.caller.min_speech_s for each in due)))
    queues = [
        (each.caller, each.events, [each.caller.toned(step) for step in islice(steps, len(each.windows))])
        for each in due
    ]
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
