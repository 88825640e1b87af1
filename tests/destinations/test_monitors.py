"""A supervisor on a call: what each engine is asked, checked by a server that answers as its documents say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import httpx
import panoramisk
import pytest
from botocore.credentials import Credentials
from loopback import listening
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emotion_triage.destinations import monitoring
from emotion_triage.destinations.asterisk_monitor import AmiMonitor, AriMonitor
from emotion_triage.destinations.connect import SigV4
from emotion_triage.destinations.connect_monitor import ConnectMonitor
from emotion_triage.destinations.freeswitch import FreeSwitch
from emotion_triage.destinations.freeswitch_monitor import FreeSwitchMonitor
from emotion_triage.destinations.genesys_monitor import GenesysMonitor, UserToken
from emotion_triage.destinations.monitoring import Leg, MonitorError
from emotion_triage.destinations.twilio_monitor import TwilioMonitor
from emotion_triage.errors import DestinationError
from emotion_triage.routing.supervision import Mode

SECRET = "s3cret-of-the-engine"
CALLER, AGENT = "PJSIP/trunk-00000007", "PJSIP/a-17-00000008"
Serve = Callable[[Starlette], Any]
T = TypeVar("T")


async def refused(begin: Awaitable[Leg]) -> MonitorError:
    with pytest.raises(MonitorError) as caught:
        await begin
    return caught.value


def web(*routes: tuple[str, str, Callable[[Request], Awaitable[Response]]]) -> Starlette:
    return Starlette(routes=[Route(path, answer, methods=[method]) for method, path, answer in routes])


# Asterisk


class Pbx:
    """An Asterisk with one answered call; a supervisor's channel is there once it is originated."""

    def __init__(self, *, peer: str = AGENT, refuses: str | None = None) -> None:
        self.peer = peer
        self.refuses = refuses
        self.asked: list[dict[str, str]] = []
        self.channels = {CALLER}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        while True:
            block = (await reader.readuntil(b"\r\n\r\n")).decode().strip()
            asked = {name: value.lstrip() for name, value in (line.split(":", 1) for line in block.split("\r\n"))}
            good, headers = self.act(asked)
            told = f"Response: {'Success' if good else 'Error'}\r\nActionID: {asked['ActionID']}\r\n{headers}"
            writer.write(f"{told}\r\n\r\n".encode())

    def act(self, asked: dict[str, str]) -> tuple[bool, str]:
        action = asked["Action"]
        if action == "Login":
            return asked["Secret"] == SECRET, "Message: Authentication"
        self.asked.append(asked)
        if action == self.refuses:
            return False, "Message: Permission denied"
        if action == "Originate":
            self.channels.add(asked["ChannelId"])
            return True, "Message: Originate successfully queued"
        if asked["Channel"] not in self.channels:
            return False, "Message: No such channel"
        if action == "Hangup":
            self.channels.discard(asked["Channel"])
            return True, "Message: Channel Hungup"
        value = {"BRIDGEPEER": self.peer, "CHANNEL(state)": "Up"}[asked["Variable"]]
        return True, f"Variable: {asked['Variable']}\r\nValue: {value}"


async def at_asterisk(pbx: Pbx, use: Callable[[AmiMonitor], Awaitable[T]]) -> T:
    async with listening(pbx.talk) as port:
        manager = panoramisk.Manager(
            loop=asyncio.get_running_loop(), host="127.0.0.1", port=port, username="triage", secret=SECRET
        )
        await manager.connect()
        while not manager.authenticated:
            await asyncio.sleep(0.01)
        try:
            return await use(AmiMonitor(manager, "PJSIP/2001"))
        finally:
            manager.close()


@pytest.mark.parametrize(("mode", "options"), [("listen", "qES"), ("whisper", "qwES"), ("join", "qBES")])
def test_asterisk_spies_on_the_agents_channel(mode: str, options: str) -> None:
    """The supervisor's telephone rings and spies on the agent's channel, never the caller's, until it is hung up."""
    pbx = Pbx()

    async def use(monitor: AmiMonitor) -> tuple[bool, bool]:
        leg = await monitor.begin(CALLER, Mode(mode))
        assert leg.end is not None
        there = await leg.there()
        await leg.end()
        await leg.end()  # what is gone already is no fault
        return there, await leg.there()

    assert asyncio.run(at_asterisk(pbx, use)) == (True, False)
    originate = next(asked for asked in pbx.asked if asked["Action"] == "Originate")
    assert (originate["Channel"], originate["Application"]) == ("PJSIP/2001", "ChanSpy")
    assert originate["Data"] == f"{AGENT},{options}"
    assert originate["Async"] == "true"
    assert [asked["Channel"] for asked in pbx.asked if asked["Action"] == "Hangup"] == [originate["ChannelId"]] * 2


