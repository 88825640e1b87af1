"""Several processes on one port: one ledger, one view of all calls, and none of them alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn")


def children(pid: int) -> list[int]:
    told = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in told.stdout.splitlines() if "spawn_main" in line]


def test_each_process_knows_every_call(
    start: Any, free_port: Callable[[], int], audiosocket: Any, eventually: Callable[..., Any]
) -> None:
    """Whichever process answers, all calls are told, and an override reaches the call where it is."""
    several = start(processes=2, port=free_port(), audio_port=free_port())
    several.wait_for(lambda: sum(line["event"] == "serving" for line in several.lines()) == 2)

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
                    client.post, f"/api/calls/{name}/override", json={"queue": "vip", "reason": "r"}
                )
                assert done.status_code == 200
            assert (await asyncio.to_thread(several.call, name))["override"]["queue"] == "vip"
        assert 'emotion_triage_calls{wire="audiosocket"} 8.0' in several.get("/metrics").text
        for caller in callers:
            await caller.hang_up()
            await caller.__aexit__()

    asyncio.run(call())
    killed = children(several.process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    several.wait_for(lambda: sum(line["event"] == "serving" for line in several.lines()) == 3)
    assert several.get("/api/calls").status_code == 200
    assert several.stop() == 0
