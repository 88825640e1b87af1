"""A supervisor on a call of a real Asterisk with three telephones: set ASTERISK_BIN to its binary, or it is skipped."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine

from emotion_triage.audio.g711 import encode_mulaw
from emotion_triage.audio.stream import decode_mulaw
from emotion_triage.ledger.verification import verify

pytest.importorskip("uvicorn")

ASTERISK = os.environ.get("ASTERISK_BIN", "")
MODULES = os.environ.get("ASTERISK_MODULES", "/usr/lib/asterisk/modules")
DATA = os.environ.get("ASTERISK_DATA", "/usr/share/asterisk")
pytestmark = pytest.mark.skipif(not ASTERISK, reason="needs an Asterisk: set ASTERISK_BIN to its binary")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "integrations" / "supervision.md").read_text()
(MONITOR,) = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SECRET = "engine-s3cret-0123456789"
CALLER_HZ, AGENT_HZ, SUPERVISOR_HZ = 420.0, 700.0, 1100.0
SERVER = """
[wires.rtp]
destination = "{by}"
first_port = {first}
last_port = {last}

[destinations.ari]
url = "http://127.0.0.1:{http}/ari"
username = "triage"
password = {{ file = "{secret}" }}

[monitor]
ari_context = "triage-monitor"

[destinations.ami]
port = {port}
username = "triage"
secret = {{ file = "{secret}" }}

