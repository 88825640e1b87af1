"""Listening sockets: every connection is counted before it is served, and a failure to accept is logged sparingly.

asyncio's own servers accept whatever comes, and log each failure a thousand times a second where descriptors run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable

from emotion_triage.errors import ConfigError

__all__ = ["Listener", "listening", "listening_at"]

log = logging.getLogger(__name__)

BACKLOG = 1024
BATCH = 8
"""Connections accepted before others have their turn."""
RETRY_S = 0.2
"""How long accepting rests after it failed."""
YIELD_S = 0.02
"""How long a process with more calls than another leaves a connection to it."""
LOG_EVERY_S = 1.0
DEAD_PEER_MS = 30_000
"""After that long without a sign from the peer's system, a connection is over."""


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port that nobody else listens on.

    Raises
    ------
    ConfigError
        The port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY where the protocol is named, and on no other socket
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host} port {port}: cannot listen ({error.strerror}); expected a free port of this machine; "
            "is another server running?"
        ) from None
    listener.setblocking(False)
    return listener


def listening_at(path: str) -> socket.socket:
    """Return a socket that listens in the file system; what was there before is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class Listener:
    """Accepts the connections of one socket; each is given a protocol, as asyncio's servers do.

    Parameters
    ----------
    listener : socket
        Listens; other processes may accept from it too.
    protocol : callable
        Makes the protocol of one connection.
    admit : callable
        Asked before each connection is served; False closes it at once.
    context : ssl.SSLContext, optional
        For TLS.
    handshake_s : float
        How long TLS may take to be agreed on.
    farewell : bytes
        Sent to a connection that is closed at once.
    yields : callable, optional
        Asked before connections are accepted; where it is true, other processes have the first go at them.
    handshakes : callable, optional
        Given the task of each handshake, so that it is counted and can be cancelled.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        admit: Callable[[], bool],
        *,
        context: ssl.SSLContext | None = None,
        handshake_s: float = 10.0,
        farewell: bytes = b"",
        yields: Callable[[], bool] = lambda: False,
        handshakes: Callable[[asyncio.Task[None]], None] | None = None,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._admit = admit
        self._context = context
        self._handshake_s = handshake_s
        self._farewell = farewell
        self._yields = yields
        self._handshakes = handshakes
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._logged_s = -LOG_EVERY_S
        self._retry: asyncio.TimerHandle | None = None
        self._open = True
        self._resume()

    def close(self) -> None:
        """Accept no more; connections that are open go on."""
        if self._open:
            self._open = False
            if self._retry is not None:
                self._retry.cancel()
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def wait_closed(self) -> None:
        """Return at once: what is open is not the listener's."""

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._ready)

    def _ready(self) -> None:
        if self._yields():
            self._rest(YIELD_S, self._accept)
        else:
            self._accept()

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno == errno.EINVAL:  # it was shut down, and listens no more
                    self.close()
                else:
                    self._fail(error)
                return
            connection.setblocking(False)
            if not self._admit():
                self._turn_away(connection)
                continue
            _detect_dead_peers(connection)
            task = self._loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if self._context is not None and self._handshakes is not None:
                self._handshakes(task)

    def _turn_away(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._farewell:
                connection.send(self._farewell)
        connection.close()

    def _fail(self, error: OSError) -> None:
        self._failures += 1
        if self._loop.time() - self._logged_s >= LOG_EVERY_S:
            log.error(
                "a connection could not be accepted (%s), %d times; the process may need more file descriptors",
                error.strerror,
                self._failures,
            )
            self._failures, self._logged_s = 0, self._loop.time()
        self._rest(RETRY_S)

    def _rest(self, for_s: float, then: Callable[[], None] = lambda: None) -> None:
        """Leave the socket alone for a while."""

        def resume() -> None:
            self._resume()
            then()

        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(for_s, resume)

    async def _serve(self, connection: socket.socket) -> None:
        handshake_s = None if self._context is None else self._handshake_s
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._context, ssl_handshake_timeout=handshake_s
            )
        except (OSError, asyncio.CancelledError) as error:
            # the peer broke off, took too long, or made room for another
            log.debug("connection was not made (%s)", type(error).__name__)
            connection.close()


def _detect_dead_peers(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT") and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
