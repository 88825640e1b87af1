"""What a server keeps in its ledger and when: before it answers, under safe names, waiting for no database."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")

NUMBER = "+33612345678"
NAME = "call-+33698765432"
TELLTALES = ("612345678", "698765432")
OVERRIDE = {"queue": "senior", "reason": "knows them"}
ENDS_WITHIN_S = 15.0
"""From SIGTERM to the end: 2 s of draining, hanging up, and the last words."""


def test_an_override_that_was_answered_survives_a_kill(start: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """What a person was told to be done is in the log, however soon the server is killed."""
    server = start()

    async def call() -> None:
        async with twilio(server, "CA-kill", {"From": NUMBER}):
            await eventually(lambda: server.call("CA-kill"))
            with server.client() as client:
                assert client.post("/api/calls/CA-kill/override", json=OVERRIDE).status_code == 200
            server.process.send_signal(signal.SIGKILL)

    asyncio.run(call())
    server.process.wait(20)
    with sqlite3.connect(server.folder / "ledger.db") as database:
        kinds = [row[0] for row in database.execute("SELECT kind FROM decisions")]
    assert kinds.count("override") == 1


def test_a_number_in_a_calls_name_is_shown_nowhere(start: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """An engine that names calls by numbers finds its call under that name; API, page, log and ledger have an alias."""
    server = start()

    async def call() -> list[str]:
        async with twilio(server, NAME, {"From": NUMBER}) as caller:
            found = await eventually(lambda: server.call(NAME))
            with server.client() as client:
                told = [client.get("/api/calls").text, json.dumps(found)]
                told.append(client.post(f"/api/calls/{NAME}/override", json=OVERRIDE).text)
                told.append(client.get(f"/api/calls/{found['call_id']}").raise_for_status().text)
            await caller.stop()
            await eventually(lambda: server.call(NAME)["ended"])
        with server.client("DESKTOP") as client:
            body = {"agent_id": "a-1", "disposition": "OK"}
            assert client.post(f"/api/calls/{NAME}/wrap-up", json=body).status_code == 200
        return told

    told = asyncio.run(call())
    assert server.stop() == 0
    with sqlite3.connect(server.folder / "ledger.db") as database:
        tables = ("entries", "decisions", "subjects")
        told += [str(database.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]
    told.append(server.log)
    assert not [each for each in told for telltale in TELLTALES if telltale in each]
    assert all("number~" in each for each in told[:4])


def test_a_frozen_database_holds_neither_calls_nor_the_end(
    network: Any, through: str, start: Any, twilio: Any, eventually: Callable[..., Any]
) -> None:
    """While PostgreSQL is frozen, calls begin, an override holds and is answered honestly, and SIGTERM ends in time."""
    server = start(ledger=through)

    async def call() -> None:
        async with twilio(server, "CA-one", {"From": NUMBER}):
            assert (await eventually(lambda: server.call("CA-one")))["known"]
            network.frozen = True
            async with twilio(server, "CA-two", {"From": NUMBER}):
                assert not (await eventually(lambda: server.call("CA-two")))["known"]
                with server.client() as client:
                    answer = client.post("/api/calls/CA-two/override", json=OVERRIDE)
                    assert answer.status_code == 503
                    assert "is logged once" in answer.text
                assert server.call("CA-two")["override"]["queue"] == "senior"

    asyncio.run(call())
    began_s = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began_s < ENDS_WITHIN_S
