"""A process that does not move is seen, replaced or ended; one that is asked to stop does, whatever does not answer."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("uvicorn")

from emotion_triage.server import vitals as vitals_module
from emotion_triage.server.board import Board
from emotion_triage.server.listeners import listening
from emotion_triage.server.vitals import STUCK, Stillness, Vitals, notify

Eventually = Callable[..., Any]
HUNG = """
import sys, threading, time
from emotion_triage.__main__ import main
from emotion_triage.call.triage import Triage

if __name__ == "__main__":
    push_many = Triage.push_many
    Triage.push_many = lambda self, chunks: time.sleep(3600) if chunks else push_many(self, chunks)
    sys.argv = ["emotion-triage", "serve", "--config", sys.argv[1]]
    main()
"""


def children(pid: int) -> list[psutil.Process]:
    """The processes that serve: not the one that multiprocessing keeps beside them."""
    return [each for each in psutil.Process(pid).children() if "spawn_main" in " ".join(each.cmdline())]


@pytest.fixture
def two(start: Any) -> Any:
    """Two processes that share their ports."""
    server = start(processes=2, max_calls="20\nstuck_s = 4", idle_s=60)
    server.wait_for(lambda: sum(line["event"] == "serving" for line in server.lines()) == 2)
    return server


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        if process.is_running():
            process.resume()


def test_a_frozen_process_takes_no_part(two: Any, audiosocket: Any, eventually: Eventually) -> None:
    """With one process frozen the other answers every request and takes every call, and soon there are two again."""
    victim = children(two.process.pid)[0]

    async def calls() -> None:
        for _ in range(6):
            async with audiosocket(two) as caller:
                await caller.say(np.zeros(1600, np.float32))
                await eventually(lambda: two.call(caller.call_id))
                await caller.hang_up()

    with frozen(victim):
        time.sleep(1.6)
        with two.client() as client:
            assert client.get("/api/calls").status_code == 200
            began_s = time.monotonic()
            for _ in range(10):
                assert client.get("/api/calls", headers={"Connection": "close"}).status_code == 200
            assert time.monotonic() - began_s < 5.0
        asyncio.run(calls())
        two.wait_for(lambda: sum(line["event"] == "serving" for line in two.lines()) == 3, 30.0)
    assert victim.pid not in {each.pid for each in children(two.process.pid)}
    assert any("has not moved" in line["event"] for line in two.lines())


def test_a_call_of_a_silent_process_may_still_be_there(two: Any, audiosocket: Any, eventually: Eventually) -> None:
    """Of a call that a frozen process may have, nobody says that it is not known: 503, not 404."""
    with frozen(children(two.process.pid)[0]):
        time.sleep(1.6)
        assert two.get("/api/calls/elsewhere").status_code == 503
    two.wait_for(lambda: two.get("/api/calls/elsewhere").status_code == 404, 30.0)


def test_processes_end_with_their_parent(start: Any) -> None:
    """Where the parent is killed its processes drain and end, and the ports are free for another server at once."""
    orphaned = start(processes=2, drain_s=1)
    orphaned.wait_for(lambda: sum(line["event"] == "serving" for line in orphaned.lines()) == 2)
    left = children(orphaned.process.pid)
    orphaned.process.kill()
    orphaned.process.wait()
    ends_s = time.monotonic() + 5.0
    while time.monotonic() < ends_s:
        try:
            listening("127.0.0.1", orphaned.ports["http"]).close()
            break
        except Exception:
            time.sleep(0.1)
    else:
        raise AssertionError("the port is still taken")
    _, alive = psutil.wait_procs(left, timeout=20.0)
    assert not alive


def test_new_calls_spread(two: Any, audiosocket: Any, eventually: Eventually) -> None:
    """Calls that begin one after the other are shared by the processes, none of which has more than some beyond."""

    async def call() -> list[int]:
        callers = [audiosocket(two) for _ in range(12)]
        for caller in callers:
            await caller.__aenter__()
            await caller.say(np.zeros(800, np.float32))
            await eventually(lambda caller=caller: two.call(caller.call_id))
        held = [len([c for c in each.net_connections() if c.raddr]) for each in children(two.process.pid)]
        for caller in callers:
            await caller.__aexit__()
        return held

    held = asyncio.run(call())
    assert min(held) >= 4


@pytest.fixture
def hung(tmp_path: Any, start: Any) -> Any:
    """A server whose scoring hangs with the first audio."""
    sound = start(max_calls="10\nstuck_s = 6")
    sound.stop()
    script = tmp_path / "hung.py"
    script.write_text(HUNG)
    return sound.again([sys.executable, str(script), str(sound.folder / "serve.toml")])


def test_health_sees_scoring_that_hangs(hung: Any, audiosocket: Any, eventually: Eventually) -> None:
    """Health is bad a third of `stuck_s` after scoring stopped; at `stuck_s` the process ends and says where it was."""

    async def call() -> None:
        async with audiosocket(hung) as caller:
            await caller.say(np.zeros(4000, np.float32))
            await eventually(lambda: hung.get("/healthz").status_code == 503, 10.0)
            assert "scoring" in (await asyncio.to_thread(hung.get, "/readyz")).text

    assert hung.get("/healthz").status_code == 200
    asyncio.run(call())
    assert hung.process.wait(20) == STUCK
    assert "sleep(3600)" in hung.log


def test_a_frozen_ledger_does_not_hold_the_end(start: Any, twilio: Any, eventually: Eventually) -> None:
    """With the ledger's file locked for good, SIGTERM still ends the server in the time that is promised."""
    held = start(drain_s=1)
    database = next(held.folder.glob("*.db"))
    lock = sqlite3.connect(database, timeout=20, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")

    async def call() -> None:
        async with twilio(held, "CAheld", {"From": "+33612345678"}):
            await eventually(lambda: held.call("CAheld"))

    asyncio.run(call())
    began_s = time.monotonic()
    held.process.send_signal(signal.SIGTERM)
    held.process.wait(60)
    assert time.monotonic() - began_s < 30.0
    lock.close()


def test_a_ledger_that_never_answers_does_not_hold_the_beginning(start: Any, free_port: Callable[[], int]) -> None:
    """A database that takes connections and says nothing: the server serves, and SIGTERM ends it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        began_s = time.monotonic()
        deaf = start(ledger=url, drain_s=1)
        assert deaf.get("/healthz").status_code == 200
        assert time.monotonic() - began_s < 35.0
        began_s = time.monotonic()
        deaf.process.send_signal(signal.SIGTERM)
        deaf.process.wait(60)
        assert time.monotonic() - began_s < 30.0


def test_systemd_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemd asked to be told reaches its socket; where it asked for nothing, nothing is sent."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_stillness_is_counted_while_the_watcher_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that does not change for a minute in which nobody looked has been still for some seconds only."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    still = Stillness()
    for _ in range(6):
        now_s[0] += 0.5
        still_s = still.after(7)
    assert still_s == pytest.approx(2.5)
    now_s[0] += 60.0
    assert still.after(7) < 5.0
    assert still.after(8) == 0.0


def test_vitals_name_what_does_not_move() -> None:
    """Scoring that moved lately is good; one that did not has a problem that says for how long."""
    moved_s = [time.monotonic()]
    vitals = Vitals(lambda: moved_s[0], 15.0, lambda: None)
    assert vitals.problem is None
    moved_s[0] -= 6.0
    assert vitals.problem == "scoring has not moved for 6 s"


def test_a_board_tells_who_moves() -> None:
    """A process is seen to move from its beats, in another process too, and a lighter one only where it moves."""
    board = Board(3)
    mine, other = board.at(0), board.at(1)
    mine.count(4)
    other.count(2)
    assert not mine.lighter_elsewhere()
    other.beat()
    assert mine.lighter_elsewhere()
    assert mine.others() == [1]
    board.clear(1)
    assert not board.moves(1)


def test_nothing_watches_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once serving is over neither the watchdog nor the limit of the end ends the process, however long it takes."""
    ended: list[int] = []
    monkeypatch.setattr(vitals_module, "leave", lambda code, now=False: ended.append(code))
    over = threading.Event()
    over.set()
    still = Vitals(lambda: 0.0, 3.0, lambda: None)
    vitals_module.watch(still, 0.0, over)
    vitals_module.end_within(0.0, over)
    for each in threading.enumerate():
        if each.name in ("watchdog", "end"):
            each.join(10.0)
            assert not each.is_alive()
    assert ended == []
