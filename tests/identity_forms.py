"""Every form in which a caller comes, and what it is taken as: the tests check it, and the documents show it.

``python tests/identity_forms.py`` writes docs/reference/callers.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "callers.md"
NUMBER = "+33123456789"
"""What every form of a number is taken as, where `protection.region` is FR."""

NUMBERS = {
    "international": [
        NUMBER,
        "+33 1 23 45 67 89",
        "+33 (0)1 23 45 67 89",
        "+33.1.23.45.67.89",
        "+33/123-456-789",
        "0033123456789",
        "+0033123456789",
        "+330123456789",
        "01133123456789",
    ],
    "without its plus": ["33123456789", " 33123456789", "330123456789"],
    "national": ["0123456789", "01 23 45 67 89", "01.23.45.67.89", "01_23_45_67_89", "123456789", "+0123456789"],
    "other spaces, digits and marks": [
        "+33\u202f1\u202f23\u202f45\u202f67\u202f89",
        "01\u00a023\u00a045\u00a067\u00a089",
        "\u200e+33123456789\u200f",
        "\u202a+33 1 23 45 67 89\u202c",
        "\ufeff0123456789",
        "01\u201123\u201145\u201167\u201189",
        "\uff0b\uff13\uff13\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
        "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
        "+33123456789\r\n",
    ],
    "extension": [
        "0123456789 ext. 12",
        "01 23 45 67 89 x12",
        "0123456789x12",
        "+33 1 23 45 67 89 poste 12",
        "0123456789#12",
    ],
    "percent-encoded": ["%2B33123456789", "tel:%2B33123456789", "sip:%2B33123456789@gw.example"],
    "tel": [
        "tel:+33123456789",
        "TEL: +33-1-23-45-67-89;ext=12",
        "tel:+33123456789;isub=1",
        "tel:0123456789;phone-context=+33",
        "tel:123456789;phone-context=+33",
        "tel:23456789;phone-context=+331",
        "tel:0123456789;phone-context=example.com",
        "callto:+33123456789",
        "whatsapp:+33123456789",
    ],
    "SIP user": [
        "sip:+33123456789@trunk.example:5060;user=phone",
        "sips:0123456789@trunk.example",
        "SIP:33123456789@TRUNK.example",
        "sip:+33-1-23-45-67-89@trunk.example",
        "sip:+33123456789;npdi;rn=+33100000000@trunk.example",
        "sip:+33123456789;tgrp=tg-1;trunk-context=example.com@trunk.example;user=phone",
        "sip:0123456789;phone-context=+33@trunk.example",
        "sip:+33123456789;ext=12@trunk.example",
        "sip:+33123456789;isub=1@trunk.example",
        "sip:+33123456789%3Bnpdi@trunk.example",
        "sip:+33123456789:password@trunk.example",
        "sip:+33123456789@[2001:db8::1]:5060;transport=tcp?Subject=a",
        "sip:+33123456789@anonymous.invalid",
        "sip:+33123456789",
        "+33123456789@trunk.example",
    ],
    "display name": [
        '"Ann" <sip:0123456789@trunk.example>',
        "<sip:+33123456789@trunk.example>;tag=9f",
        '"Ann" <tel:+33123456789>;tag=1',
        '"Anonymous" <sip:+33123456789@trunk.example>',
        '"a <b> \\" c" <sip:+33123456789@trunk.example>',
        "Ann <+33123456789>",
        '"Ann" 0123456789',
        '"Ann" <0123456789',
    ],
}
"""A telephone number, by how it is written: always one caller."""

OTHERS = {
    "sip:Ann@Example.org:5061;transport=tls": "sip:Ann@example.org",
    "sips:Ann@example.org.": "sip:Ann@example.org",
    "Ann@example.org": "sip:Ann@example.org",
    "sip:Ann;day=tuesday@example.org": "sip:Ann@example.org",
    "sip:%41nn@example.org": "sip:Ann@example.org",
    '"Unknown" <sip:Ann@example.org>;tag=7': "sip:Ann@example.org",
    "sip:4711@pbx.example": "sip:4711@pbx.example",
    "CRM: 4711 ": "crm:4711",
    "client:ann": "client:ann",
    "4711": "line:4711",
    "+4711": "line:4711",
    "36 31": "line:3631",
    "+44 (0)20 7946 0958": "+442079460958",
    "442079460958": "+442079460958",
    "+6622553743": "+6622553743",
}
"""Other callers; the last spells NOCALLERID on the keys and is a line in Bangkok all the same."""

NOBODY = {
    "nothing": [None, "", "  ", "-", "+", "?", "<>", "tel:", "sip:@trunk.example", "sip:trunk.example"],
    "a word, in any language": [
        "anonymous",
        "Private Number",
        "No Caller ID",
        "NoCallerID",
        "caller ID blocked",
        "Unknown Caller",
        "Restricted",
        "unavailable",
        "Not Available",
        "Out of Area",
        "withheld",
        "Anonyme",
        "Num\u00e9ro masqu\u00e9",
        "NUMERO PRIVE",
        "appelant inconnu",
        "Rufnummer unterdr\u00fcckt",
        "unbekannt",
        "N\u00famero privado",
        "Sconosciuto",
        "Onbekend",
        "\u533f\u540d",
        "\uff21\uff4e\uff4f\uff4e\uff59\uff4d\uff4f\uff55\uff53",
        "<unknown>",
        "Anonymous <anonymous>",
    ],
    "an empty field of a program": ["null", "None", "N/A", "nil", "undefined", "crm:None", "crm:null", "crm:unknown"],
    "keypad letters": [
        "+266696687",
        "+7378742833",
        "+2562533",
        "+8656696",
        "+86282452253",
        "+1266696687",
        "+7748283",
        "+94844353",
        "+668282452253",
        "266696687",
        "tel:+266696687",
        "sip:+266696687@trunk.example",
        "sip:8656696@trunk.example",
    ],
    "zeros and fillers": ["0000000000", "+33000000000", "+10000000000", "9999999999", "sip:0@trunk.example"],
    "an anonymous URI": [
        "tel:anonymous",
        "client:Anonymous",
        "sip:anonymous@anonymous.invalid",
        "sip:whoever@anonymous.invalid:5060",
        "sip:unavailable@unknown.invalid",
        "anonymous@anonymous.invalid",
        "sip:+anonymous@trunk.example",
        "sip:Anonymous%20Caller@trunk.example",
        "sip:anonymous;cpc=ordinary@trunk.example",
        "sip:anonymous:password@192.0.2.4",
        "sip:asterisk@192.0.2.4",
        '"Anonymous" <sip:anonymous@trunk.example>;tag=1',
        '"Anonymous" <sip:c8oqz84zk7z@privacy.example>;tag=hyh8',
    ],
}
"""Whoever sends these cannot be told from anyone else: nothing is kept of them, and no two of them are one caller."""

REFUSED = [
    "Ann",
    "bob 0612345678",
    "call 0612345678 now",
    "0612345678 or 0712345678",
    "mailto:0612345678",
    "urn:service:sos",
    "crm:",
    "sip:ann@",
    "*98",
    "+33-FLOWERS",
]
"""What cannot be read."""


def shown(form: str | None) -> str:
    """Return a form as it is shown in a table, with invisible characters as escapes."""
    if form is None:
        return "`None`"
    seen = (each if each == " " or (each.isprintable() and not each.isspace()) else ascii(each)[1:-1] for each in form)
    text = "".join(seen)
    text = text.replace("|", "\\|")
    return f"`{text}`" if text.strip() else f'`"{text}"`'


def page() -> Iterator[str]:
    """Give the lines of the document."""
    from emotion_triage.ledger.spelling import EXPECTED

    yield "# Forms of a caller"
    yield ""
    yield "*Made from the tests by `python tests/identity_forms.py`; national numbers are read as of France.*"
    yield ""
    yield "The ledger keeps a keyed hash of the spelling on the right: one caller stays one, however they are sent."
    yield ""
    yield "| given | taken as |"
    yield "|---|---|"
    for how, forms in NUMBERS.items():
        yield f"| *a number: {how}* | `{NUMBER}` |"
        yield from (f"| {shown(form)} | `{NUMBER}` |" for form in forms)
    yield "| *others* | |"
    yield from (f"| {shown(form)} | `{spelling}` |" for form, spelling in OTHERS.items())
    for how, forms in NOBODY.items():
        yield f"| *{how}* | nobody |"
        yield from (f"| {shown(form)} | nobody |" for form in forms)
    yield "| *what cannot be read* | refused |"
    yield from (f"| {shown(form)} | refused |" for form in REFUSED)
    yield ""
    yield "**Nobody** has no record: only the agent's side of the contact is kept, and nothing is held against them."
    yield ""
    yield f"**Refused**: `caller: got what cannot be read, {EXPECTED}`. No message shows what was given."
    yield "A call goes on: `Ledger.standing` and `Ledger.eligible` answer with this problem. Whether the call is"
    yield "scored is decided by `protection.when_unknown`: the caller may have objected under a form that can be read."
    yield "What a person asks to be kept (`record`, `restrict`, `object_to_scoring`, `forget`) raises `LedgerError`."


if __name__ == "__main__":
    PAGE.write_text("".join(f"{line}\n" for line in page()), encoding="utf-8")
