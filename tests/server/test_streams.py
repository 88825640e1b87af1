"""Streams of events: one person has so many, and what many show is made once."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

pytest.importorskip("uvicorn")

from emotion_triage.routing.policy import Policy
from emotion_triage.server import page, streams
from emotion_triage.server.api import Api
from emotion_triage.server.auth import COOKIE, Authenticator
from emotion_triage.server.config import Config
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.siblings import Siblings
from emotion_triage.server.streams import Shared, Streams


def test_the_oldest_stream_ends() -> None:
    """One stream more than there may be ends the oldest of the same person, and of nobody else."""
    streams = Streams(most=2)
    with streams.one("a") as first, streams.one("b") as other, streams.one("a") as second:
        assert first()
        with streams.one("a") as third:
            assert [each() for each in (first, second, third, other)] == [False, True, True, True]
        with streams.one("a") as fourth:
            assert (second(), fourth()) == (True, True)


def test_what_is_fresh_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who ask at once share one answer; who asks later gets a new one; one who gives up spoils no other's."""
    made: list[str] = []
    now_s = [100.0]
    monkeypatch.setattr(streams, "monotonic", lambda: now_s[0])

    async def run() -> list[str]:
        shared: Shared[str] = Shared(0.8)

        async def make() -> str:
            made.append("x")
            await asyncio.sleep(0.01)
            return f"{len(made)}"

        impatient = asyncio.create_task(shared.get("en", make))
        await asyncio.sleep(0)
        others = [asyncio.create_task(shared.get("en", make)) for _ in range(100)]
        await asyncio.sleep(0)
        impatient.cancel()
        answers = set(await asyncio.gather(*others))
        now_s[0] += 0.7
        answers.add(await shared.get("en", make))
        now_s[0] += 0.2
        return [*answers, await shared.get("en", make), await shared.get("fr", make)]

    assert asyncio.run(run()) == ["1", "2", "3"]


def test_a_page_is_streamed_until_a_newer_stream_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed-in browser gets the list of calls; where the person has as many streams as may be, the oldest ends."""
    monkeypatch.setenv("DURAND", "durand-token-0123456789abcdef")
    monkeypatch.setattr(page, "REFRESH_S", 0.01)
    config = Config.parse('[[access]]\nname = "m.durand"\nkind = "person"\ntoken = { env = "DURAND" }')
    # nothing is scored here
    triage: Any = SimpleNamespace(policy=Policy.load(None))

    async def run() -> None:
        auth = Authenticator(config.access)
        shown = page.Page(Api(LiveCalls(config, triage), Siblings()), auth)
        shown._streams = Streams(most=1)
        cookie = auth.cookie(config.access[0], until_s=time.time() + 60)
        headers = [(b"cookie", f"{COOKIE}={cookie}".encode())]
        request = Request({"type": "http", "method": "GET", "path": "/events", "query_string": b"", "headers": headers})
        session = shown._session(request)
        assert session is not None
        first, second = (shown._updates(request, session) for _ in range(2))
        assert (await anext(first)).startswith("retry")
        assert '"order":[]' in await anext(first)
        assert (await anext(second)).startswith("retry")
        assert [event async for event in first] == []
        assert '"order":[]' in await anext(second)

    asyncio.run(run())
