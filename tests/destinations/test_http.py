"""What goes by HTTP, against a real server on the loopback: conflicts, retries, time limits and signatures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from emotion_triage.destinations import taskrouter, webhook
from emotion_triage.destinations.delivery import Request as Asked
from emotion_triage.destinations.delivery import deliver, outcome
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
Handler = Callable[[Request], Awaitable[Response]]


def app(handler: Handler) -> Starlette:
    """Serve a handler, whatever is asked."""

    async def endpoint(request: Request) -> Response:
        return await handler(request)

    return Starlette(routes=[Path("/{path:path}", endpoint, methods=["GET", "POST"])])


class Answers:
    """A server that gives each answer once and the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[dict[str, str], str]] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append((dict(request.headers), (await request.body()).decode()))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def status(code: int, **headers: str) -> Response:
    return Response(status_code=code, headers={name.replace("_", "-"): text for name, text in headers.items()})


def hooked(serve: Any, handler: Handler, route: Route, *, timeout_s: float = 5.0) -> DestinationError | None:
    """Send a route's webhook to a handler; return the error."""

    async def run() -> DestinationError | None:
        async with (
            serve(app(handler)) as url,
            httpx.AsyncClient(base_url=url, auth=webhook.SignedWebhook(SECRET), timeout=timeout_s) as client,
        ):
            return await outcome(webhook.Webhook(client, "/routes").send(route))

    return asyncio.run(run())


def test_a_webhook_is_signed(serve: Any, escalated: Route) -> None:
    """The receiver finds HMAC-SHA256 over id, time and body, under the shared key."""
    answers = Answers(status(204))
    assert hooked(serve, answers, escalated) is None
    ((headers, body),) = answers.asked
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["data"]["avoid_agents"] == ["a-17", "a-4"]


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(serve: Any, escalated: Route, code: int) -> None:
    """A busy or broken receiver is asked again, with one id and one body, until it takes the route."""
    answers = Answers(status(code), status(code), status(200))
    assert hooked(serve, answers, escalated) is None
    assert len(answers.asked) == 3
    assert len({(headers["idempotency-key"], body) for headers, body in answers.asked}) == 1


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("code", [301, 400, 401, 403, 404, 409, 410, 501])
def test_what_does_not_pass_is_tried_once(serve: Any, escalated: Route, code: int) -> None:
    """A refusal is one error at once, with the status and a fix, and without the secret."""
    answers = Answers(status(code))
    error = str(hooked(serve, answers, escalated))
    assert error.startswith(f"the webhook answered {code} ")
    assert "; expected 2xx; " in error
    assert len(answers.asked) == 1
    assert SECRET not in error


@pytest.mark.usefixtures("no_waits")
def test_tries_end(serve: Any, escalated: Route) -> None:
    """A receiver that stays broken is given up after as many tries as are allowed."""
    answers = Answers(status(503))
    assert "answered 503 Service Unavailable; expected 2xx" in str(hooked(serve, answers, escalated))
    assert len(answers.asked) == 3


@pytest.mark.usefixtures("no_waits")
def test_a_receiver_that_hangs_is_tried_again(serve: Any, escalated: Route) -> None:
    """A try that gets no answer in the client's time is followed by another."""
    tries: list[int] = []

    async def hangs_once(request: Request) -> Response:
        tries.append(1)
        if len(tries) == 1:
            await asyncio.sleep(1.0)
        return status(200)

    assert hooked(serve, hangs_once, escalated, timeout_s=0.2) is None
    assert len(tries) == 2


