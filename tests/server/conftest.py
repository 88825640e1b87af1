"""A server as it is run, on the loopback, and clients that speak to it as engines and people do."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect

from emotion_triage.adapters.audiosocket import HANG_UP
from emotion_triage.audio.g711 import encode_mulaw

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "+33612345678"
TOKENS = {
    "DURAND": "durand-token-0123456789abcdef",
    "DESKTOP": "desktop-token-0123456789abcdef",
    "MARTIN": "martin-token-0123456789abcdef",
    "PETIT": "petit-token-0123456789abcdef",
    "FORMER": "former-token-0123456789abcdef",
    "WIRE": "wire-token-0123456789abcdef",
    "LEDGER_KEY": "k" * 40,
}
QUICK = """
[escalation]
baseline_s = 4.0
smoothing_s = 1.0
min_duration_on_s = 0.5
min_duration_off_s = 1.5
hold_s = 4.0
relative_shift = -1.0
absolute_shift = -1.0
"""
BASIC = """
policy = "{folder}/policy.toml"
model = "{model}"
team = ["a-2", "a-1", "B-3"]
processes = {processes}

[http]
port = {port}
{http}
header_s = 2

[limits]
max_waiting_s = 60
idle_s = {idle_s}
drain_s = {drain_s}
max_calls = {max_calls}

[[access]]
name = "m.durand"
kind = "person"
token = {{ env = "DURAND" }}

[[access]]
name = "desktop"
kind = "machine"
token = {{ env = "DESKTOP" }}

[[access]]
name = "martin"
kind = "agent"
agent_id = "a-1"
token = {{ env = "MARTIN" }}

[[access]]
name = "petit"
kind = "agent"
agent_id = "a-2"
token = {{ env = "PETIT" }}

[[access]]
name = "former"
kind = "person"
token = {{ env = "FORMER" }}
expires_at = 2020-01-01T00:00:00Z

[wires.audiosocket]
port = {audio_port}

{twilio}
{more}
"""
TWILIO = """
[wires.twilio]
token = { env = "WIRE" }
"""
LEDGER = """
[ledger]
url = "{url}"
key = {{ env = "LEDGER_KEY" }}
create = true
keep_windows = true
"""


class Server:
    """A server process; its standard error is kept."""

    def __init__(self, folder: Path, toml: str) -> None:
        self.folder = folder
        config = folder / "serve.toml"
        config.write_text(toml)
        self._log = folder / "log.jsonl"
        self.again([sys.executable, "-m", "emotion_triage", "serve", "--config", str(config)])

    def again(self, command: list[str]) -> Server:
        """Start the server with a command, and with a log of its own."""
        with self._log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=ROOT,
                env={**os.environ, **TOKENS, "PYTHONPATH": str(ROOT)},
            )
        self.ports = self.wait_for(lambda: next(line["ports"] for line in self.lines() if line["event"] == "serving"))
        return self

    @property
    def log(self) -> str:
        return self._log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def wait_for(self, tell: Callable[[], Any], within_s: float = 120.0) -> Any:
        """Return what `tell` tells as soon as it is something; a generous limit, since machines are slow."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            try:
                if told := tell():
                    return told
            except (StopIteration, httpx.TransportError, httpx.HTTPStatusError, KeyError, IndexError):
                pass
            if self.process.poll() not in (None, 0):
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log}")
            time.sleep(0.05)
        raise AssertionError(f"nothing within {within_s:g} s:\n{self.log}")

    def client(self, token: str | None = "DURAND", **more: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.ports['http']}", headers=headers, timeout=20.0, **more)

    def get(self, path: str) -> httpx.Response:
        with self.client() as client:
            return client.get(path)

    def call(self, call_id: str) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.get(f"/api/calls/{call_id}").raise_for_status().json())

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


Start = Callable[..., Server]


