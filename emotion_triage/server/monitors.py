"""Supervisors on calls: logged, then asked of the engine that holds the call, forgotten when either side is over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

from emotion_triage.destinations.monitoring import Kind, Leg, Monitor, MonitorError
from emotion_triage.errors import DestinationError, LedgerError
from emotion_triage.ledger.monitor_events import MonitorBegun, MonitorEnded
from emotion_triage.routing.supervision import Mode
from emotion_triage.server.calls import LiveCall, Monitored
from emotion_triage.server.ledger_client import LedgerClient
from emotion_triage.server.metrics import Metrics
from emotion_triage.server.requests import Refused

__all__ = ["Monitors"]

log = logging.getLogger(__name__)

POLL_S = 3.0
"""How often an engine is asked whether a supervisor is still on a call."""
STATUS: dict[Kind, HTTPStatus] = {
    "alone": HTTPStatus.CONFLICT,
    "forbidden": HTTPStatus.BAD_GATEWAY,
    "gone": HTTPStatus.CONFLICT,
    "refused": HTTPStatus.BAD_GATEWAY,
    "throttled": HTTPStatus.SERVICE_UNAVAILABLE,
    "unreachable": HTTPStatus.SERVICE_UNAVAILABLE,
}


class _On(NamedTuple):
    """A supervisor on a call: their leg, and the task that watches it."""

    live: LiveCall
    mode: Mode
    leg: Leg
    watch: asyncio.Task[None]


class Monitors:
    """Who is on which call of this process.

    Parameters
    ----------
    ledger : LedgerClient
        Whose log is written first.
    metrics : Metrics
        Counts.
    place : callable
        Returns the destination of a call and its name there; None where the call's wire has none.
    """

    def __init__(
        self, ledger: LedgerClient, metrics: Metrics, place: Callable[[LiveCall], tuple[str, str] | None]
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._place = place
        self.engines: dict[tuple[str, str], Monitor] = {}
        self._on: dict[tuple[str, str], _On] = {}
        self._asking: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def offered(self, live: LiveCall, by: str) -> tuple[Mode, ...]:
        """Return what a person may do on a call now: what its engine can do, where they can be rung there."""
        place = None if live.ended is not None else self._place(live)
        engine = None if place is None else self.engines.get((place[0], by))
        return () if engine is None else tuple(mode for mode in Mode if mode in engine.modes)

    async def begin(self, live: LiveCall, by: str, mode: Mode, reason: str) -> None:
        """Put a person on a call, once the log has it; from another mode they are rung anew.

        Raises
        ------
        Refused
            It is not offered, the log does not have it, or the engine does not do it.
        """
        place = self._place(live)
        if mode not in self.offered(live, by) or place is None:
            offered = ", ".join(self.offered(live, by)) or "nothing: see monitor.supervisors in docs/serve.md"
            raise Refused(409, f"got {mode}, expected what this call's engine offers you: {offered}", "unsupported")
        key = live.call.call_id, by
        if key in self._asking:
            raise Refused(409, "your last request about this call is still on its way; expected one at a time", "busy")
        self._asking.add(key)
        try:
            if key in self._on:
                await self._leave(key, f"changes to {mode}")
            await self._begin(live, by, mode, reason, place)
        finally:
            self._asking.discard(key)

    async def leave(self, live: LiveCall, by: str) -> None:
        """Take a person off a call.

        Raises
        ------
        Refused
            They are not on it, or the engine cannot hang up on them.
        """
        key = live.call.call_id, by
        if key not in self._on:
            raise Refused(409, "you are not on this call; expected one that you listen to", "not_on")
        await self._leave(key, "left")

    def over(self, live: LiveCall) -> None:
        """Take everybody off a call that is over."""
        for key in [key for key in self._on if key[0] == live.call.call_id]:
            self._later(self._part(key))

    async def close(self, within_s: float) -> None:
        """Take everybody off every call: nobody stays where nothing says that they are."""
        for key in list(self._on):
            self._later(self._part(key))
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=within_s)

    async def _begin(self, live: LiveCall, by: str, mode: Mode, reason: str, place: tuple[str, str]) -> None:
        destination, address = place
        told = live.call.triage.policy.supervision.tell_agent
        body = MonitorBegun(by=by, mode=mode, reason=reason, agent_id=live.agent_id, agent_told=told)
        try:
            await self._ledger.keep(body, call_id=live.call.call_id, caller=live.number)
        except LedgerError as error:
            self._ended(live, by, mode, "not begun: the log did not have it in time")
            raise Refused(503, f"nobody was rung: {error}", "log") from None
        beside = {"call": live.call.call_id, "by": by, "destination": destination, "mode": mode.value}
        try:
            leg = await self.engines[destination, by].begin(address, mode)
        except DestinationError as error:
            kind: Kind = error.kind if isinstance(error, MonitorError) else "refused"
            self._ended(live, by, mode, f"not begun: {error}")
            self._metrics.monitor_requests.labels(destination, kind).inc()
            log.warning("supervisor not put on the call: %s", error, extra=beside)
            raise Refused(STATUS[kind], str(error), kind) from None
        self._metrics.monitor_requests.labels(destination, "taken").inc()
        self._metrics.monitors.labels(mode.value).inc()
        log.info("supervisor on the call", extra=beside)
        key = live.call.call_id, by
        live.monitors[by] = Monitored(by=by, mode=mode, since=datetime.now(UTC))
        self._on[key] = _On(live, mode, leg, asyncio.create_task(self._watch(key, leg)))
        if live.ended is not None:  # while the engine was asked
            await self._part(key)

    async def _watch(self, key: tuple[str, str], leg: Leg) -> None:
        """Forget a supervisor who hung up, or whose telephone was not answered."""
        while True:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(DestinationError):  # asked again
                if not await leg.there():
                    break
        self._forget(key, "hung up or was not reached")

    async def _leave(self, key: tuple[str, str], reason: str) -> None:
        on = self._on[key]
        if on.leg.end is None:
            raise Refused(
                409, "this engine hangs up on nobody; expected you to leave in your own telephone or panel", "own_panel"
            )
        try:
            await on.leg.end()
        except DestinationError as error:
            kind: Kind = error.kind if isinstance(error, MonitorError) else "refused"
            raise Refused(STATUS[kind], str(error), kind) from None
        self._forget(key, reason)

    async def _part(self, key: tuple[str, str]) -> None:
        on = self._on[key]
        self._forget(key, "the call is over")
        if on.leg.end is not None:
            try:
                await on.leg.end()
            except DestinationError as error:
                log.warning("supervisor not hung up on: %s", error, extra={"call": key[0], "by": key[1]})

    def _forget(self, key: tuple[str, str], reason: str) -> None:
        on = self._on.pop(key, None)
        if on is None:
            return
        if on.watch is not asyncio.current_task():
            on.watch.cancel()
        on.live.monitors.pop(key[1], None)
        self._metrics.monitors.labels(on.mode.value).dec()
        self._ended(on.live, key[1], on.mode, reason)
        log.info("supervisor off the call: %s", reason, extra={"call": key[0], "by": key[1]})

    def _ended(self, live: LiveCall, by: str, mode: Mode, reason: str) -> None:
        self._ledger.note(MonitorEnded(by=by, mode=mode, reason=reason), call_id=live.call.call_id, caller=live.number)

    def _later(self, parting: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(parting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
