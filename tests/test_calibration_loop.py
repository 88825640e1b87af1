"""From recordings to a policy of one's own: scores kept with contacts, judged by people, fitted; by its commands."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from typer.testing import CliRunner

from emotion_triage.affect.classifier import Classifier
from emotion_triage.calibration.labelled import read_labelled
from emotion_triage.cli.app import app
from emotion_triage.routing.policy import Policy
from emotion_triage.synthesis.speech import synthetic_speech

N_CALLERS = 20
CALL_S, CALM_S = 16, 8
QUICK = "[escalation]\nbaseline_s = 3.0\nmin_speech_s = 0.5\n"


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def model(write_model: Callable[..., Path]) -> list[str]:
    return ["--model", str(write_model({"level_dbfs_change": 1.5, "f0_mean_semitone": 1.0}, bias=-1.0))]


@pytest.fixture(scope="module")
def day(model: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of callers who rang twice, calm and then angry: each call is scored, and told to be recorded."""
    folder = tmp_path_factory.mktemp("day")
    (folder / "quick.toml").write_text(QUICK)
    calm, angry = (synthetic_speech(CALL_S, mood=mood, seed=5) for mood in ("calm", "angry"))
    turns = np.concatenate((calm[: CALM_S * 8000], angry[: (CALL_S - CALM_S) * 8000]))
    contacts = []
    with open(folder / "calls.csv", "w", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(("source", "call"))
        for i in range(2 * N_CALLERS):
            soundfile.write(folder / f"{i}.wav", (turns if i % 2 else calm) * 0.99**i, 8000, subtype="ULAW")
            manifest.writerow((f"{i}.wav", f"c-{i}"))
            facts = {
                "contact_id": f"c-{i}",
                "caller": f"+336123456{i // 2:02}",
                "agent_id": "a-1",
                "duration_s": CALL_S,
            }
            contacts.append({**facts, "started_at": (datetime.now(UTC) - timedelta(hours=i)).isoformat()})
    (folder / "contacts.jsonl").write_text("".join(f"{json.dumps(contact)}\n" for contact in contacts))
    options = ("--caller-channel", "mono", "--policy", folder / "quick.toml", "--events", *model)
    run("score", folder / "calls.csv", "--out", folder / "scores.jsonl", *options)
    return folder


@pytest.fixture
def centre(day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of that day's contacts, and what was scored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOTION_TRIAGE_LEDGER", "sqlite:///ledger.db")
    monkeypatch.setenv("EMOTION_TRIAGE_LEDGER_KEY", "5a" * 32)
    for path in day.glob("scores.*"):
        shutil.copy(path, tmp_path)
    run("ledger", "record", day / "contacts.jsonl")


@pytest.mark.usefixtures("centre")
def test_scores_and_verdicts_make_a_policy(model: list[str]) -> None:
    """Scored, kept, judged by survey and supervisor, exported and fitted: a sound policy, and nobody is named."""
    for _ in range(2):  # the same scores again change nothing
        run("ledger", "keep", "scores.jsonl")
    for i in range(2 * N_CALLERS):
        if i % 2:
            run("ledger", "verdict", f"c-{i}", "--abusive", "--by", "m.durand", "--reason", "heard it")
        else:
            run("ledger", "outcome", f"c-{i}", "--false-alarm", "--survey", "5", "--by", "m.durand")
    affects = [line for line in Path("scores.events.jsonl").read_text().splitlines() if '"affect"' in line]
    for path in map(Path, ("windows.parquet", "windows.jsonl", "windows.csv")):
        run("audit", "--windows", path, *model)
        windows = read_labelled(path)
        assert len(windows.angry) == len(affects)
        assert np.unique(windows.caller).tolist() == list(range(N_CALLERS))
        assert np.isnan(windows.against).sum() == sum("anger_alone" not in line for line in affects)
        assert b"61234" not in path.read_bytes()
    told = run("calibrate", "windows.csv", "--out", "mine", "--false-alarm-rate", "0.05", *model).stdout
    assert f"{len(affects)} windows of {N_CALLERS} callers" in told
    run("policy", "check", "mine/policy.toml")
    assert Policy.load("mine/policy.toml").escalation.relative_slope != 1.0
    fitted = json.loads(Path("mine/calibration.json").read_text())
    assert fitted["model_digest"] == Classifier.load(model[1]).digest


@pytest.mark.usefixtures("centre")
def test_scores_of_another_model_are_left_out(model: list[str]) -> None:
    """Windows that one model scored are not exported to calibrate another."""
    run("ledger", "keep", "scores.jsonl")
    run("ledger", "outcome", "c-1", "--real-alarm", "--by", "m.durand")
    run("audit", "--windows", "shipped.jsonl")
    run("audit", "--windows", "ours.jsonl", *model)
    assert Path("shipped.jsonl").read_text() == ""
    assert len(Path("ours.jsonl").read_text().splitlines()) > 10


@pytest.mark.usefixtures("centre")
@pytest.mark.parametrize("wrong", ["calls", "contacts"])
def test_scores_without_a_contact_are_told(wrong: str) -> None:
    """Scores whose call the manifest did not tell, or the ledger does not know, are refused with what is missing."""
    scores = Path("scores.jsonl")
    text = scores.read_text()
    scores.write_text(text.replace('"call":"c-7",', "") if wrong == "calls" else text.replace('"c-7"', '"d-7"'))
    result = CliRunner().invoke(app, ["ledger", "keep", "scores.jsonl"])
    assert result.exit_code == (2 if wrong == "calls" else 1)
    assert ("manifest's column call" if wrong == "calls" else "contact d-7: got windows") in result.stderr
