"""Calls in several processes tell what they tell in one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from emotion_triage.audio.stream import encode_mulaw
from emotion_triage.call.sharding import Shards
from emotion_triage.call.triage import Triage
from emotion_triage.errors import PushError, StreamError


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2) as shards:
        yield shards


def test_calls_on_two_cores_tell_what_they_tell_on_one(shards: Shards, triage: Triage, temper: np.ndarray) -> None:
    """Five calls in two processes, one of them moved between them half-way, tell what each tells alone."""
    codes = [encode_mulaw(np.roll(temper, 8000 * n)) for n in range(5)]
    ids = [f"call-{n}" for n in range(5)]
    for call_id in ids:
        shards.add(triage.call(call_id))
    assert sorted(shards.n_calls) == [2, 3]
    told: dict[str, list] = {call_id: [] for call_id in ids}
    for at in range(0, len(codes[0]), 4000):
        if at == 80_000:
            shards.add(shards.remove("call-0"))
        tick = [(call_id, code[at : at + 4000]) for call_id, code in zip(ids, codes, strict=True)]
        for call_id, events in zip(ids, shards.push_many(tick), strict=True):
            told[call_id] += events
    for call_id, code in zip(ids, codes, strict=True):
        alone = triage.call(call_id)
        assert told[call_id] == alone.push(code)
        assert shards.remove(call_id).flush() == alone.flush()
    assert any(told.values())
    assert shards.n_calls == [0, 0]


def test_a_bad_chunk_harms_no_other(shards: Shards, triage: Triage) -> None:
    """A chunk that cannot be used is named by its place, and the chunks of every other call are taken."""
    for call_id in ("a", "b", "c"):
        shards.add(triage.call(call_id))
    with pytest.raises(PushError, match="1 of 3 chunks") as caught:
        shards.push_many([("a", bytes(160)), ("b", "not audio"), ("c", bytes(160))])  # type: ignore[list-item]
    assert list(caught.value.errors) == [1]
    assert [shards.remove(call_id).position_s for call_id in ("a", "b", "c")] == [0.02, 0.0, 0.02]


def test_a_call_has_one_place(shards: Shards, triage: Triage) -> None:
    """A call cannot be added twice, nor pushed or removed before it was added."""
    shards.add(triage.call("once"))
    with pytest.raises(StreamError, match="second time"):
        shards.add(triage.call("once"))
    shards.remove("once")
    with pytest.raises(StreamError, match="add"):
        shards.push_many([("once", bytes(160))])
    with pytest.raises(StreamError, match="add"):
        shards.remove("once")


def test_no_cores() -> None:
    """Fewer than one process is refused."""
    with pytest.raises(ValueError, match="1 or more"):
        Shards(0)
