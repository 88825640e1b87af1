"""A caller escalates, and each engine's own interface is told so, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import numpy as np
import pytest
from loopback import listening

from emotion_triage.audio.g711 import encode_mulaw

pytest.importorskip("uvicorn")
pytest.importorskip("panoramisk")
pytest.importorskip("botocore")

SECRET = "engine-s3cret-0123456789"
WEBHOOK_KEY = b"0123456789abcdef0123456789abcdef"
CHANNEL = "PJSIP/trunk-00000007"
CALL = "CA5ca1ab1e"
ADDRESS = "address-of-the-call"
FIELDS = {
    "triage_target": "queue",
    "triage_queue": "senior",
    "triage_priority": "80",
    "triage_skills": "de-escalation",
    "triage_avoid_agents": "",
}
TOLD = {name.upper(): text for name, text in FIELDS.items()}


class Asked(NamedTuple):
    """One request of HTTP."""

    line: str
    headers: dict[str, str]
    body: bytes


class Web:
    """An interface over HTTP: it keeps what it is asked, byte for byte."""

    def __init__(self, answer: Callable[[Asked], tuple[str, str]]) -> None:
        self.asked: list[Asked] = []
        self._answer = answer

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
            asked = Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
            self.asked.append(asked)
            status, body = self._answer(asked)
            writer.write(f'HTTP/1.1 {status}\r\nETag: "7"\r\nContent-Length: {len(body)}\r\n\r\n{body}'.encode())

    def complete(self) -> bool:
        return any(b"senior" in each.body for each in self.asked)


class Pbx:
    """Asterisk's manager interface, which tells at the login which channel has the call."""

    def __init__(self, call_id: str) -> None:
        self.asked: list[dict[str, str]] = []
        self.logins = 0
        self._call_id = call_id

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        while True:
            block = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = [line.split(":", 1) for line in block.rstrip().split("\r\n")]
            asked = {name: value.lstrip(" ") for name, value in lines}
            good = asked["Action"] != "Login" or (asked["Username"], asked["Secret"]) == ("triage", SECRET)
            said = f"Response: {'Success' if good else 'Error'}\r\nActionID: {asked.pop('ActionID')}\r\nMessage: said"
            writer.write(f"{said}\r\n\r\n".encode())
            if asked["Action"] == "Login":
                self.logins += 1
                event = f"Event: UserEvent\r\nUserEvent: Triage\r\nTriageId: {self._call_id}\r\nChannel: {CHANNEL}"
                writer.write(f"{event}\r\n\r\n".encode())
            else:
                self.asked.append(asked)

    def complete(self) -> bool:
        return any(asked["Action"] == "QueueChangePriorityCaller" for asked in self.asked)


