"""RTP calls through the server: a port each, and packets as networks deliver them."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from emotion_triage.audio.g711 import encode_mulaw

pytest.importorskip("uvicorn")

NUMBER = "+33612345678"
WIRE = """
[wires.rtp]
first_port = {first}
last_port = {last}
sources = ["127.0.0.1", "127.0.0.4/31"]
"""
Eventually = Callable[..., Any]


def packets(samples: np.ndarray, *, kind: int = 0, source: int = 7) -> list[bytes]:
    """Mu-law packets of 20 ms, whose numbers wrap on the way."""
    audio = encode_mulaw(samples)
    return [
        bytes([0x80, kind])
        + ((65500 + i) % 2**16).to_bytes(2, "big")
        + (i * 160).to_bytes(4, "big")
        + source.to_bytes(4, "big")
        + audio[i * 160 : (i + 1) * 160]
        for i in range(len(audio) // 160)
    ]


class Sender:
    """What sends a call's RTP, from an address of its own."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._to = "127.0.0.1", port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))

    async def send(self, datagrams: Iterable[bytes]) -> None:
        """Send no faster than a busy server reads."""
        for i, datagram in enumerate(datagrams):
            self._socket.sendto(datagram, self._to)
            if i % 16 == 15:
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self._socket.close()


def post(server: Any, path: str, **body: Any) -> Any:
    with server.client("DESKTOP") as client:
        return client.post(f"/api/calls/{path}", json=body)


def port_of(server: Any, call_id: str, **parameters: str) -> int:
    return int(post(server, f"{call_id}/rtp", parameters=parameters).raise_for_status().json()["port"])


def a_range(free_port: Callable[[], int], n_ports: int) -> str:
    first = free_port() // 2 * 2
    return WIRE.format(first=min(first, 65000), last=min(first, 65000) + 2 * n_ports - 1)


@pytest.fixture(scope="module")
def server(start: Any, free_port: Callable[[], int]) -> Any:
    """A server with RTP that gives up soon."""
    return start(a_range(free_port, 40), idle_s=4, max_calls=8)


def test_an_rtp_caller_escalates(server: Any, temper: np.ndarray, eventually: Eventually) -> None:
    """A call whose packets are lost, swapped, sent twice and late escalates, and what was lost is told."""
    sent = packets(temper[: 18 * 8000])
    lost, late = range(100, 900, 40), sent[50]
    for i in range(3, len(sent) - 2, 10):
        sent[i], sent[i + 1] = sent[i + 1], sent[i]
    arriving = [packet for i, packet in enumerate(sent) if i not in lost]
    arriving[200:200] = [arriving[198], late]

    async def call() -> dict[str, Any]:
        sender = Sender(port_of(server, "rtp-1", queue="billing", caller=NUMBER))
        for at in range(0, len(arriving), 100):
            # a queue of the kernel's that is full loses packets which this test does not mean to lose
            await sender.send(arriving[at : at + 100])
            await eventually(lambda at=at: server.call("rtp-1")["duration_s"] > at / 50)
        told = await eventually(lambda: (told := server.call("rtp-1"))["level"] == "escalated" and told)
        assert post(server, "rtp-1/hang-up").status_code == 200
        sender.close()
        return told

    told = asyncio.run(call())
    assert (told["wire"], told["queue"], told["route"]["rule"]) == ("rtp", "billing", "escalated caller")
    over = server.call("rtp-1")
    assert over["ended"] == "hangup"
    assert over["duration_s"] == pytest.approx(18.0, abs=0.05)
    assert over["lost_s"] == pytest.approx(0.02 * len(lost), abs=0.001)
    assert "612345678" not in re.sub(r"\W", "", server.log)


def counted(server: Any, counter: str, label: str) -> float:
    text = server.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith(f"emotion_triage_{counter}_total{{")]
    return sum(float(line.split()[-1]) for line in lines if 'wire="rtp"' in line and label in line)


def test_nobody_else_is_heard(server: Any, eventually: Eventually) -> None:
    """Before a call and during it, packets of other addresses and parties are counted and never heard."""
    before = counted(server, "messages_dropped", 'why="stray"')

    async def call() -> None:
        port = port_of(server, "rtp-2")
        stranger, caller, second = Sender(port, "127.0.0.2"), Sender(port), Sender(port, "127.0.0.5")
        audio = packets(np.zeros(16000, np.float32))
        await stranger.send(audio[:10])
        await caller.send([b"SIP/2.0 200 OK", b"", bytes(12)])
        assert server.get("/api/calls/rtp-2").status_code == 404
        await caller.send(audio[:50])
        await eventually(lambda: server.call("rtp-2")["duration_s"] >= 0.8)
        await stranger.send(audio[50:70])
        await second.send(audio[50:70])
        other = packets(np.zeros(16000, np.float32), source=8)
        await caller.send([each for i in range(50, 70) for each in (other[i], audio[i])])
        assert post(server, "rtp-2/hang-up").status_code == 200
        for sender in (stranger, caller, second):
            sender.close()

    asyncio.run(call())
    assert server.call("rtp-2")["duration_s"] == pytest.approx(1.4, abs=0.05)
    assert counted(server, "messages_dropped", 'why="stray"') - before == 10 + 3 + 3 * 20


