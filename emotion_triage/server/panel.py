"""The agent's panel: the call at hand, a supervisor's line, help, a flag, the wrap-up, the rest that follows.

Nothing on it measures the agent, and nothing on it is anybody else's. It may stand in a frame of the pages that the
configuration names; a session of its own, in a cookie of its own, opens nothing but it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emotion_triage.routing.contacts import Disposition, Exposure
from emotion_triage.server.agent_schemas import AskForHelp, Desk, DeskCall, Flag, TakeCall
from emotion_triage.server.api import Api
from emotion_triage.server.auth import AGENT_COOKIE, Authenticator, Session
from emotion_triage.server.panel_words import panel_words
from emotion_triage.server.requests import Refused, check_csrf
from emotion_triage.server.schemas import WrapUp
from emotion_triage.server.screens import NO_FORM, Form, Screen, chosen, converted, zone_of
from emotion_triage.server.streams import Shared, Streams
from emotion_triage.texts import Language

__all__ = ["Panel"]

REFRESH_S = 0.4
"""How often a panel is looked at anew; what somebody says to an agent through this process is there at once."""
FRESH_S = 0.3
"""The list of calls is made once for all panels."""
EXPOSURE_S = 5.0
"""How often an agent's exposure is asked for."""
PATIENCE_S = 0.3
"""How long a panel waits for the ledger; then it shows what it knew."""
HEARTBEAT_S = 15.0
MARKS = tuple(each for each in Disposition if each is not Disposition.NONE)


class _Rest(NamedTuple):
    """What an agent has been through, and when the rest that follows ends; None: not known, or none is due."""

    exposure: Exposure | None = None
    ends_at: datetime | None = None


