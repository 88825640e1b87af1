"""The supervisor's page: rendered here, refreshed by server-sent events, usable without a script.

Nothing on it scores an agent. Every text from outside goes through autoescaping templates.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from emotion_triage.routing.contacts import Exposure
from emotion_triage.routing.escalation import Level
from emotion_triage.server.agent_schemas import SayToAgent
from emotion_triage.server.api import Api
from emotion_triage.server.auth import Authenticator, Session
from emotion_triage.server.console import Listed, Shown, head_of, in_order, listed, matching
from emotion_triage.server.drawing import timeline
from emotion_triage.server.judging import waiting
from emotion_triage.server.queues import known_queues
from emotion_triage.server.requests import Refused, check_csrf
from emotion_triage.server.schemas import Attend, LiftCaller, MonitorCall, OverrideRoute, RestrictCaller, SayVerdict
from emotion_triage.server.screens import NO_FORM, Form, Screen, chosen, converted, zone_of
from emotion_triage.server.streams import Shared, Streams
from emotion_triage.server.team import rest_of, shift_of
from emotion_triage.server.words import words
from emotion_triage.texts import Language

__all__ = ["STATIC", "Page"]

STATIC = Path(__file__).parent / "static"
REFRESH_S = 0.7
FRESH_S = 0.5
"""The list of calls is made once for all who look at it."""
HEARTBEAT_S = 15.0
SCANNED = 20.0
"""What waits is read from the whole ledger: no more than a part in so many of the time."""
STATES: tuple[Literal["seen", "mine", "nobody"], ...] = ("seen", "mine", "nobody")
"""What a supervisor may say of who looks after a call."""


class Page(Screen):
    """The page's own requests.

    Parameters
    ----------
    api : Api
        What it shows and does.
    auth : Authenticator
        Who may.
    """

    def __init__(self, api: Api, auth: Authenticator) -> None:
        super().__init__(api, auth)
        self._streams = Streams()
        self._lists: Shared[Listed] = Shared(FRESH_S)

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        return [
            Route("/", self._signed(self._calls)),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/team", self._signed(self._team)),
            Route("/attend", self._signed(self._attend), methods=["POST"]),
            Route("/ended", self._signed(self._ended)),
            Route("/reviews", self._signed(self._reviews)),
            Route("/events", self._events),
            Route("/calls/{call_id:path}", self._signed(self._call), methods=["GET"]),
            Route("/calls/{call_id:path}", self._signed(self._decide), methods=["POST"]),
        ]

    async def _calls(self, request: Request, session: Session) -> Response:
        calls, live_calls = in_order(await self._api.calls(session)), self._live_calls
        queues = known_queues(live_calls.triage.policy, live_calls.config.wires)
        return self._page(
            request,
            "calls.html",
            session,
            calls=matching(calls, request.query_params),
            query=request.query_params,
            queues=sorted({*queues, *(call.queue for call in calls if call.queue)}),
            now=datetime.now(UTC),
            stage=live_calls.stage.name.lower(),
            **head_of(calls),
        )

    async def _attend(self, request: Request, session: Session) -> Response:
        """Tell the others that someone has seen a call, or takes care of it."""
        try:
            form = await self._form(request)
            check_csrf(session, form.get("csrf", ""))
            body, call_id = next(((Attend(state=state), form[state]) for state in STATES if state in form), (None, ""))
            if body is None:
                raise Refused(400, f"the form is not as it should be; expected one of {', '.join(STATES)}")
            await self._api.at(Api.attend, session, call_id, body)
        except Refused as refused:
            return PlainTextResponse(str(refused), status_code=refused.status)
        return RedirectResponse("/", status_code=303)

    async def _team(self, request: Request, session: Session) -> Response:
        now, length = datetime.now(UTC), self._live_calls.triage.policy.protection.shift
        shift = shift_of(await self._api.ended(session), now - length, zone_of(request))
        team, problem = list[Exposure](), None
        try:
            team = await self._api.team(session)
        except Refused as refused:
            problem = str(refused)
        rest = rest_of(team, now)
        return self._page(request, "team.html", session, team=team, rest=rest, shift=shift, problem=problem)

    async def _reviews(self, request: Request, session: Session) -> Response:
        cases, problem = await waiting(self._api, session)
        done = "done" in request.query_params
        return self._page(request, "reviews.html", session, cases=cases, problem=problem, done=done)

    async def _ended(self, request: Request, session: Session) -> Response:
        calls = sorted(await self._api.ended(session), key=lambda call: not call.waits)
        return self._page(request, "ended.html", session, calls=calls)

    async def _call(
        self, request: Request, session: Session, *, fault: str | None = None, form: Form = NO_FORM, status: int = 200
    ) -> Response:
        try:
            fields = await self._fields_of_call(session, request.path_params["call_id"], self._language(request))
        except Refused:
            return self._page(request, "missing.html", session, status=404)
        done = "done" in request.query_params
        live_calls = self._live_calls
        queues = known_queues(live_calls.triage.policy, live_calls.config.wires, fields["call"].queue)
        return self._page(
            request,
            "call.html",
            session,
            status=status,
            fault=fault,
            done=done,
            form=form,
            queues=queues,
            agent_told=self._live_calls.triage.policy.supervision.tell_agent,
            **fields,
        )

    async def _decide(self, request: Request, session: Session) -> Response:
        call_id, form = request.path_params["call_id"], {}
        try:
            form = await self._form(request)
            check_csrf(session, form.get("csrf", ""))
            await self._done(session, call_id, form)
        except Refused as refused:
            fault = words(self._language(request)).get(f"monitor_{refused.kind}", str(refused))
            return await self._call(request, session, fault=fault, form=form, status=refused.status)
        back = "/reviews" if form.get("back") == "/reviews" else f"/calls/{quote(call_id, safe='')}"
        return RedirectResponse(f"{back}?done", status_code=303)

    async def _done(self, session: Session, call_id: str, form: Form) -> None:
        fields = {name: value for name, value in form.items() if value and name not in ("csrf", "act", "back")}
        for name in ("until", "review_at"):
            if name in fields:
                fields[name] += "T12:00:00Z"
        acts: dict[str, tuple[Callable[..., Awaitable[Any]], Any]] = {
            "override": (Api.override, OverrideRoute),
            "message": (Api.message, SayToAgent),
            "monitor": (Api.monitor, MonitorCall),
            "leave": (Api.stop_monitoring, None),
            "verdict": (Api.verdict, SayVerdict),
            "restrict": (Api.restrict, RestrictCaller),
            "lift": (Api.lift, LiftCaller),
        }
        act, kind = chosen(acts, form)
        await self._api.at(act, session, call_id, None if kind is None else converted(fields, kind))

    async def _updates(self, request: Request, session: Session) -> AsyncIterator[str]:
        with self._streams.one(session.access.name) as goes_on:
            async for event in self._stream(request, session, goes_on):
                yield event

    async def _stream(self, request: Request, session: Session, goes_on: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield what the page shows whenever it changes, and in words what a listener should hear."""
        call_id, language, where = request.query_params.get("call"), self._language(request), zone_of(request)
        shown, seen, level, silent_s = Shown(), "", None, 0.0
        yield "retry: 2000\n\n"
        while goes_on() and not self._live_calls.closing and self._session(request) is not None:
            message: dict[str, Any] | None = None
            began_s, pause_s = time.monotonic(), REFRESH_S
            if "reviews" in request.query_params:
                cases, problem = await waiting(self._api, session)
                html = self._render(
                    "_reviews.html", language, cases=cases, problem=problem, csrf=session.csrf, zone=where
                )
                message, seen = {"html": html} if html != seen else None, html
                pause_s = max(REFRESH_S, SCANNED * (time.monotonic() - began_s))
            elif call_id is None:
                calls = await self._lists.get((language, where), lambda: self._list(session, language, where))
                message = shown.changes(calls, language)
            else:
                html, say = self._render("_missing.html", language), ""
                with contextlib.suppress(Refused):
                    fields = await self._fields_of_call(session, call_id, language)
                    html, now = self._render("_call.html", language, zone=where, **fields), fields["call"].level
                    say = f"{call_id}: {words(language)[now]}" if now and level and now != level else ""
                    level = now
                message, seen = {"html": html, "say": say} if html != seen or say else None, html
            if message is not None:
                silent_s = 0.0
                yield f"data: {msgspec.json.encode(message).decode()}\n\n"
            elif (silent_s := silent_s + pause_s) >= HEARTBEAT_S:
                silent_s = 0.0
                yield ": here\n\n"
            await asyncio.sleep(pause_s)

    async def _list(self, session: Session, language: Language, where: tzinfo) -> Listed:
        stage = self._live_calls.stage.name.lower()
        return listed(self._templates, await self._api.calls(session), language, stage=stage, zone=where)

    async def _fields_of_call(self, session: Session, call_id: str, language: Language) -> dict[str, Any]:
        call = await self._api.at(Api.call, session, call_id)
        suggestions = self._live_calls.triage.policy.suggestions
        # once the call is over there is nothing left to do in it
        suggestion = suggestions.text(Level[call.level.upper()], language) if call.level and not call.ended else None
        stage = self._live_calls.stage.name.lower()
        return {"call": call, "line": timeline(call), "suggestion": suggestion, "stage": stage}
