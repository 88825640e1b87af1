"""One process of the server, from its sockets to its last decision."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from emotion_triage.call.triage import Triage
from emotion_triage.errors import ConfigError
from emotion_triage.routing.policy import Policy
from emotion_triage.server.api import Api
from emotion_triage.server.app import application, sibling_application
from emotion_triage.server.config import Config
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.siblings import Siblings
from emotion_triage.server.web import sibling_server, web_server
from emotion_triage.server.wires import AudioSocketServer

__all__ = ["Ports", "listening", "serve"]

log = logging.getLogger(__name__)

BACKLOG = 1024
LAST_WORDS_S = 10.0
"""How long routes and decisions may still take once every call has ended."""


class Ports(NamedTuple):
    """Where a server listens."""

    http: int
    audiosocket: int | None


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, shared with other processes that ask for the same port.

    Raises
    ------
    ConfigError
        The port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host} port {port}: cannot listen ({error.strerror}); expected a free port of this machine"
        ) from None
    listener.setblocking(False)
    return listener


async def serve(
    config: Config, *, siblings: Siblings | None = None, started: Callable[[Ports], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Parameters
    ----------
    config : Config
        What to serve.
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
    live_calls = LiveCalls(config, triage)
    siblings = siblings or Siblings(None, 0, 1)
    api = Api(live_calls, siblings)
    servers = [web_server(application(api), config)]
    if siblings.socket is not None:
        servers.append(sibling_server(sibling_application(api), siblings.socket))
    async with AsyncExitStack() as open_sockets:
        listeners = [listening(config.http.host, config.http.port)]
        open_sockets.callback(listeners[0].close)
        audio = None
        if wire := config.wires.audiosocket:
            bound = listening(wire.host, wire.port)
            audio = await asyncio.start_server(AudioSocketServer(live_calls, wire.listen_s).connected, sock=bound)
        await live_calls.dispatcher.open()
        await live_calls.ledger.open()
        ticking = asyncio.create_task(live_calls.batcher.run())
        serving = asyncio.create_task(servers[0].serve(listeners))
        others = [asyncio.create_task(server.serve()) for server in servers[1:]]
        ports = Ports(
            http=listeners[0].getsockname()[1], audiosocket=audio.sockets[0].getsockname()[1] if audio else None
        )
        log.info("serving", extra={"ports": ports._asdict()})
        if started is not None:
            started(ports)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((stopping, serving, ticking), return_when=asyncio.FIRST_COMPLETED)
        failed = next((task.exception() for task in (serving, ticking) if task.done()), None)
        stopping.cancel()
        if audio is not None:
            audio.close()
        await live_calls.drain(config.limits.drain_s)
        ticking.cancel()
        await live_calls.dispatcher.close(LAST_WORDS_S)
        await live_calls.ledger.close(LAST_WORDS_S)
        live_calls.closing = True
        for server in servers:
            server.should_exit = True
        await asyncio.wait((serving, *others), timeout=LAST_WORDS_S)
        await siblings.close()
        if failed is not None:
            raise failed
    log.info("stopped")
