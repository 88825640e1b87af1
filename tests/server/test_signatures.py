"""Connections that have to be signed: whose are taken, and how often."""

from __future__ import annotations

import asyncio
import base64
import hmac
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytest.importorskip("uvicorn")

AUTH_TOKEN = "twilio-auth-token-0123456789abcd"
PUBLIC = "wss://triage.example.com/behind"
WIRES = """
[wires.twilio]
auth_token = { env = "TWILIO_AUTH_TOKEN" }
public_url = "wss://triage.example.com/behind/"
"""


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
