"""Every endpoint with every role: an agent's token or session shows and changes nothing of another agent's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from emotion_triage.call.triage import Triage
from emotion_triage.server.api import Api
from emotion_triage.server.app import application
from emotion_triage.server.auth import AGENT_COOKIE, COOKIE
from emotion_triage.server.config import Config
from emotion_triage.server.crowd import Crowd
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.siblings import Siblings
from emotion_triage.server.vitals import Vitals

SECRET = "zebra"
"""It stands in whatever is the other agent's."""
THEIRS, MINE = f"CA-{SECRET}", "CA-mine"
OPEN = {"/healthz", "/readyz", "/openapi.json", "/login", "/agent/login", "/agent/enter"}
"""What shows nothing, and anybody may ask."""
OF_AGENTS = {
    ("GET", "/api/agent"),
    ("POST", "/api/calls/{call_id:path}/help"),
    ("POST", "/api/calls/{call_id:path}/flag"),
    ("POST", "/api/calls/{call_id:path}/wrap-up"),
}
BODIES: dict[str, dict[str, Any]] = {
    "agent": {"agent_id": "a-1"},
    "candidates": {"agents": ["a-1"]},
    "flag": {"reason": "insults"},
    "lift": {"reason": "r"},
    "lifts": {"reason": "r", "caller": "+33612345678"},
    "links": {"agent_id": "a-2"},
    "message": {"text": "hello"},
    "override": {"reason": "r", "queue": "senior"},
    "restrict": {"kind": "block", "reason": "r", "until": "2027-01-01T00:00:00Z", "review_at": "2026-12-15T00:00:00Z"},
    "verdict": {"abusive": True, "reason": "r"},
    "wrap-up": {"agent_id": "a-1", "disposition": "OK"},
}
PUBLIC = "/static/page.css"


@pytest.fixture(scope="module")
def paths(anger_model: Path) -> list[tuple[str, str]]:
    """Every method and path of the application, as its router has them."""
    triage = Triage.load(model=anger_model)
    live_calls = LiveCalls(Config(), triage)
    app = application(Api(live_calls, Siblings()), Crowd(1), Vitals(lambda: time.monotonic(), 15.0, lambda: None))
    routes = [route for route in app._app.routes if isinstance(route, Route)]  # type: ignore[attr-defined]
    return sorted({(method, route.path) for route in routes for method in (route.methods or {"GET"}) - {"HEAD"}})


@pytest.fixture(scope="module")
def others(start: Any, twilio: Any, aside: Any) -> Iterator[Any]:
    """A server on which each of two agents has a call, and the one has a line and a flag, and asks for help."""
    server = start(idle_s=600)
    about = {"agent": "a-2", "caller": "+33 1 98 76 54 32", "caller_name": f"Mr {SECRET}"}
    with aside(twilio(server, THEIRS, about)), aside(twilio(server, MINE, {"agent": "a-1"})):
        server.wait_for(lambda: server.call(THEIRS) and server.call(MINE))
        for token, act in (("PETIT", "help"), ("PETIT", "flag"), ("DURAND", "message")):
            body = {"message": {"text": f"{SECRET} line"}, "flag": {"reason": f"{SECRET} word"}}.get(act, {})
            # a ledger on a busy machine may not be open yet
            server.wait_for(partial(done, server, f"/api/calls/{THEIRS}/{act}", token, body))
        yield server


def ask(
    server: Any, method: str, path: str, token: str | None, body: Any = None, cookies: dict[str, str] | None = None
) -> httpx.Response:
    with server.client(token) as client:
        client.cookies.update(cookies or {})
        form = None if body is None or not cookies else {**body, "act": path.rpartition("/")[2], "call_id": THEIRS}
        with client.stream(method, path, json=None if form else body, data=form) as response:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                until_s, told = time.monotonic() + 1.5, b""
                for chunk in response.iter_raw():
                    told += chunk
                    if time.monotonic() > until_s or b"data:" in told:
                        break
                return httpx.Response(response.status_code, content=told, request=response.request)
            response.read()
            return response


def done(server: Any, path: str, token: str, body: Any) -> httpx.Response:
    return ask(server, "POST", path, token, body).raise_for_status()


def at(path: str) -> str:
    return path.replace("{call_id:path}", THEIRS)


def body_of(path: str) -> dict[str, Any]:
    return BODIES.get(path.rpartition("/")[2], {})


def state_of(server: Any) -> dict[str, Any]:
    """What people did with the other agent's call."""
    call = server.call(THEIRS)
    names = ("agent_id", "help_since", "flagged", "messages", "override", "verdict", "disposition", "ended")
    reviews = [each["reason"] for each in server.get("/api/reviews").json() if each["contact_id"] == THEIRS]
    return {name: call[name] for name in names} | {"reviews": reviews}


