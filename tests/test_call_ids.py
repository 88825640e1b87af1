"""A call's name never carries a telephone number into a route, a log, a page or the ledger, and stays a name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from emotion_triage.adapters.protocol import Started
from emotion_triage.call.triage import Triage
from emotion_triage.errors import CallIdError
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.contacts import Contact

WITH_NUMBERS = [
    "+33612345678",
    "0612345678",
    "call-+33612345678",
    "call33612345678",
    "PJSIP/trunk-0612345678",
    "PJSIP/0612345678-0000002a",
    "SIP/+33612345678-00000001",
    "sip:33612345678@example.com",
    "tel:%2B33612345678",
    "06 12 34 56 78",
    "06.12.34.56.78",
    "06_12_34_56_78",
    "\uff10\uff16\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
    "0612345678-1732112345.678",
    "rec/20261127-133149-0612345678.wav",
    "33612345678_2026-11-27T13:31:49",
    "20261127133149-0612345678",
    "06%2012%2034%2056%2078",
    "Local/0612345678@from-internal-0000002a;1",
]
NAMES = [
    "1732112345.678",
    "pbx1-1732112345.678",
    "1700000000.7",
    "CA0123456789abcdef0123456789abcdef",
    "CA12345678901234567890123456789012",
    "550e8400-e29b-41d4-a716-446655440000",
    "12345678-1234-1234-1234-123456789012",
    "12345678123412341234123456789012",
    "PJSIP/6001-0000002a",
    "PJSIP/trunk-00000012",
    "WebSocket/media_connection1/0x5140001a0040",
    "WebSocket/INCOMING/0x7f3a2c0123456",
    "1732112345678",
    "call-20261127-133149-42",
    "2026-11-27T13:31:49",
    "a84b4c76e66710@192.168.10.25",
    "call-17",
    "c-1",
    "synthetic caller",
]
TELLTALES = ("612345678", "12 34 56", "12.34.56", "12_34_56", "\uff13\uff14\uff15", "%2034")


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_a_number_in_a_name_becomes_an_alias(name: str) -> None:
    """No digits of a telephone number are left; the name is the same each time, and a safe one stays."""
    safe = safe_call_id(name)
    assert not [telltale for telltale in TELLTALES if telltale in safe]
    assert safe == safe_call_id(name) == safe_call_id(safe)
    assert "number~" in safe


@pytest.mark.parametrize("name", NAMES)
def test_an_engines_own_identifier_stays(name: str) -> None:
    """Identifiers of Asterisk, FreeSWITCH, Twilio and Genesys, dates and short counts stay as they are."""
    assert safe_call_id(name) == name


def test_two_numbers_are_two_aliases() -> None:
    """Calls that differ by their numbers alone stay two, whatever stands around them."""
    assert len({safe_call_id(f"call-061234{n:04d}") for n in range(20)}) == 20
    assert safe_call_id("a-0612345678").startswith("a-number~")


@pytest.mark.parametrize("name", [None, "", "  ", "a\nb", "\u200e1", "06\u202f12", "x" * 257, 17, b"c-1"])
def test_what_is_no_name_is_refused(name: object, triage: Triage) -> None:
    """Nothing, an empty text, one with marks or line ends, and what is no text are refused with the fix."""
    with pytest.raises(CallIdError, match="expected the routing engine's"):
        triage.call(name)  # type: ignore[arg-type]
    with pytest.raises(CallIdError, match="expected the routing engine's"):
        safe_call_id(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_one_alias_everywhere(name: str, triage: Triage) -> None:
    """A call, its route, what a wire tells of its start and its contact all have the one safe name."""
    call = triage.call(name)
    started = Started(call_id=name, encoding="mulaw", sample_rate_hz=8000, continues=(name,))
    contact = Contact(
        contact_id=name, caller=None, agent_id="a", started_at=datetime(2026, 3, 2, tzinfo=UTC), duration_s=1.0
    )
    safe = safe_call_id(name)
    assert (call.call_id, call.route.call_id, started.call_id, started.continues) == (safe, safe, safe, (safe,))
    assert contact.contact_id == safe
    assert name not in repr((started, contact, call.route))
    assert started.engine_id is not None
    assert started.engine_id.reveal() == name


def test_a_safe_name_needs_no_second_one() -> None:
    """Where nothing was taken out of a name, the engine is addressed by it."""
    assert Started(call_id="17.1", encoding="mulaw", sample_rate_hz=8000).engine_id is None
