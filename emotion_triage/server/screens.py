"""What every screen shares: who looks at it, in which language, signing in and out, its templates, forms and stream."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, unquote

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from emotion_triage.routing.contacts import RestrictionKind
from emotion_triage.routing.rules import Target
from emotion_triage.server.api import Api
from emotion_triage.server.auth import COOKIE, Authenticator, Session
from emotion_triage.server.config import Access
from emotion_triage.server.drawing import sparkline
from emotion_triage.server.requests import MAX_COMPLAINT, Refused, body_of, check_csrf
from emotion_triage.server.words import clock, local, words, zone
from emotion_triage.settings import explained
from emotion_triage.texts import LANGUAGES, Language, number

__all__ = ["NO_FORM", "Form", "Screen", "chosen", "converted", "zone_of"]

LANGUAGE_COOKIE = "language"
ZONE_COOKIE = "zone"
"""Where the screen's script says in which time zone the browser is."""
YEAR_S = 365 * 86400

Form: TypeAlias = Mapping[str, str]
NO_FORM: Form = {}
T = TypeVar("T")


class Screen(ABC):
    """Requests of a browser, each rendered here.

    Parameters
    ----------
    api : Api
        What it shows and does.
    auth : Authenticator
        Who may.
    """

    kind = "person"
    """Whose screen it is: the kind of token that opens it."""
    cookie = COOKIE
    """Where the session is."""
    under = ""
    """What the paths of its requests begin with."""
    layout = "layout.html"
    words = staticmethod(words)
    """Its words, by key."""

    def __init__(self, api: Api, auth: Authenticator) -> None:
        self._api = api
        self._live_calls = api.live_calls
        self._auth = auth
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("emotion_triage.server"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "clock": clock,
            "local": local,
            "number": number,
            "path": lambda text: quote(text, safe=""),
        }
        self._templates.globals |= {"sparkline": sparkline, "targets": list(Target), "kinds": list(RestrictionKind)}
        self._templates.globals |= {"layout": self.layout, "under": self.under}

    def _signed(
        self, show: Callable[[Request, Session], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def shown(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return RedirectResponse(f"{self.under}/login", status_code=303)
            response = await show(request, session)
            if request.query_params.get("lang") in LANGUAGES:
                self._keep(request, response, LANGUAGE_COOKIE, request.query_params["lang"], YEAR_S)
            return response

        return shown

    @property
    def _home(self) -> str:
        return self.under or "/"

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            return self._page(request, "login.html", None, wrong=None)
        try:
            form = await self._form(request)
        except Refused:
            form = {}
        access = self._auth.by_token(form.get("token", "").strip(), now_s=time.time())
        if access is None or access.kind != self.kind:
            return self._page(request, "login.html", None, status=401, wrong="token_wrong")
        return self._let_in(request, access)

    def _let_in(
        self, request: Request, access: Access, *, agent_id: str | None = None, call_id: str | None = None
    ) -> Response:
        length_s = self._live_calls.config.http.session_hours * 3600
        cookie = self._auth.cookie(access, until_s=time.time() + length_s, agent_id=agent_id, call_id=call_id)
        response = RedirectResponse(self._home, status_code=303)
        self._keep(request, response, self.cookie, cookie, length_s)
        return response

    async def _logout(self, request: Request) -> Response:
        session = self._session(request)
        try:
            if session is not None:
                check_csrf(session, (await self._form(request)).get("csrf", ""))
        except Refused as refused:
            return HTMLResponse(str(refused), status_code=refused.status)
        response = RedirectResponse(f"{self.under}/login", status_code=303)
        response.delete_cookie(self.cookie, path=self._home)
        return response

    async def _events(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            # 204 tells an EventSource not to come again
            return Response(status_code=204)
        return StreamingResponse(
            self._updates(request, session), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    @abstractmethod
    def _updates(self, request: Request, session: Session) -> AsyncIterator[str]:
        """Yield what the screen shows whenever it changes, as server-sent events."""

    def _keep(self, request: Request, response: Response, name: str, value: str, length_s: float) -> None:
        """Have the browser keep a cookie for this screen, and for nothing that another site leads to."""
        response.set_cookie(
            name,
            value,
            max_age=int(length_s),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def _session(self, request: Request) -> Session | None:
        session = self._auth.by_cookie(request.cookies.get(self.cookie, ""), now_s=time.time())
        return session if session is not None and session.access.kind == self.kind else None

    async def _form(self, request: Request) -> dict[str, str]:
        limits = self._live_calls.config
        body = await body_of(request, limit=limits.limits.max_message_bytes, within_s=limits.http.header_s)
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
        except ValueError:
            raise Refused(400, "the form cannot be read; expected what the page sends") from None

    def _language(self, request: Request) -> Language:
        wanted = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
        if wanted not in LANGUAGES:
            accepted = request.headers.get("accept-language", "").lower()
            offered = [part.strip()[:2] for part in accepted.split(",")]
            wanted = next((each for each in offered if each in LANGUAGES), self._live_calls.config.http.language)
        return next(each for each in LANGUAGES if each == wanted)

    def _page(
        self, request: Request, template: str, session: Session | None, *, status: int = 200, **fields: Any
    ) -> Response:
        language = self._language(request)
        html = self._render(
            template,
            language,
            person=session.access.name if session else None,
            csrf=session.csrf if session else None,
            here=request.url.path,
            zone=zone_of(request),
            today=datetime.now(zone_of(request)).date(),
            **fields,
        )
        return HTMLResponse(html, status_code=status)

    def _render(self, template: str, language: Language, **fields: Any) -> str:
        return self._templates.get_template(template).render(language=language, t=self.words(language), **fields)


def chosen(acts: Mapping[str, T], form: Form) -> T:
    """Return what a form asks to be done.

    Raises
    ------
    Refused
        If it is none of these.
    """
    if form.get("act") not in acts:
        raise Refused(400, f"the form is not as it should be: act: expected one of {', '.join(acts)}")
    return acts[form["act"]]


def converted(fields: Form, kind: type[msgspec.Struct]) -> Any:
    """Return what a form says, as the API takes it.

    Raises
    ------
    Refused
        If it is not of that form; the message says why.
    """
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(400, f"the form is not as it should be: {explained(error, kind)[:MAX_COMPLAINT]}") from None


def zone_of(request: Request) -> tzinfo:
    """Return the time zone in which the person's browser is."""
    return zone(unquote(request.cookies.get(ZONE_COOKIE, "")))