def test_every_endpoint_with_an_agents_token(others: Any, paths: list[tuple[str, str]]) -> None:
    """With a token of agent a-1 nothing of a-2's is read or changed, wherever it is sent."""
    before = state_of(others)
    assert SECRET in json.dumps(before)
    assert len(paths) > 25
    for method, path in paths:
        answer = ask(others, method, at(path), "MARTIN", body_of(path) if method == "POST" else None)
        assert SECRET not in answer.text, (method, path)
        assert "a-2" not in answer.text, (method, path)
        if path.startswith(("/api/", "/metrics")):
            own = path == "/api/agent"
            expected = 200 if own else 404 if (method, path) in OF_AGENTS else 403
            assert answer.status_code == expected, (method, path)
    assert state_of(others) == before


def test_every_endpoint_with_an_agents_session(others: Any, paths: list[tuple[str, str]]) -> None:
    """A panel's session opens the panel alone, in its own cookie or a supervisor's; another's call is unknown there."""
    before = state_of(others)
    for sign_in in (by_token, by_link):
        cookie = sign_in(others, "MARTIN", "a-1")
        for name in (AGENT_COOKIE, COOKIE):
            for method, path in paths:
                cookies = {name: cookie}
                answer = ask(others, method, at(path), None, body_of(path) if method == "POST" else None, cookies)
                assert SECRET not in answer.text, (name, method, path)
                assert "a-2" not in answer.text, (name, method, path)
        shown = ask(others, "GET", "/agent", None, cookies={AGENT_COOKIE: cookie})
        assert MINE in shown.text
        csrf = shown.text.partition('name="csrf" value="')[2].partition('"')[0]
        for act in ("help", "flag", "wrap_up"):
            form = {"act": act, "call_id": THEIRS, "csrf": csrf, "disposition": "OK"}
            with others.client(None) as client:
                client.cookies.set(AGENT_COOKIE, cookie)
                answer = client.post("/agent", data=form)
            assert answer.status_code == 404
            assert SECRET not in answer.text
        told = ask(others, "GET", "/agent/events", None, cookies={AGENT_COOKIE: cookie})
        assert MINE in told.text
        assert SECRET not in told.text
    assert state_of(others) == before


def test_every_endpoint_with_every_other_role(others: Any, paths: list[tuple[str, str]]) -> None:
    """Who names no one is refused; a supervisor and a machine read no agent's desk, and only people decide."""
    decided = ("override", "verdict", "restrict", "lift", "restrictions", "lifts", "message")
    for method, path in paths:
        body = body_of(path) if method == "POST" else None
        nobody = ask(others, method, at(path), None, body)
        assert SECRET not in nobody.text, (method, path)
        if path not in OPEN:
            assert nobody.status_code in (204, 303, 401), (method, path)
        if path.startswith("/api/") and path.rpartition("/")[2] in decided:
            assert ask(others, method, at(path), "DESKTOP", body).status_code == 403, path
        if path == "/api/agent":
            assert {ask(others, method, path, token).status_code for token in ("DURAND", "DESKTOP")} == {403}
        if path == "/api/links":
            assert ask(others, method, path, "DURAND", body).status_code == 403
    for path in ("/agent", "/agent/events"):
        cookie = {AGENT_COOKIE: supervisor(others), COOKIE: supervisor(others)}
        assert ask(others, "GET", path, None, cookies=cookie).status_code in (204, 303)


def test_an_agents_token_opens_no_wire(others: Any) -> None:
    """A wire takes its own token and no agent's."""

    async def tried() -> None:
        with pytest.raises(InvalidStatus):
            async with connect(f"ws://127.0.0.1:{others.ports['http']}/wires/twilio/martin-token-0123456789abcdef"):
                pass

    asyncio.run(tried())


def test_a_link_is_good_once_and_for_its_agent(others: Any) -> None:
    """A link lets its agent in once, shows no number, and is nobody's once a letter is changed."""
    body = {"agent_id": "a-1", "call_id": "call-+33198765432"}
    link = ask(others, "POST", "/api/links", "DESKTOP", body).json()["path"]
    assert "98765432" not in link
    with others.client(None) as client:
        changed = link[:-9] + ("A" if link[-9] != "A" else "B") + link[-8:]
        assert client.get(changed).status_code == 401
        assert client.get(link).headers["location"] == "/agent"
        assert client.get(link).status_code == 401
        assert "Set-Cookie" not in client.get(link).headers
        cookie = client.cookies.get(AGENT_COOKIE, path="/agent")
        assert cookie


def by_token(server: Any, token: str, agent_id: str) -> str:
    with server.client(None) as client:
        secret = f"{token.lower()}-token-0123456789abcdef"
        answer = client.post("/agent/login", data={"token": secret})
        assert answer.status_code == 303
        return str(answer.cookies.get(AGENT_COOKIE))


def by_link(server: Any, token: str, agent_id: str) -> str:
    link = ask(server, "POST", "/api/links", "DESKTOP", {"agent_id": agent_id}).json()["path"]
    with server.client(None) as client:
        return str(client.get(link).cookies.get(AGENT_COOKIE))


def supervisor(server: Any) -> str:
    with server.client(None) as client:
        answer = client.post("/login", data={"token": "durand-token-0123456789abcdef"})
        return str(answer.cookies.get(COOKIE))
