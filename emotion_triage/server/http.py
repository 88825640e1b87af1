"""Connections of the web server: none outlives its time, whatever its peer sends, or leaves unread.

uvicorn's protocols, and one sweep a second over all of them: a request has to arrive whole in `header_s`, an answer
has to be taken as fast, and a connection that is being closed is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from emotion_triage.server.crowd import Crowd

__all__ = ["Connection", "HttpConnection", "WebSocketConnection", "kinds"]

CLOSING_S = 3.0
"""How long a connection that is being closed may take to send the rest."""
GRACE_S = 1.0
"""A handler that waits for the same request gives up first, and answers."""


class _Limited:
    """What both kinds of connections share: since when they stand still."""

    crowd: Crowd
    limit_s: float
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    _arriving_since_s: float | None = None
    _unread_since_s: float | None = None
    _closing_since_s: float | None = None

    def overdue(self, now_s: float) -> bool:
        """Return whether the connection has had its time."""
        if self.transport.is_closing() and self._closing_since_s is None:
            self._closing_since_s = now_s
        return (
            _passed(self._arriving_since_s, self.limit_s + GRACE_S, now_s)
            or _passed(self._unread_since_s, self.limit_s, now_s)
            or _passed(self._closing_since_s, CLOSING_S, now_s)
        )

    def _wait(self) -> None:
        self.crowd.wait(self, self.transport.abort)


class HttpConnection(_Limited, H11Protocol):
    """One HTTP/1.1 connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._arriving_since_s = self.loop.time()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; whatever comes before a whole request is on the clock."""
        if self._arriving_since_s is None:
            self._arriving_since_s = self.loop.time()
        before = self.conn.their_state
        super().data_received(data)
        self._settle(before)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one."""
        before = self.conn.their_state
        super().on_response_complete()
        self._settle(before)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to a WebSocket."""
        self.crowd.leave(self)
        self._arriving_since_s = None
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """Note that the peer does not read."""
        super().pause_writing()
        self._unread_since_s = self.loop.time()
        self._wait()

    def resume_writing(self) -> None:
        """Note that the peer reads."""
        super().resume_writing()
        self._unread_since_s = None
        self._settle(self.conn.their_state)

    def _settle(self, before: Any) -> None:
        """Note what the connection waits for now; `before`, the peer's state so far."""
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        theirs = self.conn.their_state
        if theirs not in (h11.IDLE, h11.SEND_BODY):  # whole: it is our turn
            self._arriving_since_s = None
            self.crowd.serve(self)
            return
        if theirs is h11.IDLE and before is h11.SEND_BODY:
            # the rest of a request that was answered early is over; the next has as long as the first
            self._arriving_since_s = self.loop.time()
        elif self._arriving_since_s is None and self.conn.trailing_data[0]:
            self._arriving_since_s = self.loop.time()
        self._wait()


class WebSocketConnection(_Limited, WebSocketsSansIOProtocol):
    """One WebSocket; counted here until it is accepted, and among the calls from then on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the answer to the handshake."""
        super().connection_made(transport)
        self._arriving_since_s = self.loop.time()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.crowd.leave(self)
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:
        """Send, and note when the handshake is over."""
        await super().send(message)
        if self.handshake_complete and self._arriving_since_s is not None:
            self._arriving_since_s = None
            self.crowd.leave(self)

    def pause_writing(self) -> None:
        """Read nothing more from a peer that reads nothing: each of its pings would be answered into memory."""
        super().pause_writing()
        self._unread_since_s = self.loop.time()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        super().resume_writing()
        self._unread_since_s = None
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()


Connection: TypeAlias = HttpConnection | WebSocketConnection


def kinds(crowd: Crowd, limit_s: float) -> tuple[type[HttpConnection], type[WebSocketConnection]]:
    """Return the classes of the connections of one server, which share a crowd and a limit of time."""
    shared = {"crowd": crowd, "limit_s": limit_s}
    return type("Http", (HttpConnection,), shared), type("WebSocket", (WebSocketConnection,), shared)


def _passed(since_s: float | None, limit_s: float, now_s: float) -> bool:
    return since_s is not None and now_s - since_s > limit_s