@pytest.mark.parametrize(
    ("pbx", "channel", "kind"),
    [
        (Pbx(peer=""), CALLER, "alone"),
        (Pbx(), "PJSIP/gone-1", "gone"),
        (Pbx(refuses="Originate"), CALLER, "forbidden"),
    ],
)
def test_asterisk_says_why_not(pbx: Pbx, channel: str, kind: str) -> None:
    """A call without an agent, one that ended, and a right that lacks are told apart."""

    async def use(monitor: AmiMonitor) -> MonitorError:
        return await refused(monitor.begin(channel, Mode.LISTEN))

    assert asyncio.run(at_asterisk(pbx, use)).kind == kind


def test_asterisk_spies_on_one_agent_of_several() -> None:
    """Of a bridge with several others the first is spied on: names behind a comma would be options of ChanSpy's."""
    pbx = Pbx(peer=f"{AGENT},PJSIP/a-18-00000009")

    async def use(monitor: AmiMonitor) -> None:
        await monitor.begin(CALLER, Mode.LISTEN)

    asyncio.run(at_asterisk(pbx, use))
    assert pbx.asked[-1]["Data"] == f"{AGENT},qES"


class Rest:
    """An Asterisk's REST interface with one answered call."""

    def __init__(self, *, peer: str | None = AGENT, status: int = 200) -> None:
        self.peer = peer
        self.status = status
        self.bodies: list[dict[str, Any]] = []
        self.channels = {"170.4"}
        self.app = web(
            ("GET", "/ari/channels/{channel}", self.read),
            ("GET", "/ari/channels/{channel}/variable", self.variable),
            ("POST", "/ari/channels", self.originate),
            ("DELETE", "/ari/channels/{channel}", self.hang_up),
        )

    async def read(self, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Basic ")
        there = request.path_params["channel"] in self.channels
        return JSONResponse({"id": "x"}) if there else JSONResponse({"message": "Channel not found"}, 404)

    async def variable(self, request: Request) -> Response:
        assert request.query_params["variable"] == "BRIDGEPEER"
        if self.peer is None:
            return JSONResponse({"message": "Provided variable was not found"}, 404)
        return JSONResponse({"value": self.peer})

    async def originate(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        if self.status != 200:
            return JSONResponse({"error": "no"}, self.status)
        self.channels.add(self.bodies[-1]["channelId"])
        return JSONResponse({"id": self.bodies[-1]["channelId"], "state": "Down"})

    async def hang_up(self, request: Request) -> Response:
        there = request.path_params["channel"] in self.channels
        self.channels.discard(request.path_params["channel"])
        return Response(status_code=204 if there else 404)


async def at_rest(rest: Rest, serve: Serve, use: Callable[[AriMonitor], Awaitable[T]]) -> T:
    async with serve(rest.app) as url, httpx.AsyncClient(base_url=f"{url}/ari", auth=("triage", SECRET)) as client:
        return await use(AriMonitor(client, "PJSIP/2001", "triage-monitor"))


@pytest.mark.parametrize("mode", list(Mode))
def test_asterisk_by_rest_sends_the_supervisor_to_an_extension(mode: Mode, serve: Serve) -> None:
    """The supervisor's telephone rings and goes to the mode's extension, which is given the agent's channel."""
    rest = Rest()

    async def use(monitor: AriMonitor) -> tuple[bool, bool]:
        leg = await monitor.begin("170.4", mode)
        assert leg.end is not None
        there = await leg.there()
        await leg.end()
        await leg.end()
        return there, await leg.there()

    assert asyncio.run(at_rest(rest, serve, use)) == (True, False)
    (body,) = rest.bodies
    assert {name: body[name] for name in ("endpoint", "context", "extension", "priority", "variables")} == {
        "endpoint": "PJSIP/2001",
        "context": "triage-monitor",
        "extension": mode.value,
        "priority": 1,
        "variables": {"TRIAGE_AGENT": AGENT},
    }


@pytest.mark.parametrize(
    ("rest", "channel", "kind"),
    [
        (Rest(peer=None), "170.4", "alone"),
        (Rest(), "170.9", "gone"),
        (Rest(status=400), "170.4", "refused"),
        (Rest(status=403), "170.4", "forbidden"),
        (Rest(status=500), "170.4", "unreachable"),
    ],
)
def test_asterisk_by_rest_says_why_not(rest: Rest, channel: str, kind: str, serve: Serve) -> None:
    """A call without an agent, one that ended, and each refusal are told apart."""

    async def use(monitor: AriMonitor) -> MonitorError:
        return await refused(monitor.begin(channel, Mode.LISTEN))

    assert asyncio.run(at_rest(rest, serve, use)).kind == kind


# FreeSWITCH


class Switch:
    """A FreeSWITCH with one answered call."""

    def __init__(self, *, bond: str = "a-leg-1", password: str = SECRET) -> None:
        self.bond = bond
        self.password = password
        self.channels = {"c-leg-1"}
        self.background: list[str] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Content-Type: auth/request\n\n")
        given = (await reader.readuntil(b"\n\n")).decode().strip()
        if given != f"auth {self.password}":
            writer.write(b"Content-Type: command/reply\nReply-Text: -ERR invalid\n\n")
            return
        writer.write(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
        while True:
            verb, _, command = (await reader.readuntil(b"\n\n")).decode().strip().partition(" ")
            if verb == "bgapi":
                self.background.append(command)
                leg = re.search(r"origination_uuid=([^,}]+)", command)
                assert leg
                self.channels.add(leg[1])
                writer.write(b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: 7f4d\nJob-UUID: 7f4d\n\n")
            else:
                answer = self.answer(*command.split(" "))
                writer.write(f"Content-Type: api/response\nContent-Length: {len(answer)}\n\n{answer}".encode())

    def answer(self, command: str, uuid: str, *words: str) -> str:
        if command == "uuid_exists":
            return "true" if uuid in self.channels else "false"
        if uuid not in self.channels:
            return "-ERR No such channel!\n"
        if command == "uuid_getvar":
            return self.bond if words == ("signal_bond",) else "_undef_"
        assert command == "uuid_kill"
        self.channels.discard(uuid)
        return "+OK\n"


async def at_freeswitch(switch: Switch, use: Callable[[FreeSwitchMonitor], Awaitable[T]]) -> T:
    async with listening(switch.talk) as port:
        return await use(FreeSwitchMonitor(FreeSwitch("127.0.0.1", port, SECRET), "user/2001"))


@pytest.mark.parametrize(
    ("mode", "heard_by"),
    [
        ("listen", ""),
        ("whisper", ",eavesdrop_whisper_bleg=true"),
        ("join", ",eavesdrop_whisper_aleg=true,eavesdrop_whisper_bleg=true"),
    ],
)
def test_freeswitch_eavesdrops_on_the_agents_leg(mode: str, heard_by: str) -> None:
    """The agent's leg is eavesdropped on, keys are off, and the supervisor's leg is known by a name of our own."""
    switch = Switch()

    async def use(monitor: FreeSwitchMonitor) -> tuple[bool, bool]:
        leg = await monitor.begin("c-leg-1", Mode(mode))
        assert leg.end is not None
        there = await leg.there()
        await leg.end()
        await leg.end()
        return there, await leg.there()

    assert asyncio.run(at_freeswitch(switch, use)) == (True, False)
    (command,) = switch.background
    named = re.fullmatch(
        r"originate \{origination_uuid=[0-9a-f-]{36},ignore_early_media=true,originate_timeout=30,"
        r"eavesdrop_enable_dtmf=false(.*)\}user/2001 &eavesdrop\(a-leg-1\)",
        command,
    )
    assert named
    assert named[1] == heard_by


@pytest.mark.parametrize(
    ("switch", "call", "kind"),
    [
        (Switch(bond="_undef_"), "c-leg-1", "alone"),
        (Switch(), "c-leg-9", "gone"),
        (Switch(password="another"), "c-leg-1", "forbidden"),
    ],
)
def test_freeswitch_says_why_not(switch: Switch, call: str, kind: str) -> None:
    """A call without an agent, one that ended, and a wrong password are told apart."""

    async def use(monitor: FreeSwitchMonitor) -> MonitorError:
        return await refused(monitor.begin(call, Mode.LISTEN))

    assert asyncio.run(at_freeswitch(switch, use)).kind == kind
    assert switch.background == []


def test_freeswitch_that_is_not_there() -> None:
    """Nobody at the event socket's port is one clear error."""
    error = asyncio.run(refused(FreeSwitchMonitor(FreeSwitch("127.0.0.1", 9, SECRET), "user/1").begin("c", Mode.JOIN)))
    assert error.kind == "unreachable"


def test_freeswitch_takes_one_word_for_a_telephone() -> None:
    """A dial string that holds what FreeSWITCH reads as its own is refused before anybody rings."""
    switch = Switch()

    async def run() -> None:
        async with listening(switch.talk) as port:
            await FreeSwitchMonitor(FreeSwitch("127.0.0.1", port, SECRET), "user/1 &system(x)").begin(
                "c-leg-1", Mode.LISTEN
            )

    with pytest.raises(DestinationError, match="the supervisor's extension"):
        asyncio.run(run())
    assert switch.background == []


# Twilio

TASK = '{"from":"+336","conference":{"sid":"CF1","participants":{"worker":"CA2","customer":"CA1"}}}'


class Twilio:
    """Twilio with one task in a conference."""

    def __init__(self, attributes: str = TASK, status: int = 201) -> None:
        self.attributes = attributes
        self.status = status
        self.forms: list[dict[str, str]] = []
        self.live: set[str] = set()
        base = "/2010-04-01/Accounts/AC1"
        self.app = web(
            ("GET", "/v1/Workspaces/WS1/Tasks/WT1", self.task),
            ("POST", f"{base}/Conferences/CF1/Participants.json", self.create),
            ("GET", f"{base}/Conferences/CF1/Participants/CA3.json", self.read),
            ("POST", f"{base}/Calls/CA3.json", self.hang_up),
        )

    async def task(self, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Basic ")
        return JSONResponse({"sid": "WT1", "attributes": self.attributes})

    async def create(self, request: Request) -> Response:
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        self.forms.append(dict(parse_qsl((await request.body()).decode(), strict_parsing=True)))
        if self.status != 201:
            return JSONResponse({"code": 20404, "message": "no", "status": self.status}, self.status)
        self.live.add("CA3")
        return JSONResponse({"call_sid": "CA3", "status": "queued", "conference_sid": "CF1"}, 201)

    async def read(self, request: Request) -> Response:
        if "CA3" not in self.live:
            return JSONResponse({"code": 20404, "status": 404}, 404)
        return JSONResponse({"call_sid": "CA3", "status": "ringing"})

    async def hang_up(self, request: Request) -> Response:
        assert await request.body() == b"Status=completed"
        self.live.discard("CA3")
        return JSONResponse({"sid": "CA3", "status": "completed"})


async def at_twilio(twilio: Twilio, serve: Serve, use: Callable[[TwilioMonitor], Awaitable[T]]) -> T:
    async with serve(twilio.app) as url, httpx.AsyncClient(base_url=url, auth=("AC1", SECRET)) as client:
        return await use(
            TwilioMonitor(
                client,
                client,
                account_sid="AC1",
                workspace_sid="WS1",
                from_="+33180000000",
                supervisor="client:durand",
            )
        )


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("listen", {"Beep": "false", "Muted": "true"}),
        ("whisper", {"Beep": "false", "Coaching": "true", "CallSidToCoach": "CA2"}),
        ("join", {"Beep": "true"}),
    ],
)
def test_twilio_gets_one_more_participant(mode: str, form: dict[str, str], serve: Serve) -> None:
    """The supervisor becomes a participant of the task's conference: muted, coaching the worker's leg, or as any."""
    twilio = Twilio()

    async def use(monitor: TwilioMonitor) -> tuple[bool, bool]:
        leg = await monitor.begin("WT1", Mode(mode))
        assert leg.end is not None
        there = await leg.there()
        await leg.end()
        return there, await leg.there()

    assert asyncio.run(at_twilio(twilio, serve, use)) == (True, False)
    always = {"From": "+33180000000", "To": "client:durand", "EndConferenceOnExit": "false"}
    assert twilio.forms == [always | form]


@pytest.mark.parametrize(
    ("twilio", "task", "kind"),
    [
        (Twilio("{}"), "WT1", "alone"),
        (Twilio("no JSON"), "WT1", "refused"),
        (Twilio(), "WT-gone", "gone"),
        (Twilio(status=404), "WT1", "gone"),
        (Twilio(status=403), "WT1", "forbidden"),
        (Twilio(status=429), "WT1", "throttled"),
        (Twilio(status=400), "WT1", "refused"),
        (Twilio(status=503), "WT1", "unreachable"),
    ],
)
def test_twilio_says_why_not(twilio: Twilio, task: str, kind: str, serve: Serve) -> None:
    """Each refusal has its kind, and is asked once: nobody's telephone rings twice."""

    async def use(monitor: TwilioMonitor) -> MonitorError:
        return await refused(monitor.begin(task, Mode.JOIN))

    assert asyncio.run(at_twilio(twilio, serve, use)).kind == kind
    assert len(twilio.forms) <= 1


# Amazon Connect


class Connect:
    """Amazon Connect with one contact."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.bodies: list[dict[str, Any]] = []
        self.ended = False
        self.app = web(("POST", "/contact/monitor", self.monitor), ("GET", "/contacts/i-1/mon-1", self.describe))

    async def monitor(self, request: Request) -> Response:
        assert "/eu-west-2/connect/aws4_request" in request.headers["authorization"]
        assert request.headers["content-type"] == "application/json"
        self.bodies.append(await request.json())
        if self.status != 200:
            return JSONResponse({"Message": "no"}, self.status)
        return JSONResponse({"ContactArn": "arn:aws:connect:eu-west-2:1:contact/mon-1", "ContactId": "mon-1"})

    async def describe(self, request: Request) -> Response:
        over = {"DisconnectTimestamp": 1795800000.5} if self.ended else {}
        return JSONResponse({"Contact": {"Id": "mon-1", "InitiationMethod": "MONITOR", **over}})


async def at_connect(connect: Connect, serve: Serve, use: Callable[[ConnectMonitor], Awaitable[T]]) -> T:
    auth = SigV4(Credentials("AKID", "aws-s3cret"), "eu-west-2")
    async with serve(connect.app) as url, httpx.AsyncClient(base_url=url, auth=auth) as client:
        return await use(ConnectMonitor(client, "i-1", "user-1"))


@pytest.mark.parametrize(
    ("mode", "capabilities"), [("listen", ["SILENT_MONITOR"]), ("join", ["SILENT_MONITOR", "BARGE"])]
)
def test_connect_opens_the_contact_in_the_supervisors_panel(mode: str, capabilities: list[str], serve: Serve) -> None:
    """MonitorContact has the instance, the contact, the user and what they may; it is over once the contact is."""
    connect = Connect()

    async def use(monitor: ConnectMonitor) -> tuple[bool, bool]:
        leg = await monitor.begin("c-1", Mode(mode))
        assert leg.end is None, "Connect's API hangs up on no monitor"
        there, connect.ended = await leg.there(), True
        return there, await leg.there()

    assert asyncio.run(at_connect(connect, serve, use)) == (True, False)
    (body,) = connect.bodies
    assert len(body.pop("ClientToken")) == 36
    assert body == {
        "InstanceId": "i-1",
        "ContactId": "c-1",
        "UserId": "user-1",
        "AllowedMonitorCapabilities": capabilities,
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "refused"),
        (402, "throttled"),
        (403, "forbidden"),
        (404, "gone"),
        (409, "refused"),
        (429, "throttled"),
        (500, "unreachable"),
    ],
)
def test_connect_says_why_not(status: int, kind: str, serve: Serve) -> None:
    """Each of MonitorContact's documented errors has its kind."""

    async def use(monitor: ConnectMonitor) -> MonitorError:
        return await refused(monitor.begin("c-1", Mode.LISTEN))

    assert asyncio.run(at_connect(Connect(status), serve, use)).kind == kind


def test_connect_cannot_whisper() -> None:
    """What an engine cannot do is not among its modes."""
    assert ConnectMonitor.modes == {Mode.LISTEN, Mode.JOIN}


# Genesys Cloud


class Genesys:
    """Genesys Cloud with one conversation, to which the token's user is added."""

    def __init__(self, *, agent: str = "connected", status: int = 202) -> None:
        self.status = status
        self.verbs: list[str] = []
        self.participants: list[dict[str, Any]] = [
            {"id": "p-caller", "purpose": "customer", "state": "connected"},
            {"id": "p-acd", "purpose": "acd", "state": "terminated"},
            {
                "id": "p-other",
                "purpose": "user",
                "state": "connected",
                "user": {"id": "u-9"},
                "monitoredParticipantId": "p-agent",
            },
            {"id": "p-agent", "purpose": "agent", "state": agent, "user": {"id": "u-17"}},
        ]
        call = "/api/v2/conversations/calls/conv-1"
        self.app = web(
            ("GET", "/api/v2/users/me", self.me),
            ("GET", call, self.read),
            ("POST", call + "/participants/p-agent/{verb}", self.add),
            ("PATCH", call + "/participants/p-me", self.leave),
        )

    def check(self, request: Request) -> None:
        assert request.headers["authorization"] == "Bearer durands-token"

    async def me(self, request: Request) -> Response:
        self.check(request)
        return JSONResponse({"id": "u-1", "name": "M. Durand"})

    async def read(self, request: Request) -> Response:
        self.check(request)
        return JSONResponse({"id": "conv-1", "participants": self.participants})

    async def add(self, request: Request) -> Response:
        self.check(request)
        if self.status != 202:
            return JSONResponse({"message": "no", "status": self.status}, self.status)
        verb = request.path_params["verb"]
        self.verbs.append(verb)
        field = {"monitor": "monitored", "coach": "coached", "barge": "barged"}[verb]
        mine = {"id": "p-me", "purpose": "user", "state": "alerting", "user": {"id": "u-1"}}
        self.participants.append({**mine, f"{field}ParticipantId": "p-agent"})
        return Response(status_code=202)

    async def leave(self, request: Request) -> Response:
        self.check(request)
        assert await request.json() == {"state": "disconnected"}
        self.participants[-1]["state"] = "disconnected"
        return Response(status_code=200)


async def at_genesys(genesys: Genesys, serve: Serve, use: Callable[[GenesysMonitor], Awaitable[T]]) -> T:
    auth = UserToken(lambda: "durands-token")
    async with serve(genesys.app) as url, httpx.AsyncClient(base_url=url, auth=auth) as client:
        return await use(GenesysMonitor(client))


@pytest.mark.parametrize(("mode", "verb"), [("listen", "monitor"), ("whisper", "coach"), ("join", "barge")])
def test_genesys_puts_the_tokens_user_on_the_agents_part(mode: str, verb: str, serve: Serve) -> None:
    """The agent's part is found among caller, queue and other supervisors; leaving disconnects one's own part."""
    genesys = Genesys()

    async def use(monitor: GenesysMonitor) -> tuple[bool, bool]:
        leg = await monitor.begin("conv-1", Mode(mode))
        assert leg.end is not None
        there = await leg.there()
        await leg.end()
        await leg.end()
        return there, await leg.there()

    assert asyncio.run(at_genesys(genesys, serve, use)) == (True, False)
    assert genesys.verbs == [verb]


@pytest.mark.parametrize(
    ("genesys", "conversation", "kind"),
    [
        (Genesys(agent="disconnected"), "conv-1", "alone"),
        (Genesys(), "conv-gone", "gone"),
        (Genesys(status=403), "conv-1", "forbidden"),
        (Genesys(status=429), "conv-1", "throttled"),
        (Genesys(status=409), "conv-1", "refused"),
    ],
)
def test_genesys_says_why_not(genesys: Genesys, conversation: str, kind: str, serve: Serve) -> None:
    """A conversation without an agent, one that ended, and each refusal are told apart."""

    async def use(monitor: GenesysMonitor) -> MonitorError:
        return await refused(monitor.begin(conversation, Mode.WHISPER))

    assert asyncio.run(at_genesys(genesys, serve, use)).kind == kind


def test_an_engine_that_falls_silent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is an error after a time that a person can wait."""
    monkeypatch.setattr(monitoring, "ASK_S", 0.2)

    async def silent(request: Request) -> Response:
        await asyncio.sleep(5)
        return Response()

    async def run() -> MonitorError:
        app = web(("GET", "/api/v2/users/me", silent))
        async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
            return await refused(GenesysMonitor(client).begin("conv-1", Mode.LISTEN))

    error = asyncio.run(run())
    assert error.kind == "unreachable"
    assert "did not answer within 0.2 s" in str(error)