[[monitor.supervisors]]
name = "m.durand"
{by} = "PJSIP/supervisor"
"""
PJSIP = """
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{port}
"""
TELEPHONE = """
[{name}]
type=endpoint
context=triage
disallow=all
allow=ulaw
direct_media=no
aors={name}
[{name}]
type=aor
contact=sip:{name}@127.0.0.1:{port}
"""


FRAME = 160
FRAME_S = 0.02
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, take: object) -> None:
        self.take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.take(data, addr)  # type: ignore[operator]


class Telephone:
    """A SIP telephone of G.711 that answers whoever calls it.

    Parameters
    ----------
    tone_hz : float
        What it sounds while a call lasts.
    """

    def __init__(self, tone_hz: float) -> None:
        self.tone_hz = tone_hz
        self.heard = b""
        self.answered = asyncio.Event()
        self.calls = 0
        self.copy_to: tuple[str, int] | None = None
        """Where its own audio goes too."""
        self._peer: tuple[str, int] | None = None

    async def __aenter__(self) -> Telephone:
        loop = asyncio.get_running_loop()
        self._sip, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._said), local_addr=("127.0.0.1", 0))
        self._rtp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._hear), local_addr=("127.0.0.1", 0))
        self.port = self._sip.get_extra_info("sockname")[1]
        self._sounding = asyncio.create_task(self._sound())
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._sounding.cancel()
        with suppress(asyncio.CancelledError):
            await self._sounding
        self._sip.close()
        self._rtp.close()

    async def hears(self, tone_hz: float, *, for_s: float = 0.5) -> bool:
        """Return whether a tone is in what comes in from now on."""
        start, wanted = len(self.heard), int(8000 * for_s)
        for _ in range(int(for_s * 20) + 20):
            if len(self.heard) - start >= wanted:
                break
            await asyncio.sleep(0.05)
        sound = decode_mulaw(self.heard[start : start + wanted])
        if len(sound) < wanted:
            return False
        angle = 2 * np.pi * tone_hz * np.arange(len(sound)) / 8000
        amplitude = 2 * np.hypot(np.mean(sound * np.cos(angle)), np.mean(sound * np.sin(angle)))
        return bool(amplitude > 0.02)  # 14 dB below the tone; what is not there is 40 dB below

    def _said(self, data: bytes, addr: tuple[str, int]) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        method = head.split(" ", 1)[0]
        if method == "ACK" or method.startswith("SIP/"):
            return
        kept = [
            line for line in head.split("\r\n")[1:] if re.match(r"(Via|From|Call-ID|CSeq|Record-Route):", line, re.I)
        ]
        to = next(line for line in head.split("\r\n") if line.lower().startswith("to:"))
        answer = ""
        if method == "INVITE":
            media = re.search(r"m=audio (\d+)", body)
            assert media
            self._peer = addr[0], int(media[1])
            answer = SDP.format(port=self._rtp.get_extra_info("sockname")[1])
            self.calls += "tag=" not in to
            self.answered.set()
        elif method == "BYE":
            self._peer = None
            self.answered.clear()
        tagged = to if "tag=" in to else f"{to};tag={self.port}"
        lines = ["SIP/2.0 200 OK", *kept, tagged, f"Contact: <sip:telephone@127.0.0.1:{self.port}>"]
        lines += ["Content-Type: application/sdp"] if answer else []
        self._sip.sendto("\r\n".join([*lines, f"Content-Length: {len(answer)}", "", answer]).encode(), addr)

    def _hear(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard += data[12:]

    async def _sound(self) -> None:
        loop = asyncio.get_running_loop()
        next_s, number = loop.time(), 0
        while True:
            times = (np.arange(FRAME) + number * FRAME) / 8000
            audio = encode_mulaw((0.1 * np.sin(2 * np.pi * self.tone_hz * times)).astype(np.float32))
            head = b"\x80\x00" + (number % 65536).to_bytes(2, "big") + (number * FRAME).to_bytes(4, "big") + b"tone"
            for to in (self._peer, self.copy_to):
                if to is not None:
                    self._rtp.sendto(head + audio, to)
            number += 1
            next_s += FRAME_S
            await asyncio.sleep(max(0.0, next_s - loop.time()))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Asterisk:
    """An Asterisk of its own folder, with three telephones and a manager."""

    def __init__(self, folder: Path, telephones: dict[str, Telephone]) -> None:
        self.folder = folder
        self.manager_port, self.http_port = free_port(), free_port()
        folders = {name: folder / name for name in ("run", "spool", "log", "db")}
        for each in folders.values():
            each.mkdir()
        files = {
            "asterisk.conf": f"[directories]\nastetcdir={folder}\nastmoddir={MODULES}\nastrundir={folders['run']}\n"
            f"astspooldir={folders['spool']}\nastlogdir={folders['log']}\nastdbdir={folders['db']}\n"
            f"astdatadir={DATA}\nastvarlibdir={DATA}\n",
            "modules.conf": "[modules]\nautoload=yes\n",
            "logger.conf": "[logfiles]\nfull => notice,warning,error,verbose\n",
            "extensions.conf": "[triage]\nexten => line,1,Answer()\n same => n,Dial(PJSIP/agent)\n" + MONITOR,
            "http.conf": f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport={self.http_port}\n",
            "ari.conf": f"[general]\nenabled=yes\n[triage]\ntype=user\nread_only=no\npassword={SECRET}\n",
            "rtp.conf": "[general]\nrtpstart=30000\nrtpend=30200\n",
            "manager.conf": f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nport={self.manager_port}\n"
            f"[triage]\nsecret={SECRET}\nread=call\nwrite=call,agent,originate\n",
            "pjsip.conf": PJSIP.format(port=free_port(socket.SOCK_DGRAM))
            + "".join(TELEPHONE.format(name=name, port=each.port) for name, each in telephones.items()),
        }
        for name, text in files.items():
            (folder / name).write_text(text)

    async def __aenter__(self) -> Asterisk:
        quiet = asyncio.subprocess.DEVNULL
        configuration = str(self.folder / "asterisk.conf")
        self._process = await asyncio.create_subprocess_exec(
            ASTERISK, "-f", "-C", configuration, stdout=quiet, stderr=quiet
        )
        for _ in range(300):
            if (self.folder / "run" / "asterisk.ctl").exists():
                break
            await asyncio.sleep(0.1)
        await self.command("core waitfullybooted")
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._process.terminate()
        await self._process.wait()

    async def command(self, text: str) -> str:
        asked = await asyncio.create_subprocess_exec(
            *(ASTERISK, "-C", str(self.folder / "asterisk.conf"), "-rx", text),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        answer, _ = await asked.communicate()
        return answer.decode()


async def hearing(telephones: dict[str, Telephone]) -> dict[str, set[str]]:
    """Which telephone hears which, now."""
    heard: dict[str, set[str]] = {}

    async def listen(name: str, telephone: Telephone) -> None:
        heard[name] = {
            other for other, each in telephones.items() if other != name and await telephone.hears(each.tone_hz)
        }

    await asyncio.gather(*(listen(name, each) for name, each in telephones.items()))
    return heard


async def until_heard(telephones: dict[str, Telephone], wanted: dict[str, set[str]]) -> None:
    """Wait until each hears who they should, and then see that it lasts."""
    for _ in range(20):
        if await hearing(telephones) == wanted:
            break
    for _ in range(2):
        assert await hearing(telephones) == wanted


@pytest.mark.parametrize("by", ["ami", "ari"])
def test_a_whisper_reaches_the_agent_and_not_the_caller(
    by: str, start: Any, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """Measured in what each telephone hears: listening is silent, a whisper is the agent's, a join everybody's."""
    (tmp_path / "secret").write_text(SECRET)
    alone = {"caller": {"agent"}, "agent": {"caller"}}

    async def run() -> Any:
        async with Telephone(CALLER_HZ) as caller, Telephone(AGENT_HZ) as agent, Telephone(SUPERVISOR_HZ) as supervisor:
            telephones = {"caller": caller, "agent": agent, "supervisor": supervisor}
            folder = tmp_path / "asterisk"
            folder.mkdir()
            async with Asterisk(folder, telephones) as asterisk:
                first = free_port(socket.SOCK_DGRAM) // 2 * 2
                more = SERVER.format(
                    by=by,
                    http=asterisk.http_port,
                    port=asterisk.manager_port,
                    secret=tmp_path / "secret",
                    first=first,
                    last=first + 20,
                )
                server = await asyncio.to_thread(lambda: start(more))
                await asterisk.command("channel originate PJSIP/caller extension line@triage")
                await asyncio.wait_for(agent.answered.wait(), 20)
                channels = (await asterisk.command("core show channels concise")).splitlines()
                call = next(each.split("!")[-1] for each in channels if each.startswith("PJSIP/caller"))

                def ask(method: str, path: str, **body: Any) -> Any:
                    with server.client() as client:
                        return client.request(method, f"/api/calls/{call}{path}", json=body or None)

                port = (await asyncio.to_thread(ask, "POST", "/rtp", parameters={"agent": "a-17"})).json()["port"]
                caller.copy_to = ("127.0.0.1", port)
                await eventually(lambda: server.call(call))
                await until_heard(telephones, {**alone, "supervisor": set()})

                both = {"supervisor": {"caller", "agent"}}
                stories = {
                    "listen": {**alone, **both},
                    "whisper": {"caller": {"agent"}, "agent": {"caller", "supervisor"}, **both},
                    "join": {"caller": {"agent", "supervisor"}, "agent": {"caller", "supervisor"}, **both},
                }
                for mode, wanted in stories.items():
                    on = await asyncio.to_thread(ask, "POST", "/monitor", mode=mode, reason="test")
                    assert on.status_code == 200, on.text
                    await until_heard(telephones, wanted)
                assert supervisor.calls == 3
                off = await asyncio.to_thread(ask, "DELETE", "/monitor")
                assert off.status_code == 200, off.text
                await until_heard(telephones, {**alone, "supervisor": set()})

                # whoever hangs up is off by themselves, and a call that ended takes everybody along
                assert (
                    await asyncio.to_thread(ask, "POST", "/monitor", mode="listen", reason="test")
                ).status_code == 200
                await asyncio.wait_for(supervisor.answered.wait(), 20)
                await asterisk.command("channel request hangup all")
                await eventually(lambda: not server.call(call)["monitors"])
                gone = await asyncio.to_thread(ask, "POST", "/monitor", mode="listen", reason="test")
                assert (gone.status_code, gone.json()["kind"]) == (409, "gone")
                return server

    server = asyncio.run(run())
    assert server.stop() == 0
    with create_engine(f"sqlite:///{server.folder}/ledger.db").connect() as database:
        assert verify(database).sound
        kinds = [row[0] for row in database.exec_driver_sql("SELECT kind FROM decisions ORDER BY seq")]
    assert kinds.count("monitor") == kinds.count("monitor_end") == 5
