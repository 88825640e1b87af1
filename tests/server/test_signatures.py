"""Connections that have to be signed: whose are taken, and how often."""

from __future__ import annotations

import asyncio
import base64
import hmac
import multiprocessing
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytest.importorskip("uvicorn")

from emotion_triage.adapters.audiohook_signature import KEPT_S
from emotion_triage.server.nonces import NonceFolder

AUTH_TOKEN = "twilio-auth-token-0123456789abcd"
PUBLIC = "wss://triage.example.com/behind"
WIRES = """
[wires.twilio]
auth_token = { env = "TWILIO_AUTH_TOKEN" }
public_url = "wss://triage.example.com/behind/"
"""

GENESYS = """
[wires.genesys]
api_key = "api-key"
client_secret = { env = "GENESYS_SECRET" }
"""
GENESYS_SECRET = b"genesys-client-secret-0123456789"
SIGNED = ("@request-target", "@authority", "audiohook-organization-id", "audiohook-session-id")
SIGNED += ("audiohook-correlation-id", "x-api-key")


def twilio_signature(url: str, token: str = AUTH_TOKEN) -> dict[str, str]:
    return {"X-Twilio-Signature": base64.b64encode(hmac.digest(token.encode(), url.encode(), "sha1")).decode()}


async def opened(url: str, headers: dict[str, str]) -> int:
    """Return the status with which a connection is answered; 101: it is open."""
    try:
        async with connect(url, additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.fixture(scope="module")
def signing(start: Any) -> Any:
    """A server behind a proxy, for Twilio's signatures alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
        return start(WIRES, twilio="")


def test_twilio_signs_the_public_address(signing: Any) -> None:
    """A connection signed over the address that Twilio knows is taken; the address behind the proxy is not that."""
    local = f"ws://127.0.0.1:{signing.ports['http']}/wires/twilio"
    assert asyncio.run(opened(local, twilio_signature(f"{PUBLIC}/wires/twilio"))) == 101
    assert asyncio.run(opened(local, twilio_signature(local))) == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Twilio-Signature": ""},
        twilio_signature(f"{PUBLIC}/wires/twilio", "another-auth-token"),
        twilio_signature(f"{PUBLIC}/wires/freeswitch"),
        {"Authorization": f"Bearer {AUTH_TOKEN}"},
    ],
)
def test_unsigned_streams_are_refused(signing: Any, headers: dict[str, str]) -> None:
    """No signature, another token's and another address's are answered with 401, in one line that shows no secret."""
    before = len(refusals(signing))
    url = f"ws://127.0.0.1:{signing.ports['http']}/wires/twilio"
    assert asyncio.run(opened(url, headers)) == 401
    signing.wait_for(lambda: len(refusals(signing)) == before + 1)
    assert AUTH_TOKEN not in signing.log
    assert 'connections_refused_total{why="signature",wire="twilio"}' in signing.get("/metrics").text


def refusals(server: Any) -> list[dict[str, Any]]:
    return [line for line in server.lines() if line["event"].startswith("connection refused: Twilio: got a signature")]


def audiohook_signature(authority: str, *, at_s: float) -> dict[str, str]:
    """The headers of an upgrade request, signed as Genesys signs them."""
    headers = {
        "Audiohook-Organization-Id": "d7934305-0972-4844-938e-9060eef73d05",
        "Audiohook-Session-Id": str(uuid.uuid4()),
        "Audiohook-Correlation-Id": str(uuid.uuid4()),
        "X-API-KEY": "api-key",
    }
    values = {name.lower(): value for name, value in headers.items()}
    values |= {"@request-target": "/wires/genesys", "@authority": authority}
    nonce = base64.b64encode(uuid.uuid4().bytes).decode()
    said = f"({' '.join(f'{chr(34)}{name}{chr(34)}' for name in SIGNED)})"
    said += f';keyid="api-key";nonce="{nonce}";alg="hmac-sha256";created={int(at_s)};expires={int(at_s) + 10}'
    text = "\n".join([*(f'"{name}": {values[name]}' for name in SIGNED), f'"@signature-params": {said}'])
    digest = base64.b64encode(hmac.digest(GENESYS_SECRET, text.encode(), "sha256")).decode()
    return headers | {"Signature-Input": f"sig1={said}", "Signature": f"sig1=:{digest}:"}


def test_a_replay_passes_at_no_process(start: Any, free_port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed connection that is sent again is refused by every process, the one that took it and its siblings."""
    monkeypatch.setenv("GENESYS_SECRET", base64.b64encode(GENESYS_SECRET).decode())
    several = start(GENESYS, processes=2, port=free_port(), audio_port=free_port(), ledger=None)
    several.wait_for(lambda: sum(line["event"] == "serving" for line in several.lines()) == 2)
    authority = f"127.0.0.1:{several.ports['http']}"

    async def replay() -> list[int]:
        headers = audiohook_signature(authority, at_s=time.time())
        return [await opened(f"ws://{authority}/wires/genesys", headers) for _ in range(16)]

    for _ in range(3):
        taken, *again = asyncio.run(replay())
        assert taken == 101
        assert set(again) == {401}
    assert several.stop() == 0


def add_all(folder: Path, nonces: list[str]) -> list[bool]:
    kept = NonceFolder(folder)
    return [kept.add(nonce, now_s=1000.0) for nonce in nonces]


def test_of_two_processes_one_takes_a_nonce(tmp_path: Path) -> None:
    """Two processes that see the same nonces at the same time take each of them once between them."""
    nonces = [f"nonce-{i}" for i in range(500)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        one, other = pool.starmap(add_all, [(tmp_path / "nonces", nonces)] * 2)
    assert [first + second for first, second in zip(one, other, strict=True)] == [1] * len(nonces)


def test_nonces_are_forgotten(tmp_path: Path) -> None:
    """A nonce is refused for as long as its signature is taken, and its file goes after that."""
    kept = NonceFolder(tmp_path / "nonces")
    assert kept.add("a", now_s=1000.0)
    assert not kept.add("a", now_s=1000.0 + KEPT_S)
    for i in range(1000):
        assert kept.add(f"nonce-{i}", now_s=1000.0 + KEPT_S + 1 + i)
    assert len(list((tmp_path / "nonces").iterdir())) <= 2 * KEPT_S + 2
    assert kept.add("a", now_s=2000.0 + 2 * KEPT_S)
