"""Which callers are nobody: the words and numbers that carriers, gateways and telephones send for a withheld number."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["KEYPAD_NUMBERS", "keypad", "nameless", "placeholder"]

_ALONE = re.compile(
    "asterisk|freeswitch|na|nan|nil|none|null|o|p|s|undefined|unassigned|default|匿名|非通知|不明|通知不可能",
)
"""What stands for a withheld number where it is all that was sent; the same letters may be part of a name."""
_CORE = (
    "anonymous|anonymoususer|anonym|anonyme|anonimo|anonima|anonimowy|anoniem|анонимный|"
    "unknown|inconnu|inconnue|unbekannt|desconocido|desconocida|desconhecido|sconosciuto|onbekend|nieznany|неизвестныи|"
    "private|prive|privee|privat|privado|privada|privato|prywatny|confidential|confidentiel|confidencial|riservato|"
    "restricted|restreint|restringido|blocked|bloque|bloquee|bloqueado|bloqueada|gesperrt|afgeschermd|zastrzezony|"
    "withheld|suppressed|unterdruckt|unavailable|indisponible|unidentified|unlisted|undisclosed|"
    "masque|masquee|cache|cachee|secret|refuse|refusee|hidden|verborgen|oculto|oculta|nascosto|geheim|скрытыи|"
    "notavailable|notknown|nodisponible|nondisponible|nondisponibile|nichtverfugbar|noncommunique|outofarea|payphone|"
    "nocallerid|nocallernumber|nocid|nocli|noid|noname|nonumber|sansnumero|pasdenumero|ohnenummer|keinenummer"
)
_FILLERS = (
    "number|num|numero|nummer|rufnummer|numer|номер|caller|callers|calling|call|appel|appelant|anrufer|anruf|llamada|"
    "chiamata|chiamante|chamada|id|identity|identite|cli|name|user|utilisateur|party|subscriber|phone|telephone|by|"
    "the|de|du|d|is|est|not|no|non|service|network|carrier"
)
_WITHHELD = re.compile(rf"(?:{_FILLERS})*(?:{_CORE})(?:{_CORE}|{_FILLERS})*")
_LETTERS_OF_KEYS = {"2": "abc", "3": "def", "4": "ghi", "5": "jkl", "6": "mno", "7": "pqrs", "8": "tuv", "9": "wxyz"}
_KEYS = {letter: key for key, letters in _LETTERS_OF_KEYS.items() for letter in letters}


def keypad(word: str) -> str:
    """Return the digits that spell a word on a telephone's keys.

    Examples
    --------
    >>> keypad("ANONYMOUS"), keypad("Restricted")
    ('266696687', '7378742833')
    """
    return "".join(_KEYS[letter] for letter in word.casefold())


KEYPAD_NUMBERS = frozenset(keypad(word) for word in _CORE.split("|") if word.isascii() and len(word) > 5)
"""Withheld numbers written in keypad letters, as Twilio passes them on: ``+266696687`` is ANONYMOUS."""


def nameless(text: str) -> bool:
    """Return whether a text, of a number's place or a display name, says that the number is withheld.

    Letters alone count, in any case, spacing and accents; a text without letters and digits says nothing either.

    Examples
    --------
    >>> nameless("Numéro masqué"), nameless("No Caller ID"), nameless("-"), nameless("Nana")
    (True, True, True, False)
    """
    bare = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)).casefold()
    if any(each.isdecimal() for each in bare):
        return False
    letters = "".join(each for each in bare if each.isalpha())
    return not letters or _ALONE.fullmatch(letters) is not None or _WITHHELD.fullmatch(letters) is not None


def placeholder(digits: str) -> bool:
    """Return whether digits that are no valid number stand in place of a withheld one.

    Examples
    --------
    >>> placeholder("266696687"), placeholder("0000000000"), placeholder("33000000000"), placeholder("4711")
    (True, True, True, False)
    """
    filler = re.fullmatch(r"0+|\d{1,3}0{6,}|(\d)\1{6,}", digits) is not None
    return filler or digits in KEYPAD_NUMBERS or (digits[:1] == "1" and digits[1:] in KEYPAD_NUMBERS)
