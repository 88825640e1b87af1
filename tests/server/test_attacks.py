"""Connections that are held and not used, on the loopback and bounded: calls, health and the log outlast them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

pytest.importorskip("uvicorn")

from emotion_triage.errors import ConfigError
from emotion_triage.server.config import Config, HttpConfig, Limits
from emotion_triage.server.crowd import SPARE, Crowd
from emotion_triage.server.descriptors import for_http
from emotion_triage.server.listeners import Listener, listening
from emotion_triage.server.logs import Sparing

HEADER_S = 2.0
LONGEST_S = HEADER_S + 3.0
"""`header_s`, the grace of a handler, and a sweep."""
SMALL = "max_connections = 40"
COMPLETE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HELD = {
    "a header trickled after one complete request": COMPLETE + b"GET /healthz HTTP/1.1\r\nX: ",
    "a body that comes slowly after a 401": b"POST /api/lifts HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{",
    "a body in chunks that nobody reads": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a body that nobody asked for": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
    "blank lines after a complete request": COMPLETE + b"\r\n",
    "a handshake of a WebSocket that has a body": (
        b"GET /wires/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Content-Length: 9\r\n\r\n"
    ),
    "nothing at all": b"",
}
TRICKLED = {"a body in chunks that nobody reads": b"1\r\nx\r\n", "blank lines after a complete request": b"\r\n"}


@pytest.fixture(scope="module")
def server(start: Any) -> Any:
    """A server with few places, so that few connections fill it."""
    return start(http=SMALL, more="", max_calls=10, idle_s=60)


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def asked(kept: socket.socket) -> bytes:
    """The answer to one whole request."""
    kept.sendall(COMPLETE)
    got = b""
    while not got.endswith(b"ok\n"):
        piece = kept.recv(65536)
        assert piece, "the connection was closed"
        got += piece
    return got


def closed_after_s(held: socket.socket, piece: bytes, within_s: float) -> float:
    """Seconds until the server closes a connection on which a piece is sent again and again."""
    began_s = time.monotonic()
    held.settimeout(0.2)
    while time.monotonic() - began_s < within_s:
        try:
            if piece:
                held.sendall(piece)
            if held.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began_s


@pytest.mark.parametrize("kind", HELD)
def test_no_request_outlives_its_time(server: Any, kind: str) -> None:
    """Whatever is sent or left out, a request that is not complete after `header_s` is closed soon after."""
    with opened(server.ports["http"]) as held:
        held.sendall(HELD[kind])
        piece = b"" if kind == "nothing at all" else TRICKLED.get(kind, b"x")
        assert closed_after_s(held, piece, 15.0) < LONGEST_S


def test_an_answer_that_nobody_reads_is_closed(server: Any) -> None:
    """A peer that asks and asks and never reads loses its connection."""
    with opened(server.ports["http"]) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held.settimeout(0.5)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        began_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began_s < 20.0:
                with contextlib.suppress(TimeoutError):
                    held.sendall(request)
        assert time.monotonic() - began_s < 15.0


def test_a_slow_keep_alive_is_kept(server: Any) -> None:
    """Requests on one connection, a second apart for longer than `header_s`, are all answered."""
    with opened(server.ports["http"]) as kept:
        for _ in range(4):
            assert asked(kept).startswith(b"HTTP/1.1 200")
            time.sleep(1.0)


@contextlib.contextmanager
def crowd_of(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    held = []
    try:
        for _ in range(count):
            held.append(opened(port))
            held[-1].sendall(said)
        yield held
    finally:
        for each in held:
            each.close()


@pytest.mark.parametrize("kind", ["a header trickled after one complete request", "nothing at all"])
def test_a_full_house_answers(server: Any, twilio: Any, eventually: Callable[..., Any], kind: str) -> None:
    """With three times the connections that there may be, all held, health is told at once and calls begin."""

    async def call() -> None:
        with crowd_of(server.ports["http"], 120, HELD[kind]):
            began_s = time.monotonic()
            assert (await asyncio.to_thread(server.get, "/healthz")).status_code == 200
            assert time.monotonic() - began_s < 2.0
            async with twilio(server, f"CA{len(kind)}") as caller:
                await caller.say(np.zeros(1600, np.float32))
                await eventually(lambda: server.call(caller.call_id))
                await caller.stop()

    asyncio.run(call())


def test_silent_connections_of_a_wire_make_room(
    server: Any, audiosocket: Any, twilio: Any, eventually: Callable[..., Any]
) -> None:
    """As many AudioSockets as there may be calls, on which nothing is said, keep no call out."""

    async def call() -> None:
        with crowd_of(server.ports["audiosocket"], 30, b""):
            for _ in range(3):
                async with audiosocket(server) as caller:
                    await caller.say(np.zeros(1600, np.float32))
                    await eventually(lambda: server.call(caller.call_id))
                    await caller.hang_up()
            async with twilio(server, "CAroom") as other:
                await other.say(np.zeros(1600, np.float32))
                await eventually(lambda: server.call("CAroom"))

    asyncio.run(call())


def test_a_wire_that_begins_no_call_is_given_up(start: Any) -> None:
    """An AudioSocket without a UUID, one without audio, and a stream without a start are closed after `begin_s`."""
    hasty = start(max_calls="10\nbegin_s = 1", idle_s=60)

    async def silent_stream() -> float:
        began_s = time.monotonic()
        async with connect(f"ws://127.0.0.1:{hasty.ports['http']}/wires/twilio/wire-token-0123456789abcdef") as peer:
            with contextlib.suppress(ConnectionClosed):
                while time.monotonic() - began_s < 10.0:
                    await peer.ping()
                    await asyncio.sleep(0.2)
        return time.monotonic() - began_s

    for said in (b"", b"\x01\x00\x10" + bytes(range(16))):
        with opened(hasty.ports["audiosocket"]) as held:
            held.sendall(said)
            assert held.recv(100) == bytes(3)  # the hang-up frame: the dialplan goes on
            assert closed_after_s(held, b"", 5.0) < 4.0
    assert asyncio.run(silent_stream()) < 5.0
    assert sum("no call began" in line["event"] for line in hasty.lines()) == 3


def test_one_call_too_many_goes_on_without_us(start: Any, audiosocket: Any, eventually: Callable[..., Any]) -> None:
    """Above `max_calls` Asterisk is sent the hang-up frame, so that its dialplan goes on."""
    full = start(max_calls=1)

    async def call() -> bytes:
        async with audiosocket(full) as first:
            await first.say(np.zeros(1600, np.float32))
            await eventually(lambda: full.call(first.call_id))
            async with audiosocket(full) as second:
                await second.say(np.zeros(8000, np.float32))
                return await asyncio.wait_for(second.reader.read(), 10.0)

    assert asyncio.run(call()) == bytes(3)


def test_tls_that_is_never_agreed_on_is_closed(start: Any, tmp_path: Path) -> None:
    """Connections that say nothing to a TLS port, more than there may be, leave it to others and end soon."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1 -keyout {key} -out {certificate}"
    subprocess.run(made.split(), check=True, capture_output=True)
    secure = start(http=f'{SMALL}\ntls_certificate = "{certificate}"\ntls_key = "{key}"')
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    port = secure.ports["http"]
    with crowd_of(port, 120, b"") as held:
        with opened(port) as plain, context.wrap_socket(plain) as wrapped:
            wrapped.sendall(COMPLETE)
            assert wrapped.recv(4096).startswith(b"HTTP/1.1 200")
        assert closed_after_s(held[-1], b"", 15.0) < LONGEST_S


