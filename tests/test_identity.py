"""Who calls: one spelling per caller, and a pseudonym that only the keys can make."""

from __future__ import annotations

import hashlib
import hmac
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("phonenumbers")
from emotion_triage.errors import LedgerError
from emotion_triage.ledger.identity import Identity, spelled

KEYS = [bytes([each]) * 32 for each in range(1, 4)]


@pytest.mark.parametrize(
    "written",
    [
        "+33123456789",
        "0123456789",
        "01 23 45 67 89",
        "01.23.45.67.89",
        "+33 (0)1 23 45 67 89",
        "0033123456789",
        "tel:+33123456789",
        "tel:+33-1-23-45-67-89;ext=12",
        "sip:+33123456789@trunk.example:5060;user=phone",
        '"Ann" <sip:0123456789@trunk.example>',
        " +33123456789 ",
    ],
)
def test_a_number_has_one_spelling(written: str) -> None:
    """However a French number is written, in France it is one caller."""
    assert spelled(written, "FR") == "+33123456789"


def test_a_national_number_depends_on_the_region() -> None:
    """The same national digits are another caller in another country."""
    assert spelled("030 123456", "DE") == "+4930123456"
    assert spelled("030 123456", "DE") != spelled("030 123456", "AT")


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "  ",
        "anonymous",
        "Anonymous",
        "unknown",
        "<unknown>",
        "Restricted",
        "unavailable",
        "private",
        "0000000000",
        "sip:anonymous@anonymous.invalid",
        "sip:whoever@anonymous.invalid",
        "sip:trunk.example",
        '"Anonymous" <sip:anonymous@trunk.example>',
    ],
)
def test_a_withheld_number_is_nobody(written: str | None) -> None:
    """What carriers send for a withheld number gives no spelling and no pseudonym."""
    assert spelled(written, "FR") is None
    assert Identity(KEYS, "FR").pseudonym(written) is None


def test_other_callers_have_spellings_of_their_own() -> None:
    """SIP addresses, customers and short lines never meet, and only what a SIP host ignores is ignored."""
    assert spelled("sip:ann@Example.org:5061;transport=tls", "FR") == "sip:ann@example.org"
    assert spelled("sips:ann@example.org", "FR") == "sip:ann@example.org"
    assert spelled("sip:Ann@example.org", "FR") != spelled("sip:ann@example.org", "FR")
    assert spelled("CRM: 4711 ", "FR") == "crm:4711"
    assert spelled("4711", "FR") == "line:4711"


@pytest.mark.parametrize("written", ["bob 0612345678", "mailto:0612345678", "crm:", "sip:ann@", "call 0612345678 now"])
def test_what_cannot_be_read_is_refused_unseen(written: str) -> None:
    """An error about a caller says what was expected and shows nothing of what was given."""
    with pytest.raises(LedgerError, match="expected a telephone number, a SIP URI, crm:ID") as caught:
        spelled(written, "FR")
    assert "0612345678" not in "".join(traceback.format_exception(caught.value))


def test_a_pseudonym_is_the_chained_keyed_hash() -> None:
    """A pseudonym is HMAC-SHA256 by the first key, and of that by each key after it."""
    once = hmac.new(KEYS[0], b"+33123456789", hashlib.sha256).hexdigest()
    twice = hmac.new(KEYS[1], once.encode(), hashlib.sha256).hexdigest()
    assert Identity(KEYS[:1], "FR").pseudonym("0123456789") == once
    assert Identity(KEYS[:2], "FR").pseudonym("0123456789") == twice


@given(st.text(max_size=30), st.integers(1, 2))
def test_a_new_key_wraps_what_is_stored(customer: str, held: int) -> None:
    """Wrapping a stored pseudonym gives that of the longer chain, without the caller."""
    before = Identity(KEYS[:held], "FR")
    caller = f"crm:c{customer}"
    stored = before.pseudonym(caller)
    assert stored is not None
    assert before.rewrapped(stored, KEYS[held]) == before.followed_by(KEYS[held]).pseudonym(caller)


def test_other_keys_have_other_fingerprints() -> None:
    """No two chains share a fingerprint, not even those of the same keys in another order."""
    chains = [KEYS[:1], KEYS[1:2], KEYS[:2], KEYS[1::-1], KEYS]
    assert len({Identity(chain, "FR").fingerprint for chain in chains}) == len(chains)


def test_a_poor_key_is_refused() -> None:
    """A key that is short, no bytes or used before is refused, with a way to make one."""
    for keys in ([b"short"], ["x" * 40], [KEYS[0], KEYS[0]]):
        with pytest.raises(LedgerError, match=r"os\.urandom\(32\)"):
            Identity(keys, "FR")  # type: ignore[arg-type]