def asked_to_wait(serve: Any, after: str, *, timeout_s: float) -> tuple[DestinationError | None, int]:
    """Deliver to a server that is busy once; return the error and the number of tries."""
    answers = Answers(status(429, Retry_After=after), status(200))

    async def send(url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            await deliver(client, Asked(method="POST", path="/", body=b""), engine="it", timeout_s=timeout_s)

    async def run() -> DestinationError | None:
        async with serve(app(answers)) as url:
            return await outcome(send(url))

    return asyncio.run(run()), len(answers.asked)


def test_an_engine_says_when_to_come_back(serve: Any) -> None:
    """Retry-After is obeyed: no seconds at once, and never past the time in which a route is news."""
    assert asked_to_wait(serve, "0", timeout_s=20.0) == (None, 2)
    error, tries = asked_to_wait(serve, "3600", timeout_s=2.5)
    assert "it took no route within 2.5 s" in str(error)
    assert tries == 1


@pytest.mark.usefixtures("no_waits")
def test_nobody_there_shows_no_address(escalated: Route, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that cannot be reached is one error; no log or error holds the secret or a token in the path."""
    caught = []

    async def run() -> None:
        auth = webhook.SignedWebhook(SECRET)
        async with httpx.AsyncClient(base_url="http://127.0.0.1:9/t0ken", auth=auth) as client:
            caught.append(await outcome(webhook.Webhook(client, "/routes").send(escalated)))
            assert SECRET not in repr(auth) + repr(client) + repr(webhook.Webhook(client, "/routes"))

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    assert "could not be reached (ConnectError)" in str(caught[0])
    assert "t0ken" not in str(caught[0]) + caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", base64.b64encode(KEY).decode()])
def test_a_weak_secret_is_refused(secret: str) -> None:
    """A secret that is short, unmarked or not base64 is refused, and not shown."""
    with pytest.raises(DestinationError, match="not whsec_ and base64 of 24 bytes or more; make one with") as caught:
        webhook.SignedWebhook(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(caught.value)


class Workspace:
    """TaskRouter with one task, which someone else changes after each of the first reads."""

    def __init__(self, *, changes: int, attributes: str = '{"caller": "x"}') -> None:
        self.changes = changes
        self.version = 1
        self.task: dict[str, Any] = {"attributes": attributes, "priority": 0}
        self.conflicts = 0

    async def __call__(self, request: Request) -> Response:
        user = base64.b64encode(b"AC1:t0ken").decode()
        if request.headers.get("authorization") != f"Basic {user}":
            return JSONResponse({"code": 20003}, 401)
        if request.url.path != "/v1/Workspaces/WS1/Tasks/WT1":
            return JSONResponse({"code": 20404}, 404)
        if request.method == "GET":
            answer = JSONResponse(self.task, headers={"ETag": f'"{self.version}"'})
            if self.changes:
                self.changes -= 1
                self.version += 1
                self.task["attributes"] = json.dumps({"caller": "x", "note": f"v{self.version}"})
            return answer
        if request.headers.get("if-match") != f'"{self.version}"':
            self.conflicts += 1
            return JSONResponse({"code": 20412}, 412)
        form = parse_qs((await request.body()).decode(), strict_parsing=True)
        self.version += 1
        self.task = {"attributes": form["Attributes"][0], "priority": int(form["Priority"][0])}
        return JSONResponse(self.task, headers={"ETag": f'"{self.version}"'})


def tasked(serve: Any, workspace: Workspace, route: Route, *, token: str = "t0ken", task: str = "WT1") -> str:
    """Send a route to a task; return the error, or nothing."""

    async def run() -> DestinationError | None:
        async with (
            serve(app(workspace)) as url,
            httpx.AsyncClient(base_url=url, auth=("AC1", token)) as client,
        ):
            return await outcome(taskrouter.TaskRouter(client, "WS1").send(route, task))

    return str(asyncio.run(run()) or "")


@pytest.mark.parametrize("changes", [0, 1, 3])
def test_a_task_that_changes_is_read_anew(serve: Any, escalated: Route, changes: int) -> None:
    """After each 412 the task is read again: the route gets in, and what someone else wrote stays."""
    workspace = Workspace(changes=changes)
    assert tasked(serve, workspace, escalated) == ""
    assert workspace.conflicts == changes
    assert workspace.task["priority"] == 80
    attributes = json.loads(workspace.task["attributes"])
    assert attributes["triage_queue"] == "protected"
    assert attributes["triage_avoid_agents"] == ["a-17", "a-4"]
    assert attributes.get("note") == (f"v{changes + 1}" if changes else None)


def test_a_task_that_never_rests_is_an_error(serve: Any, escalated: Route) -> None:
    """A task that changes between every read and write is given up, and left to whoever changes it."""
    workspace = Workspace(changes=100)
    assert "changed 5 times between read and write" in tasked(serve, workspace, escalated)
    assert workspace.task["priority"] == 0


@pytest.mark.parametrize("attributes", ["", "[]", '"x"', "null", "{"])
def test_a_task_without_an_object_is_an_error(serve: Any, escalated: Route, attributes: str) -> None:
    """Attributes that are no JSON object are not overwritten."""
    workspace = Workspace(changes=0, attributes=attributes)
    assert "expected an ETag and attributes that are a JSON object" in tasked(serve, workspace, escalated)
    assert workspace.task["attributes"] == attributes


def test_taskrouter_refuses(serve: Any, escalated: Route) -> None:
    """A wrong token and a task that is gone each say what to check, and never show the token."""
    wrong = tasked(serve, Workspace(changes=0), escalated, token="wr0ng")
    assert wrong == "TaskRouter answered 401 Unauthorized; expected 2xx; check the credentials of the client"
    assert "the call may have ended" in tasked(serve, Workspace(changes=0), escalated, task="WT2")


def test_outcome_leaves_other_errors_alone() -> None:
    """Only what an engine did is returned; a fault of the program still raises."""

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(outcome(broken()))
