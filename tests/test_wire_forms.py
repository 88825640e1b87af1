"""Wires against sessions of their engines, at least two versions each, and against what no document names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import wire_forms

from emotion_triage.adapters.protocol import Dropped


@pytest.mark.parametrize("path", wire_forms.SESSIONS, ids=lambda path: path.stem)
def test_a_session_of_an_engine_is_heard(path: Path) -> None:
    """Each session is heard to its end: its name, format and counts, and every byte of the caller's audio in order."""
    read = wire_forms.session(path)
    heard, audio = wire_forms.played(read)
    assert heard == read.expected
    assert audio == bytes(read.audio)
    assert len(audio) >= 3200


def test_each_wire_has_sessions_of_two_versions() -> None:
    """No wire is tried against one version of its engine alone."""
    versions = Counter(wire_forms.session(path).wire for path in wire_forms.SESSIONS)
    assert set(versions) == set(wire_forms.BEFORE)
    assert min(versions.values()) >= 2


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, message) for (_, name), rows in wire_forms.PASSED_OVER.items() for _, message in rows],
    ids=[f"{title}-{words}" for (title, _), rows in wire_forms.PASSED_OVER.items() for words, _ in rows],
)
def test_what_is_not_understood_is_counted_once(name: str, message: bytes | str) -> None:
    """In the middle of a call, it is counted once, and the audio before and after it is heard."""
    (dropped,) = wire_forms.passed_over(name, message)
    assert isinstance(dropped, Dropped)


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, message) for (_, name), rows in wire_forms.SILENT.items() for _, message in rows],
    ids=[f"{title}-{words}" for (title, _), rows in wire_forms.SILENT.items() for words, _ in rows],
)
def test_what_is_known_and_no_audio_is_not_counted(name: str, message: bytes | str) -> None:
    """What an engine is known to send beside the audio counts as nothing."""
    assert wire_forms.passed_over(name, message) == []


def test_the_documents_show_what_is_tested() -> None:
    """The tables in the documents are made from what the tests check."""
    assert wire_forms.PAGE.read_text(encoding="utf-8").splitlines() == list(wire_forms.page())
