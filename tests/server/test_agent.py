"""What an agent may do and see: help with their own calls, a supervisor's line, and nothing of anybody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emotion_triage.errors import ConfigError
from emotion_triage.server.config import Access
from emotion_triage.server.engines import Secret


def post(server: Any, token: str, path: str, **body: Any) -> int:
    with server.client(token) as client:
        return int(client.post(path, json=body).status_code)


def test_an_agent_asks_for_help_and_reads_a_line(server: Any, twilio: Any, eventually: Any) -> None:
    """The wire says who has the call; help goes up and down; a line is cleared of numbers, and a new agent has none."""

    async def run() -> None:
        async with twilio(server, "CAhelp", {"agent": "a-1"}) as caller:
            here = await eventually(lambda: server.call("CAhelp"))
            assert (here["agent_id"], here["help_since"], here["messages"]) == ("a-1", None, [])
            assert post(server, "MARTIN", "/api/calls/CAhelp/help") == 200
            since = server.call("CAhelp")["help_since"]
            assert post(server, "MARTIN", "/api/calls/CAhelp/help", needed=True) == 200
            assert since is not None
            assert server.call("CAhelp")["help_since"] == since
            assert (
                post(server, "DURAND", "/api/calls/CAhelp/message", text="Offer a call back on +33 6 12 34 56 78")
                == 200
            )
            (line,) = server.call("CAhelp")["messages"]
            assert (line["by"], line["text"]) == ("m.durand", "Offer a call back on [number]")
            assert post(server, "MARTIN", "/api/calls/CAhelp/help", needed=False) == 200
            assert server.call("CAhelp")["help_since"] is None
            assert post(server, "DESKTOP", "/api/calls/CAhelp/agent", agent_id="a-2") == 200
            moved = server.call("CAhelp")
            assert (moved["agent_id"], moved["messages"]) == ("a-2", [])
            assert post(server, "MARTIN", "/api/calls/CAhelp/help") == 404
            assert post(server, "PETIT", "/api/calls/CAhelp/help") == 200
            await caller.stop()
            await eventually(lambda: server.call("CAhelp")["ended"])
            assert server.call("CAhelp")["help_since"] is None
            assert post(server, "PETIT", "/api/calls/CAhelp/help") == 409
            assert post(server, "DURAND", "/api/calls/CAhelp/message", text="too late") == 409

    asyncio.run(run())


def test_a_flag_waits_for_a_verdict_at_once(server: Any, twilio: Any, eventually: Any) -> None:
    """A flag is in the queue while the call goes on, a word at wrap-up beside it; a verdict is the standing at once."""

    def waiting() -> list[str]:
        return [each["reason"] for each in server.get("/api/reviews").json() if each["contact_id"] == "CAflag"]

    async def run() -> None:
        caller = {"agent": "a-1", "caller": "+33 1 98 76 54 32"}
        async with twilio(server, "CAflag", caller) as first:
            await eventually(lambda: server.call("CAflag"))
            assert post(server, "PETIT", "/api/calls/CAflag/flag") == 404
            assert post(server, "MARTIN", "/api/calls/CAflag/flag", agent_id="a-2") == 422
            assert post(server, "MARTIN", "/api/calls/CAflag/flag", reason="insults") == 200
            assert waiting() == ["flagged by a-1: insults"]
            assert server.call("CAflag")["flagged"]
            assert post(server, "MARTIN", "/api/calls/CAflag/wrap-up", agent_id="a-1") == 409
            await first.stop()
        await eventually(lambda: server.call("CAflag")["ended"])
        assert post(server, "PETIT", "/api/calls/CAflag/wrap-up", agent_id="a-2") == 404
        assert post(server, "MARTIN", "/api/calls/CAflag/wrap-up", agent_id="a-2") == 403
        told = {"agent_id": "a-1", "disposition": "DISCONTENT", "word": "and threats"}
        assert post(server, "MARTIN", "/api/calls/CAflag/wrap-up", **told) == 200
        assert waiting() == ["flagged by a-1: insults; and threats"]
        assert post(server, "DURAND", "/api/calls/CAflag/verdict", abusive=True, reason="heard") == 200
        assert waiting() == []
        async with twilio(server, "CAagain", caller):
            assert (await eventually(lambda: server.call("CAagain")))["standing"] == "watch"

    asyncio.run(run())


def test_a_line_needs_an_agent_and_a_person(server: Any, twilio: Any, eventually: Any) -> None:
    """No line is written to nobody, by no machine, and none longer than a line."""

    async def run() -> None:
        async with twilio(server, "CAnobody"):
            await eventually(lambda: server.call("CAnobody"))
            path = "/api/calls/CAnobody/message"
            assert post(server, "DURAND", path, text="hello") == 409
            assert post(server, "DESKTOP", "/api/calls/CAnobody/agent", agent_id="a-1") == 200
            assert post(server, "DESKTOP", path, text="hello") == 403
            assert post(server, "MARTIN", path, text="hello") == 403
            assert post(server, "DURAND", path, text="") == 400
            assert post(server, "DURAND", path, text="x" * 281) == 400
            assert post(server, "DURAND", path, text="x" * 280) == 200

    asyncio.run(run())


@pytest.mark.parametrize(("kind", "agent_id"), [("agent", None), ("person", "a-1"), ("machine", "a-1")])
def test_an_agent_has_a_name_and_nobody_else_does(kind: Any, agent_id: str | None) -> None:
    """A token of an agent says whose it is; any other is nobody's."""
    with pytest.raises(ConfigError, match='expected agent_id with kind "agent"'):
        Access(name="a", kind=kind, agent_id=agent_id, token=Secret(env="T"))


def test_a_panel_is_the_same_in_every_process(start: Any, twilio: Any, eventually: Any) -> None:
    """Whichever process is asked, an agent has their call, their supervisor's line and their help before them."""
    several = start(processes=2, idle_s=600)

    def desks() -> list[Any]:
        """What one new connection after the other is shown, so that both processes are asked."""
        found = []
        for _ in range(6):
            with several.client("MARTIN") as client:
                found.append(client.get("/api/agent").raise_for_status().json())
        return found

    async def run() -> None:
        async with twilio(several, "CAboth", {"agent": "a-1"}):
            await eventually(lambda: all(desk["call"] for desk in desks()))
            assert post(several, "MARTIN", "/api/calls/CAboth/help") == 200
            assert post(several, "DURAND", "/api/calls/CAboth/message", text="I listen") == 200
            for desk in desks():
                assert desk["call"]["help_since"]
                assert [line["text"] for line in desk["call"]["messages"]] == ["I listen"]
                assert desk["suggestion"]["en"].startswith("Let the caller")
            with several.client("PETIT") as client:
                assert client.get("/api/agent").json()["call"] is None

    asyncio.run(run())
