"""The one spelling of a caller, however carriers, gateways and people write them."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import phonenumbers
from phonenumbers import phonenumberutil

from emotion_triage.errors import ArgumentError, LedgerError
from emotion_triage.ledger.withheld import KEYPAD_NUMBERS, nameless, placeholder

__all__ = ["spelled"]

EXPECTED = "expected a telephone number, a SIP URI, crm:ID, or None where the number is withheld"
LONGEST = 1024
"""Characters beyond which nothing is a caller: a SIP URI has some tens."""
SEPARATORS = re.compile(r"[\s()\[\]+./_~\-\u2010-\u2015\u2212\u00b7\u2022]")
"""What people and systems put between the digits of a number."""
EXTENSION = re.compile(r"(?i)[\s,]*(?:(?<![a-z])(?:ext|extn|extension|poste|durchwahl|int|x)[.:=\s]*|#)\d{1,7}$")
ANONYMOUS = re.compile(r"(?i)\W*anonym")
"""A display name under which a SIP user is a random word: RFC 3261, section 20.10."""
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
CONTEXT = re.compile(r"(?i)\s*phone-context\s*=\s*\+([\d().\- ]+)")
POSSIBLE = phonenumbers.ValidationResult.IS_POSSIBLE
SHORTEST_NUMBER = 7
"""Digits from which a SIP user is a telephone number, wherever it is registered."""


def spelled(caller: str | None, region: str) -> str | None:
    """Return the one spelling of a caller, or None where nothing tells them from other callers.

    Parameters
    ----------
    caller : str or None
        A number in any national or international form, a ``tel:`` or ``sip:`` URI with or without a display name,
        ``user@host``, Twilio's ``client:ID``, or ``crm:ID``.
    region : str
        The country whose national numbers come without a prefix, as ``FR``.

    Returns
    -------
    str or None
        E.164 (``+33...``) for a number, also where a URI carries one; ``sip:user@host`` without port and parameters;
        ``crm:ID``, ``client:ID``; ``line:DIGITS`` for short numbers and extensions; None for a withheld number.

    Raises
    ------
    ArgumentError, LedgerError
        If it is no text; if it is none of these. The message does not show it.

    Examples
    --------
    >>> spelled("01 23 45 67 89", "FR") == spelled("sip:+33123456789;npdi@trunk.example;user=phone", "DE")
    True
    >>> spelled("<sip:Ann@Example.org:5060>;tag=7", "FR"), spelled("crm: 42", "FR"), spelled("4711", "FR")
    ('sip:Ann@example.org', 'crm:42', 'line:4711')
    >>> spelled("sip:anonymous@anonymous.invalid", "FR"), spelled("+266696687", "FR"), spelled(None, "FR")
    (None, None, None)
    """
    if caller is None:
        return None
    text = _cleaned(caller)
    display, text = _address(text)
    if nameless(text):
        return None
    scheme, colon, rest = text.partition(":")
    match scheme.strip().lower() if colon else "":
        case "crm" | "client" as kind if rest.strip():
            return None if nameless(rest) else f"{kind}:{rest.strip()}"
        case "sip" | "sips":
            return _sip(unquote(rest), region, display)
        case "tel" | "callto" | "whatsapp":
            return _telephone(unquote(rest), region)
        case "":
            text = unquote(text)
            return _sip(text, region, display) if "@" in text else _telephone(text, region)
    raise LedgerError(f"caller: got what cannot be read, {EXPECTED}")


def _cleaned(caller: str) -> str:
    """Return a text with one spelling of each character, ASCII digits, and nothing that is not seen."""
    if not isinstance(caller, str):
        raise ArgumentError(f"caller: got {type(caller).__name__}, {EXPECTED}, as a text")
    if len(caller) > LONGEST or any("\ud800" <= each <= "\udfff" for each in caller):
        raise LedgerError(f"caller: got what cannot be read, {EXPECTED}")
    seen = (each for each in unicodedata.normalize("NFKC", caller) if unicodedata.category(each) not in ("Cf", "Cc"))
    return "".join(str(unicodedata.decimal(each, each)) for each in seen).strip()


def _address(text: str) -> tuple[str, str]:
    """Return the display name and the address of ``"name" <address>;parameters``, or of an address alone."""
    if re.match(r"(?i)\s*(?:crm|client)\s*:", text):
        return "", text
    outside = QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)
    if bracket := re.search(r"<+([^<>]*)>*", outside):
        return text[: bracket.start()].replace('"', " "), text[bracket.start(1) : bracket.end(1)].strip()
    if (quoted := QUOTED.match(text)) and (rest := text[quoted.end() :].strip()):
        return quoted[1], rest
    return "", text.strip('"').strip()


def _sip(address: str, region: str, display: str) -> str | None:
    user, at, host = address.partition("@")
    if not at:
        user, host = address, ""
    name, _, parameters = re.split(r"\?", user, maxsplit=1)[0].partition(";")
    name = name.partition(":")[0].strip()
    host = re.sub(r":\d*$", "", re.split(r"[;?\s]", host.strip(), maxsplit=1)[0]).rstrip(".").lower()
    digits = SEPARATORS.sub("", name)
    if re.fullmatch(r"\d+", digits) and (len(digits) >= SHORTEST_NUMBER or not at or not digits.strip("0")):
        return _telephone(f"{name};{parameters}", region)
    if nameless(name) or host.endswith(".invalid") or ANONYMOUS.match(display):
        return None
    if not at:  # a domain alone: whoever is behind that trunk
        return None
    if not host:
        raise LedgerError(f"caller: got a SIP URI without a host, {EXPECTED}")
    return f"sip:{name}@{host}"


def _telephone(address: str, region: str) -> str | None:
    """Return the spelling of a number with parameters as of a ``tel:`` URI."""
    written, *parameters = address.split(";")
    written = EXTENSION.sub("", written).strip()
    if nameless(written):
        return None
    digits, plus = SEPARATORS.sub("", written), written.lstrip("( ").startswith("+")
    if not re.fullmatch(r"[0-9]+", digits) or "+" in written.lstrip("( +"):
        raise LedgerError(f"caller: got what cannot be read, {EXPECTED}")
    context = next((found[1] for each in parameters if (found := CONTEXT.fullmatch(each))), "")
    return _number(digits, region, plus, re.sub(r"\D", "", context))


def _number(digits: str, region: str, plus: bool, context: str) -> str | None:
    """Return the spelling of a number's digits: the first valid reading of them, or else the first possible one."""
    if context and not plus:
        region = _region_of(context) or region
    own = str(phonenumbers.country_code_for_region(region))
    with_trunk_zero = phonenumberutil.ndd_prefix_for_region(region, True) == "0"
    if not plus and with_trunk_zero and digits in KEYPAD_NUMBERS:  # a national number would begin with its 0
        return None
    bare = digits.lstrip("0")
    if not bare:
        return None
    if plus and bare == digits:
        readings = [f"+{digits}"]
    elif plus:  # a plus before a national number, or before 00
        readings = [digits, f"+{bare}"]
    else:
        as_international = [f"+{digits}"] if bare == digits else []
        readings = [
            *([f"+{context}{digits}"] if context else []),
            *(as_international if digits.startswith(own) else []),
            digits,
            *as_international,
            *(f"+{digits[len(prefix) :]}" for prefix in ("00", "011") if digits.startswith(prefix)),
        ]
    parsed = [number for reading in readings if (number := _parsed(reading, region)) is not None]
    spelling = next((number for number in parsed if phonenumbers.is_valid_number(number)), None)
    if spelling is None:
        if placeholder(digits) or placeholder(bare):
            return None
        if not parsed or phonenumbers.is_possible_number_with_reason(parsed[0]) != POSSIBLE:
            return f"line:{digits}"
        spelling = parsed[0]
    return phonenumbers.format_number(spelling, phonenumbers.PhoneNumberFormat.E164)


def _region_of(code: str) -> str | None:
    """Return the region of an international prefix without its plus, as ``33`` or ``331``."""
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return next((codes[int(code[:n])][0] for n in (1, 2, 3) if int(code[:n]) in codes), None)


def _parsed(reading: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(reading, region)
    except phonenumbers.NumberParseException:
        return None
