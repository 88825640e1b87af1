"""Supervisors on calls of a server: logged before the engine is asked, seen by who may see it, over with the call."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from loopback import listening
from sqlalchemy import create_engine

from emotion_triage.ledger.verification import verify

pytest.importorskip("uvicorn")

SECRET = "engine-s3cret-0123456789"
CALL = "CA-watched"
REASON = "they asked me to, call 0612345678"
MONITOR = """
[wires.twilio]
token = {{ env = "WIRE" }}
destination = "freeswitch"
address = "leg"

[destinations.freeswitch]
port = {port}
password = {{ file = "{secret}" }}

[[monitor.supervisors]]
name = "m.durand"
freeswitch = "user/2001"
"""


class Switch:
    """A FreeSWITCH with one answered call; it keeps what the log had when it was asked to ring."""

    def __init__(self) -> None:
        self.bond = "a-leg"
        self.legs: list[str] = []
        self.live: set[str] = set()
        self.log_of: Callable[[], list[str]] = list
        self.logged: list[list[str]] = []
        self.told = "+OK Job-UUID: 1"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Content-Type: auth/request\n\n")
        await reader.readuntil(b"\n\n")
        writer.write(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
        while True:
            verb, _, command = (await reader.readuntil(b"\n\n")).decode().strip().partition(" ")
            if verb == "bgapi":
                self.logged.append(self.log_of())
                if self.told.startswith("+OK"):
                    self.legs.append(re.findall(r"origination_uuid=([^,}]+)", command)[0])
                    self.live.add(self.legs[-1])
                writer.write(f"Content-Type: command/reply\nReply-Text: {self.told}\n\n".encode())
                continue
            name, leg, *_ = command.split(" ")
            answer = self.bond if name == "uuid_getvar" else "+OK\n"
            if name == "uuid_exists":
                answer = "true" if leg in self.live else "false"
            elif name == "uuid_kill":
                self.live.discard(leg)
            writer.write(f"Content-Type: api/response\nContent-Length: {len(answer)}\n\n{answer}".encode())


def bodies(server: Any) -> list[dict[str, Any]]:
    """The monitor entries of the log, in order."""
    with sqlite3.connect(server.folder / "ledger.db") as database:
        rows = database.execute("SELECT body FROM decisions WHERE kind LIKE 'monitor%' ORDER BY seq").fetchall()
    return [msgspec.json.decode(row[0]) for row in rows]


def seen_by_agent(server: Any) -> list[tuple[str | None, str]]:
    """Which supervisors the agent of the call sees on it."""
    with server.client("MARTIN") as client:
        return [(each["by"], each["mode"]) for each in client.get("/api/agent").json()["call"]["monitors"]]


async def asked(server: Any, method: str, *, token: str = "DURAND", **body: str) -> Any:
    def ask() -> Any:
        with server.client(token) as client:
            return client.request(method, f"/api/calls/{CALL}/monitor", json=body or None)

    return await asyncio.to_thread(ask)


@pytest.fixture
def watched(start: Any, twilio: Any, tmp_path: Any, eventually: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that runs a story on a server with one call at a FreeSWITCH."""
    (tmp_path / "secret").write_text(SECRET)

    def run(story: Callable[..., Any], **how: Any) -> None:
        async def told() -> None:
            switch = Switch()
            async with listening(switch.talk) as port:
                more = MONITOR.format(port=port, secret=tmp_path / "secret")
                server = await asyncio.to_thread(lambda: start(more, twilio="", **how))
                switch.log_of = lambda: [body["kind"] for body in bodies(server)]
                async with twilio(server, CALL, {"leg": "c-leg", "agent": "a-1"}) as caller:
                    await eventually(lambda: server.call(CALL))
                    await story(server, switch, caller)

        asyncio.run(told())

    return run