def test_the_log_of_an_attack_is_short(start: Any) -> None:
    """Thousands of broken requests are some lines, and the number of those left out."""
    port = (attacked := start()).ports["http"]
    for _ in range(300):
        with opened(port) as broken:
            broken.sendall(b"\x00\x01broken\r\n\r\n")
    assert len(attacked.log.splitlines()) < 100


def test_descriptors_that_run_out_are_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """Where accepting fails for want of descriptors, the log has a line a second, and accepting goes on afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def attacked() -> bytes:
        bound = listening("127.0.0.1", 0)
        protocols: list[Greeter] = []

        def make() -> Greeter:
            protocols.append(Greeter())
            return protocols[-1]

        listener = Listener(bound, make, lambda: True)
        peers = [socket.socket() for _ in range(50)]
        used = max(each.fileno() for each in peers) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            for peer in peers:
                peer.setblocking(False)
                await asyncio.get_running_loop().sock_connect(peer, bound.getsockname())
            await asyncio.sleep(1.5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        greeting = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peers[-1], 10), 5.0)
        for peer in peers:
            peer.close()
        listener.close()
        return greeting

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.write(b"hello")  # type: ignore[attr-defined]

    with caplog.at_level(logging.DEBUG):
        assert asyncio.run(attacked()) == b"hello"
    failures = [record for record in caplog.records if "could not be accepted" in record.message]
    assert 1 <= len(failures) <= 3
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.WARNING]


def test_wires_keep_their_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    """Under a low limit HTTP has what the calls leave, and the log says so; a limit below the calls' is an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    config = Config(limits=Limits(max_calls=250), http=HttpConfig(max_connections=2000))
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])));"
        "from emotion_triage.server.config import Config; from emotion_triage.server.descriptors import for_http;"
        "print(for_http(Config()), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )

    def limited(low: int, high: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", script, str(low), str(high)], capture_output=True, text=True)

    assert limited(256, 1024).stdout.split() == [str(1024 - 250 - 192 - 2 * SPARE), "1024"]
    assert limited(256, 4096).stdout.split()[0] == "2000"
    refused = limited(256, 300)
    assert "LimitNOFILE=" in refused.stderr
    assert "ConfigError" in refused.stderr
    assert for_http(config) > 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_crowd_closes_who_waits_longest() -> None:
    """The one that has waited longest makes room; one that is served never does."""
    closed: list[int] = []
    crowd = Crowd(3)
    for name in range(3):
        assert crowd.admit()
        crowd.wait(name, lambda name=name: closed.append(name))
    crowd.serve(0)
    for name in range(3, 6):
        assert crowd.admit()
        crowd.wait(name, lambda name=name: closed.append(name))
    assert (closed, len(crowd)) == ([1, 2, 3], 3)
    for name in (4, 5):
        crowd.serve(name)
    for name in range(6, 6 + SPARE):
        assert crowd.admit()
        crowd.serve(name)
    assert not crowd.admit()


def test_a_second_server_on_a_port_is_refused(server: Any, start: Any) -> None:
    """A port that a server of ours has already is an error at once, whatever the number of processes."""
    for processes in (1, 2):
        with pytest.raises(AssertionError, match="ended with 2"):
            start(port=server.ports["http"], processes=processes)
        with pytest.raises(AssertionError, match="ended with 2"):
            start(audio_port=server.ports["audiosocket"], processes=processes)
    with pytest.raises(ConfigError, match="another server"):
        listening("127.0.0.1", server.ports["http"])


def test_a_keep_alive_request_does_not_wait(server: Any) -> None:
    """Requests on one connection take well under the 40 ms that a delayed acknowledgement costs."""
    with opened(server.ports["http"]) as kept:
        took_s = []
        for _ in range(30):
            began_s = time.perf_counter()
            asked(kept)
            took_s.append(time.perf_counter() - began_s)
    assert sorted(took_s)[len(took_s) // 2] < 0.02


def test_lines_of_one_kind_are_bounded() -> None:
    """Warnings of one kind are bounded in each second, and the next tells how many were left out."""

    def record(level: int, message: str, created_s: float) -> logging.LogRecord:
        made = logging.makeLogRecord({"name": "x", "levelno": level, "msg": message})
        made.created = created_s
        return made

    sparing = Sparing(5)
    written = [sparing.filter(record(logging.WARNING, "refused %s", 0.001 * i)) for i in range(100)]
    assert sum(written) == 5
    assert sparing.filter(record(logging.WARNING, "another", 0.2))
    assert all(sparing.filter(record(logging.INFO, "call ended", 0.3)) for _ in range(100))
    later = record(logging.WARNING, "refused %s", 1.5)
    assert sparing.filter(later)
    assert later.left_out == 95
