"""A call's name, without whatever may be a telephone number: names are logged, shown and kept, numbers never are."""

from __future__ import annotations

import hashlib
import re

from emotion_triage.errors import CallIdError

__all__ = ["ALIAS", "LONGEST_CALL_ID", "safe_call_id"]

LONGEST_CALL_ID = 256
"""Characters; a Telnyx call control id, the longest known, has about 100."""

ALIAS = "number~"
"""How an alias begins."""

_HEX = "[0-9a-fA-F]"
_IDENTIFIER = re.compile(
    "("
    rf"(?<!{_HEX}){_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}(?!{_HEX})"  # a UUID
    rf"|(?<![0-9A-Za-z])[A-Za-z]{{0,2}}{_HEX}{{32}}(?![0-9A-Za-z])"  # a UUID without hyphens, a Twilio SID
    r"|(?<![\d+])[12]\d{9}\.\d+(?![\d.])"  # Asterisk's uniqueid: seconds since 1970, and a count
    r"|(?<![\d+])1\d{12}(?!\d)"  # milliseconds since 1970
    r"|(?<![\d+])20[1-4]\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"  # a date, and a time
    r"(?:[T_ -]?[0-2]\d[:-]?[0-5]\d(?:[:-]?[0-5]\d)?)?(?!\d)"
    rf"|-00{_HEX}{{6}}(?!{_HEX})"  # the count behind an Asterisk channel's name
    rf"|(?<=/)0x{_HEX}{{4,16}}(?!{_HEX})"  # the address behind an Asterisk WebSocket channel's name
    r"|(?<=@)(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})(?::\d+)?(?![.\d])"  # the host of a SIP Call-ID
    ")"
)
_NUMBER = re.compile(r"[+(]*\d(?:(?:%2B|%20|[\s().\-/_~])*\d){6,}")
"""Seven digits or more, however they are spaced: the shortest numbers that are dialled."""

_SALT = b"emotion-triage: numbers in the names of calls"
_SCRYPT_COST = 1 << 12
_ALIAS_BYTES = 8


def safe_call_id(call_id: str, what: str = "call_id") -> str:
    """Return a call's name in which an alias stands for each run of digits that may be a telephone number.

    The same name always has the same aliases, in every process, and a name with aliases is left as it is. UUIDs, Twilio
    SIDs, Asterisk's unique ids and channel counts, dates and times are no numbers.

    An alias is a hash that takes 10 ms to compute (scrypt). It keeps numbers out of sight, and trying all mobile
    numbers of a country takes weeks of computing, not forever: give calls names without numbers.

    Parameters
    ----------
    call_id : str
        The routing engine's name of the call: 1 to 256 printable characters.
    what : str, optional
        What a message calls it.

    Raises
    ------
    CallIdError
        If it cannot be a name; the message does not show it.

    Examples
    --------
    >>> safe_call_id("1732112345.678"), safe_call_id("PJSIP/6001-0000002a")
    ('1732112345.678', 'PJSIP/6001-0000002a')
    >>> safe_call_id("call-+33612345678") == safe_call_id("call-+33 6 12 34 56 78")
    True
    >>> "612345678" in safe_call_id("PJSIP/trunk-0612345678")
    False
    """
    if not isinstance(call_id, str):
        raise CallIdError(f"{what}: got {type(call_id).__name__}, expected the routing engine's name, a text")
    if not call_id.strip() or len(call_id) > LONGEST_CALL_ID or not call_id.isprintable():
        raise CallIdError(
            f"{what}: got a name that is empty, longer than {LONGEST_CALL_ID} characters or not printable, expected "
            "the routing engine's own name of the call; without one, give it a UUID"
        )
    parts = _IDENTIFIER.split(call_id)  # every other part is an identifier
    parts[::2] = [_NUMBER.sub(_alias, part) for part in parts[::2]]
    return "".join(parts)


def _alias(number: re.Match[str]) -> str:
    digits = "".join(str(int(each)) for each in number[0] if each.isdecimal()).lstrip("0")
    hashed = hashlib.scrypt(digits.encode(), salt=_SALT, n=_SCRYPT_COST, r=8, p=1, dklen=_ALIAS_BYTES)
    return ALIAS + "".join(chr(ord("a") + nibble) for byte in hashed for nibble in divmod(byte, 16))
