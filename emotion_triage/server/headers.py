"""What every answer carries: headers that let a browser run nothing but the page's own files, and a count."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_triage.server.crowd import Crowd
from emotion_triage.server.metrics import Metrics

__all__ = ["Guarded"]

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors {}"
)
NO_FRAME = [(b"content-security-policy", POLICY.format("'none'").encode()), (b"x-frame-options", b"DENY")]
PANEL = "/agent"
"""What other pages may show in a frame, where the configuration names them."""
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
ALWAYS = frozenset({"/healthz", "/readyz"})
"""What is answered however many connections there are."""
TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")

TOO_MANY = PlainTextResponse(
    "too many connections are open; expected fewer than http.max_connections\n",
    status_code=503,
    headers={"Connection": "close", "Retry-After": "1"},
)


class Guarded:
    """An application behind its headers; a fault of ours is one line in the log and an answer without its words.

    Parameters
    ----------
    app : ASGI application
        What answers.
    metrics : Metrics
        Counts requests by status.
    crowd : Crowd
        The connections at once; where it is full, health is told and nothing else.
    secure : bool
        Served over TLS: browsers are told to keep to it.
    frame_ancestors : sequence of str
        Origins whose pages may show the agent's panel in a frame.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, crowd: Crowd, *, secure: bool, frame_ancestors: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._crowd = crowd
        self._headers = [*HEADERS, TLS_ONLY] if secure else HEADERS
        framed = (b"content-security-policy", POLICY.format(" ".join(frame_ancestors)).encode())
        self._panel = [framed] if frame_ancestors else NO_FRAME

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False
        full = self._crowd.full and scope["path"] not in ALWAYS
        app = TOO_MANY if full else self._app

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                frame = self._panel if f"{scope['path']}/".startswith(f"{PANEL}/") else NO_FRAME
                message["headers"] = [*message["headers"], *self._headers, *frame]
                self._metrics.requests.labels(str(message["status"])).inc()
            await send(message)

        try:
            await app(scope, receive, send_guarded)
        except Exception:
            # starlette has answered with 500 by now; the trace belongs in our log and nowhere else
            log.exception("request failed", extra={"status": 500})
            if not begun:
                await send_guarded({"type": "http.response.start", "status": 500, "headers": []})
                await send({"type": "http.response.body", "body": b""})
