"""Both wires of Asterisk against a real one: set ASTERISK_BIN to its binary, or these are skipped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from emotion_triage.adapters import chan_websocket
from emotion_triage.adapters.audiosocket import AudioSocket, TcpSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.session import Session
from emotion_triage.adapters.wire import Ended, Started, WireEvent
from emotion_triage.audio import decode_mulaw
from emotion_triage.triage import Call, Triage

ASTERISK = os.environ.get("ASTERISK_BIN", "")
MODULES = os.environ.get("ASTERISK_MODULES", "/usr/lib/asterisk/modules")
pytestmark = pytest.mark.skipif(not ASTERISK, reason="needs an Asterisk: set ASTERISK_BIN to its binary")
UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
HEARD_S = 2.0


class Ear:
    """An application and a sink that keep what comes, and stop once it is enough."""

    def __init__(self, triage: Triage) -> None:
        self.triage = triage
        self.call: Call | None = None
        self.audio = b""
        self.ended_with: Ended | None = None
        self.enough = asyncio.Event()

    async def started(self, session: Session, event: Started) -> Call | None:
        self.call = event.open(self.triage)
        self.bytes_per_s = event.sample_rate_hz * (2 if event.encoding == "pcm16" else 1)
        return self.call

    async def noticed(self, session: Session, event: WireEvent) -> None:
        pass

    async def ended(self, session: Session, event: Ended) -> None:
        self.ended_with = event
        self.enough.set()

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        call.push(chunk, at=at)
        self.audio += chunk
        if len(self.audio) >= HEARD_S * self.bytes_per_s:
            self.enough.set()

    async def finish(self, call: Call) -> None:
        call.flush()


@asynccontextmanager
async def asterisk(
    folder: Path, extensions: str, websocket_port: int
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Run an Asterisk of its own folder; yields a function that gives it a command."""
    folders = {name: folder / name for name in ("run", "spool", "log", "db", "data")}
    for each in folders.values():
        each.mkdir()
    files = {
        "asterisk.conf": "[directories]\n"
        f"astetcdir={folder}\nastmoddir={MODULES}\nastrundir={folders['run']}\nastspooldir={folders['spool']}\n"
        f"astlogdir={folders['log']}\nastdbdir={folders['db']}\nastdatadir={folders['data']}\n"
        f"astvarlibdir={folders['data']}\n",
        "modules.conf": "[modules]\nautoload=yes\n",
        "extensions.conf": extensions,
        "websocket_client.conf": f"[triage]\ntype=websocket_client\nuri=ws://127.0.0.1:{websocket_port}/\n"
        "protocols=media\nconnection_type=per_call_config\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    configuration = str(folder / "asterisk.conf")
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(ASTERISK, "-f", "-C", configuration, stdout=quiet, stderr=quiet)

    async def command(text: str) -> None:
        asked = await asyncio.create_subprocess_exec(
            ASTERISK, "-C", configuration, "-rx", text, stdout=quiet, stderr=quiet
        )
        await asked.wait()

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


def dialplan(step: str) -> str:
    return (
        f"[triage]\nexten => caller,1,Answer()\n same => n,Milliwatt()\nexten => line,1,Answer()\n same => n,{step}\n"
    )


ORIGINATE = "channel originate Local/line@triage/n extension caller@triage"


def check(ear: Ear, samples: np.ndarray) -> None:
    """Two seconds came, at real pace, of the tone of 1004 Hz that Milliwatt() plays."""
    assert len(samples) >= HEARD_S * 8000
    spectrum = np.abs(np.fft.rfft(samples[: 2 * 8000]))
    assert np.argmax(spectrum) / 2 == pytest.approx(1004, abs=5)
    assert ear.call is not None
    assert ear.call.lost_s == 0


def test_audiosocket(triage: Triage, tmp_path: Path) -> None:
    """The tone that a channel plays comes over AudioSocket whole, under the UUID of the dialplan."""

    async def run() -> Ear:
        ear = Ear(triage)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Session(TcpSocket(reader, writer), AudioSocket(), ear, ear).run()
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with asterisk(tmp_path, dialplan(f"AudioSocket({UUID},127.0.0.1:{port})"), 1) as command:
                await command(ORIGINATE)
                await asyncio.wait_for(ear.enough.wait(), 30)
        return ear

    ear = asyncio.run(run())
    assert ear.call is not None
    assert ear.call.call_id == UUID
    check(ear, np.frombuffer(ear.audio, "<i2") / 32768)


@pytest.mark.parametrize("form", ["plain-text", "json"])
def test_the_web_socket_channel(triage: Triage, tmp_path: Path, form: str) -> None:
    """The tone that a channel plays comes over chan_websocket whole, with events in either format."""
    websockets = pytest.importorskip("websockets.asyncio.server")

    async def run() -> Ear:
        ear = Ear(triage)

        async def connected(socket: object) -> None:
            await Session(socket, ChanWebSocket(), ear, ear).run()  # type: ignore[arg-type]

        async with websockets.serve(connected, "127.0.0.1", 0, subprotocols=[chan_websocket.SUBPROTOCOL]) as server:
            port = server.sockets[0].getsockname()[1]
            async with asterisk(tmp_path, dialplan(f"Dial(WebSocket/triage/c(ulaw)f({form}))"), port) as command:
                await command(ORIGINATE)
                await asyncio.wait_for(ear.enough.wait(), 30)
        return ear

    ear = asyncio.run(run())
    check(ear, decode_mulaw(ear.audio))
