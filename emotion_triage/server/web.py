"""The HTTP server: uvicorn, with a limit on how long a request may take to arrive, and our own way to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from emotion_triage.errors import ConfigError
from emotion_triage.server.config import Config

__all__ = ["WebServer", "sibling_server", "web_server"]

KEEP_ALIVE_S = 15
CLOSING_S = 3
PING_S = 20.0


class WebServer(uvicorn.Server):
    """A server whose signals are somebody else's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def web_server(app: ASGIApp, config: Config) -> WebServer:
    """Return the server of an application; it is given its sockets when it serves.

    Raises
    ------
    ConfigError
        Certificate and key are no pair.
    """
    http = config.http

    class Impatient(H11Protocol):
        """A connection that is closed when its request does not arrive in time."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def _watch(self) -> None:
            self.loop.call_later(http.header_s, self._look)

        def _look(self) -> None:
            # a WebSocket took the connection over, or it is gone
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            if self.conn.their_state is h11.IDLE and not self._answering():
                self.transport.close()
            else:
                self._watch()

        def _answering(self) -> bool:
            cycle: RequestResponseCycle | None = self.cycle
            return cycle is not None

    settings = uvicorn.Config(
        app,
        http=Impatient,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=http.tls_certificate,
        ssl_keyfile=http.tls_key,
        ws_max_size=config.limits.max_message_bytes,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        limit_concurrency=http.max_connections,
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
    return WebServer(settings)


def sibling_server(app: ASGIApp, path: str) -> WebServer:
    """Return the server of what other processes ask, on a socket of the file system."""
    return WebServer(uvicorn.Config(app, uds=path, lifespan="off", log_config=None, access_log=False))
