"""What the pages about engines show works as shown: servers serve, policies are policies, XML is XML."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import socket
import time
import tomllib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from emotion_triage.adapters import freeswitch
from emotion_triage.routing.policy import Policy

pytest.importorskip("websockets")
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    name: ROOT / "docs" / "integrations" / f"{name}.md" for name in ("asterisk", "twilio", "genesys", "freeswitch")
}
CALL = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page].read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_policies_are_policies(page: str) -> None:
    """Each page shows one policy, and it is sound."""
    (text,) = blocks(page, "toml")
    assert Policy.parse(text).name == tomllib.loads(text)["name"]


@pytest.mark.parametrize("page", ["twilio", "freeswitch"])
def test_xml_is_xml(page: str) -> None:
    """TwiML and dialplans are well-formed."""
    for text in blocks(page, "xml"):
        ElementTree.fromstring(text)


def test_metadata_of_freeswitch_is_what_the_adapter_reads() -> None:
    """The dialplan's metadata, filled in, starts a call."""
    (dialplan,) = blocks("freeswitch", "xml")
    actions = [node.attrib["data"] for node in ElementTree.fromstring(dialplan).iter("action") if "data" in node.attrib]
    (metadata,) = [data.partition("=")[2] for data in actions if data.startswith("triage=")]
    filled = metadata.replace("${uuid}", "7f1c").replace("${caller_id_number}", "+33123456789")
    wire = freeswitch.FreeSwitch(sample_rate_hz=8000, mix="mono")
    assert [getattr(event, "call_id", None) for event in wire.receive(filled)] == ["7f1c"]


def server_of(page: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """Run a page's server as far as its definitions."""
    monkeypatch.chdir(folder)
    (folder / "policy.toml").write_text((ROOT / "emotion_triage" / "policies" / "balanced.toml").read_text())
    (code,) = [block for block in blocks(page, "python") if "async def main" in block]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(PAGES[page]), "exec"), names)
    return names


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def against(names: dict[str, Any], client: Callable[[int], Awaitable[None]]) -> None:
    """Serve one client with a page's server, and give it time to see the client gone."""
    port = free_port()
    serving = asyncio.create_task(names["main"](port))
    try:
        await asyncio.sleep(0.2)
        assert not serving.done()
        await client(port)
        await asyncio.sleep(0.3)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def speak_twilio(port: int) -> None:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"callSid": "CA1", "tracks": ["inbound"], "mediaFormat": form, "customParameters": {"From": "+33123456789"}}
    media = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": base64.b64encode(bytes(160)).decode()}
    async with connect(f"ws://127.0.0.1:{port}/") as client:
        await client.send(json.dumps({"event": "connected"}))
        await client.send(json.dumps({"event": "start", "streamSid": "MZ1", "start": start}))
        await client.send(json.dumps({"event": "media", "streamSid": "MZ1", "media": media}))
        await client.send(json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "0"}}))
        await client.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))


async def speak_freeswitch(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/", subprotocols=[freeswitch.SUBPROTOCOL]) as client:  # type: ignore[list-item]
        await client.send('{"call_id": "7f1c", "caller": "+33123456789"}')
        await client.send(bytes(320))


def headers_of(port: int, secret: bytes) -> dict[str, str]:
    fields = {
        "Audiohook-Organization-Id": "d7934305",
        "Audiohook-Session-Id": SESSION,
        "Audiohook-Correlation-Id": "e160e428",
        "X-API-KEY": "key",
    }
    values = {"@request-target": "/", "@authority": f"127.0.0.1:{port}"} | {k.lower(): v for k, v in fields.items()}
    covered = " ".join(f'"{name}"' for name in values)
    now = int(time.time())
    parameters = f'({covered});keyid="key";nonce="{uuid.uuid4()}";alg="hmac-sha256";created={now};expires={now + 10}'
    text = "\n".join([*(f'"{name}": {value}' for name, value in values.items()), f'"@signature-params": {parameters}'])
    digest = base64.b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode()
    return fields | {"Signature-Input": f"sig1={parameters}", "Signature": f"sig1=:{digest}:"}


async def speak_genesys(port: int) -> None:
    media = [{"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}]
    opening = {
        "organizationId": "d7934305",
        "conversationId": "090eaa2f",
        "participant": {"ani": "+33123456789"},
        "media": media,
    }
    head = {"version": "2", "id": SESSION, "position": "PT0S"}
    with pytest.raises(InvalidStatus, match="401"):
        await connect(f"ws://127.0.0.1:{port}/", additional_headers=headers_of(port, b"wrong"))
    async with connect(f"ws://127.0.0.1:{port}/", additional_headers=headers_of(port, b"right")) as client:
        await client.send(json.dumps(head | {"type": "open", "seq": 1, "serverseq": 0, "parameters": opening}))
        assert json.loads(await client.recv())["parameters"]["media"] == media
        await client.send(bytes(1600))
        await client.send(
            json.dumps(head | {"type": "close", "seq": 2, "serverseq": 1, "parameters": {"reason": "end"}})
        )
        assert json.loads(await client.recv())["type"] == "closed"


@pytest.mark.parametrize(
    ("page", "client", "call_id"),
    [
        ("twilio", speak_twilio, "CA1"),
        ("genesys", speak_genesys, "090eaa2f"),
        ("freeswitch", speak_freeswitch, "7f1c"),
    ],
)
def test_a_page_serves_a_call(
    page: str,
    client: Callable[[int], Awaitable[None]],
    call_id: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server that a page shows takes a call of its engine to its end, and logs no number."""
    monkeypatch.setenv("GENESYS_API_KEY", "key")
    monkeypatch.setenv("GENESYS_SECRET", base64.b64encode(b"right").decode())
    names = server_of(page, monkeypatch, tmp_path)
    with caplog.at_level(logging.INFO):
        asyncio.run(against(names, client))
    assert f"call {call_id} ended: hangup" in caplog.messages
    assert "33123456789" not in caplog.text


def test_the_page_of_asterisk_listens_and_lets_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server that the page shows hangs up the socket after its time, so that the dialplan goes on."""
    names = server_of("asterisk", monkeypatch, tmp_path)
    names["LISTEN_S"] = 0.3

    async def call() -> bytes:
        async with await asyncio.start_server(names["connected"], "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"\x01\x00\x10" + CALL.bytes + b"\x10\x01\x40" + bytes(320))
            answer = await reader.readexactly(3)
            writer.close()
            await asyncio.sleep(0.3)
            return answer

    with caplog.at_level(logging.INFO):
        assert asyncio.run(call()) == bytes(3)
    assert f"call {CALL} ended: stopped" in caplog.messages
