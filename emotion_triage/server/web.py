"""The HTTP server: uvicorn, with limits on connections and on the time that each may take, and our own way to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from emotion_triage.errors import ConfigError
from emotion_triage.server.config import Config
from emotion_triage.server.crowd import Crowd
from emotion_triage.server.http import Connection, kinds
from emotion_triage.server.listeners import Listener

__all__ = ["WebServer", "sibling_server", "web_server"]

LONGEST_PASSED_OVER = 16
"""How many times the longest message that is read another may be: it is passed over, a longer one ends its wire."""
KEEP_ALIVE_S = 15
CLOSING_S = 3
PING_S = 20.0
SIBLING_CONNECTIONS = 128
SIBLING_S = 10.0
TICKS_A_SWEEP = 10
"""uvicorn ticks ten times a second."""


class WebServer(uvicorn.Server):
    """A server whose signals are somebody else's, and whose connections have their time.

    Parameters
    ----------
    config : uvicorn.Config
        Its protocols are those of `emotion_triage.server.http`.
    crowd : Crowd
        The connections at once.
    handshake_s : float
        How long TLS may take to be agreed on.
    yields : callable, optional
        Whether other processes have the first go at a new connection.
    """

    def __init__(
        self, config: uvicorn.Config, crowd: Crowd, handshake_s: float, yields: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(config)
        self._yields = yields
        self._crowd = crowd
        self._handshake_s = handshake_s

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await self.lifespan.startup()
        protocol: Any = self.config.http_protocol_class
        make = functools.partial(
            protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        listeners: Any = [
            Listener(
                each,
                make,
                self._crowd.admit,
                context=self.config.ssl,
                handshake_s=self._handshake_s,
                yields=self._yields,
                handshakes=self._count,
            )
            for each in sockets or []
        ]
        self.servers = listeners
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Close what has had its time."""
        if counter % TICKS_A_SWEEP == 0:
            now_s = asyncio.get_running_loop().time()
            for connection in list(cast("set[Connection]", self.server_state.connections)):
                if connection.overdue(now_s):
                    connection.transport.abort()
        return await super().on_tick(counter)

    def _count(self, handshake: asyncio.Task[None]) -> None:
        def give_up() -> None:
            handshake.cancel()

        self._crowd.wait(handshake, give_up)
        handshake.add_done_callback(self._crowd.leave)


def web_server(app: ASGIApp, config: Config, crowd: Crowd, yields: Callable[[], bool]) -> WebServer:
    """Return the server of an application; it is given its sockets when it serves.

    Raises
    ------
    ConfigError
        Certificate and key are no pair.
    """
    http = config.http
    requests, web_sockets = kinds(crowd, http.header_s)
    settings = uvicorn.Config(
        app,
        http=requests,
        ws=web_sockets,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=http.tls_certificate,
        ssl_keyfile=http.tls_key,
        ws_max_size=LONGEST_PASSED_OVER * config.limits.max_message_bytes,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSING_S,
    )
    try:
        settings.load()
    except OSError as error:
        # ssl.SSLError is one too; the key's own text is in none of them
        raise ConfigError(
            f"http.tls_certificate, http.tls_key: cannot be used ({type(error).__name__}); expected PEM files of a pair"
        ) from None
    return WebServer(settings, crowd, http.header_s, yields)


def sibling_server(app: ASGIApp) -> WebServer:
    """Return the server of what other processes ask, over a socket of the file system."""
    crowd = Crowd(SIBLING_CONNECTIONS)
    requests, web_sockets = kinds(crowd, SIBLING_S)
    settings = uvicorn.Config(
        app, http=requests, ws=web_sockets, lifespan="off", log_config=None, access_log=False, server_header=False
    )
    return WebServer(settings, crowd, SIBLING_S)