def test_a_transfer_is_heard_on(server: Any, eventually: Eventually) -> None:
    """After a change of source and codec, and through G.722 that is not read, the call goes on, and says so."""
    before = counted(server, "stream_changes", "")

    async def call() -> None:
        caller = Sender(port_of(server, "rtp-3"))
        await caller.send(packets(np.zeros(8000, np.float32))[:50])
        await eventually(lambda: server.call("rtp-3")["duration_s"] >= 0.9)
        await caller.send(packets(np.zeros(16000, np.float32), kind=9)[50:60])
        await caller.send(packets(np.zeros(8000, np.float32), source=99)[:50])
        await eventually(lambda: server.call("rtp-3")["duration_s"] >= 1.9)
        await caller.send(packets(np.zeros(16000, np.float32), source=99, kind=8)[50:100])
        await eventually(lambda: server.call("rtp-3")["duration_s"] >= 2.9)
        assert post(server, "rtp-3/hang-up").status_code == 200
        caller.close()

    asyncio.run(call())
    assert server.call("rtp-3")["ended"] == "hangup"
    assert counted(server, "stream_changes", "") - before == 2
    lines = [line for line in server.lines() if line.get("call") == "rtp-3"]
    assert len([line for line in lines if "payload type 9" in line["event"]]) == 1
    assert len([line for line in lines if "goes on from another" in line["event"]]) == 2


def test_a_call_of_another_wire_gets_no_port(server: Any, twilio: Any, eventually: Eventually) -> None:
    """A call that goes on elsewhere is not begun again by its name."""

    async def call() -> None:
        async with twilio(server, "CAlive"):
            await eventually(lambda: server.call("CAlive"))
            assert (await asyncio.to_thread(post, server, "CAlive/rtp")).status_code == 409

    asyncio.run(call())


def test_what_falls_silent_is_given_up(server: Any) -> None:
    """A call that stops without a word ends as idle, and a port to which nothing came is closed."""

    async def call() -> None:
        sender = Sender(port_of(server, "rtp-silent"))
        await sender.send(packets(np.zeros(1600, np.float32)))
        sender.close()

    asyncio.run(call())
    assert port_of(server, "rtp-never")
    server.wait_for(lambda: server.call("rtp-silent")["ended"] == "idle")
    server.wait_for(lambda: post(server, "rtp-never/hang-up").status_code == 404)
    assert server.get("/api/calls/rtp-never").status_code == 404


def test_what_cannot_have_a_port_is_refused(start: Any, free_port: Callable[[], int]) -> None:
    """A second port, a full server, ports that are all taken and no table are each refused; a number is never shown."""
    few = start(a_range(free_port, 2), idle_s=20, max_calls=3, ledger=None)
    with few.client(None) as nobody:
        assert nobody.post("/api/calls/a/rtp", json={}).status_code == 401
    named = post(few, f"{NUMBER}/rtp")
    assert named.status_code == 200
    assert NUMBER not in named.text + few.get("/api/calls").text
    assert post(few, f"{NUMBER}/hang-up").status_code == 200
    assert NUMBER not in few.log
    assert post(few, "a/rtp", parameter={}).status_code == 400
    ports = {port_of(few, name) for name in ("a", "b")}
    assert len(ports) == 2
    assert post(few, "a/rtp").status_code == 409
    taken = post(few, "c/rtp")
    assert (taken.status_code, "every port" in taken.text) == (503, True)
    assert post(few, "a/hang-up").status_code == 200
    assert port_of(few, "c") in ports
    assert few.stop() == 0
    full = start(a_range(free_port, 9), max_calls=1, ledger=None)
    assert port_of(full, "a")
    assert post(full, "b/rtp").status_code == 503
    assert "full" in post(full, "b/rtp").text
    assert full.stop() == 0
    none = start(ledger=None)
    assert post(none, "a/rtp").status_code == 404


def test_several_processes_share_the_ports(start: Any, free_port: Callable[[], int], eventually: Eventually) -> None:
    """Each call has a port of its own whichever process gave it, any process ends it, and SIGTERM ends the rest."""
    wire = a_range(free_port, 40)
    several = start(wire, processes=2, port=free_port(), audio_port=free_port(), ledger=None, drain_s=1)
    several.wait_for(lambda: sum(line["event"] == "serving" for line in several.lines()) == 2)
    names = [f"rtp-{i}" for i in range(12)]

    async def call() -> None:
        senders = [Sender(port_of(several, name)) for name in names]
        for sender in senders:
            await sender.send(packets(np.zeros(8000, np.float32)))
        await eventually(lambda: {call["call_id"] for call in several.get("/api/calls").json()} == set(names))
        assert {post(several, f"{name}/rtp").status_code for name in names} == {409}
        for name in names[:6]:
            assert post(several, f"{name}/hang-up").status_code == 200
        for name in names[:6]:
            assert several.call(name)["ended"] == "hangup"
        for sender in senders:
            sender.close()

    asyncio.run(call())
    assert several.stop() == 0
    ended = [line["call"] for line in several.lines() if line["event"] == "call ended"]
    assert sorted(ended) == sorted(names)
    assert "Traceback" not in several.log
