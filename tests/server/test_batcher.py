"""Many calls in one pass, and what happens where scoring falls behind."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from emotion_triage.call.triage import Call, Triage

pytest.importorskip("prometheus_client")

from emotion_triage.server.batcher import Batcher, Heard
from emotion_triage.server.config import Limits
from emotion_triage.server.metrics import Metrics


def gathered(triage: Triage, heard: list[Heard], **limits: Any) -> tuple[Batcher, Metrics]:
    metrics = Metrics()
    return Batcher(triage, Limits(**limits), lambda each: heard.extend(each), metrics), metrics


def pcm(samples: np.ndarray) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def test_what_is_gathered_is_what_is_pushed(triage: Triage, temper: np.ndarray) -> None:
    """Calls that come in packets and are scored by ticks give the events of `Call.push`, in order."""
    audio, heard = pcm(temper[: 16 * 8000]), list[Heard]()

    async def run() -> None:
        batcher, _ = gathered(triage, heard, max_waiting_s=60)
        calls = [triage.call(f"c-{i}", encoding="pcm16") for i in range(3)]
        for call in calls:
            batcher.open(call, "pcm16", 8000)
        for at in range(0, len(audio) // 2, 160):
            for i, call in enumerate(calls):
                batcher.deliver(call, audio[2 * at : 2 * at + 320], at)
                if (at // 160) % (37 + i) == 0:
                    await batcher.tick()
        last = [asyncio.create_task(batcher.finish(call)) for call in calls]
        await asyncio.sleep(0)
        while not all(task.done() for task in last):
            await batcher.tick()
            await asyncio.sleep(0)

    asyncio.run(run())
    alone = triage.call("alone", encoding="pcm16")
    wanted = [*alone.push(audio), *alone.flush()]
    for i in range(3):
        got = [event for each in heard if each.call.call_id == f"c-{i}" for event in each.events]
        assert [(type(event), event.time_s) for event in got] == [(type(event), event.time_s) for event in wanted]


def test_a_full_queue_drops_the_oldest(triage: Triage, temper: np.ndarray) -> None:
    """Where nothing is scored for 8 s and 2 s may wait, the last 2 s are heard and the 6 s before are lost."""
    audio, heard = pcm(temper[: 8 * 8000]), list[Heard]()

    async def run() -> tuple[Call, float]:
        batcher, metrics = gathered(triage, heard, max_waiting_s=2)
        call = triage.call("c", encoding="pcm16")
        batcher.open(call, "pcm16", 8000)
        for at in range(0, 8 * 8000, 160):
            batcher.deliver(call, audio[2 * at : 2 * at + 320], at)
        for _ in range(3):
            await batcher.tick()
        return call, metrics.dropped_s._value.get()

    call, dropped_s = asyncio.run(run())
    assert dropped_s == pytest.approx(6.0)
    assert call.lost_s == pytest.approx(6.0)
    assert call.position_s == pytest.approx(8.0)
    assert [gap for each in heard for gap in each.gaps] == [pytest.approx((0.0, 6.0))]


def test_a_pause_is_a_gap(triage: Triage) -> None:
    """Time that passes without audio is lost, never silence."""
    heard = list[Heard]()

    async def run() -> Call:
        batcher, _ = gathered(triage, heard)
        call = triage.call("c", encoding="pcm16")
        batcher.open(call, "pcm16", 8000)
        batcher.deliver(call, bytes(16000), 0)
        for second in (2, 3, 4):
            batcher.deliver(call, b"", second * 8000)
        batcher.deliver(call, bytes(16000), 5 * 8000)
        for _ in range(3):
            await batcher.tick()
        return call

    call = asyncio.run(run())
    assert (call.lost_s, call.position_s) == (pytest.approx(4.0), pytest.approx(6.0))