class Panel(Screen):
    """The panel's own requests.

    Parameters
    ----------
    api : Api
        What it shows and does.
    auth : Authenticator
        Who may.
    """

    kind = "agent"
    cookie = AGENT_COOKIE
    under = "/agent"
    layout = "agent_layout.html"
    words = staticmethod(panel_words)

    def __init__(self, api: Api, auth: Authenticator) -> None:
        super().__init__(api, auth)
        self._streams = Streams()
        self._lists: Shared[list[DeskCall]] = Shared(FRESH_S)
        self._rests: Shared[_Rest] = Shared(EXPOSURE_S)
        self._known: dict[str | None, _Rest] = {}
        self._origins = api.live_calls.config.http.frame_ancestors
        self._templates.globals |= {"marks": MARKS, "origins": " ".join(self._origins)}

    def routes(self) -> list[Route]:
        """Return the panel's routes."""
        return [
            Route("/agent", self._signed(self._show), methods=["GET"]),
            Route("/agent", self._signed(self._act), methods=["POST"]),
            Route("/agent/login", self._login, methods=["GET", "POST"]),
            Route("/agent/enter", self._enter, methods=["GET"]),
            Route("/agent/logout", self._logout, methods=["POST"]),
            Route("/agent/events", self._events),
        ]

    async def _enter(self, request: Request) -> Response:
        """Let an agent in by a desktop's link."""
        entered = self._api.links.enter(request.query_params.get("link", ""), now_s=time.time())
        if entered is None:
            return self._page(request, "login.html", None, status=401, wrong="link_wrong")
        entrance = entered.entrance
        if entrance.call_id is not None:
            await self._take(Session(entered.by, None), entrance.call_id, entrance.agent_id)
        return self._let_in(request, entered.by, agent_id=entrance.agent_id, call_id=entrance.call_id)

    def _keep(self, request: Request, response: Response, name: str, value: str, length_s: float) -> None:
        """Have the browser keep a cookie for the panel, to which another site's link or frame leads."""
        secure = request.url.scheme == "https"
        framed = secure and bool(self._origins)
        response.set_cookie(
            name,
            value,
            max_age=int(length_s),
            path="/agent",
            httponly=True,
            samesite="none" if framed else "lax",  # each form has its CSRF token
            secure=secure,
        )
        if framed:  # for this page in that frame alone
            key, text = response.raw_headers.pop()
            response.raw_headers.append((key, text + b"; Partitioned"))

    async def _show(
        self, request: Request, session: Session, *, fault: str | None = None, form: Form = NO_FORM, status: int = 200
    ) -> Response:
        fields = await self._fields(session)
        done = "done" in request.query_params
        return self._page(request, "agent.html", session, status=status, fault=fault, done=done, form=form, **fields)

    async def _act(self, request: Request, session: Session) -> Response:
        form: dict[str, str] = {}
        try:
            form = await self._form(request)
            check_csrf(session, form.get("csrf", ""))
            await self._done(session, form)
        except Refused as refused:
            return await self._show(request, session, fault=str(refused), form=form, status=refused.status)
        self._api.changed.beat()  # the call may be another process's
        self._rests.drop(session.access.agent_id)
        return RedirectResponse("/agent?done", status_code=303)

    async def _done(self, session: Session, form: Form) -> None:
        acts: dict[str, tuple[Callable[..., Awaitable[Any]], type[msgspec.Struct], tuple[str, ...]]] = {
            "help": (Api.help, AskForHelp, ("needed",)),
            "flag": (Api.flag, Flag, ()),
            "wrap_up": (Api.wrap_up, WrapUp, ("disposition", "word")),
        }
        act, kind, names = chosen(acts, form)
        fields = {name: form[name] for name in names if form.get(name)}
        if kind is WrapUp:
            fields["agent_id"] = session.access.agent_id or ""
        await self._api.at(act, session, form.get("call_id", ""), converted(fields, kind))

    async def _take(self, asked: Session, call_id: str, agent_id: str) -> None:
        try:
            await self._api.at(Api.take, asked, call_id, TakeCall(agent_id=agent_id))
        except Refused:  # it has not begun yet: `_desk` looks for it
            return

    async def _desk(self, session: Session, exposure: Exposure | None) -> Desk:
        """Return what the agent sees; the call that their desktop named is theirs as soon as it begins."""
        calls = await self._lists.get(self._api.changed.beats, lambda: self._api.desk_calls(session))
        own = session.access.agent_id
        if session.call_id is not None and own is not None:
            named = next((call for call in calls if call.call_id == session.call_id), None)
            if named is not None and named.agent_id is None and named.ended_at is None:
                await self._take(session, session.call_id, own)
                calls = [msgspec.structs.replace(call, agent_id=own) if call is named else call for call in calls]
        return self._api.desk_of(session, calls, exposure)

    async def _rest(self, session: Session) -> _Rest:
        """Return what the ledger told lately; a panel does not wait for it long."""

        async def asked() -> _Rest:
            exposure = await self._api.own_exposure(session)
            if exposure is None or not exposure.after_call_work_s:
                return _Rest(exposure)
            return _Rest(exposure, datetime.now(UTC) + timedelta(seconds=exposure.after_call_work_s))

        own = session.access.agent_id
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                self._known[own] = await self._rests.get(own, asked)
        return self._known.get(own, _Rest())

    async def _fields(self, session: Session) -> dict[str, Any]:
        rest = await self._rest(session)
        return {"desk": await self._desk(session, rest.exposure), "rest_ends": rest.ends_at}

    async def _updates(self, request: Request, session: Session) -> AsyncIterator[str]:
        """Yield what the panel shows whenever it changes, and in words what a listener should hear."""
        language, where, silent_s = self._language(request), zone_of(request), 0.0
        before, shown, html = None, dict[str, Any](), ""
        yield "retry: 2000\n\n"
        with self._streams.one(f"agent {session.access.agent_id}") as goes_on:
            while goes_on() and not self._live_calls.closing and self._session(request) is not None:
                fields = await self._fields(session)
                now, last, say = fields["desk"].call, html, ""
                if fields != shown:
                    html = self._render("_agent.html", language, csrf=session.csrf, zone=where, **fields)
                    say, before, shown = self._heard(before, now, language), now, fields
                if html != last or say:
                    silent_s = 0.0
                    yield f"data: {msgspec.json.encode({'html': html, 'say': say}).decode()}\n\n"
                elif (silent_s := silent_s + REFRESH_S) >= HEARTBEAT_S:
                    silent_s = 0.0
                    yield ": here\n\n"
                await self._api.changed.wait(REFRESH_S)

    def _heard(self, before: DeskCall | None, now: DeskCall | None, language: Language) -> str:
        """Return what changed between two looks that a listener should hear: a new line, or another level."""
        if before is None or now is None or before.call_id != now.call_id:
            return ""
        told = self.words(language)
        lines = [f"{each.by}: {each.text}" for each in now.messages if each not in before.messages]
        if now.level is not None and now.level != before.level:
            lines.append(told[f"calm_{now.level}"])
        return ". ".join(lines)