@pytest.fixture(scope="module")
def start(anger_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return a function that starts a server; each is stopped at the end, whatever became of it."""
    servers: list[Server] = []

    def started(more: str = "", *, policy: str = QUICK, ledger: str | None = "sqlite", **values: Any) -> Server:
        folder = tmp_path_factory.mktemp("server")
        (folder / "policy.toml").write_text(policy)
        defaults = {"processes": 1, "port": 0, "audio_port": 0, "idle_s": 20, "drain_s": 2, "max_calls": 50, "http": ""}
        defaults["twilio"] = TWILIO
        url = f"sqlite:///{folder}/ledger.db" if ledger == "sqlite" else ledger
        if url is not None:
            more += LEDGER.format(url=url)
        text = BASIC.format(folder=folder, model=anger_model, more=more, **{**defaults, **values})
        servers.append(Server(folder, text))
        return servers[-1]

    yield started
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that finds a port which nobody listens on."""

    def found() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return found


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that the tests of one file share."""
    return start()


class AudioSocketCaller:
    """An Asterisk with one call, which speaks as fast as it is let."""

    def __init__(self, server: Server, call_id: str | None = None) -> None:
        self.call_id = call_id or str(uuid.uuid4())
        self._port = server.ports["audiosocket"]

    async def __aenter__(self) -> AudioSocketCaller:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.writer.write(b"\x01\x00\x10" + uuid.UUID(self.call_id).bytes)
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.writer.close()

    async def say(self, samples: np.ndarray, *, cut: int | None = None) -> None:
        """Send float samples as 20 ms frames; `cut` writes the bytes in pieces of that size."""
        audio = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        frames = b"".join(
            b"\x10" + len(frame).to_bytes(2, "big") + frame
            for frame in (audio[at : at + 320] for at in range(0, len(audio), 320))
        )
        step = cut or 32_000
        for at in range(0, len(frames), step):
            self.writer.write(frames[at : at + step])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def hang_up(self) -> None:
        self.writer.write(HANG_UP)
        await self.writer.drain()
        await self.reader.read()


@pytest.fixture(scope="session")
def audiosocket() -> type[AudioSocketCaller]:
    """The class of AudioSocket callers."""
    return AudioSocketCaller


class TwilioCaller:
    """A Twilio with one media stream."""

    def __init__(
        self,
        server: Server,
        call_id: str,
        parameters: Mapping[str, str] = {},
        *,
        token: str = TOKENS["WIRE"],
    ) -> None:
        self.call_id = call_id
        self.url = f"ws://127.0.0.1:{server.ports['http']}/wires/twilio/{token}"
        self._parameters = dict(parameters)
        self._chunk = self._at = 0

    async def __aenter__(self) -> TwilioCaller:
        self.socket = await connect(self.url)
        await self._send(event="connected", protocol="Call", version="1.0.0")
        form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {
            "streamSid": "MZ1",
            "accountSid": "AC1",
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": form,
            "customParameters": self._parameters,
        }
        await self._send(event="start", sequenceNumber="1", start=start, streamSid="MZ1")
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.socket.close()

    async def say(self, samples: np.ndarray) -> None:
        audio = encode_mulaw(samples)
        for at in range(0, len(audio), 160):
            self._chunk += 1
            media = {
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(self._at // 8),
                "payload": base64.b64encode(audio[at : at + 160]).decode(),
            }
            self._at += 160
            await self._send(event="media", sequenceNumber=str(self._chunk + 1), media=media, streamSid="MZ1")

    async def stop(self) -> None:
        await self._send(event="stop", sequenceNumber="9", streamSid="MZ1", stop={"callSid": self.call_id})

    async def _send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))


@pytest.fixture(scope="session")
def twilio() -> type[TwilioCaller]:
    """The class of Twilio callers."""
    return TwilioCaller


class Aside:
    """A caller who is there from a thread of their own, while the test has this one."""

    def __init__(self, caller: Any) -> None:
        self._caller = caller

    def __enter__(self) -> Aside:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.do(self._caller.__aenter__())
        return self

    def __exit__(self, *raised: object) -> None:
        self.do(self._caller.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)


@pytest.fixture(scope="session")
def aside() -> type[Aside]:
    """The class of callers beside the test."""
    return Aside


async def until(tell: Callable[[], Any], within_s: float = 30.0) -> Any:
    """Return what `tell` tells, from a thread, as soon as it is something."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            if told := await asyncio.to_thread(tell):
                return told
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end_s, "nothing in time"
        await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """The coroutine function that waits for something to be told."""
    return until


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium: Debian's, or Playwright's own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
    with sync_api.sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error:
            pytest.skip("no Chromium is here; apt-get install chromium, or playwright install chromium")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in() -> Callable[..., Any]:
    """Return a function that opens a page in a browser of its own, on which m.durand has signed in."""

    def opened(browser: Any, server: Server, **context: Any) -> Any:
        page = browser.new_context(**{"locale": "en-GB", **context}).new_page()
        page.set_default_timeout(15_000)
        page.goto(f"http://127.0.0.1:{server.ports['http']}/login")
        page.fill("#token", TOKENS["DURAND"])
        page.keyboard.press("Enter")
        page.wait_for_selector("h1")
        return page

    return opened


@pytest.fixture(scope="session")
def shot() -> Callable[[str], Path]:
    """Return a function that says where a picture of a page is kept."""

    def kept(name: str) -> Path:
        (ROOT / "out").mkdir(exist_ok=True)
        return ROOT / "out" / f"{name}.png"

    return kept


@pytest.fixture(scope="session")
def fits(shot: Callable[[str], Path]) -> Callable[[Any, int, str], None]:
    """Return a function that keeps a picture of a page, and finds it no wider than its screen and accessible."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def checked(page: Any, width: int, name: str) -> None:
        page.screenshot(path=shot(name), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        faults = [
            (fault["id"], fault["nodes"][0]["html"])
            for fault in axe.run(page).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert faults == []

    return checked
