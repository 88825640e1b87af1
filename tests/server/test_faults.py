"""What breaks stays with its own connection: one line in the log, other calls untouched, nothing leaks."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytest.importorskip("uvicorn")

NUMBER = "+33612345678"
SCRIPT = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def server(start: Any) -> Any:
    """A server that gives up soon."""
    return start(idle_s=3)


def warned(server: Any, about: str) -> list[str]:
    return [line["event"] for line in server.lines() if line["level"] == "warning" and about in line["event"]]


async def say_and_hear(peer: ClientConnection, message: str) -> None:
    await peer.send(message)
    await peer.recv()


def test_others_go_on_while_one_breaks(
    server: Any, audiosocket: Any, twilio: Any, temper: np.ndarray, eventually: Callable[..., Any]
) -> None:
    """Cut mid-frame, random bytes and a message of 10 MB end their own connections; a call beside them escalates."""

    async def break_things() -> None:
        async with audiosocket(server) as cut:
            cut.writer.write(b"\x10\x01\x40" + bytes(100))
            await cut.writer.drain()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["audiosocket"])
        writer.write(np.random.default_rng(1).bytes(70_000))
        await writer.drain()
        await reader.read()
        writer.close()
        async with twilio(server, "CAlarge") as large:
            with pytest.raises(ConnectionClosed):
                await say_and_hear(large.socket, "x" * 10_000_000)

    async def both() -> dict[str, Any]:
        async with audiosocket(server) as good:
            await good.say(temper[: 8 * 8000])
            await break_things()
            await good.say(temper[8 * 8000 : 18 * 8000])
            return await eventually(lambda: (told := server.call(good.call_id))["level"] == "escalated" and told)

    assert asyncio.run(both())["lost_s"] < 1.0
    assert warned(server, "AudioSocket: got")


def test_a_call_goes_on_through_what_is_not_understood(
    server: Any, audiosocket: Any, twilio: Any, eventually: Callable[..., Any]
) -> None:
    """Unknown frames and events, a long message, text that is no JSON: said once a reason, counted, and heard on."""

    async def calls() -> tuple[dict[str, Any], dict[str, Any]]:
        async with audiosocket(server) as asterisk, twilio(server, "CAodd") as stream:
            for turn in (1, 2):
                await asterisk.say(np.zeros(4000, np.float32))
                await stream.say(np.zeros(4000, np.float32))
                asterisk.writer.write(b"\x02\x00\x03abc" * 5)
                for odd in ('{"event": "cleared"}', '{"event": "+33612345678"}', "x" * 100_000, "{", ""):
                    await stream.socket.send(odd)
                for name in (asterisk.call_id, "CAodd"):
                    await eventually(
                        lambda name=name, least_s=0.4 * turn: server.call(name)["duration_s"] > least_s  # type: ignore[misc]
                    )
            return server.call(asterisk.call_id), server.call("CAodd")

    expected = {("audiosocket", "unknown"): 10, ("twilio", "unknown"): 4, ("twilio", "unreadable"): 6}
    before = {key: dropped(server, *key) for key in expected}
    assert [call["ended"] for call in asyncio.run(calls())] == [None, None]

    async def counted() -> None:
        await eventually(lambda: {key: dropped(server, *key) - before[key] for key in expected} == expected)

    asyncio.run(counted())
    said = warned(server, "messages are passed over")
    assert len([line for line in said if "0x02" in line]) == 1
    assert len([line for line in said if "cleared" in line]) == 1
    assert "612345678" not in server.log


def dropped(server: Any, wire: str, why: str) -> float:
    text = server.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("emotion_triage_messages_dropped_total{")]
    return sum(float(line.split()[-1]) for line in lines if f'wire="{wire}"' in line and f'why="{why}"' in line)


def test_bytes_one_at_a_time(server: Any, audiosocket: Any, eventually: Callable[..., Any]) -> None:
    """A client that writes byte by byte is heard like any other."""

    async def call() -> dict[str, Any]:
        async with audiosocket(server) as slow:
            await slow.say(np.zeros(4000, np.float32), cut=1)
            return await eventually(lambda: (told := server.call(slow.call_id))["duration_s"] >= 0.5 and told)

    assert asyncio.run(call())["duration_s"] < 2.5


def test_a_half_open_connection_is_given_up(server: Any, audiosocket: Any, eventually: Callable[..., Any]) -> None:
    """A peer that falls silent is given up after `idle_s`, and its call ends as idle."""

    async def call() -> dict[str, Any]:
        async with audiosocket(server) as gone:
            await gone.say(np.zeros(1600, np.float32))
            return await eventually(lambda: (told := server.call(gone.call_id))["ended"] and told)

    assert asyncio.run(call())["ended"] == "idle"


def test_a_slow_request_is_given_up(server: Any) -> None:
    """A request whose head comes a byte a second is closed once its time is over."""
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert slow.recv(1) == b""


def test_a_slow_body_is_given_up(server: Any) -> None:
    """A body that does not come is answered with 408."""
    with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=20) as slow:
        slow.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken=")
        assert slow.recv(1000).startswith(b"HTTP/1.1 401")


def test_a_long_body_is_refused(server: Any) -> None:
    """A body longer than the limit is answered with 413 and not kept."""
    with server.client() as client:
        assert client.post("/api/lifts", content=b"x" * 1_000_000).status_code == 413


@pytest.mark.parametrize("token", ["", "wrong-token-0123456789abcdef"])
def test_a_wire_needs_its_token(server: Any, token: str) -> None:
    """A WebSocket without the wire's token is refused before it is opened, and the token is in no log."""

    async def call() -> int:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.ports['http']}/wires/twilio/{token}")
        return int(refused.value.response.status_code)

    assert asyncio.run(call()) in (401, 403, 404)
    assert "wire-token" not in server.log
    assert "wrong-token" not in server.log


