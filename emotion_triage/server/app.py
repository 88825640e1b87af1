"""The web application: the API, the page, metrics, health, and the wires that speak WebSocket."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from emotion_triage.server.access import Doors
from emotion_triage.server.answers import Fault
from emotion_triage.server.api import ENDPOINTS, Api, Endpoint
from emotion_triage.server.floor import Floor
from emotion_triage.server.headers import Guarded
from emotion_triage.server.metrics import CONTENT_TYPE
from emotion_triage.server.openapi import document
from emotion_triage.server.page import STATIC, Page
from emotion_triage.server.requests import Refused, body_of, decoded, identify
from emotion_triage.server.wires import WebSocketWires

__all__ = ["application"]

log = logging.getLogger(__name__)

JSON = "application/json"


def application(floor: Floor) -> Guarded:
    """Return the application of one process.

    Raises
    ------
    ConfigError
        A secret is not there or is not good.
    """
    doors = Doors(floor.config.access)
    api = Api(floor)
    described = msgspec.json.encode(document())

    async def openapi(request: Request) -> Response:
        return Response(described, media_type=JSON)

    async def metrics(request: Request) -> Response:
        try:
            if identify(request, doors) is None:
                raise Refused(401, "metrics need a token; expected one of [[access]]")
        except Refused as refused:
            return _fault(refused)
        return Response(floor.metrics.text(), media_type=CONTENT_TYPE)

    async def healthy(request: Request) -> Response:
        """Alive: the event loop answers."""
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        """Ready for calls; the ledger's absence is told and does not count, since calls go on without it."""
        full = floor.connections >= floor.config.limits.max_calls
        state = "draining" if floor.draining else "full" if full else "ready"
        ledger = f"; {floor.books.problem}" if floor.books.problem else ""
        return PlainTextResponse(f"{state}{ledger}\n", status_code=200 if state == "ready" else 503)

    routes: list[BaseRoute] = [
        Route("/healthz", healthy),
        Route("/readyz", ready),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        *(
            Route(each.path, _endpoint(each, api, doors, floor), methods=[each.method], name=each.run.__name__)
            for each in ENDPOINTS
        ),
        *Page(api, doors).routes(),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    wires = WebSocketWires(floor)
    routes.append(WebSocketRoute("/wires/{name}", wires.connected))
    routes.append(WebSocketRoute("/wires/{name}/{token}", wires.connected))
    return Guarded(Starlette(routes=routes), floor.metrics, secure=floor.config.http.tls_key is not None)


def _endpoint(endpoint: Endpoint, api: Api, doors: Doors, floor: Floor) -> Callable[[Request], Awaitable[Response]]:
    http, limit = floor.config.http, floor.config.limits.max_message_bytes

    async def serve(request: Request) -> Response:
        try:
            asked = identify(request, doors)
            if asked is None:
                raise Refused(401, "nobody says who asks; expected 'Authorization: Bearer TOKEN'")
            if endpoint.who == "person" and asked.access.kind != "person":
                raise Refused(403, "the token is a machine's; only a named person may decide this")
            arguments: list[Any] = [request.path_params["call_id"]] if "{call_id" in endpoint.path else []
            if endpoint.body is not None:
                arguments.append(decoded(await body_of(request, limit=limit, within_s=http.header_s), endpoint.body))
            answer = await endpoint.run(api, asked, *arguments)
        except Refused as refused:
            return _fault(refused)
        return Response(msgspec.json.encode(answer), media_type=JSON)

    return serve


def _fault(refused: Refused) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
    body = msgspec.json.encode(Fault(error=str(refused)))
    return Response(body, status_code=refused.status, media_type=JSON, headers=headers)
