"""Twilio's signature of an upgrade request: what is taken, and what is not."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.protocol import Hidden
from emotion_triage.adapters.twilio_signature import verify
from emotion_triage.errors import WireError

TOKEN = Hidden("12345")
URL = "wss://triage.example.com/wires/twilio"


def signed(url: str, token: str = "12345") -> str:
    """HMAC-SHA1 written out, as RFC 2104 has it."""
    key = token.encode().ljust(64, b"\0")
    inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in key) + url.encode()).digest()
    return base64.b64encode(hashlib.sha1(bytes(byte ^ 0x5C for byte in key) + inner).digest()).decode()


def test_the_example_of_the_documentation_is_verified() -> None:
    """What Twilio's documentation signs, an address with its parameters after it, is taken."""
    said = "CallSidCA1234567890ABCDECaller+14158675309Digits1234From+14158675309To+18005551212"
    verify("RSOYDt4T1cUTdK1PDd93/VVr8B8=", f"https://mycompany.com/myapp.php?foo=1&bar=2{said}", auth_token=TOKEN)


def test_an_address_is_signed() -> None:
    """The signature of the stream's own address is taken."""
    verify(signed(URL), URL, auth_token=TOKEN)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        signed(URL, "12346"),
        signed(URL.replace("wss", "https")),
        signed(f"{URL}/"),
        signed(URL).lower(),
        signed(URL)[:-1],
        hmac.new(b"12345", URL.encode(), "sha256").hexdigest(),
        "é\udcff",
    ],
)
def test_anything_else_is_refused(signature: str) -> None:
    """None, another token's, scheme's or path's, and another digest are one error that shows nothing of them."""
    with pytest.raises(WireError, match="does not match") as raised:
        verify(signature, URL, auth_token=TOKEN)
    assert "12345" not in str(raised.value)
    assert "triage.example" not in str(raised.value)


@given(st.text())
def test_no_text_is_a_fault(signature: str) -> None:
    """Whatever a header holds is a signature that does not match."""
    with pytest.raises(WireError):
        verify(signature, URL, auth_token=TOKEN)
