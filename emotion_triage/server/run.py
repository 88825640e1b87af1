"""One process of the server, from its sockets to its last decision."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from emotion_triage.call.triage import Triage
from emotion_triage.errors import ConfigError
from emotion_triage.routing.policy import Policy
from emotion_triage.server.api import Api
from emotion_triage.server.app import application, sibling_application
from emotion_triage.server.config import Config
from emotion_triage.server.crowd import Crowd
from emotion_triage.server.descriptors import for_http
from emotion_triage.server.listeners import listening, listening_at
from emotion_triage.server.live_calls import PARTING_S, LiveCalls
from emotion_triage.server.monitor_engines import engines
from emotion_triage.server.siblings import Siblings
from emotion_triage.server.vitals import Vitals, end_within, notify, watch
from emotion_triage.server.web import sibling_server, web_server
from emotion_triage.server.wires import AudioSocketServer

__all__ = ["STOPPED_S", "Ports", "bound", "serve"]

log = logging.getLogger(__name__)

LAST_WORDS_S = 10.0
"""How long routes and decisions may still take once every call has ended."""
CLOSED_S = 5.0
"""How long connections of the API may take to close."""
STOPPED_S = 2 * PARTING_S + LAST_WORDS_S + CLOSED_S + 5.0
"""After `drain_s` and so long the process has ended, whatever does not answer."""


class Ports(NamedTuple):
    """Where a server listens."""

    http: int
    audiosocket: int | None = None


def bound(config: Config) -> list[socket.socket]:
    """Return the sockets that listen: of HTTP, and of AudioSocket where it is configured.

    Raises
    ------
    ConfigError
        A port is taken, or an address is not this machine's.
    """
    wire = config.wires.audiosocket
    http = listening(config.http.host, config.http.port)
    try:
        return [http, *([] if wire is None else [listening(wire.host, wire.port)])]
    except ConfigError:
        http.close()
        raise


async def serve(
    config: Config,
    listeners: Sequence[socket.socket],
    *,
    siblings: Siblings | None = None,
    started: Callable[[Ports], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Parameters
    ----------
    config : Config
        What to serve.
    listeners : sequence of socket
        As `bound` gives them; other processes may share them. They are closed at the end.
    siblings : Siblings, optional
        Other processes on the same ports.
    started : callable, optional
        Told the ports once they listen.

    Raises
    ------
    ConfigError, PolicyError, ModelError
        Nothing was begun.
    """
    triage = Triage.load(model=config.model, policy=Policy.load(config.policy))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    siblings = siblings or Siblings()
    live_calls = LiveCalls(config, triage, siblings.place)

    def beat() -> None:
        if siblings.place is not None:
            siblings.place.beat(live_calls.batcher.load.stage)

    vitals = Vitals(lambda: live_calls.batcher.moved_s, config.limits.stuck_s, beat)
    api = Api(live_calls, siblings)
    crowd = Crowd(for_http(config))
    servers = [web_server(application(api, crowd, vitals), config, crowd, siblings.yields)]
    async with AsyncExitStack() as open_sockets:
        for each in listeners:
            open_sockets.callback(each.close)
        over = threading.Event()
        open_sockets.callback(over.set)
        await live_calls.dispatcher.open()
        live_calls.monitors.engines = await engines(config.monitor, config.destinations, live_calls.dispatcher)
        await live_calls.ledger.open()
        if live_calls.ledger.missing:
            raise ConfigError(f"ledger.url: {live_calls.ledger.problem}; for a first start set ledger.create = true")
        ticking = asyncio.create_task(live_calls.batcher.run())
        beating = asyncio.create_task(vitals.run())
        watch(vitals, config.limits.stuck_s, over)
        audio = None
        if wire := config.wires.audiosocket:
            audio = AudioSocketServer(live_calls, wire.listen_s).listener(listeners[1], siblings.yields)
        serving = asyncio.create_task(servers[0].serve([listeners[0]]))
        others = []
        if siblings.socket is not None:
            servers.append(sibling_server(sibling_application(api)))
            others.append(asyncio.create_task(servers[1].serve([listening_at(siblings.socket)])))
        ports = Ports(*(each.getsockname()[1] for each in listeners))
        log.info("serving", extra={"ports": ports._asdict()})
        notify("READY=1")
        if started is not None:
            started(ports)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((stopping, serving, ticking), return_when=asyncio.FIRST_COMPLETED)
        failed = next((task.exception() for task in (serving, ticking) if task.done()), None)
        stopping.cancel()
        notify("STOPPING=1")
        end_within(config.limits.drain_s + STOPPED_S, over)
        # whoever connects meanwhile is refused in its engine's own words
        await live_calls.drain(config.limits.drain_s)
        if audio is not None:
            audio.close()
        await live_calls.monitors.close(LAST_WORDS_S)
        await asyncio.gather(live_calls.dispatcher.close(LAST_WORDS_S), live_calls.ledger.close(LAST_WORDS_S))
        ticking.cancel()
        live_calls.closing = True
        for server in servers:
            server.should_exit = True
        await asyncio.wait((serving, *others), timeout=CLOSED_S)
        beating.cancel()
        await siblings.close()
        if failed is not None:
            raise failed
    log.info("stopped")