def test_a_supervisor_listens_and_leaves(watched: Callable[..., None], eventually: Callable[..., Any]) -> None:
    """The log has who, whom, when and why before a telephone rings; names are for persons; the log verifies."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        assert (await asyncio.to_thread(server.call, CALL))["may_monitor"] == ["listen", "whisper", "join"]
        done = await asked(server, "POST", mode="listen", reason=REASON)
        assert done.status_code == 200, done.text
        assert switch.logged == [["monitor"]]
        assert [(each["by"], each["mode"]) for each in done.json()["monitors"]] == [("m.durand", "listen")]

        def seen(token: str) -> list[tuple[str | None, str]]:
            with server.client(token) as client:
                of_call = client.get(f"/api/calls/{CALL}").json()["monitors"]
                (of_list,) = client.get("/api/calls").json()
            assert of_call == of_list["monitors"]
            return [(each["by"], each["mode"]) for each in of_call]

        assert await asyncio.to_thread(seen, "DURAND") == [("m.durand", "listen")]
        assert await asyncio.to_thread(seen, "DESKTOP") == [(None, "listen")]
        assert await asyncio.to_thread(seen_by_agent, server) == [(None, "listen")]

        # another mode rings anew, and the first is over
        assert (await asked(server, "POST", mode="whisper", reason="help")).status_code == 200
        assert switch.live == {switch.legs[1]}
        assert (await asked(server, "DELETE")).json()["monitors"] == []
        assert switch.live == set()
        again = await asked(server, "DELETE")
        assert (again.status_code, again.json()["kind"]) == (409, "not_on")
        await eventually(lambda: len(bodies(server)) == 4)
        began, changed, whispered, left = bodies(server)
        assert began | {"reason": ""} == {
            "kind": "monitor",
            "by": "m.durand",
            "reason": "",
            "mode": "listen",
            "agent_id": "a-1",
            "agent_told": True,
        }
        assert began["reason"] == "they asked me to, call [number]"
        assert (changed["reason"], whispered["mode"], left["reason"]) == ("changes to whisper", "whisper", "left")
        with server.client() as client:
            counts = client.get("/metrics").text
        assert 'emotion_triage_monitor_requests_total{destination="freeswitch",outcome="taken"} 2.0' in counts
        assert 'emotion_triage_monitors{mode="whisper"} 0.0' in counts
        with create_engine(f"sqlite:///{server.folder}/ledger.db").connect() as database:
            assert verify(database).sound

    watched(story)


def test_only_supervisors_may(watched: Callable[..., None]) -> None:
    """A machine's token and an agent's are refused, and nothing is logged or asked."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        for token in ("DESKTOP", "MARTIN"):
            assert (await asked(server, "POST", token=token, mode="listen", reason="x")).status_code == 403
            assert (await asked(server, "DELETE", token=token)).status_code == 403
        assert (await asked(server, "POST", mode="listen")).status_code == 400
        assert (await asked(server, "POST", mode="record", reason="x")).status_code == 400
        assert switch.logged == []
        assert bodies(server) == []

    watched(story)


def test_a_policy_that_does_not_tell_the_agent(watched: Callable[..., None]) -> None:
    """With tell_agent = false only persons see that somebody listens, and the log says that the agent was not told."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        assert (await asked(server, "POST", mode="listen", reason="x")).status_code == 200

        def seen(token: str) -> int:
            with server.client(token) as client:
                return len(client.get(f"/api/calls/{CALL}").json()["monitors"])

        assert await asyncio.to_thread(seen, "DURAND") == 1
        assert await asyncio.to_thread(seen, "DESKTOP") == 0
        assert await asyncio.to_thread(seen_by_agent, server) == []
        assert bodies(server)[0]["agent_told"] is False

    watched(story, policy="[supervision]\ntell_agent = false\n")


def test_a_refusal_is_told_and_logged(watched: Callable[..., None], eventually: Callable[..., Any]) -> None:
    """What the engine refuses comes back by its kind; the log says that nothing began; nobody is shown as listening."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        switch.told = "-ERR no reply"
        refused = await asked(server, "POST", mode="join", reason="x")
        assert (refused.status_code, refused.json()["kind"]) == (502, "refused")
        assert "FreeSWITCH refused originate" in refused.json()["error"]
        switch.bond = "_undef_"
        alone = await asked(server, "POST", mode="join", reason="x")
        assert (alone.status_code, alone.json()["kind"]) == (409, "alone")
        await eventually(lambda: len(bodies(server)) == 4)
        assert [body["reason"].partition(":")[0] for body in bodies(server)] == ["x", "not begun", "x", "not begun"]
        assert (await asyncio.to_thread(server.call, CALL))["monitors"] == []

    watched(story)


