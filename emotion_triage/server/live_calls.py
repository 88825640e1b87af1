"""What the server decides for each call: its standing, who hears of its events, what people decide about it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from emotion_triage.adapters.connection import Beside, Connection
from emotion_triage.adapters.connection import Limits as SessionLimits
from emotion_triage.adapters.protocol import Changed, Complained, Dropped, Ended, Hidden, Started
from emotion_triage.affect.affect import Affect
from emotion_triage.call.triage import Call, Triage
from emotion_triage.errors import LedgerError, WireError
from emotion_triage.ledger.identity import spelled
from emotion_triage.ledger.log_events import Escalated, Routed, without_numbers
from emotion_triage.ledger.log_events import Override as OverrideTold
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.rules import Route, StandingState, Target, same_destination
from emotion_triage.server.batcher import Batcher, Heard
from emotion_triage.server.board import Place
from emotion_triage.server.calls import Calls, LiveCall, Override
from emotion_triage.server.config import Config
from emotion_triage.server.dispatcher import Dispatcher
from emotion_triage.server.ledger_client import LedgerClient
from emotion_triage.server.metrics import Metrics
from emotion_triage.server.monitors import Monitors
from emotion_triage.server.overload import Stage

__all__ = ["CallHandler", "LiveCalls"]

log = logging.getLogger(__name__)

LONGEST_NAME = 80
PARTING_S = 1.0
"""How long an engine may take to hang up by itself once it was asked to."""
HERE_ALREADY = "{wire}: got a call that is here already, expected each once; it goes on untouched"
YES = frozenset({"1", "true", "yes", "played"})


HangUp = Callable[[], Coroutine[None, None, None]]


class _Unbegun(NamedTuple):
    """A connection that has not begun its call yet."""

    wire: str
    timer: asyncio.TimerHandle


class _Reconnecting(NamedTuple):
    """A call whose engine said that another connection goes on with it."""

    timer: asyncio.TimerHandle
    call: Call
    wire: str


class LiveCalls:
    """All calls of one process, and what serves them.

    Parameters
    ----------
    config : Config
        What the server is told.
    triage : Triage
        Scores.
    place : Place, optional
        Where other processes see how many calls there are.
    """

    def __init__(self, config: Config, triage: Triage, place: Place | None = None) -> None:
        self._place = place
        self.config = config
        self.triage = triage
        self.metrics = Metrics()
        self.calls = Calls(config.limits.kept_s)
        self.ledger = LedgerClient(config.ledger, triage.policy, config.limits.ledger_s, self.metrics)
        self.dispatcher = Dispatcher(config.destinations, self.metrics)
        self.monitors = Monitors(self.ledger, self.metrics, self._place_of)
        self.batcher = Batcher(triage, config.limits, self.hear, self.metrics)
        self.sessions: dict[Connection, HangUp] = {}
        self._unbegun: OrderedDict[Connection, _Unbegun] = OrderedDict()
        self.draining = False
        self.closing = False
        self._routed: dict[str, tuple[str, str]] = {}
        self._reconnecting: dict[str, _Reconnecting] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def session_limits(self) -> SessionLimits:
        """How long a connection may be silent."""
        return SessionLimits(idle_s=self.config.limits.idle_s, gap_s=self.config.limits.gap_s)

    @property
    def connections(self) -> int:
        """How many connections of wires there are."""
        return len(self.sessions)

    @property
    def stage(self) -> Stage:
        """What is done less of for load, in this process or in another."""
        mine = self.batcher.load.stage
        return mine if self._place is None else max(mine, Stage(self._place.worst_stage()))

    @property
    def unready(self) -> str | None:
        """Why no call is taken now; None where one is."""
        if self.draining:
            return "draining"
        if self.connections >= self.config.limits.max_calls:
            return "full"
        return "overloaded" if self.batcher.load.stage is Stage.FULL else None

    def enter(self, wire: str, connection: Connection, hang_up: HangUp, begin_s: float | None) -> None:
        """Count a connection; where it has to begin a call in time, it is given up if it does not."""
        self.sessions[connection] = hang_up
        self._count()
        if begin_s is not None:
            loop = asyncio.get_running_loop()
            self._unbegun[connection] = _Unbegun(wire, loop.call_later(begin_s, self._give_up_unbegun, connection))

    def leave(self, connection: Connection) -> None:
        """Count a connection no more."""
        self.sessions.pop(connection, None)
        self._count()
        self._begun(connection)

    def refusal(self, wire: str) -> str | None:
        """Return why a wire may not open another connection now; None where it may.

        Where there are as many as there may be, the one that has waited longest without a call makes room.
        """
        if not self.draining and self.connections >= self.config.limits.max_calls and self._unbegun:
            self._give_up_unbegun(next(iter(self._unbegun)))
        why = self.unready
        if why is not None:
            self.metrics.refused.labels(wire, why).inc()
            log.warning("connection refused: %s", why, extra={"wire": wire})
        return why

    async def begin_on(self, connection: Connection, wire: str, event: Started) -> Call | None:
        """Open the call of a connection, unless the connection was given up meanwhile."""
        if connection not in self.sessions:
            return None
        self._begun(connection)
        return await self.begin(wire, event)

    async def begin(self, wire: str, event: Started) -> Call:
        """Open a call, with its caller's standing, before its first word."""
        known = self.calls.find(event.call_id)
        if known is not None and known.ended is None:
            waiting = self._reconnecting.pop(event.call_id, None)
            if waiting is None:
                raise WireError(HERE_ALREADY.format(wire=wire))
            waiting.timer.cancel()
            return known.call
        settings = getattr(self.config.wires, wire)
        said = event.parameters.reveal()
        number = event.caller or (Hidden(said["caller"]) if said.get("caller") else None)
        queue = said.get("queue") or settings.queue
        unreadable = self._unreadable(number)
        if unreadable is None or not self.ledger.kept:
            standing = await self.ledger.standing(number.reveal() if number else None, queue)
        else:  # nothing is asked and nothing kept of them, though they may have objected under another name
            log.warning("caller cannot be read: %s", unreadable, extra={"call": event.call_id, "wire": wire})
            number, standing = None, self.triage.policy.protection.unknown_standing(unreadable)
        known = self.calls.find(event.call_id)
        if known is not None and known.ended is None:  # another connection was faster
            raise WireError(HERE_ALREADY.format(wire=wire))
        objects = said.get("objection", "").lower() in YES
        call = event.open(self.triage, standing=standing, objection=objects)
        if said.get("notice", "").lower() in YES:
            call.notice_played()
        self.batcher.open(call, event.encoding, event.sample_rate_hz)
        name = without_numbers(said["caller_name"])[:LONGEST_NAME] if said.get("caller_name") else None
        live = LiveCall(
            call,
            wire=wire,
            queue=queue,
            caller=number,
            caller_name=name,
            alias=self.ledger.alias(number.reveal() if number else None),
            agent_id=said.get("agent") or None,
        )
        self.calls.add(live)
        if settings.destination:
            own = event.engine_id.reveal() if event.engine_id else event.call_id
            self._routed[event.call_id] = settings.destination, said.get(settings.address or "", own)
        self.metrics.began.labels(wire).inc()
        self.metrics.calls.labels(wire).inc()
        log.info("call began", extra={"call": call.call_id, "wire": wire, "rule": call.route.rule})
        everyone = self.triage.policy.router.table[Level.CALM, StandingState.CLEAR]
        # an ordinary caller is on their way there already, and would lose their place by being led there
        ordinary = same_destination(call.route, everyone.route) and not call.route.avoid_agents
        self._route(live, call.route, tell=not ordinary)
        return call

    async def end(self, call: Call, wire: str, reason: str) -> None:
        """Note that a call is over; one that reconnects is waited for."""
        live = self.calls.find(call.call_id)
        if live is None or live.ended is not None:
            return
        if reason == "reconnect":
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.config.limits.idle_s, lambda: self._later(self._give_up(call, wire)))
            self._reconnecting[call.call_id] = _Reconnecting(timer, call, wire)
            return
        live.end(reason)
        self.monitors.over(live)
        self._routed.pop(call.call_id, None)
        self.metrics.ended.labels(wire, reason).inc()
        self.metrics.calls.labels(wire).dec()
        log.info("call ended", extra={"call": call.call_id, "wire": wire, "reason": reason})
        self.calls.forget_old()

    def hear(self, heard: Iterable[Heard]) -> None:
        """Take what a tick made of the calls."""
        now_s = asyncio.get_running_loop().time()
        for each in heard:
            live = self.calls.find(each.call.call_id)
            if live is None:
                continue
            live.hear(each)
            for event in each.events:
                if isinstance(event, Affect):
                    self.metrics.delay_s.observe(max(0.0, now_s - each.zero_s - event.time_s))
                elif isinstance(event, Escalation):
                    self._level(live, event)
                else:
                    self._route(live, event, tell=True)

    async def override(
        self, live: LiveCall, *, by: str, reason: str, queue: str, target: Target, priority: int
    ) -> None:
        """Set the recommendation aside: a person's choice goes out, and the machine's own go out no more.

        It goes out at once and returns once the log has it.

        Raises
        ------
        LedgerError
            The log does not have it yet.
        """
        recommended = live.call.route.queue
        live.override = Override(
            by=by, reason=without_numbers(reason), queue=queue, target=target, priority=priority, at=datetime.now(UTC)
        )
        body = OverrideTold(by=by, reason=reason, recommended=recommended, queue=queue)
        log.info("overridden", extra={"call": live.call.call_id, "by": by, "route": queue})
        chosen = msgspec.structs.replace(
            live.call.route,
            time_s=live.position_s,
            queue=queue,
            target=target,
            skills=(),
            priority=priority,
            rule=f"override by {by}",
        )
        self._tell(live, chosen)
        await self.ledger.keep(body, call_id=live.call.call_id, caller=live.number)

    async def drain(self, within_s: float) -> None:
        """Take no new calls, wait for those that go on, then end them."""
        self.draining = True
        log.info("draining", extra={"calls": len(self.sessions)})
        await self._emptied(within_s)
        for connection in list(self.sessions):
            self._later(connection.close())
        await self._emptied(PARTING_S)
        for hang_up in list(self.sessions.values()):
            self._later(hang_up())
        await self._emptied(PARTING_S)
        for waiting in list(self._reconnecting.values()):
            waiting.timer.cancel()
            await self._give_up(waiting.call, waiting.wire)

    def _count(self) -> None:
        if self._place is not None:
            self._place.count(len(self.sessions))

    def _begun(self, connection: Connection) -> None:
        if (unbegun := self._unbegun.pop(connection, None)) is not None:
            unbegun.timer.cancel()

    def _give_up_unbegun(self, connection: Connection) -> None:
        wire, hang_up = self._unbegun[connection].wire, self.sessions[connection]
        self.leave(connection)
        self.metrics.refused.labels(wire, "no call").inc()
        log.warning("connection given up: no call began", extra={"wire": wire})

        async def part() -> None:
            await connection.close(reason="error")
            await hang_up()

        self._later(part())

    def _unreadable(self, caller: Hidden[str] | None) -> str | None:
        """Return why the ledger cannot tell a caller apart from others; None where it can, or where they are nobody."""
        try:
            if caller is not None:
                spelled(caller.reveal(), self.triage.policy.protection.region)
        except LedgerError as error:
            return str(error)
        return None

    async def _emptied(self, within_s: float) -> None:
        """Wait until no connection is left, or no longer."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        while self.sessions and loop.time() < end_s:
            await asyncio.sleep(0.05)

    def _level(self, live: LiveCall, event: Escalation) -> None:
        route = live.call.route
        body = Escalated.of(event, model_digest=route.model_digest, policy_digest=route.policy_digest)
        self.ledger.note(body, call_id=live.call.call_id, caller=live.number)
        name = event.level.name.lower()
        self.metrics.levels.labels(name).inc()
        log.info("level changed", extra={"call": live.call.call_id, "level": name})

    def _route(self, live: LiveCall, route: Route, *, tell: bool) -> None:
        self.ledger.note(Routed.of(route), call_id=live.call.call_id, caller=live.number)
        log.info("route recommended", extra={"call": live.call.call_id, "route": route.queue, "rule": route.rule})
        if tell and live.override is None:
            self._tell(live, route)

    def _tell(self, live: LiveCall, route: Route) -> None:
        to = self._routed.get(live.call.call_id)
        if to is not None:
            self.dispatcher.tell(*to, live, route)

    def _place_of(self, live: LiveCall) -> tuple[str, str] | None:
        """Return the destination of a call and what it calls it there."""
        to = self._routed.get(live.call.call_id)
        if to is None:
            return None
        destination, address = to
        # a route goes to the caller in a conversation, a supervisor to the conversation
        named = live.call.call_id if destination == "genesys" else self.dispatcher.name_at(destination, address)
        return destination, named

    async def _give_up(self, call: Call, wire: str) -> None:
        self._reconnecting.pop(call.call_id, None)
        await self.batcher.finish(call)
        await self.end(call, wire, "cut")

    def _later(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class CallHandler:
    """An `Application` for one connection of one wire."""

    def __init__(self, live_calls: LiveCalls, wire: str) -> None:
        self._live_calls = live_calls
        self._wire = wire

    async def started(self, connection: Connection, event: Started) -> Call | None:
        """Open the call, unless the connection was given up meanwhile."""
        return await self._live_calls.begin_on(connection, self._wire, event)

    async def noticed(self, connection: Connection, event: Beside) -> None:
        """Log what an engine complains of and what is passed over, once a reason; keys and holds are not logged."""
        about = {"wire": self._wire, "call": connection.call.call_id if connection.call else None}
        if isinstance(event, Complained):
            log.warning("engine reports a fault", extra=about | {"status": event.code})
        elif isinstance(event, Dropped):
            log.warning("messages are passed over: %s", event.what or "not shown", extra=about | {"reason": event.why})
        elif isinstance(event, Changed):
            self._live_calls.metrics.changes.labels(self._wire, event.what).inc()
            if connection.changed_by[event.what] == 1:
                log.info("the stream goes on from another %s", event.what, extra=about)

    async def ended(self, connection: Connection, event: Ended) -> None:
        """Close the call's account."""
        assert connection.call is not None
        await self._live_calls.end(connection.call, self._wire, event.reason)
