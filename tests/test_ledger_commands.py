"""The ledger, the log and the audit on the command line: what they tell, what they refuse, what they never show."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from typer.testing import CliRunner

from emotion_triage.batch.measurements import WINDOW_UNITS
from emotion_triage.cli import app as cli
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.labelled import WINDOW_COLUMNS
from emotion_triage.routing.policy import Policy

ROOT = Path(__file__).resolve().parents[1]
KEY = "5a" * 32
NUMBER, SPELLINGS = "+33612345678", ("06 12 34 56 78", "+33612345678", "612345678", "12345678")
BY = ("--by", "m.durand", "--reason", "heard it")
NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of three contacts of one caller: two abusive, one of them not heard; one calm, but heard as angry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOTION_TRIAGE_LEDGER", "sqlite:///ledger.db")
    monkeypatch.setenv("EMOTION_TRIAGE_LEDGER_KEY", KEY)
    marks = [("ABUSE", 2, "fr"), ("THREAT", 0, "fr"), ("OK", 2, "en")]
    told = [
        {
            "contact_id": f"c-{i}",
            "caller": NUMBER,
            "agent_id": f"a-{i}",
            "started_at": (NOW - timedelta(days=3 - i)).isoformat(),
            "duration_s": 60.0,
            "queue": "general",
            "disposition": disposition,
            "peak": peak,
            "escalated_s": 30.0 if peak else 0.0,
            "language": language,
        }
        for i, (disposition, peak, language) in enumerate(marks)
    ]
    (tmp_path / "contacts.jsonl").write_text("".join(f"{json.dumps(contact)}\n" for contact in told))
    assert run("ledger", "record", "contacts.jsonl").exit_code == 0
    return tmp_path


def run(*arguments: object, stdin: str | None = None) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=stdin)


def told(*arguments: object, stdin: str | None = None) -> list[Any]:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_standing_of_an_argument_or_stdin(home: Path) -> None:
    """A caller's standing is the same, whichever way he is spelled and whether he is an argument or comes by stdin."""
    (standing,) = told("ledger", "standing", "06 12 34 56 78")
    assert (standing["state"], standing["abusive_contacts"]) == ("watch", 2)
    assert standing["avoid_agents"] == ["a-0", "a-1"]
    assert told("ledger", "standing", "-", stdin=f"{NUMBER}\n") == [standing]
    assert "watch" in run("ledger", "standing", NUMBER, "--table").stdout


def test_recording_twice_and_in_part(home: Path) -> None:
    """Contacts recorded again change nothing; a line that is none is told by its number, and the others are kept."""
    assert run("ledger", "record", "contacts.jsonl").exit_code == 0
    more = (home / "contacts.jsonl").read_text().replace("c-0", "c-9").splitlines()[0]
    result = run("ledger", "record", "-", stdin=f'{{"contact_id": "x"}}\n{more}\n')
    assert result.exit_code == 1
    assert "line 1" in result.stderr
    assert "1 of 2" in result.stderr
    stats = told("ledger", "stats")
    counts = {each["kind"]: each["count"] for each in stats}
    assert len(counts) == len(stats)
    assert (counts["caller"], counts["contact"], counts["evidence"]) == (1, 4, 4)


def test_people_decide(home: Path) -> None:
    """Verdict, void, restriction, appeal and lift change the standing, each with a line of its own in the log."""
    assert [each["contact_id"] for each in told("ledger", "reviews")] == ["c-1", "c-2"]
    assert run("ledger", "verdict", "c-2", "--abusive", *BY).exit_code == 0
    assert told("ledger", "standing", NUMBER)[0]["state"] == "protected"
    assert run("ledger", "verdict", "c-2", "--not-abusive", *BY).exit_code == 0
    assert run("ledger", "void", "c-0", *BY).exit_code == 0
    assert told("ledger", "standing", NUMBER)[0]["abusive_contacts"] == 1
    until, review_at = ((NOW + timedelta(days=days)).date() for days in (40, 20))
    dates = ("--until", until, "--review-at", review_at)
    notice = run("ledger", "restrict", NUMBER, "callback_only", *BY, *dates, "--language", "fr")
    assert notice.exit_code == 0
    assert str(until) in notice.stdout
    assert told("ledger", "standing", NUMBER)[0]["state"] == "restricted"
    assert run("ledger", "appeal", NUMBER, "--by", "m.durand", "--text", "he asks why").exit_code == 0
    assert run("ledger", "lift", NUMBER, *BY).exit_code == 0
    assert told("ledger", "standing", NUMBER)[0]["state"] == "watch"
    assert run("ledger", "object", NUMBER).exit_code == 0
    assert told("ledger", "standing", NUMBER)[0]["objection"]
    assert run("ledger", "object", NUMBER, "--withdraw").exit_code == 0
    assert not told("ledger", "standing", NUMBER)[0]["objection"]
    kinds = [each["kind"] for each in told("log", "show", "--last", "8")]
    assert kinds == ["verdict", "verdict", "void", "restrict", "appeal", "lift", "objection", "objection"]
    assert told("log", "show", "--kind", "void")[0]["told"]["by"] == "m.durand"