class Switch:
    """FreeSWITCH's event socket."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Content-Type: auth/request\n\n")
        assert await reader.readuntil(b"\n\n") == f"auth {SECRET}\n\n".encode()
        writer.write(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
        while True:
            self.asked.append((await reader.readuntil(b"\n\n")).decode())
            writer.write(b"Content-Type: api/response\nContent-Length: 4\n\n+OK\n")

    def complete(self) -> bool:
        return any("uuid_transfer" in asked for asked in self.asked)


def basic(user: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{SECRET}'.encode()).decode()}"


def check_ami(pbx: Pbx) -> None:
    *variables, move = pbx.asked[-7:]
    assert all((each["Action"], each["Channel"]) == ("Setvar", CHANNEL) for each in variables)
    assert {each["Variable"]: each["Value"] for each in variables} == {"QUEUE_PRIO": "80", **TOLD}
    assert move.pop("Action") == "QueueChangePriorityCaller"
    assert move == {"Queue": "senior", "Caller": CHANNEL, "Priority": "80", "Immediate": "yes"}


def check_ari(web: Web) -> None:
    *variables, move = web.asked[-7:]
    assert {each.headers["authorization"] for each in web.asked} == {basic("triage")}
    assert {each.line for each in variables} == {f"POST /ari/channels/{ADDRESS}/variable HTTP/1.1"}
    told = [json.loads(each.body) for each in variables]
    assert {each["variable"]: each["value"] for each in told} == {"QUEUE_PRIO": "80", **TOLD}
    assert move.line == f"POST /ari/channels/{ADDRESS}/continue HTTP/1.1"
    assert json.loads(move.body) == {"context": "triage", "extension": "queue", "priority": 1}


def check_taskrouter(web: Web) -> None:
    read, write = web.asked[-2:]
    assert {each.headers["authorization"] for each in web.asked} == {basic("AC1")}
    assert read.line == f"GET /v1/Workspaces/WS1/Tasks/{ADDRESS} HTTP/1.1"
    assert write.line == f"POST /v1/Workspaces/WS1/Tasks/{ADDRESS} HTTP/1.1"
    assert write.headers["if-match"] == '"7"'
    form = parse_qs(write.body.decode(), strict_parsing=True)
    assert form["Priority"] == ["80"]
    lists = {"triage_priority": 80, "triage_skills": ["de-escalation"], "triage_avoid_agents": []}
    assert json.loads(form["Attributes"][0]) == {"kept": True, **FIELDS, **lists}


def check_connect(web: Web) -> None:
    attributes, priority = web.asked[-2:]
    assert attributes.line == "POST /contact/attributes HTTP/1.1"
    assert json.loads(attributes.body) == {"InitialContactId": ADDRESS, "InstanceId": "i-1", "Attributes": FIELDS}
    assert priority.line == f"POST /contacts/i-1/{ADDRESS}/routing-data HTTP/1.1"
    assert json.loads(priority.body) == {"QueuePriority": 2}
    for asked in (attributes, priority):
        assert asked.headers["authorization"].endswith(f"Signature={sigv4(asked)}")


def sigv4(asked: Asked) -> str:
    """The signature of a request without a query, as AWS's documents compute it."""
    authorization = asked.headers["authorization"]
    scope = authorization.split("Credential=AKID/")[1].split(",")[0]
    assert scope.endswith("/eu-west-2/connect/aws4_request")
    names = authorization.split("SignedHeaders=")[1].split(",")[0]
    lines = ["POST", asked.line.split()[1], "", *(f"{name}:{asked.headers[name]}" for name in names.split(";"))]
    canonical = "\n".join([*lines, "", names, hashlib.sha256(asked.body).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    mac = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        mac = hmac.digest(mac, part.encode(), "sha256")
    signed = "\n".join(["AWS4-HMAC-SHA256", asked.headers["x-amz-date"], scope, digest])
    return hmac.digest(mac, signed.encode(), "sha256").hex()


def check_genesys(web: Web) -> None:
    login, *_ = web.asked
    assert (login.line, login.body) == ("POST /oauth/token HTTP/1.1", b"grant_type=client_credentials")
    assert login.headers["authorization"] == basic("id")
    data, priority = web.asked[-2:]
    assert {data.headers["authorization"], priority.headers["authorization"]} == {"Bearer t0ken"}
    assert data.line == f"PATCH /api/v2/conversations/{CALL}/participants/{ADDRESS}/attributes HTTP/1.1"
    assert json.loads(data.body) == {"attributes": FIELDS}
    assert priority.line == f"PATCH /api/v2/routing/conversations/{CALL} HTTP/1.1"
    assert json.loads(priority.body) == {"priority": 80}


def check_freeswitch(switch: Switch) -> None:
    variables = {"cc_base_score": "80", **FIELDS}
    told = [f"api uuid_setvar {ADDRESS} {name} {text}".rstrip() + "\n\n" for name, text in variables.items()]
    assert switch.asked[-7:] == [*told, f"api uuid_transfer {ADDRESS} queue XML triage\n\n"]


def check_webhook(web: Web) -> None:
    asked = web.asked[-1]
    assert asked.line == "POST /hooks/triage?site=1 HTTP/1.1"
    signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    mac = base64.b64encode(hmac.digest(WEBHOOK_KEY, signed, "sha256")).decode()
    assert asked.headers["webhook-signature"] == f"v1,{mac}"
    told = json.loads(asked.body)
    assert told["type"] == "route.decided"
    route = {"call_id": CALL, "level": "escalated", "queue": "senior", "target": "queue", "priority": 80}
    assert told["data"].items() >= route.items()


def task(asked: Asked) -> tuple[str, str]:
    return "200 OK", json.dumps({"attributes": '{"kept": true}'})


def token(asked: Asked) -> tuple[str, str]:
    return "200 OK", json.dumps({"access_token": "t0ken"}) if "oauth" in asked.line else "{}"


def taken(asked: Asked) -> tuple[str, str]:
    return "200 OK", ""


ENGINES: dict[str, tuple[Callable[[], Any], str, Callable[[Any], None]]] = {
    "ami": (lambda: Pbx(CALL), 'port = {port}\nusername = "triage"\nsecret = {secret}', check_ami),
    "ari": (
        lambda: Web(taken),
        'url = "http://127.0.0.1:{port}/ari"\nusername = "triage"\npassword = {secret}\ncontext = "triage"',
        check_ari,
    ),
    "taskrouter": (
        lambda: Web(task),
        'url = "http://127.0.0.1:{port}"\naccount_sid = "AC1"\nauth_token = {secret}\nworkspace_sid = "WS1"',
        check_taskrouter,
    ),
    "connect": (
        lambda: Web(taken),
        'url = "http://127.0.0.1:{port}"\ninstance_id = "i-1"\nregion = "eu-west-2"',
        check_connect,
    ),
    "genesys": (
        lambda: Web(token),
        'url = "http://127.0.0.1:{port}"\nlogin_url = "http://127.0.0.1:{port}"\nclient_id = "id"\n'
        "client_secret = {secret}",
        check_genesys,
    ),
    "freeswitch": (Switch, 'port = {port}\npassword = {secret}\ncontext = "triage"', check_freeswitch),
    "webhook": (
        lambda: Web(taken),
        'url = "http://127.0.0.1:{port}/hooks/triage?site=1"\nsecret = {{ env = "WEBHOOK_SECRET" }}',
        check_webhook,
    ),
}


@pytest.mark.parametrize("name", ENGINES)
def test_an_escalation_is_told(
    name: str,
    start: Any,
    twilio: Any,
    temper: np.ndarray,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller who loses his temper is routed in his engine's own terms, and the API tells that it took the route."""
    monkeypatch.setenv("ENGINE_SECRET", SECRET)
    monkeypatch.setenv("WEBHOOK_SECRET", "whsec_" + base64.b64encode(WEBHOOK_KEY).decode())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    make, settings, check = ENGINES[name]
    engine = make()

    async def run() -> Any:
        async with listening(engine.talk) as port:
            table = settings.format(port=port, secret='{ env = "ENGINE_SECRET" }')
            wire = f'[wires.twilio]\ntoken = {{ env = "WIRE" }}\ndestination = "{name}"\nqueue = "senior"\n'
            if name != "ami":
                wire += 'address = "Address"\n'
            server = await asyncio.to_thread(
                start, f"[destinations.{name}]\n{table}\n", twilio=wire, ledger=None, drain_s=1
            )
            async with twilio(server, CALL, {"Address": ADDRESS}) as caller:
                await caller.say(temper[: 18 * 8000])
                await eventually(lambda: server.call(CALL)["level"] == "escalated" and engine.complete())
                told = await eventually(lambda: settled(server.call(CALL)["told"]))
                await caller.stop()
            assert await asyncio.to_thread(server.stop) == 0
            return told, server.log

    told, log = asyncio.run(run())
    assert (told[-1]["queue"], told[-1]["outcome"]) == ("senior", "taken")
    assert SECRET not in log
    check(engine)


def test_an_engine_may_come_later(
    start: Any,
    free_port: Callable[[], int],
    twilio: Any,
    temper: np.ndarray,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A manager interface that is away when the server starts, and goes again, is told once it is there."""
    monkeypatch.setenv("ENGINE_SECRET", SECRET)
    port = free_port()
    table = ENGINES["ami"][1].format(port=port, secret='{ env = "ENGINE_SECRET" }')
    wire = '[wires.twilio]\ntoken = { env = "WIRE" }\ndestination = "ami"\nqueue = "senior"\n'

    async def told(server: Any, pbx: Pbx, name: str) -> None:
        async with listening(pbx.talk, port):
            await eventually(lambda: pbx.logins)
            async with twilio(server, name) as caller:
                await caller.say(temper[: 18 * 8000])
                await eventually(pbx.complete)

    async def run() -> None:
        server = await asyncio.to_thread(start, f"[destinations.ami]\n{table}\n", twilio=wire, ledger=None, drain_s=1)
        await told(server, Pbx("CAone"), "CAone")
        await told(server, Pbx("CAtwo"), "CAtwo")
        assert await asyncio.to_thread(server.stop) == 0

    asyncio.run(run())


def test_a_telephone_call_is_routed(
    start: Any,
    free_port: Callable[[], int],
    telephone: Callable[[bytes, int], Any],
    temper: np.ndarray,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller over SIP and G.711 loses his temper while he is heard by RTP, and Asterisk is told over ARI."""
    monkeypatch.setenv("ENGINE_SECRET", SECRET)
    web = Web(taken)
    first = free_port() // 2 * 2

    async def run() -> dict[str, Any]:
        async with listening(web.talk) as ari_port:
            settings = ENGINES["ari"][1].format(port=ari_port, secret='{ env = "ENGINE_SECRET" }')
            wire = f'[wires.rtp]\nfirst_port = {first}\nlast_port = {first + 20}\ndestination = "ari"\n'
            server = await asyncio.to_thread(start, f"{wire}[destinations.ari]\n{settings}\n", ledger=None)
            with server.client("DESKTOP") as client:
                port = client.post(f"/api/calls/{ADDRESS}/rtp", json={}).raise_for_status().json()["port"]
                await telephone(encode_mulaw(temper[4 * 8000 : 18 * 8000]), port)
                await eventually(web.complete)
                assert client.post(f"/api/calls/{ADDRESS}/hang-up").status_code == 200
            await eventually(lambda: settled(server.call(ADDRESS)["told"]))
            told = server.call(ADDRESS)
            assert await asyncio.to_thread(server.stop) == 0
            return dict(told)

    told = asyncio.run(run())
    check_ari(web)
    assert (told["wire"], told["ended"], told["route"]["rule"]) == ("rtp", "hangup", "escalated caller")
    assert told["duration_s"] - told["lost_s"] == pytest.approx(14.0, abs=0.5)


def settled(told: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    return told if told and told[-1]["outcome"] != "waiting" else None