def test_a_call_that_is_here_already_is_refused(server: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """A second connection that names a live call ends; the first goes on."""

    async def call() -> None:
        async with twilio(server, "CAtwice") as first:
            await first.say(np.zeros(1600, np.float32))
            await eventually(lambda: server.call("CAtwice"))
            async with twilio(server, "CAtwice") as second:
                with pytest.raises(ConnectionClosed):
                    await second.socket.recv()
            await first.say(np.zeros(1600, np.float32))
            assert not server.call("CAtwice")["ended"]

    asyncio.run(call())


@contextmanager
def sign_in(server: Any, token: str = "durand-token-0123456789abcdef") -> Iterator[httpx.Client]:
    with server.client(None) as client:
        client.post("/login", data={"token": token})
        yield client


def test_what_engines_say_is_only_text(server: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """Markup in a call's name, a caller's name or a queue's name is shown and never run; numbers are not shown."""

    async def call() -> tuple[str, str]:
        said = {"queue": SCRIPT, "caller_name": f"{SCRIPT} 06 12 34 56 78", "From": NUMBER}
        async with twilio(server, f"CA{SCRIPT}", said):
            await eventually(lambda: any(SCRIPT in each["call_id"] for each in server.get("/api/calls").json()))
            with sign_in(server) as client:
                page = await asyncio.to_thread(client.get, "/")
                one = await asyncio.to_thread(client.get, f"/calls/{quote(f'CA{SCRIPT}', safe='')}")
            assert "script-src 'self'" in page.headers["content-security-policy"]
            return page.text, one.text

    for html in asyncio.run(call()):
        assert "<script>alert" not in html
        assert "&lt;script&gt;" in html
        assert "12345678" not in re.sub(r"\s", "", html)


def test_a_change_needs_the_pages_own_token(server: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """A form or a request that another site sends with the person's cookie changes nothing."""

    async def call() -> None:
        async with twilio(server, "CAcsrf"):
            await eventually(lambda: server.call("CAcsrf"))
            with sign_in(server) as client:
                form = {"act": "override", "queue": "senior", "reason": "x"}
                assert client.post("/calls/CAcsrf", data=form).status_code == 403
                body = {"queue": "senior", "reason": "x"}
                assert client.post("/api/calls/CAcsrf/override", json=body).status_code == 403
                assert server.call("CAcsrf")["override"] is None
                csrf = re.search(r'name="csrf" value="([\w-]+)"', client.get("/calls/CAcsrf").text)
                assert csrf
                assert client.post("/calls/CAcsrf", data={**form, "csrf": csrf[1]}).status_code == 303
            assert server.call("CAcsrf")["override"]["queue"] == "senior"

    asyncio.run(call())


def test_a_forged_session_opens_nothing(server: Any) -> None:
    """A session whose name, end or agent was changed is none."""
    with sign_in(server) as client:
        claim, signature = client.cookies["emotion_triage"].strip('"').split(".")
        name, end, *agent = json.loads(base64.urlsafe_b64decode(claim))
        assert client.get("/").status_code == 200
        claims = [[name, end + 1, *agent], ["former", end, *agent], [name, end, "a-1", None], [name, end], [name], {}]
        changed = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode() + f".{signature}" for each in claims]
        for forged in (*changed, f"{claim}.{'0' * 64}", f"{claim}.{claim}.{signature}", claim, "x", "..", "a.b.c"):
            client.cookies.clear()
            client.cookies.set("emotion_triage", forged)
            assert client.get("/").status_code == 303


def test_a_machine_cannot_sign_in(server: Any) -> None:
    """The page is for people: a machine's token and an expired one do not open it."""
    for token in ("desktop-token-0123456789abcdef", "former-token-0123456789abcdef"):
        with sign_in(server, token) as client:
            assert client.get("/").status_code == 303


def test_nothing_leaked(server: Any) -> None:
    """After all this no log holds a number, a token or a trace."""
    text = re.sub(r"[\s.\-]", "", server.log)
    assert "612345678" not in text
    assert "durandtoken" not in text
    assert "Traceback" not in server.log


def test_calls_go_on_without_the_ledger(start: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """A ledger that is away stops no call: the standing is unknown, decisions wait, and the page says so."""
    dead = start(ledger="postgresql+psycopg://nobody@127.0.0.1:1/none")

    async def call() -> dict[str, Any]:
        async with twilio(dead, "CAdead", {"From": NUMBER}):
            return await eventually(lambda: dead.call("CAdead"))

    told = asyncio.run(call())
    assert (told["known"], told["standing"]) == (False, "clear")
    with dead.client() as client:
        assert client.get("/api/team").status_code == 503
        assert client.get("/readyz").status_code == 200
    with sign_in(dead) as client:
        assert client.get("/team").status_code == 200


def test_a_full_server_refuses_and_goes_on(start: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """One call too many is refused with 503; the others go on, and a place that is given back is taken."""
    full = start(max_calls=1)

    async def call() -> None:
        async with twilio(full, "CAfirst"):
            await eventually(lambda: full.call("CAfirst"))
            with pytest.raises(InvalidStatus):
                await twilio(full, "CAsecond").__aenter__()
            assert full.get("/readyz").status_code == 503
        await eventually(lambda: full.call("CAfirst")["ended"])
        async with twilio(full, "CAthird"):
            await eventually(lambda: full.call("CAthird"))

    asyncio.run(call())


def test_tls_is_kept_to(start: Any, tmp_path: Path) -> None:
    """Over TLS the browser is told to keep to it, and the session travels over nothing else."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate; apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1 -keyout {key} -out {certificate}"
    subprocess.run(made.split(), check=True, capture_output=True)
    secure = start(http=f'tls_certificate = "{certificate}"\ntls_key = "{key}"')
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with httpx.Client(base_url=f"https://127.0.0.1:{secure.ports['http']}", verify=context) as client:
        answer = client.post("/login", data={"token": "durand-token-0123456789abcdef"})
    assert "Secure" in answer.headers["set-cookie"]
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_sigterm_drains(
    start: Any, audiosocket: Any, twilio: Any, temper: np.ndarray, eventually: Callable[..., Any]
) -> None:
    """On SIGTERM no new call is taken, those that go on are ended and flushed, decisions are logged; the code is 0."""
    ending = start(drain_s=1)

    async def call() -> int:
        async with audiosocket(ending) as one, twilio(ending, "CAdrain") as two:
            await one.say(temper[: 12 * 8000])
            await two.say(temper[: 2 * 8000])
            await eventually(lambda: ending.call(one.call_id)["points"] and ending.call("CAdrain"))
            ending.process.send_signal(signal.SIGTERM)
            await eventually(lambda: any(line["event"] == "draining" for line in ending.lines()))
            with pytest.raises((OSError, InvalidStatus, ConnectionClosed)):
                await twilio(ending, f"CA{uuid.uuid4().hex}").__aenter__()
            return await asyncio.to_thread(ending.stop)

    assert asyncio.run(call()) == 0
    ended = {line["call"]: line["reason"] for line in ending.lines() if line["event"] == "call ended"}
    assert len(ended) == 2
    assert "Traceback" not in ending.log
    assert not [line for line in ending.lines() if "decisions could not" in line["event"]]
