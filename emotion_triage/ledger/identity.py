"""Who calls: one spelling per caller, then a keyed hash of it. Nothing here keeps or shows a number."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

import phonenumbers

from emotion_triage.errors import LedgerError

__all__ = ["MIN_KEY_BYTES", "Identity", "spelled"]

MIN_KEY_BYTES = 32
"""As many as SHA-256 gives: numbers are few enough to be tried one by one, so the key alone protects them."""
FINGERPRINTED = "fingerprint"
"""Hashed in a caller's place to tell keys apart; no caller is spelled so."""
WITHHELD = frozenset(
    {"", "anonymous", "blocked", "none", "null", "private", "restricted", "unavailable", "unknown", "withheld"}
)
"""What carriers and telephone systems send in place of a number that is withheld or was lost."""
EXPECTED = "expected a telephone number, a SIP URI, crm:ID, or None where the number is withheld"


def spelled(caller: str | None, region: str) -> str | None:
    """Return the one spelling of a caller, or None where nothing tells him from other callers.

    Parameters
    ----------
    caller : str or None
        A number in any national or international form, a ``tel:`` or ``sip:`` URI, or ``crm:ID``.
    region : str
        The country whose national numbers come without a prefix, as ``FR``.

    Returns
    -------
    str or None
        E.164 (``+33...``) for a number, also where a SIP URI carries one; ``sip:user@host`` without port and
        parameters; ``crm:ID``; ``line:DIGITS`` for short numbers and extensions; None for a withheld number.

    Raises
    ------
    LedgerError
        If it is none of these; the message does not show it.

    Examples
    --------
    >>> spelled("01 23 45 67 89", "FR") == spelled("sip:+33123456789@trunk.example;user=phone", "DE")
    True
    >>> spelled("<sip:Ann@Example.org:5060>", "FR"), spelled("crm: 42", "FR"), spelled("4711", "FR")
    ('sip:Ann@example.org', 'crm:42', 'line:4711')
    >>> spelled("sip:anonymous@anonymous.invalid", "FR"), spelled("Restricted", "FR"), spelled(None, "FR")
    (None, None, None)
    """
    text = (caller or "").strip()
    if bracketed := re.search(r"<([^<>]*)>\s*$", text):
        text = bracketed[1].strip()
    if text.lower() in WITHHELD:
        return None
    scheme, colon, rest = text.partition(":")
    match scheme.lower() if colon else "":
        case "crm" if rest.strip():
            return f"crm:{rest.strip()}"
        case "sip" | "sips":
            return _sip(rest, region)
        case "tel":
            return _number(rest.partition(";")[0], region)
        case "":
            return _number(text, region)
    raise LedgerError(f"caller: got what cannot be read, {EXPECTED}")


def _sip(rest: str, region: str) -> str | None:
    address = re.split(r"[;?]", rest, maxsplit=1)[0]
    user, _, host = address.rpartition("@")
    user, host = user.partition(":")[0], re.sub(r":\d+$", "", host).lower()
    if user.lower() in WITHHELD or host == "anonymous.invalid":
        return None
    if re.fullmatch(r"\+?[\d().\-]{7,}", user):
        return _number(user, region)
    if not host:
        raise LedgerError(f"caller: got a SIP URI without a host, {EXPECTED}")
    return f"sip:{user}@{host}"


def _number(text: str, region: str) -> str | None:
    digits = re.sub(r"[^\d]", "", text)
    if not digits or re.search(r"[^\d\s()+./\-\u00a0\u2010-\u2015]", text):
        raise LedgerError(f"caller: got what cannot be read, {EXPECTED}")
    if not digits.strip("0"):  # some trunks write a withheld number so
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return f"line:{digits}"
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return f"line:{digits}"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class Identity:
    """Callers to pseudonyms, under a chain of keys: HMAC-SHA256 by the first key, of that by the second, and so on.

    So a new key only wraps what is stored: no number has to be known again.

    Parameters
    ----------
    keys : sequence of bytes
        From the oldest to the one in use, 32 bytes or more each.
    region : str
        As in `spelled`.

    Raises
    ------
    LedgerError
        If a key is too short or two are the same.

    Examples
    --------
    >>> one, two = b"1" * 32, b"2" * 32
    >>> before, after = Identity([one], "FR"), Identity([one, two], "FR")
    >>> before.rewrapped(before.pseudonym("+33123456789"), two) == after.pseudonym("01 23 45 67 89")
    True
    """

    def __init__(self, keys: Sequence[bytes], region: str) -> None:
        for key in keys:
            if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
                got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
                raise LedgerError(f"key: got {got}, expected {MIN_KEY_BYTES} bytes or more; make one: os.urandom(32)")
        if len(set(keys)) < len(keys):
            raise LedgerError(
                "key: got one key twice, expected a new key after each rotation; make one: os.urandom(32)"
            )
        self._keys = tuple(keys)
        self._region = region

    @property
    def fingerprint(self) -> str:
        """64 hex digits that tell this chain of keys from any other and give none of them away."""
        return self._wrapped(FINGERPRINTED)

    def pseudonym(self, caller: str | None) -> str | None:
        """Return a caller's pseudonym, 64 hex digits; None where his number is withheld.

        Raises
        ------
        LedgerError
            If it cannot be read as a caller.
        """
        spelling = spelled(caller, self._region)
        return None if spelling is None else self._wrapped(spelling)

    def rewrapped(self, pseudonym: str, key: bytes) -> str:
        """Return a pseudonym of this chain as it is once `key` follows."""
        return hmac.new(key, pseudonym.encode(), hashlib.sha256).hexdigest()

    def followed_by(self, key: bytes) -> Identity:
        """Return the chain with one more key.

        Raises
        ------
        LedgerError
            If the key is too short or one of the chain.
        """
        return Identity((*self._keys, key), self._region)

    def _wrapped(self, text: str) -> str:
        for key in self._keys:
            text = self.rewrapped(text, key)
        return text
