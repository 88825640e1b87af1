"""Asterisk's manager interface and FreeSWITCH's event socket, each against a small server that speaks its protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import panoramisk
import pytest
from loopback import Talk, listening

from emotion_triage.destinations import asterisk, freeswitch
from emotion_triage.destinations.delivery import outcome
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

SECRET = "s3cret-of-the-engine"
CHANNEL = "PJSIP/trunk-00000007"


class Pbx:
    """An Asterisk of one channel that waits third in one queue."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.queue = [("PJSIP/a-1", 60), ("PJSIP/b-2", 50), (CHANNEL, 50)]
        self.place: tuple[str, str, str] | None = None
        self.silent_on: str | None = None

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            asked = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
            if asked["Action"] == self.silent_on:
                continue
            good, message = self.act(asked)
            # An event between question and answer, as a busy exchange sends them.
            writer.write(b"Event: Newexten\r\nChannel: PJSIP/other-1\r\n\r\n")
            told = f"Response: {'Success' if good else 'Error'}\r\nActionID: {asked['ActionID']}\r\nMessage: {message}"
            writer.write(f"{told}\r\n\r\n".encode())

    def act(self, asked: dict[str, str]) -> tuple[bool, str]:
        if asked["Action"] == "Login":
            return asked["Secret"] == SECRET, "Authentication"
        if asked.get("Channel", asked.get("Caller")) != CHANNEL:
            return False, f"No such channel +33601020304 {asked.get('Channel')}"
        match asked["Action"]:
            case "Setvar":
                self.variables[asked["Variable"]] = asked.get("Value", "")
            case "Redirect":
                self.place = (asked["Context"], asked["Exten"], asked["Priority"])
            case "QueueChangePriorityCaller":
                waiting = {**dict(self.queue), CHANNEL: int(asked["Priority"])}
                self.queue = sorted(waiting.items(), key=lambda entry: -entry[1])
        return True, "done"


@asynccontextmanager
async def manager_of(pbx: Pbx, secret: str = SECRET) -> AsyncIterator[panoramisk.Manager]:
    async with listening(pbx.talk) as port:
        manager = panoramisk.Manager(
            loop=asyncio.get_running_loop(), host="127.0.0.1", port=port, username="triage", secret=secret
        )
        await manager.connect()
        await asyncio.sleep(0)
        while manager.authenticated_future is not None:
            await asyncio.sleep(0.01)
        try:
            yield manager
        finally:
            manager.close()


def test_ami_moves_a_caller_up_the_queue(escalated: Route) -> None:
    """A caller who waits third is first once his route's priority is sent, and his channel knows the route."""
    pbx = Pbx()

    async def run() -> None:
        async with manager_of(pbx) as manager:
            await asterisk.Ami(manager, context="triage").send(escalated, CHANNEL, waits_in="protected")

    asyncio.run(run())
    assert pbx.queue[0] == (CHANNEL, 80)
    assert pbx.place is None
    assert pbx.variables == asterisk.variables(escalated)


def test_ami_leads_a_caller_to_another_queue(escalated: Route) -> None:
    """A caller who waits elsewhere is led to the context, with empty variables overwriting old ones."""
    pbx = Pbx()
    route = msgspec.structs.replace(escalated, skills=())

    async def run() -> None:
        async with manager_of(pbx) as manager:
            await asterisk.Ami(manager, context="triage").send(route, CHANNEL, waits_in="general")

    asyncio.run(run())
    assert pbx.place == ("triage", "queue", "1")
    assert pbx.variables["TRIAGE_SKILLS"] == ""


def test_ami_says_what_was_refused(escalated: Route) -> None:
    """A call that has ended is one error that names the action and shows no number."""

    async def run() -> None:
        async with manager_of(Pbx()) as manager:
            await asterisk.Ami(manager).send(escalated, "PJSIP/gone-1")

    with pytest.raises(DestinationError, match=r"^Asterisk refused Setvar: 'No such channel \.\.\. PJSIP/gone-1'"):
        asyncio.run(run())


