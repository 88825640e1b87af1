"""What is shown to people, in their language: gettext catalogues, and numbers, times and dates as Babel knows them.

English stands in the code. Every other language is a catalogue, ``locale/LANGUAGE/LC_MESSAGES/emotion_triage.po``,
which any gettext editor opens; a message's context is the part of the program that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from emotion_triage import arguments
from emotion_triage.errors import ArgumentError

__all__ = ["LANGUAGES", "Language", "Text", "clock", "day_and_time", "known_language", "number", "texts"]

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LOCALES: dict[Language, str] = {"en": "en_GB", "fr": "fr_FR"}
"""Whose numbers and dates a language writes."""


def known_language(language: Language) -> Language:
    """Return a language, or refuse one without a catalogue.

    Raises
    ------
    ArgumentError
        If it is none of `LANGUAGES`.
    """
    if isinstance(language, str) and language in LANGUAGES:
        return language
    raise ArgumentError(f"language: got {arguments.shown(language)}, expected {' or '.join(map(repr, LANGUAGES))}")


class Text(Mapping[Language, str]):
    """One text in every language.

    Parameters
    ----------
    context : str
        The part of the program that shows it.
    english : str

    Examples
    --------
    >>> text = Text("report", "Length")
    >>> text["en"], text["fr"]
    ('Length', 'Durée')
    """

    __slots__ = ("context", "english")

    def __init__(self, context: str, english: str) -> None:
        self.context = context
        self.english = english

    def __getitem__(self, language: Language) -> str:
        return self.english if known_language(language) == "en" else _catalogue(language)[self.context, self.english]

    def __iter__(self) -> Iterator[Language]:
        return iter(LANGUAGES)

    def __len__(self) -> int:
        return len(LANGUAGES)


def texts(context: str, english: Mapping[str, str]) -> dict[str, Text]:
    """Return the texts of one part of the program by their keys."""
    return {key: Text(context, text) for key, text in english.items()}


def number(value: float, decimals: int, language: Language) -> str:
    """Return a number as the language writes it.

    Examples
    --------
    >>> number(1234.5, 1, "en"), number(0.25, 2, "fr")
    ('1,234.5', '0,25')
    """
    arguments.number("value", value, "a finite number")
    arguments.whole_number("decimals", decimals, "0 to 15 digits", most=15)
    written = f"{value:,.{decimals}f}"
    return written if known_language(language) == "en" else written.translate(_symbols(language))


def clock(time_s: float, decimals: int = 0) -> str:
    """Return a time within a call: ``1:02:03``, ``2:03.5``; without decimals, the second that has begun.

    Examples
    --------
    >>> clock(62.4), clock(3723), clock(123.5, 1)
    ('1:02', '1:02:03', '2:03.5')
    """
    arguments.number("time_s", time_s, "seconds")
    arguments.whole_number("decimals", decimals, "0 to 15 digits", most=15)
    minutes, seconds = divmod(round(time_s, decimals) if decimals else int(time_s), 60)
    hours, minutes = divmod(int(minutes), 60)
    shown = f"{seconds:0{3 + decimals}.{decimals}f}" if decimals else f"{seconds:02}"
    return f"{hours}:{minutes:02}:{shown}" if hours else f"{minutes}:{shown}"


def day_and_time(started_at: str, language: Language) -> str:
    """Return when a call began.

    Parameters
    ----------
    started_at : str
        ISO 8601.
    language : {"en", "fr"}

    Examples
    --------
    >>> day_and_time("2026-12-17T14:05:00", "en"), day_and_time("2026-12-17T14:05:00", "fr")
    ('17 December 2026 14:05', '17 décembre 2026 14:05')
    """
    from babel.dates import format_date, format_time

    try:
        at = datetime.fromisoformat(started_at)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"started_at: got {arguments.shown(started_at)}, expected a time as ISO 8601 writes it"
        ) from None
    locale = LOCALES[known_language(language)]
    return f"{format_date(at, 'long', locale)} {format_time(at, 'HH:mm', locale=locale)}"


@cache
def _catalogue(language: Language) -> dict[tuple[str, str], str]:
    """Return a language's texts by context and English text."""
    from babel.messages.pofile import read_po

    path = files("emotion_triage") / "locale" / language / "LC_MESSAGES" / "emotion_triage.po"
    with path.open("rb") as file:
        messages = read_po(file, locale=language)
    return {(each.context or "", str(each.id)): str(each.string) for each in messages if each.id}


@cache
def _symbols(language: Language) -> dict[int, str]:
    """Return what stands for the separators of English numbers."""
    from babel.numbers import get_decimal_symbol, get_group_symbol

    locale = LOCALES[language]
    return str.maketrans({",": get_group_symbol(locale), ".": get_decimal_symbol(locale)})
