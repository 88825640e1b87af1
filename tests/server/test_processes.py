"""Several processes on one port: one ledger, one view of all calls, and none of them alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, create_engine

pytest.importorskip("uvicorn")

from emotion_triage.ledger.verification import verify

Eventually = Callable[..., Any]


def children(pid: int) -> list[int]:
    told = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in told.stdout.splitlines() if "spawn_main" in line]


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def logged(url: str) -> set[str]:
    """The calls of which the decision log tells something."""
    with reading(url) as connection:
        return {row[0] for row in connection.exec_driver_sql("SELECT DISTINCT call_id FROM decisions")}


@pytest.fixture
def several(start: Any, free_port: Callable[[], int], ledger_url: str) -> Any:
    """Two processes that share their ports, with each kind of ledger in turn."""
    server = start(ledger=ledger_url, processes=2, port=free_port(), audio_port=free_port(), max_calls=100, idle_s=60)
    server.wait_for(lambda: sum(line["event"] == "serving" for line in server.lines()) == 2)
    return server


def test_each_process_knows_every_call(several: Any, ledger_url: str, audiosocket: Any, eventually: Eventually) -> None:
    """Whichever process answers, all calls are told, and an override reaches the call where it is."""

    async def call() -> None:
        callers = [audiosocket(several) for _ in range(8)]
        for caller in callers:
            await caller.__aenter__()
            await caller.say(np.zeros(1600, np.float32))
        names = {caller.call_id for caller in callers}

        def seen() -> bool:
            return {call["call_id"] for call in several.get("/api/calls").json()} >= names

        for _ in range(6):
            await eventually(seen)
        for name in names:
            with several.client() as client:
                done = await asyncio.to_thread(
                    client.post, f"/api/calls/{name}/override", json={"queue": "senior", "reason": "r"}
                )
                assert done.status_code == 200
            assert (await asyncio.to_thread(several.call, name))["override"]["queue"] == "senior"
        assert 'emotion_triage_calls{wire="audiosocket"} 8.0' in several.get("/metrics").text
        for caller in callers:
            await caller.hang_up()
            await caller.__aexit__()

    asyncio.run(call())
    assert several.stop() == 0
    with reading(ledger_url) as connection:
        assert verify(connection).sound
        overrides = connection.exec_driver_sql("SELECT count(*) FROM decisions WHERE kind = 'override'")
        assert overrides.scalar_one() == 8


def test_a_killed_process_takes_its_calls_and_nothing_else(
    several: Any, ledger_url: str, audiosocket: Any, temper: np.ndarray, eventually: Eventually
) -> None:
    """Its connections are closed, its calls may come again, the others go on untouched, and the ledger is whole."""

    async def call() -> None:
        callers = [audiosocket(several) for _ in range(16)]
        for caller in callers:
            await caller.__aenter__()
            await caller.say(temper[: 2 * 8000])
        await eventually(lambda: logged(ledger_url) >= {caller.call_id for caller in callers})
        # a second wave, whose decisions are being written when the process dies
        callers += [audiosocket(several) for _ in range(16)]
        await asyncio.gather(*(caller.__aenter__() for caller in callers[16:]))
        await asyncio.gather(*(caller.say(temper[:160]) for caller in callers[16:]))
        os.kill(children(several.process.pid)[0], signal.SIGKILL)
        ends = [asyncio.create_task(caller.reader.read()) for caller in callers]
        await eventually(lambda: sum(line["event"] == "serving" for line in several.lines()) == 3)
        await asyncio.wait(ends, timeout=2.0)
        left = [caller for caller, end in zip(callers, ends, strict=True) if not end.done()]
        assert 0 < len(left) < len(callers)
        names = {caller.call_id for caller in left}

        def live() -> bool:
            return {call["call_id"] for call in several.get("/api/calls").json()} == names

        for _ in range(4):
            await eventually(live)
        assert f'emotion_triage_calls{{wire="audiosocket"}} {len(left)}.0' in several.get("/metrics").text
        await left[0].say(temper[2 * 8000 : 18 * 8000])
        await eventually(lambda: several.call(left[0].call_id)["level"] == "escalated")
        gone = next(caller.call_id for caller in callers if caller.call_id not in names)
        async with audiosocket(several, gone) as again:
            await again.say(np.zeros(1600, np.float32))
            await eventually(lambda: gone in {call["call_id"] for call in several.get("/api/calls").json()})
        async with audiosocket(several) as new:
            await new.say(np.zeros(1600, np.float32))
            await eventually(lambda: new.call_id in logged(ledger_url))
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        for caller in callers:
            await caller.__aexit__()

    asyncio.run(call())
    died = [line for line in several.lines() if line["event"] == "process ended, another takes its place"]
    assert [line["status"] for line in died] == [-signal.SIGKILL]
    assert several.stop() == 0
    assert "Traceback" not in several.log
    with reading(ledger_url) as connection:
        assert verify(connection).sound