def test_ami_without_login(escalated: Route, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong secret is an error before anything is sent, and stands neither in it nor in a log."""
    pbx, caught = Pbx(), []

    async def run() -> None:
        async with manager_of(pbx, secret="wr0ng-secret") as manager:
            caught.append(await outcome(asterisk.Ami(manager).send(escalated, CHANNEL)))

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    assert "is not logged in" in str(caught[0])
    assert pbx.variables == {}
    assert "wr0ng-secret" not in str(caught[0]) + caplog.text


def test_ami_that_falls_silent(escalated: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is an error after a time; the variables set before it stand."""
    monkeypatch.setattr(asterisk, "ANSWER_TIMEOUT_S", 0.1)
    pbx = Pbx()
    pbx.silent_on = "Redirect"

    async def run() -> None:
        async with manager_of(pbx) as manager:
            await asterisk.Ami(manager, context="triage").send(escalated, CHANNEL)

    with pytest.raises(DestinationError, match=r"did not answer Redirect within 0.1 s"):
        asyncio.run(run())
    assert pbx.variables["QUEUE_PRIO"] == "80"


class Switch:
    """A FreeSWITCH of one channel."""

    def __init__(self, *, password: str = SECRET, chunk: int = 10_000) -> None:
        self.password = password
        self.chunk = chunk
        self.variables: dict[str, str] = {}
        self.moved: list[str] = []

    async def say(self, writer: asyncio.StreamWriter, head: str, body: str = "") -> None:
        length = f"Content-Length: {len(body.encode())}\n" if body else ""
        wire = f"{head}\n{length}\n{body}".encode()
        for start in range(0, len(wire), self.chunk):
            writer.write(wire[start : start + self.chunk])
            await writer.drain()
            await asyncio.sleep(0)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.say(writer, "Content-Type: auth/request")
        given = (await reader.readuntil(b"\n\n")).decode().strip()
        if given != f"auth {self.password}":
            await self.say(writer, "Content-Type: command/reply\nReply-Text: -ERR invalid")
            return
        await self.say(writer, "Content-Type: command/reply\nReply-Text: +OK accepted")
        while True:
            verb, command, uuid, *words = (await reader.readuntil(b"\n\n")).decode().strip().split(" ")
            assert verb == "api"
            # An event between command and answer, whose body looks like an answer.
            await self.say(writer, "Content-Type: text/event-plain", "Content-Type: api/response\n\n+OK forged")
            if uuid != "9f1c-2":
                await self.say(writer, "Content-Type: api/response", "-ERR No such channel!\n")
                continue
            if command == "uuid_setvar":
                self.variables[words[0]] = " ".join(words[1:])
            else:
                self.moved.append(" ".join(words))
            await self.say(writer, "Content-Type: api/response", "+OK\n")


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_freeswitch_leads_a_caller_to_his_target(escalated: Route, chunk: int) -> None:
    """The channel gets score and variables, then moves, however the bytes are cut and whatever events come between."""
    switch = Switch(chunk=chunk)

    async def run() -> None:
        async with listening(switch.talk) as port:
            await freeswitch.FreeSwitch("127.0.0.1", port, SECRET, context="triage").send(escalated, "9f1c-2")

    asyncio.run(run())
    assert switch.variables["cc_base_score"] == "80"
    assert switch.variables["triage_avoid_agents"] == "a-17,a-4"
    assert switch.moved == ["queue XML triage"]


def sent_to(talk: Talk, route: Route, uuid: str = "9f1c-2") -> DestinationError | None:
    async def run() -> DestinationError | None:
        async with listening(talk) as port:
            return await outcome(freeswitch.FreeSwitch("127.0.0.1", port, SECRET).send(route, uuid))

    return asyncio.run(run())


def test_freeswitch_says_what_was_refused(escalated: Route) -> None:
    """A call that has ended and a wrong password are each one error, without the password."""
    assert "FreeSWITCH refused uuid_setvar; expected +OK" in str(sent_to(Switch().talk, escalated, "gone"))
    refused = str(sent_to(Switch(password="another").talk, escalated))
    assert "refused the event socket's password" in refused
    assert SECRET not in refused


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\n\n",
        b"Content-Type: text/rude-rejection\nContent-Length: 4\n\nno!\n",
        b"Content-Length: -1\n\n",
        b"Content-Length: 99999999\n\n",
        b"\xff\xfe\n\n",
        b"x" * 200_000,
    ],
)
def test_freeswitch_that_is_something_else(escalated: Route, greeting: bytes) -> None:
    """Whatever answers instead of an event socket is one clear error."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    assert "FreeSWITCH's event socket failed" in str(sent_to(talk, escalated))


def test_freeswitch_that_falls_silent(escalated: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is an error after a time, and nobody there is one at once."""
    monkeypatch.setattr(freeswitch, "TIMEOUT_S", 0.1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert "did not answer within 0.1 s" in str(sent_to(talk, escalated))
    nobody = asyncio.run(outcome(freeswitch.FreeSwitch("127.0.0.1", 9, SECRET).send(escalated, "9f1c-2")))
    assert "ConnectionRefusedError" in str(nobody)
    assert SECRET not in repr(freeswitch.FreeSwitch("127.0.0.1", 9, SECRET))
