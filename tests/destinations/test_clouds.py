"""ARI, Amazon Connect and Genesys Cloud: what goes to them, signed or with a token, as they would check it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
from botocore.credentials import Credentials

from emotion_triage.destinations import asterisk, connect, genesys
from emotion_triage.destinations.delivery import outcome
from emotion_triage.destinations.fields import text_fields
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route


def test_ari_sets_variables_and_continues(escalated: Route) -> None:
    """The REST interface is asked below its base path, as the user, variables first and the move last."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    async def run() -> None:
        async with httpx.AsyncClient(
            base_url="http://pbx/ari", auth=("triage", "pw"), transport=httpx.MockTransport(answer)
        ) as client:
            await asterisk.Ari(client, context="triage").send(escalated, "170.4")

    asyncio.run(run())
    assert {each.headers["Authorization"] for each in asked} == {"Basic " + base64.b64encode(b"triage:pw").decode()}
    assert [each.url.path for each in asked] == [*["/ari/channels/170.4/variable"] * 6, "/ari/channels/170.4/continue"]


def sigv4(request: httpx.Request, key: str) -> str:
    """The signature of a request without a query, as AWS's documents compute it."""
    scope = request.headers["Authorization"].split("Credential=AKID/")[1].split(",")[0]
    names = request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0]
    day, region, service, last = scope.split("/")
    lines = [request.method, request.url.raw_path.decode(), ""]
    lines += [f"{name}:{request.headers[name]}" for name in names.split(";")]
    canonical = "\n".join([*lines, "", names, hashlib.sha256(request.content).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signed = "\n".join(["AWS4-HMAC-SHA256", request.headers["X-Amz-Date"], scope, digest])
    mac = f"AWS4{key}".encode()
    for part in (day, region, service, last):
        mac = hmac.new(mac, part.encode(), hashlib.sha256).digest()
    return hmac.new(mac, signed.encode(), hashlib.sha256).hexdigest()


def test_connect_is_signed(escalated: Route) -> None:
    """Both requests carry the signature that AWS would compute over what is sent, and the session's token."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    async def run() -> None:
        auth = connect.SigV4(Credentials("AKID", "aws-s3cret", "session-t0ken"), "eu-west-2")
        assert "s3cret" not in repr(auth)
        url = "https://connect.eu-west-2.amazonaws.com"
        async with httpx.AsyncClient(base_url=url, auth=auth, transport=httpx.MockTransport(answer)) as client:
            await connect.Connect(client, "i-1").send(escalated, "c-2")

    asyncio.run(run())
    assert [each.url.path for each in asked] == ["/contact/attributes", "/contacts/i-1/c-2/routing-data"]
    for each in asked:
        assert each.headers["Authorization"].endswith(f"Signature={sigv4(each, 'aws-s3cret')}")
        assert each.headers["X-Amz-Security-Token"] == "session-t0ken"
        assert "/eu-west-2/connect/aws4_request" in each.headers["Authorization"]


class Cloud:
    """Genesys Cloud, whose tokens last for a number of requests."""

    def __init__(self, *, lasts: int, secret: str = "s3cret") -> None:
        self.lasts = lasts
        self.secret = secret
        self.logins = 0
        self.left = 0
        self.taken: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            assert request.content == b"grant_type=client_credentials"
            user = base64.b64encode(f"id:{self.secret}".encode()).decode()
            if request.headers["Authorization"] != f"Basic {user}":
                return httpx.Response(400, json={"error": "invalid_client"})
            self.logins, self.left = self.logins + 1, self.lasts
            return httpx.Response(200, json={"access_token": f"t0ken-{self.logins}", "expires_in": 86399})
        if request.headers["Authorization"] != f"Bearer t0ken-{self.logins}" or not self.left:
            return httpx.Response(401)
        self.left -= 1
        self.taken.append((request.url.path, json.loads(request.content)))
        return httpx.Response(202)


def clouded(cloud: Cloud, route: Route, *, times: int = 1) -> DestinationError | None:
    async def run() -> DestinationError | None:
        auth = genesys.ClientCredentials("id", "s3cret", login_url="https://login.example")
        assert "s3cret" not in repr(auth)
        async with httpx.AsyncClient(
            base_url="https://api.example", auth=auth, transport=httpx.MockTransport(cloud)
        ) as client:
            for _ in range(times):
                sending = genesys.GenesysCloud(client).send(route, "conv", "part", waits_in="protected")
                if error := await outcome(sending):
                    return error
        return None

    return asyncio.run(run())


def test_genesys_gets_data_and_priority(escalated: Route) -> None:
    """One login serves many routes: participant data, then the priority in the queue."""
    cloud = Cloud(lasts=100)
    assert clouded(cloud, escalated, times=3) is None
    assert cloud.logins == 1
    assert cloud.taken == 3 * [
        ("/api/v2/conversations/conv/participants/part/attributes", {"attributes": text_fields(escalated)}),
        ("/api/v2/routing/conversations/conv", {"priority": 80}),
    ]


def test_a_spent_token_is_replaced(escalated: Route) -> None:
    """A token refused with 401 is replaced once, and the request goes through; a token that never works is an error."""
    cloud = Cloud(lasts=1)
    assert clouded(cloud, escalated, times=2) is None
    assert (cloud.logins, len(cloud.taken)) == (4, 4)
    assert "Genesys Cloud answered 401" in str(clouded(Cloud(lasts=0), escalated))


def test_genesys_refuses_a_login(escalated: Route) -> None:
    """A refused OAuth client is one error that says what to check, and does not show the secret."""
    error = str(clouded(Cloud(lasts=1, secret="another"), escalated))
    assert "login answered 400 without a token; expected an access_token" in error
    assert "s3cret" not in error


def test_a_priority_that_is_refused_leaves_the_attributes(escalated: Route) -> None:
    """Where Connect refuses the priority, the attributes have been sent, and the error says why."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200 if request.url.path == "/contact/attributes" else 404)

    async def run() -> DestinationError | None:
        async with httpx.AsyncClient(base_url="https://c", transport=httpx.MockTransport(answer)) as client:
            return await outcome(connect.Connect(client, "i-1").send(escalated, "c-2"))

    assert "Amazon Connect answered 404 Not Found; expected 2xx" in str(asyncio.run(run()))
    assert len(asked) == 2
