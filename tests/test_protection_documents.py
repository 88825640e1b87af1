"""What callers, employees and whoever is on duty are told of the ledger is what the code does."""

from __future__ import annotations

import inspect
import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

pytest.importorskip("sqlalchemy")
from emotion_triage.cli.ledger import ledger_app
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.projection import ContactBody, Evidence, Windows
from emotion_triage.routing.policy import Policy

DOCS = Path(__file__).resolve().parents[1] / "docs"
POLICY = Policy.load()
PROTECTION, RETENTION = POLICY.protection, POLICY.protection.retention
DPIA = (DOCS / "dpia.md").read_text()
GUIDE = (DOCS / "ledger.md").read_text()
FLAT = " ".join(DPIA.replace("\n> ", "\n").split())
ROWS = {int(row[0]): row[1:] for row in re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+) \|$", DPIA, re.MULTILINE)}
NAMED = [pytest.param(number, name) for number, row in ROWS.items() for name in re.findall(r"`([\w.]+)`", row[2])]


@pytest.mark.parametrize(("number", "name"), NAMED)
def test_what_a_fact_rests_on_exists(number: int, name: str) -> None:
    """Every function and policy key that the assessment names is there."""
    if not name.startswith("emotion_triage."):
        reduce(getattr, name.split("."), POLICY)
        return
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            module = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        reduce(getattr, parts[cut:], module)
        return
    pytest.fail(f"{name} is nowhere")


def test_every_fact_names_its_code_in_both_languages() -> None:
    """The facts are numbered without a gap, each in English and French with something that does it."""
    assert sorted(ROWS) == list(range(1, len(ROWS) + 1))
    assert len(ROWS) > 10
    assert {param.values[0] for param in NAMED} == set(ROWS)


def test_durations_are_those_of_the_policy() -> None:
    """Every duration in the assessment, the notices and the notes is the balanced policy's, in both languages."""
    kept = PROTECTION.window_days + RETENTION.contacts_days
    for number, days in (
        (8, PROTECTION.max_restriction_days),
        (9, PROTECTION.window_days),
        (9, RETENTION.contacts_days),
        (10, RETENTION.scores_days),
        (11, RETENTION.decisions_days),
    ):
        english, french, _ = ROWS[number]
        assert f"{days:g} days" in english
        assert f"{days:g} jours" in french
    for said in (
        f"kept for {RETENTION.scores_days:g} days; that you called, and how the call went, for {kept:g} days; "
        f"what was decided, and why, for {RETENTION.decisions_days:g} days",
        f"conservé {RETENTION.scores_days:g} jours ; le fait que vous avez appelé, et comment l'appel s'est passé, "
        f"{kept:g} jours ; ce qui a été décidé, et pourquoi, {RETENTION.decisions_days:g} jours",
        f"for {kept:g} days ({RETENTION.decisions_days:g} in the decision log)",
        f"pendant {kept:g} jours ({RETENTION.decisions_days:g} au journal des décisions)",
    ):
        assert said in FLAT


def test_the_works_council_reads_the_limits_in_force() -> None:
    """Rest and shields in the notes are the balanced policy's, in both languages."""
    minutes, row, shift = PROTECTION.after_call_work_s / 60, PROTECTION.max_in_a_row, PROTECTION.max_per_shift
    most, days = PROTECTION.max_per_window, PROTECTION.window_days
    assert f"{minutes:g} minutes of rest after a contact that was abusive" in FLAT
    assert f"{minutes:g} minutes de repos après un contact abusif" in FLAT
    assert f"after {row} in a row or {shift} in a shift, or {most} abusive ones in {days:g} days" in FLAT
    assert f"après {row} de suite ou {shift} dans la vacation, ou {most} abusifs en {days:g} jours" in FLAT
    assert f"abused in the last {days:g} days" in FLAT
    assert f"maltraitée dans les {days:g} derniers jours" in FLAT


def test_the_announcement_is_the_policys() -> None:
    """The notice to callers quotes the balanced policy word for word, in both languages."""
    assert POLICY.notice.text.en in FLAT
    assert POLICY.notice.text.fr in FLAT


def test_nothing_that_is_kept_of_a_contact_is_audio() -> None:
    """A contact's row holds these fields and no others: whoever adds one must look at the assessment again."""
    assert set(ContactBody.__struct_fields__) == {
        "started_at",
        "duration_s",
        "queue",
        "disposition",
        "language",
        "line_type",
        "gender",
    }
    assert set(Evidence.__struct_fields__) == {"peak", "escalated_s", "drivers"}
    assert set(Windows.__struct_fields__) == {"columns", "values", "model_digest"}


def test_nothing_here_is_called_legal_advice() -> None:
    """Both languages say that the assessment is no legal advice."""
    assert "None of this is legal advice" in DPIA
    assert "Ceci n'est pas un avis juridique" in DPIA


def test_the_guide_tells_of_every_method() -> None:
    """Every public method of the ledger stands in the guide's table."""
    table = GUIDE.partition("## Methods and commands")[2].partition("\n## ")[0]
    methods = {name for name, _ in inspect.getmembers(Ledger, callable) if not name.startswith("_")}
    assert (
        methods == {each.removeprefix("Ledger.") for each in re.findall(r"`((?:Ledger\.)?[a-z_]+)`", table)} & methods
    )


def test_the_guide_tells_of_every_command() -> None:
    """Every command of `emotion-triage ledger` stands in the guide's table, and none that is not there."""
    commands = set(typer.main.get_command(ledger_app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`ledger ([a-z-]+)", GUIDE)) == commands


def test_the_guide_tells_how_long() -> None:
    """Durations in the guide are the balanced policy's."""
    for said in (
        f"{PROTECTION.window_days:g} + {RETENTION.contacts_days:g} days",
        f"{RETENTION.scores_days:g} days (`retention.scores_days`)",
        f"{PROTECTION.max_restriction_days:g} days at most",
        f"{RETENTION.decisions_days:g} days (`retention.decisions_days`",
    ):
        assert said in GUIDE
