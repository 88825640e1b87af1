"""The web application: the API, the page, metrics, health, and the wires that speak WebSocket."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from emotion_triage.server.api import Api
from emotion_triage.server.auth import Authenticator, Session
from emotion_triage.server.crowd import Crowd
from emotion_triage.server.endpoints import ENDPOINTS, WHO, Endpoint
from emotion_triage.server.headers import Guarded
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.metrics import CONTENT_TYPE
from emotion_triage.server.nonces import NonceFolder
from emotion_triage.server.openapi import document
from emotion_triage.server.page import STATIC, Page
from emotion_triage.server.panel import Panel
from emotion_triage.server.requests import Refused, body_of, decoded, identify
from emotion_triage.server.schemas import Fault
from emotion_triage.server.siblings import Question
from emotion_triage.server.vitals import Vitals
from emotion_triage.server.wires import WebSocketWires

__all__ = ["application", "sibling_application"]

log = logging.getLogger(__name__)

JSON = "application/json"
NONCES = "nonces"


def application(api: Api, crowd: Crowd, vitals: Vitals) -> Guarded:
    """Return the application of one process, whose connections are a crowd.

    Raises
    ------
    ConfigError
        A secret is not there or is not good.
    """
    live_calls = api.live_calls
    auth = Authenticator(live_calls.config.access)
    described = msgspec.json.encode(document())

    async def openapi(request: Request) -> Response:
        return Response(described, media_type=JSON)

    async def metrics(request: Request) -> Response:
        try:
            asked = identify(request, auth)
            if asked is None:
                raise Refused(401, "metrics need a token; expected one of [[access]]")
            if asked.access.kind not in WHO["anyone"]:
                raise Refused(403, "got an agent's token, expected a person's or a machine's")
        except Refused as refused:
            return _fault(refused)
        return Response(live_calls.metrics.text(), media_type=CONTENT_TYPE)

    async def healthy(request: Request) -> Response:
        """Alive: the event loop answers, and scoring moves."""
        problem = vitals.problem
        return PlainTextResponse(f"{problem or 'ok'}\n", status_code=503 if problem else 200)

    async def ready(request: Request) -> Response:
        """Ready for calls; the ledger's absence is told and does not count, since calls go on without it."""
        state = live_calls.unready or vitals.problem or "ready"
        ledger = f"; {live_calls.ledger.problem}" if live_calls.ledger.problem else ""
        return PlainTextResponse(f"{state}{ledger}\n", status_code=200 if state == "ready" else 503)

    routes: list[BaseRoute] = [
        Route("/healthz", healthy),
        Route("/readyz", ready),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        *(
            Route(each.path, _endpoint(each, api, auth, live_calls), methods=[each.method], name=each.run.__name__)
            for each in ENDPOINTS
        ),
        *Page(api, auth).routes(),
        *Panel(api, auth).routes(),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    folder = api.siblings.folder
    wires = WebSocketWires(live_calls, None if folder is None else NonceFolder(Path(folder, NONCES)))
    routes.append(WebSocketRoute("/wires/{name}", wires.connected))
    routes.append(WebSocketRoute("/wires/{name}/{token}", wires.connected))
    http = live_calls.config.http
    return Guarded(
        Starlette(routes=routes),
        live_calls.metrics,
        crowd,
        secure=http.tls_key is not None,
        frame_ancestors=http.frame_ancestors,
    )


def sibling_application(api: Api) -> Starlette:
    """Return what this process's siblings ask, over a socket that only this user may open."""

    async def ask(request: Request) -> Response:
        question = msgspec.json.decode(await request.body(), type=Question)
        asked = Session(question.by, None)
        try:
            if question.call_id is None:
                here = api.desk_calls_here() if question.run == "desk" else api.here(question.run, asked)
                return Response(msgspec.json.encode(here), media_type=JSON)
            if not api.knows(question.call_id):
                raise Refused(404, "not here")
            endpoint = next(each for each in ENDPOINTS if each.run.__name__ == question.run)
            body = () if endpoint.body is None else (msgspec.json.decode(question.body, type=endpoint.body),)
            answer = await endpoint.run(api, asked, question.call_id, *body)
        except Refused as refused:
            return _fault(refused)
        return Response(msgspec.json.encode(answer), media_type=JSON)

    return Starlette(routes=[Route("/ask", ask, methods=["POST"])])


def _endpoint(
    endpoint: Endpoint, api: Api, auth: Authenticator, live_calls: LiveCalls
) -> Callable[[Request], Awaitable[Response]]:
    http, limit = live_calls.config.http, live_calls.config.limits.max_message_bytes

    async def serve(request: Request) -> Response:
        try:
            asked = identify(request, auth)
            if asked is None:
                raise Refused(401, "nobody says who asks; expected 'Authorization: Bearer TOKEN'")
            if asked.access.kind not in WHO[endpoint.who]:
                expected = " or ".join(WHO[endpoint.who])
                raise Refused(403, f"got a token of kind {asked.access.kind}, expected {expected}")
            body = None
            if endpoint.body is not None:
                body = decoded(await body_of(request, limit=limit, within_s=http.header_s), endpoint.body)
            if "{call_id" in endpoint.path:
                answer = await api.at(endpoint.run, asked, request.path_params["call_id"], body)
            else:
                answer = await endpoint.run(api, asked, *(() if body is None else (body,)))
        except Refused as refused:
            return _fault(refused)
        return Response(msgspec.json.encode(answer), media_type=JSON)

    return serve


def _fault(refused: Refused) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
    body = msgspec.json.encode(Fault(error=str(refused), kind=refused.kind))
    return Response(body, status_code=refused.status, media_type=JSON, headers=headers)
