"""A server makes a ledger only where its configuration says so: a mistyped address would lose objections."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from emotion_triage.errors import LedgerMissing
from emotion_triage.ledger import Ledger
from emotion_triage.routing.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
processes = {processes}
[http]
port = 0
[ledger]
url = "sqlite:///{folder}/{name}"
key = {{ env = "LEDGER_KEY" }}
"""


def start(folder: Path, name: str, *, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Run a server that cannot begin, to its end."""
    config = folder / "serve.toml"
    config.write_text(CONFIG.format(folder=folder, name=name, processes=processes))
    command = [sys.executable, "-m", "emotion_triage", "serve", "--config", str(config)]
    environment = {**os.environ, "LEDGER_KEY": "k" * 40, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_mistyped_ledger_is_no_new_one(tmp_path: Path, processes: int) -> None:
    """A file that is not there ends the start with 2, says what to set, and leaves the folder as it was."""
    ended = start(tmp_path, "legder.db", processes=processes)
    assert ended.returncode == 2
    assert "legder.db: there is no such file" in ended.stderr
    assert "for a first start set ledger.create = true" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["serve.toml"]


def test_another_programs_database_is_no_ledger(tmp_path: Path) -> None:
    """A database that holds other tables is left alone."""
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE calls (id INTEGER)")
    database.close()
    ended = start(tmp_path, "other.db")
    assert ended.returncode == 2
    assert "other.db: holds no ledger" in ended.stderr
    with sqlite3.connect(tmp_path / "other.db") as database:
        assert [row[0] for row in database.execute("SELECT name FROM sqlite_master")] == ["calls"]
    database.close()


def test_the_library_may_be_told_to_make_none(tmp_path: Path) -> None:
    """`Ledger.open` makes a ledger unless it is told not to."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with pytest.raises(LedgerMissing, match="there is no such file"):
        Ledger.open(url, policy=Policy.load(), key=b"0" * 32, create=False)
    assert not (tmp_path / "ledger.db").exists()
    Ledger.open(url, policy=Policy.load(), key=b"0" * 32).close()
    Ledger.open(url, policy=Policy.load(), key=b"0" * 32, create=False).close()
