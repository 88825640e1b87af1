"""Both wires of Asterisk against a real one: set ASTERISK_BIN to its binary, or these are skipped."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from emotion_triage.adapters import chan_websocket
from emotion_triage.adapters.audiosocket import AudioSocket, TcpSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.connection import Connection
from emotion_triage.adapters.protocol import Ended, Started, WireEvent
from emotion_triage.audio.stream import decode_mulaw
from emotion_triage.call.triage import Call, Triage

ASTERISK = os.environ.get("ASTERISK_BIN", "")
MODULES = os.environ.get("ASTERISK_MODULES", "/usr/lib/asterisk/modules")
DATA = os.environ.get("ASTERISK_DATA", "/usr/share/asterisk")
pytestmark = pytest.mark.skipif(not ASTERISK, reason="needs an Asterisk: set ASTERISK_BIN to its binary")
UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
HEARD_S = 2.0
PAGE = (Path(__file__).resolve().parents[1] / "docs" / "integrations" / "asterisk.md").read_text()
INCOMING, CLIENT = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Ear:
    """An application and a sink that keep what comes, and stop once it is enough."""

    def __init__(self, triage: Triage) -> None:
        self.triage = triage
        self.call: Call | None = None
        self.audio = b""
        self.ended_with: Ended | None = None
        self.over = asyncio.Event()
        self.closing: asyncio.Task[None] | None = None

    async def started(self, connection: Connection, event: Started) -> Call | None:
        self.connection = connection
        self.call = event.open(self.triage)
        self.bytes_per_s = event.sample_rate_hz * (2 if event.encoding == "pcm16" else 1)
        return self.call

    async def noticed(self, connection: Connection, event: WireEvent) -> None:
        pass

    async def ended(self, connection: Connection, event: Ended) -> None:
        self.ended_with = event
        self.over.set()

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        call.push(chunk, at=at)
        self.audio += chunk
        if len(self.audio) >= HEARD_S * self.bytes_per_s and self.closing is None:
            self.closing = asyncio.create_task(self.connection.close())

    async def finish(self, call: Call) -> None:
        call.flush()


@asynccontextmanager
async def asterisk(
    folder: Path, extensions: str, websocket_port: int
) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Run an Asterisk of its own folder; yields a function that gives it a command."""
    folders = {name: folder / name for name in ("run", "spool", "log", "db")}
    for each in folders.values():
        each.mkdir()
    files = {
        "asterisk.conf": "[directories]\n"
        f"astetcdir={folder}\nastmoddir={MODULES}\nastrundir={folders['run']}\nastspooldir={folders['spool']}\n"
        f"astlogdir={folders['log']}\nastdbdir={folders['db']}\nastdatadir={DATA}\n"
        f"astvarlibdir={DATA}\n",
        "modules.conf": "[modules]\nautoload=yes\n",
        "extensions.conf": extensions,
        "queues.conf": "[general]\n[line]\n",
        "websocket_client.conf": CLIENT.replace("9093", str(websocket_port)),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    configuration = str(folder / "asterisk.conf")
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(ASTERISK, "-f", "-C", configuration, stdout=quiet, stderr=quiet)

    async def command(text: str) -> str:
        asked = await asyncio.create_subprocess_exec(
            ASTERISK, "-C", configuration, "-rx", text, stdout=asyncio.subprocess.PIPE, stderr=quiet
        )
        answer, _ = await asked.communicate()
        return answer.decode()

    try:
        for _ in range(100):
            if (folders["run"] / "asterisk.ctl").exists():
                break
            await asyncio.sleep(0.1)
        await command("core waitfullybooted")
        yield command
    finally:
        process.terminate()
        await process.wait()


def dialplan(step: str, went_on: Path) -> str:
    return (
        "[triage]\nexten => caller,1,Answer()\n same => n,Milliwatt()\n"
        f"exten => line,1,Answer()\n same => n,{step}\n same => n,System(touch {went_on})\n"
    )


ORIGINATE = "channel originate Local/line@triage/n extension caller@triage"


async def went(on: Path) -> None:
    """Wait until the dialplan goes on."""
    async with asyncio.timeout(10):
        while not on.exists():
            await asyncio.sleep(0.05)


def check(ear: Ear, samples: np.ndarray) -> None:
    """Two seconds came of the tone of 1004 Hz that Milliwatt() plays, and no gap."""
    assert len(samples) >= HEARD_S * 8000
    spectrum = np.abs(np.fft.rfft(samples[: 2 * 8000]))
    assert np.argmax(spectrum) / 2 == pytest.approx(1004, abs=5)
    assert ear.call is not None
    assert ear.call.lost_s == 0


def test_audiosocket(triage: Triage, tmp_path: Path) -> None:
    """A channel's tone comes over AudioSocket whole, under the dialplan's UUID; once let go, the dialplan goes on."""
    went_on = tmp_path / "went-on"

    async def run() -> Ear:
        ear = Ear(triage)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Connection(TcpSocket(reader, writer), AudioSocket(), ear, ear).run()
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            step = f"AudioSocket({UUID},127.0.0.1:{port})"
            async with asterisk(tmp_path, dialplan(step, went_on), 1) as command:
                await command(ORIGINATE)
                await asyncio.wait_for(ear.over.wait(), 30)
                await went(went_on)
        return ear

    ear = asyncio.run(run())
    assert ear.call is not None
    assert ear.call.call_id == UUID
    assert ear.ended_with == Ended(reason="stopped")
    check(ear, np.frombuffer(ear.audio, "<i2") / 32768)


@pytest.mark.parametrize("form", ["plain-text", "json"])
def test_the_web_socket_channel(triage: Triage, tmp_path: Path, form: str) -> None:
    """A channel's tone comes over chan_websocket whole, in either format of events; HANGUP lets it go."""
    went_on = tmp_path / "went-on"
    websockets = pytest.importorskip("websockets.asyncio.server")

    async def run() -> Ear:
        ear = Ear(triage)

        async def connected(socket: object) -> None:
            await Connection(socket, ChanWebSocket(), ear, ear).run()  # type: ignore[arg-type]

        async with websockets.serve(connected, "127.0.0.1", 0, subprotocols=[chan_websocket.SUBPROTOCOL]) as server:
            port = server.sockets[0].getsockname()[1]
            step = f"Dial(WebSocket/triage/c(ulaw)f({form}),,g)"
            async with asterisk(tmp_path, dialplan(step, went_on), port) as command:
                await command(ORIGINATE)
                await asyncio.wait_for(ear.over.wait(), 30)
                await went(went_on)
        return ear

    ear = asyncio.run(run())
    assert ear.ended_with == Ended(reason="hangup")
    check(ear, decode_mulaw(ear.audio))


def test_the_dialplan_of_the_page(tmp_path: Path) -> None:
    """Asterisk loads the dialplan that the page shows, step by step, and knows what it calls."""

    async def run() -> tuple[str, list[str]]:
        async with asterisk(tmp_path, INCOMING, 1) as command:
            names = sorted(set(re.findall(r"(?:,1,|n,)(\w+)\(", INCOMING)))
            return await command("dialplan show incoming"), [await command(f"core show application {n}") for n in names]

    shown, applications = asyncio.run(run())
    assert shown.count("[extensions.conf:") == INCOMING.count("=>")
    assert [text[:200] for text in applications if "Synopsis" not in text] == []


def test_the_snoop_of_the_page(triage: Triage, tmp_path: Path) -> None:
    """The page's requests to ARI bring what comes from the caller's channel, and leave him where he is."""
    websockets = pytest.importorskip("websockets")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ari_port = probe.getsockname()[1]
    (tmp_path / "http.conf").write_text(f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport={ari_port}\n")
    (tmp_path / "ari.conf").write_text("[general]\nenabled=yes\n[user]\ntype=user\nread_only=no\npassword=secret\n")
    ari = f"127.0.0.1:{ari_port}/ari"
    posted = re.findall(r'^\$ curl -X POST "\$ARI/(.*?)"', PAGE, re.MULTILINE)
    requests = [request for request in posted if "$port" not in request]  # that one is the page's other way, over RTP

    def ask(method: str, path: str) -> bytes:
        address = f"http://{ari}/{path}{'&' if '?' in path else '?'}api_key=user:secret"
        with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
            said: bytes = answer.read()
            return said

    async def run() -> tuple[Ear, list[str]]:
        ear = Ear(triage)

        async def connected(socket: object) -> None:
            await Connection(socket, ChanWebSocket(), ear, ear).run()  # type: ignore[arg-type]

        async with websockets.serve(connected, "127.0.0.1", 0, subprotocols=[chan_websocket.SUBPROTOCOL]) as server:
            port = server.sockets[0].getsockname()[1]
            waiting = dialplan("Wait(60)", tmp_path / "never")
            events = f"ws://{ari}/events?app=triage&api_key=user:secret"
            async with asterisk(tmp_path, waiting, port) as command, websockets.connect(events):
                await command(ORIGINATE)
                await asyncio.sleep(1)
                channels = json.loads(await asyncio.to_thread(ask, "GET", "channels"))
                (caller,) = [each["id"] for each in channels if each["dialplan"]["exten"] == "line"]
                for request in requests:
                    await asyncio.to_thread(ask, "POST", request.replace("$CHANNEL", caller))
                await asyncio.wait_for(ear.over.wait(), 30)
                left = json.loads(await asyncio.to_thread(ask, "GET", "channels"))
        return ear, [each["dialplan"]["app_name"] for each in left if each["id"] == caller]

    ear, where = asyncio.run(run())
    assert where == ["Wait"]
    check(ear, decode_mulaw(ear.audio))