def test_a_restriction_needs_dates(home: Path) -> None:
    """A restriction with an end that is no date, or past the policy's limit, is refused and changes nothing."""
    for until in ("soon", NOW + timedelta(days=3000)):
        result = run("ledger", "restrict", NUMBER, "block", *BY, "--until", until, "--review-at", NOW)
        assert result.exit_code == 2
    assert told("ledger", "standing", NUMBER)[0]["state"] == "watch"


def test_rights_of_a_caller(home: Path) -> None:
    """A caller's copy tells all that is kept of him and not his number; once forgotten, nothing is known or left."""
    copy = json.loads(run("ledger", "export", NUMBER).stdout)
    assert {each["contact_id"] for each in copy["kept"] if each["kind"] == "contact"} == {"c-0", "c-1", "c-2"}
    assert run("ledger", "forget", NUMBER, *BY).exit_code == 0
    assert told("ledger", "standing", NUMBER)[0]["state"] == "clear"
    assert json.loads(run("ledger", "export", NUMBER).stdout)["kept"] == []
    (verification,) = told("log", "verify")
    assert verification["erased"] > 0
    assert "(erased)" in run("log", "show", "--table").stdout
    assert run("ledger", "purge").exit_code == 0


def test_rotating_the_key(home: Path) -> None:
    """After a rotation the old key opens nothing, and the keys in their order open the same history."""
    (home / "new").write_text("6b" * 32)
    assert run("ledger", "rotate-key", "--new-key-file", "new", "--by", "m.durand").exit_code == 0
    refused = run("ledger", "standing", NUMBER)
    assert refused.exit_code == 2
    assert "previous_keys" in refused.stderr
    (home / "keys").write_text(f"{KEY}\n{'6b' * 32}\n")
    assert told("ledger", "standing", NUMBER, "--key-file", "keys")[0]["abusive_contacts"] == 2


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("EMOTION_TRIAGE_LEDGER", None, "--ledger sqlite"),
        ("EMOTION_TRIAGE_LEDGER", "sqlite:///nowhere/ledger.db", "folder"),
        ("EMOTION_TRIAGE_LEDGER_KEY", None, "openssl rand -hex 32"),
        ("EMOTION_TRIAGE_LEDGER_KEY", "beefcafe", "openssl rand -hex 32"),
        ("EMOTION_TRIAGE_LEDGER_KEY", "6b" * 32, "newest key"),
    ],
)
def test_what_is_missing_or_wrong_is_told(
    variable: str, value: str | None, fix: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a ledger or key, or with a wrong one, a command ends with 2 and the fix, and shows no key."""
    monkeypatch.delenv(variable)
    if value is not None:
        monkeypatch.setenv(variable, value)
    result = run("ledger", "standing", NUMBER)
    assert result.exit_code == 2
    assert fix in result.stderr
    assert value is None or "ledger.db" in value or value not in result.output


def test_no_command_shows_a_number(home: Path) -> None:
    """No command that knows a caller's number, not even one that fails, shows a spelling of it."""
    shown = [
        run("ledger", "standing", NUMBER),
        run("ledger", "standing", NUMBER, "--table"),
        run("ledger", "export", NUMBER),
        run("ledger", "lift", NUMBER, *BY),
        run("ledger", "appeal", NUMBER, "--by", NUMBER, "--text", f"call {NUMBER}"),
        run("ledger", "forget", f"fax:{NUMBER}", *BY),
        run("ledger", "record", "-", stdin=json.dumps({"contact_id": "c", "caller": f"?{NUMBER}", "agent_id": "a"})),
        run("log", "show"),
        run("log", "export"),
    ]
    output = "".join(result.output for result in shown)
    assert not [spelling for spelling in SPELLINGS if spelling in output]


# the log


def test_an_altered_log_is_found(home: Path) -> None:
    """`log verify` ends with 0 on the ledger and on its export, and with 1 where a line of the export was altered."""
    (sound,) = told("log", "verify")
    assert told("log", "verify", "--head", sound["head"])[0]["bad_seq"] is None
    assert run("log", "verify", "--head", "0" * 63 + "1").exit_code == 1
    assert run("log", "export", "--out", "log.jsonl").exit_code == 0
    assert run("log", "export", "--out", "log.jsonl").exit_code == 2
    assert told("log", "verify", "log.jsonl") == [sound]
    text = (home / "log.jsonl").read_text()
    assert text == run("log", "export").stdout
    (home / "log.jsonl").write_text(text.replace("THREAT", "INSULT"))
    altered = run("log", "verify", "log.jsonl")
    assert altered.exit_code == 1
    assert "line 2 says something else" in altered.stderr


def test_the_log_needs_no_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the log needs no key; without one the chain alone is checked, where that is what was asked for."""
    monkeypatch.delenv("EMOTION_TRIAGE_LEDGER_KEY")
    without = run("log", "verify")
    assert without.exit_code == 2
    assert "got no key" in without.stderr
    (chain,) = told("log", "verify", "--chain-only")
    assert (chain["bad_seq"], chain["signed"]) == (None, None)
    assert run("log", "show", "--call", "c-1").exit_code == 0


def test_a_head_kept_elsewhere(home: Path) -> None:
    """What `log head` writes is checked by `log verify --heads`: of a log put back as it was, that alone tells."""
    lines = []
    for name in ("c-0", "c-1"):
        before = {path.name: path.read_bytes() for path in home.glob("ledger.db*") if not path.name.endswith("-shm")}
        assert run("ledger", "verdict", name, "--abusive", *BY).exit_code == 0
        lines.append(run("log", "head").stdout)
    (home / "heads.jsonl").write_text("".join(lines))
    assert told("log", "verify", "--heads", "heads.jsonl")[0]["signed"]
    for path in home.glob("ledger.db*"):
        path.unlink()
    for name, content in before.items():
        (home / name).write_bytes(content)
    assert run("log", "verify").exit_code == 0
    cut = run("log", "verify", "--heads", "heads.jsonl")
    assert cut.exit_code == 1
    assert json.loads(lines[1])["digest"] in cut.stderr
    (home / "heads.jsonl").write_bytes(b"\xff\n")
    assert run("log", "verify", "--heads", "heads.jsonl").exit_code == 2


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\n", b'{"seq": 1}\n', b"", b'{"seq":0,"digest":"","first_seq":1,"first_digest":"\xc3"}\n']
)
def test_a_log_that_is_no_text(content: bytes, home: Path) -> None:
    """A file that is no exported log, or no text, is refused with what was expected, and no traceback."""
    (home / "log.jsonl").write_bytes(content)
    result = run("log", "verify", "log.jsonl")
    assert result.exit_code == 2
    assert "log export" in result.stderr


def test_a_line_that_is_no_text(home: Path) -> None:
    """A line of an exported log that is not UTF-8 is named."""
    lines = run("log", "export").stdout.encode().splitlines(keepends=True)
    (home / "log.jsonl").write_bytes(b"".join([lines[0], lines[1].replace(b"verdict", b"v\xe9rdict"), *lines[2:]]))
    result = run("log", "verify", "log.jsonl")
    assert result.exit_code == 1
    assert "line 1 cannot be read" in result.stderr


@pytest.mark.parametrize(
    "body", ["'no JSON'", "'[1, 2]'", "'\"a\"'", "'{}'", "17", "x'ff00'", "cast(x'c328' AS TEXT)", "'{\"kind\":3}'"]
)
def test_a_tampered_body_is_shown(body: str, home: Path) -> None:
    """Whatever a line's body was made, the log is shown as a table and as JSON, and `log verify` names the line."""
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute(f"UPDATE decisions SET body = {body}, call_id = 'c\x1b[2J' WHERE seq = 1")
    table = run("log", "show", "--table")
    assert (table.exit_code, table.exception) == (0, None)
    assert "\x1b" not in table.stdout
    assert len(told("log", "show")) == len(told("log", "show", "--last", "100"))
    assert run("log", "verify").exit_code == 1


def test_rows_of_somebody_else_are_named(home: Path) -> None:
    """`log verify` names each row that the ledger did not sign, and `ledger standing` says that it left them out."""
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute("UPDATE entries SET body = replace(body, 'ABUSE', 'OK')")
    result = run("log", "verify")
    assert result.exit_code == 1
    assert "entry 1: this contact was added or altered" in result.stderr
    standing = run("ledger", "standing", NUMBER)
    assert standing.exit_code == 0
    assert "left out" in standing.stderr


def test_a_purge_asks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge long after the latest entry is refused, until it is said how long that may be."""
    assert run("ledger", "purge", "--most-idle-days", "-1").exit_code == 2
    assert run("ledger", "purge").exit_code == 0


# the audit


def test_an_audit_counts_what_people_said(home: Path) -> None:
    """Hits and false alarms follow dispositions, then false-alarm marks, group by group."""
    everyone = told("audit")[0]
    assert (everyone["dimension"], everyone["contacts"]) == ("all", 3)
    assert (everyone["hits"]["count"], everyone["hits"]["of"]) == (1, 2)
    assert (everyone["false_alarms"]["count"], everyone["false_alarms"]["of"]) == (1, 1)
    assert run("ledger", "outcome", "c-2", "--real-alarm", "--by", "m.durand", "--survey", "2").exit_code == 0
    groups = {(each["dimension"], each["group"]): each for each in told("audit")}
    assert (groups["all", "all"]["hits"]["count"], groups["all", "all"]["hits"]["of"]) == (2, 3)
    assert groups["all", "all"]["false_alarms"]["of"] == 0
    assert groups["language", "en"]["hits"] == {
        "count": 1,
        "of": 1,
        "value": 1.0,
        "low": pytest.approx(0.2065, abs=1e-4),
        "high": 1.0,
    }
    assert groups["language", "en"]["survey"] == 2.0
    assert "67 %" in run("audit", "--table").stdout


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_labelled_windows(suffix: str, home: Path) -> None:
    """Windows of judged contacts are exported with their labels, and neither contacts nor callers are named."""
    pytest.importorskip("pyarrow.parquet")
    kept = np.arange(2 * len(WINDOW_COLUMNS), dtype=float).reshape(2, -1)
    kept[1, 5] = np.nan
    with Ledger.open("sqlite:///ledger.db", policy=Policy.load(), key=bytes.fromhex(KEY)) as ledger:
        ledger.keep_windows("c-0", kept)
        ledger.keep_windows("c-2", kept[:1])
        assert ledger.standing(NUMBER).abusive_contacts == 2
    path = home / f"windows.{suffix}"
    assert run("audit", "--windows", path).exit_code == 0
    if suffix == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(path).to_pylist()
    told = [(row["contact"], row["caller"], row["angry"], row["escalated"], row["anger"]) for row in rows]
    assert told == [(0, 0, 1, 1, None), (0, 0, 1, 1, None), (1, 0, 0, 1, None)]
    assert [row["time_s"] for row in rows] == [0, len(WINDOW_COLUMNS), 0]
    assert rows[1][WINDOW_COLUMNS[5]] is None
    assert not any(name in str(rows) for name in ("c-0", "c-2"))
    assert run("ledger", "forget", NUMBER, *BY).exit_code == 0
    assert run("audit", "--windows", home / "after.jsonl").exit_code == 0
    assert (home / "after.jsonl").read_text() == ""


def test_windows_are_kept_as_they_are_measured() -> None:
    """The columns in which the ledger keeps windows are those in which recordings are measured."""
    assert tuple(WINDOW_UNITS) == WINDOW_COLUMNS


def test_the_command_line_starts_without_the_ledgers_libraries() -> None:
    """Commands that need no ledger load no database library."""
    probe = "import sys, emotion_triage.cli.app; print([m for m in ('sqlalchemy', 'alembic') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == "[]"


COMMANDS_THAT_MAKE_NOTHING = {
    "standing": ("ledger", "standing", NUMBER),
    "keep": ("ledger", "keep", "scores.jsonl"),
    "void": ("ledger", "void", "c-0", *BY),
    "verdict": ("ledger", "verdict", "c-0", "--abusive", *BY),
    "outcome": ("ledger", "outcome", "c-0", "--survey", "2"),
    "restrict": ("ledger", "restrict", NUMBER, "block", *BY, "--until", "2026-05-31", "--review-at", "2026-05-01"),
    "lift": ("ledger", "lift", NUMBER, *BY),
    "appeal": ("ledger", "appeal", NUMBER, "--by", "m.durand", "--text", "why"),
    "forget": ("ledger", "forget", NUMBER, *BY),
    "export": ("ledger", "export", NUMBER),
    "purge": ("ledger", "purge"),
    "rotate-key": ("ledger", "rotate-key", "--new-key-file", "keys", "--by", "m.durand"),
    "stats": ("ledger", "stats"),
    "reviews": ("ledger", "reviews"),
    "verify": ("log", "verify"),
    "log export": ("log", "export"),
    "show": ("log", "show"),
    "audit": ("audit",),
}


@pytest.mark.parametrize(
    ("command", "where"),
    [
        *((command, "missing.db") for command in COMMANDS_THAT_MAKE_NOTHING),
        *(("verify", where) for where in ("missing/ledger.db", "empty.db", "other.db")),
    ],
)
def test_a_mistyped_ledger_is_an_error_and_nothing_is_made(home: Path, command: str, where: str) -> None:
    """Whatever is asked of a ledger that is not there ends with 2 and its name, and leaves every file as it was."""
    (home / "empty.db").touch()
    with closing(sqlite3.connect(home / "other.db")) as other:
        other.execute("CREATE TABLE mine (a)")
        other.commit()
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    result = run(*COMMANDS_THAT_MAKE_NOTHING[command], "--ledger", f"sqlite:///{home}/{where}")
    assert result.exit_code == 2
    assert where in result.stderr
    assert "expected one that exists" in result.stderr
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arguments", [("record", "contacts.jsonl"), ("object", NUMBER)])
def test_a_ledger_that_is_made_is_named(home: Path, arguments: tuple[str, ...]) -> None:
    """A command that brings a ledger's first facts makes it and says where, once."""
    where = ("--ledger", f"sqlite:///{home}/new.db")
    assert "made a new ledger" in run("ledger", *arguments, *where).stderr
    again = run("ledger", *arguments, *where)
    assert (again.exit_code, "made a new" in again.stderr) == (0, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger", "verdict", "NOPE", "--abusive", *BY),
        ("ledger", "verdict", "NOPE", "--not-abusive", *BY),
        ("ledger", "void", "NOPE", *BY),
        ("ledger", "outcome", "NOPE", "--survey", "2"),
        ("ledger", "outcome", "NOPE", "--false-alarm", "--by", "m.durand"),
        ("log", "show", "--call", "NOPE"),
        ("log", "show", "--kind", "NOPE"),
    ],
)
def test_an_unknown_name_is_an_error(home: Path, arguments: tuple[str, ...]) -> None:
    """A contact, a call or a kind that the ledger does not know ends with 2 and its name, and changes nothing."""
    before = told("log", "show", "--last", "999")
    result = run(*arguments)
    assert result.exit_code == 2
    assert "NOPE" in result.stderr
    assert told("log", "show", "--last", "999") == before


@pytest.mark.parametrize("answer", ["99", "0.5", "-1", "nan", "inf"])
def test_a_survey_has_a_scale(home: Path, answer: str) -> None:
    """An answer outside the policy's scale is refused, and one at either end is taken."""
    result = run("ledger", "outcome", "c-2", f"--survey={answer}")
    assert result.exit_code == 2
    assert re.search(r"expected (1 to 5 \(protection\.survey_scale|a finite number)", result.stderr)
    (home / "ten.toml").write_text("[protection]\nsurvey_scale = [0, 100]")
    assert run("ledger", "outcome", "c-2", "--survey", "99", "--policy", "ten.toml").exit_code == 0
    for end in ("1", "5"):
        assert run("ledger", "outcome", "c-2", "--survey", end).exit_code == 0
