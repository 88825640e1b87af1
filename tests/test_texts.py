"""Words in several languages: every text has its translation, with the same places to fill, and no other is kept."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from emotion_triage import texts
from emotion_triage.texts import LANGUAGES, LOCALES, Language, Text

PACKAGE = Path(texts.__file__).parent
OTHERS = [language for language in LANGUAGES if language != "en"]
PLACE = re.compile(r"\{[^}]*\}")


def held(value: object) -> list[Text]:
    """The texts in a table, however it is nested."""
    if isinstance(value, Text):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in held(each)]
    return [text for each in value for text in held(each)] if isinstance(value, tuple) else []


def every_text() -> list[Text]:
    """All texts of the package, from the tables of every module that makes some."""
    found: list[Text] = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.name != "texts.py" and re.search(r"\b(texts|Text)\(", file.read_text()):
            imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
            if any(node.module == "emotion_triage.texts" for node in imports):
                module = import_module(".".join(["emotion_triage", *file.relative_to(PACKAGE).with_suffix("").parts]))
                found += [text for value in vars(module).values() for text in held(value)]
    return found


TEXTS = every_text()


def test_the_tables_are_found() -> None:
    """Each part of the program that speaks has its texts here."""
    assert {text.context.split()[0] for text in TEXTS} == {
        *("cause", "demo", "driver", "level", "page", "panel", "report", "rule", "terminal")
    }


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: Language) -> None:
    """A catalogue has each text, not empty, with the places to fill that the English one has."""
    for text in TEXTS:
        assert text[language], text.english
        assert sorted(PLACE.findall(text[language])) == sorted(PLACE.findall(text.english)), text.english


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_keeps_nothing_else(language: Language) -> None:
    """A message that no part of the program shows any more is no longer in the catalogue."""
    path = PACKAGE / "locale" / language / "LC_MESSAGES" / "emotion_triage.po"
    with path.open("rb") as file:
        kept = {(each.context, each.id) for each in read_po(file) if each.id}
    assert kept == {(text.context, text.english) for text in TEXTS}


def test_every_catalogue_is_a_language_and_has_a_locale() -> None:
    """A folder of `locale` is a language that can be asked for, and each language has its numbers and dates."""
    assert {folder.name for folder in (PACKAGE / "locale").iterdir()} == set(OTHERS)
    assert set(LOCALES) == set(LANGUAGES)


@pytest.mark.parametrize(("value", "decimals", "written"), [(85.04, 1, "85,0"), (1234.5, 1, "1\u202f234,5")])
def test_numbers_are_written_as_in_france(value: float, decimals: int, written: str) -> None:
    """Decimals stand behind a comma, thousands are set apart by a narrow space that does not break."""
    assert texts.number(value, decimals, "fr") == written


def test_dates_have_the_months_name() -> None:
    """A date cannot be mistaken for that of another country."""
    assert texts.day_and_time("2026-12-17T09:05:00", "fr") == "17 décembre 2026 09:05"
    assert texts.day_and_time("2026-12-17T09:05:00", "en") == "17 December 2026 09:05"