def test_a_supervisor_who_hangs_up_is_gone(watched: Callable[..., None], eventually: Callable[..., Any]) -> None:
    """A telephone that was hung up, or not answered, is noticed by itself."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        assert (await asked(server, "POST", mode="listen", reason="x")).status_code == 200
        switch.live.clear()
        await eventually(lambda: not server.call(CALL)["monitors"])
        await eventually(lambda: len(bodies(server)) == 2)
        assert bodies(server)[1]["reason"] == "hung up or was not reached"

    watched(story)


def test_the_calls_end_ends_it(watched: Callable[..., None], eventually: Callable[..., Any]) -> None:
    """When the caller hangs up nobody is left on the call, at the engine either, and no more is offered."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        assert (await asked(server, "POST", mode="listen", reason="x")).status_code == 200
        await caller.stop()
        over = await eventually(lambda: server.call(CALL)["ended"] and server.call(CALL))
        assert (over["monitors"], over["may_monitor"]) == ([], [])
        await eventually(lambda: not switch.live)
        await eventually(lambda: len(bodies(server)) == 2)
        assert bodies(server)[1]["reason"] == "the call is over"
        assert (await asked(server, "POST", mode="listen", reason="x")).status_code == 409

    watched(story)


def test_a_stopped_server_leaves_nobody_listening(watched: Callable[..., None]) -> None:
    """At its end the server takes everybody off, and the log has it: nobody listens where nothing shows it."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        assert (await asked(server, "POST", mode="listen", reason="x")).status_code == 200
        assert await asyncio.to_thread(server.stop) == 0
        assert switch.live == set()
        assert [body["kind"] for body in bodies(server)] == ["monitor", "monitor_end"]

    watched(story)


def test_the_page_offers_and_says_why_not(watched: Callable[..., None]) -> None:
    """The call's page has a button for each thing that is offered, and says in either language what went wrong."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        def visit() -> None:
            with server.client(None, follow_redirects=True) as client:
                client.post("/login", data={"token": "durand-token-0123456789abcdef"})
                page = client.get(f"/calls/{CALL}").text
                assert re.findall(r'<button name="mode" value="(\w+)">', page) == ["listen", "whisper", "join"]
                assert "The agent sees that a supervisor is there." in page
                form = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0], "reason": "x"}
                switch.bond = "_undef_"
                sayings = {"en": "No agent is on the call yet.", "fr": "Aucun conseiller n&#39;est encore"}
                for language, words in sayings.items():
                    join = {**form, "act": "monitor", "mode": "join"}
                    told = client.post(f"/calls/{CALL}?lang={language}", data=join)
                    assert told.status_code == 409
                    assert words in told.text
                switch.bond = "a-leg"
                on = client.post(f"/calls/{CALL}?lang=en", data={**form, "act": "monitor", "mode": "join"})
                assert on.status_code == 200
                assert "m.durand has joined" in client.get(f"/calls/{CALL}?lang=en").text
                assert "m.durand a rejoint" in client.get(f"/calls/{CALL}?lang=fr").text
                off = client.post(f"/calls/{CALL}?lang=en", data={"csrf": form["csrf"], "act": "leave"})
                assert off.status_code == 200
                assert "has joined" not in client.get(f"/calls/{CALL}?lang=en").text

        await asyncio.to_thread(visit)

    watched(story)


def test_any_process_may_be_asked(watched: Callable[..., None]) -> None:
    """With several processes any of them puts a supervisor on a call and takes them off; refusals keep their kind."""

    async def story(server: Any, switch: Switch, caller: Any) -> None:
        for _ in range(6):
            assert (await asked(server, "POST", mode="listen", reason="x")).status_code == 200
            assert len((await asyncio.to_thread(server.call, CALL))["monitors"]) == 1
            assert (await asked(server, "DELETE")).status_code == 200
            again = await asked(server, "DELETE")
            assert (again.status_code, again.json()["kind"]) == (409, "not_on")

    watched(story, processes=2)
