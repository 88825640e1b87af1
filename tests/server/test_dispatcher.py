"""Routes out, one call at a time: the newest is told soon, whatever became of the one before it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import msgspec
import pytest

pytest.importorskip("uvicorn")

from emotion_triage.call.triage import Triage
from emotion_triage.destinations.delivery import Request, deliver
from emotion_triage.routing.rules import Route
from emotion_triage.server.calls import LiveCall
from emotion_triage.server.dispatcher import Dispatcher
from emotion_triage.server.engines import Destinations
from emotion_triage.server.metrics import Metrics


class Engine:
    """An engine that answers each queue in its own way, and keeps when it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, float]] = []
        self._answers = answers
        self.client = httpx.AsyncClient(base_url="http://engine", transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        queue = request.content.decode()
        self.asked.append((queue, time.monotonic()))
        answer = self._answers.get(queue, 200)
        if answer == "never":
            await asyncio.sleep(60.0)
        return httpx.Response(answer)

    async def send(self, route: Route, call: LiveCall, address: str) -> None:
        await deliver(self.client, Request(method="POST", path="/", body=route.queue.encode()), engine="engine")


def told(triage: Triage, engine: Engine, queues: list[tuple[str, float]]) -> tuple[list[tuple[str, str]], Dispatcher]:
    """What became of routes to queues, each told some seconds after the one before."""

    async def run() -> tuple[list[tuple[str, str]], Dispatcher]:
        dispatcher = Dispatcher(Destinations(), Metrics())
        dispatcher._senders["webhook"] = engine.send
        live = LiveCall(triage.call("c"), wire="twilio", queue=None, caller=None, caller_name=None)
        began_s = time.monotonic()
        for queue, after_s in queues:
            await asyncio.sleep(after_s)
            dispatcher.tell("webhook", "address", live, msgspec.structs.replace(live.call.route, queue=queue))
        while dispatcher._tasks and time.monotonic() - began_s < 15.0:
            await asyncio.sleep(0.01)
        await dispatcher.close(0.1)
        return [(each.route.queue, each.outcome) for each in live.told], dispatcher

    return asyncio.run(run())


@pytest.mark.parametrize("answer", [503, "never"])
def test_the_newest_route_does_not_wait_for_tries_of_an_older(triage: Triage, answer: Any) -> None:
    """A route that is told while an older one is tried again, or not answered at all, is sent within a second."""
    engine = Engine(tense=answer)
    began_s = time.monotonic()
    outcomes, _ = told(triage, engine, [("tense", 0.0), ("escalated", 0.3)])
    assert outcomes == [("tense", "replaced"), ("escalated", "taken")]
    assert next(at_s for queue, at_s in engine.asked if queue == "escalated") - began_s < 1.3
    assert engine.asked[-1][0] == "escalated"


def test_a_route_that_is_being_answered_is_waited_for(triage: Triage) -> None:
    """Routes that the engine takes at once are told in order, none of them cut short."""
    engine = Engine()
    outcomes, dispatcher = told(triage, engine, [("tense", 0.0), ("escalated", 0.05), ("calm", 0.05)])
    assert outcomes == [("tense", "taken"), ("escalated", "taken"), ("calm", "taken")]
    assert not dispatcher._newer


def test_of_several_newer_routes_the_last_is_told(triage: Triage) -> None:
    """Routes that came while an older one was tried are replaced, but for the last, which is sent."""
    engine = Engine(first="never")
    outcomes, _ = told(triage, engine, [("first", 0.0), ("second", 0.1), ("third", 0.05)])
    assert outcomes == [("first", "replaced"), ("second", "replaced"), ("third", "taken")]
    assert [queue for queue, _ in engine.asked] == ["first", "third"]


def test_a_refused_route_leaves_the_next_alone(triage: Triage) -> None:
    """A route that the engine refuses for good is an outcome, and the next one is sent."""
    outcomes, _ = told(triage, Engine(tense=404), [("tense", 0.0), ("escalated", 0.1)])
    assert "404" in outcomes[0][1]
    assert outcomes[1] == ("escalated", "taken")
