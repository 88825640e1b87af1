"""The server leads nobody to where they are already, and takes unknown callers as the policy says."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from emotion_triage.call.triage import Triage
from emotion_triage.errors import DestinationError
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Route
from emotion_triage.routing.standing import Standing

pytest.importorskip("prometheus_client")
pytest.importorskip("sqlalchemy")

from emotion_triage.server.batcher import Heard
from emotion_triage.server.calls import LiveCall
from emotion_triage.server.config import LedgerConfig
from emotion_triage.server.dispatcher import Dispatcher
from emotion_triage.server.engines import Destinations, Secret
from emotion_triage.server.ledger_client import LedgerClient
from emotion_triage.server.metrics import Metrics
from emotion_triage.server.schemas import detail, view


class Engine:
    """A destination that notes what it is asked, and refuses as often as it is told to."""

    def __init__(self, *, refusals: int = 0) -> None:
        self.asked: list[tuple[str, int, str | None]] = []
        self.refusals = refusals

    async def __call__(self, route: Route, call: LiveCall, address: str) -> None:
        self.asked.append((route.queue, route.priority, call.waits_in))
        if self.refusals:
            self.refusals -= 1
            raise DestinationError("refused")


def live(triage: Triage, *, queue: str | None = "general") -> LiveCall:
    return LiveCall(triage.call("call"), wire="audiosocket", queue=queue, caller=None, caller_name=None)


def led(call: LiveCall, queue: str, priority: int, **fields: Any) -> Route:
    return msgspec.structs.replace(call.call.route, queue=queue, priority=priority, skills=(), **fields)


async def told(engine: Engine, call: LiveCall, *routes: Route) -> None:
    exchange = Dispatcher(Destinations(), Metrics())
    exchange._senders["webhook"] = engine
    for route in routes:
        exchange.tell("webhook", "address", call, route)
        while exchange._tasks:
            await asyncio.sleep(0)


def test_nobody_is_led_twice_to_the_same_place(triage: Triage) -> None:
    """A route to where the call was led already is not sent, unless it was refused; a larger priority is."""
    engine, call = Engine(refusals=1), live(triage)
    routes = [led(call, "senior", 80)] * 3 + [led(call, "senior", 90)] * 2
    routes += [led(call, "senior", 90, avoid_agents=("a-1",)), led(call, "general", 50), led(call, "senior", 90)]
    asyncio.run(told(engine, call, *routes))
    assert [(queue, priority) for queue, priority, _ in engine.asked] == [
        ("senior", 80),
        ("senior", 80),
        ("senior", 90),
        ("senior", 90),
        ("general", 50),
        ("senior", 90),
    ]
    assert len(call.told) == len(engine.asked)


def test_an_engine_is_told_where_the_caller_waits_now(triage: Triage) -> None:
    """Once a route is taken the caller waits in its queue, so that a larger priority there moves them up in place."""
    engine, call = Engine(), live(triage)
    asyncio.run(told(engine, call, led(call, "senior", 80), led(call, "senior", 90), led(call, "general", 50)))
    assert [waits_in for _, _, waits_in in engine.asked] == ["general", "senior", "senior"]
    assert (call.waits_in, call.queue) == ("general", "general")


@pytest.mark.parametrize(("when_unknown", "objects"), [("neutral", True), ("score", False)])
def test_an_unknown_caller_is_as_the_policy_says(when_unknown: str, objects: bool, tmp_path: Any) -> None:
    """Where the ledger does not answer the server, a caller is scored or not, as in the library."""
    policy = Policy.parse(f'[protection]\nwhen_unknown = "{when_unknown}"')
    (tmp_path / "key").write_text("k" * 40)
    config = LedgerConfig(url=f"sqlite:///{tmp_path}/none/ledger.db", key=Secret(file=str(tmp_path / "key")))

    async def asked() -> Standing:
        books = LedgerClient(config, policy, 0.5, Metrics())
        await books.open()
        try:
            return await books.standing("+33123456789", None)
        finally:
            await books.close(0.0)

    standing = asyncio.run(asked())
    assert (standing.known, standing.objection) == (False, objects)
    assert standing == policy.protection.unknown_standing(str(standing.problem))


def test_a_slow_ledger_is_an_unknown_one(tmp_path: Any) -> None:
    """A ledger that answers too late for the call leaves the standing that the policy gives the unknown."""
    policy = Policy.parse('[protection]\nwhen_unknown = "score"')
    (tmp_path / "key").write_text("k" * 40)
    config = LedgerConfig(url=f"sqlite:///{tmp_path}/ledger.db", key=Secret(file=str(tmp_path / "key")))

    class Slow(LedgerClient):
        async def ask(self, act: Any) -> Any:
            await asyncio.sleep(60)

    standing = asyncio.run(Slow(config, policy, 0.01, Metrics()).standing("+33123456789", None))
    assert (standing.known, standing.objection) == (False, False)
    assert standing.problem == "the ledger did not answer within 0.01 s"


def change(level: Level, previous: Level, time_s: float, cause: Any, drivers: tuple[Any, ...] = ()) -> Escalation:
    return Escalation(
        time_s=time_s, level=level, previous=previous, score=0.5, held_s=5.0, cause=cause, drivers=drivers
    )


def test_the_page_never_contradicts_a_level(triage: Triage) -> None:
    """What stands beside a level says why it is so: after a fall what fell, after silence that nothing was heard."""
    call = live(triage)
    from emotion_triage.affect.affect import Affect, Driver

    louder = Driver(name="loudness", change=7.0, unit="dB", reference="caller", weight=1.0)
    softer = Driver(name="loudness", change=-5.0, unit="dB", reference="peak", weight=-1.0)
    window = Affect(time_s=1.0, anger=0.6, distress=0.0, arousal=0.0, speech_s=2.0, lost_s=0.0, drivers=(louder,))
    told_at = []
    for event in (
        change(Level.ESCALATED, Level.CALM, 1.0, "rise", (louder,)),
        change(Level.TENSE, Level.ESCALATED, 9.0, "fall", (softer,)),
        change(Level.CALM, Level.TENSE, 29.0, "silence"),
    ):
        call.hear(Heard(call.call, 0.0, [window, event], []))
        told_at.append((view(call).reasons["en"], view(call).reasons["fr"]))
    assert told_at == [
        ("voice 7 dB louder", "voix 7 dB plus forte"),
        ("voice 5 dB softer", "voix 5 dB plus faible"),
        ("no more speech to score", "plus aucune parole à noter"),
    ]
    assert [band.reasons["en"] for band in detail(call).bands] == ["", *(english for english, _ in told_at)]
    assert call.anger_drivers == ("loudness",)


def test_the_rule_that_is_explained_is_the_one_that_routes(triage: Triage, temper: Any) -> None:
    """After the level fell, the rules are explained for the level that the route was granted for."""
    call = LiveCall(
        triage.call("call", encoding="float32"), wire="audiosocket", queue=None, caller=None, caller_name=None
    )
    call.hear(Heard(call.call, 0.0, [*call.call.push(temper), *call.call.advance(60 * 8000)], []))
    assert (call.level, call.call.route.rule) == (Level.CALM, "escalated caller")
    assert [rule.rule for rule in detail(call).rules["en"] if rule.chosen] == ["escalated caller"]
