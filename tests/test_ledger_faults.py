"""What a kill, a full disk, a lock or a lost server leave of a ledger, and what they leave of a call: its route."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
import ledger_writer
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import make_url

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.schema import decisions, entries
from emotion_triage.ledger.verification import verify
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import StandingState

WRITER = Path(__file__).with_name("ledger_writer.py")
ROOT = WRITER.parents[1]
KEY, contact = ledger_writer.KEY, ledger_writer.contact
LATER = ledger_writer.STARTED_AT + timedelta(days=10)
"""A moment at which the contacts still count."""

KILLS = int(os.environ.get("EMOTION_TRIAGE_KILLS", "3"))
"""How many writers are killed in each store; 200 in all is what was once asked for."""
WRITES = int(os.environ.get("EMOTION_TRIAGE_WRITES", "15"))
"""How many contacts each of the writers at once records; 2000 is what was once asked for."""
WRITERS = 8
CALLER = "+33 1 23 45 00 01"
POLICY = Policy.load()


def opened(url: str, key: bytes = KEY) -> Ledger:
    return Ledger.open(url, policy=POLICY, key=key)


def writer(url: str, prefix: str, count: int, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), url, prefix, str(count), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def assert_whole(ledger: Ledger, acknowledged: set[str]) -> int:
    """Every acknowledged contact is there with all that belongs to it, none in part; return how many are there."""
    with ledger.store.read() as connection:
        kinds: dict[str, Counter[str]] = {}
        for contact_id, kind in connection.execute(select(entries.c.contact_id, entries.c.kind)):
            kinds.setdefault(contact_id, Counter())[kind] += 1
        logged = select(decisions.c.call_id, func.count()).group_by(decisions.c.call_id)
        told = {call_id: n for call_id, n in connection.execute(logged)}
        verification = verify(connection)
    assert verification.sound, verification.problem
    assert acknowledged <= set(kinds)
    assert set(told) == set(kinds)
    for contact_id, counts in kinds.items():
        assert counts == {"contact": 1, "evidence": 1}, contact_id
        assert told[contact_id] == ledger_writer.LINES_OF_CONTACT, contact_id
    return len(kinds)


def assert_the_call_goes_on(ledger: Ledger) -> str:
    """A standing is given, clear and marked as unknown, and a route follows from it; return the problem told."""
    standing = ledger.standing(CALLER)
    assert standing.state is StandingState.CLEAR
    assert not standing.known
    route = POLICY.router.route(
        call_id="c", time_s=0.0, level=Level.CALM, standing=standing, model_digest="m", policy_digest="p"
    )
    assert route.queue == "general"
    assert ledger.eligible(["a-2", "a-1"], caller=CALLER).agents == ("a-2", "a-1")
    assert standing.problem
    return str(standing.problem)


# kills


def test_what_was_acknowledged_survives_kills(ledger_url: str) -> None:
    """Writers killed at random moments lose nothing that they acknowledged, leave nothing half; the log verifies."""
    chance = random.Random(4)
    acknowledged: set[str] = set()
    with opened(ledger_url) as ledger:
        for kill in range(KILLS):
            process = writer(ledger_url, f"k{kill}", 100_000)
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            time.sleep(chance.uniform(0.0, 0.25))
            process.kill()
            told, _ = process.communicate()
            # a last line without its end was never acknowledged
            acknowledged |= {line.strip() for line in told.splitlines(keepends=True) if line.endswith("\n")}
            there = assert_whole(ledger, acknowledged)
            assert len(acknowledged) <= there <= len(acknowledged) + kill + 1
        ledger.record(contact("after", 1))
        assert_whole(ledger, acknowledged | {"after-1"})


def test_many_writers_at_once(ledger_url: str) -> None:
    """Eight processes that write at once, every tenth contact twice, leave each contact once; the log verifies."""
    opened(ledger_url).close()
    names = [f"w{i}" for i in range(WRITERS)]
    processes = [writer(ledger_url, name, WRITES, "--beside", names[(i + 1) % WRITERS]) for i, name in enumerate(names)]
    for process in processes:
        _, problem = process.communicate()
        assert process.returncode == 0, problem
    with opened(ledger_url) as ledger:
        everyone = {f"{name}-{i}" for name in names for i in range(WRITES)}
        assert assert_whole(ledger, everyone) == len(everyone) == WRITERS * WRITES


def test_processes_that_open_a_new_ledger_at_once(ledger_url: str) -> None:
    """Processes that all find no ledger make one, together."""
    processes = [writer(ledger_url, f"n{i}", 1) for i in range(3)]
    for process in processes:
        _, problem = process.communicate()
        assert process.returncode == 0, problem
    with opened(ledger_url) as ledger:
        assert assert_whole(ledger, {"n0-0", "n1-0", "n2-0"}) == 3


# wrong keys and versions


def test_a_wrong_key_is_refused(ledger_url: str) -> None:
    """Another key opens nothing, and the message says which keys to give."""
    opened(ledger_url).close()
    with pytest.raises(LedgerError, match="previous_keys"):
        opened(ledger_url, key=b"another key, also of 32 bytes or more")


def test_a_key_rotated_elsewhere(ledger_url: str) -> None:
    """Where another process rotated the key, nothing is written under the old one and calls go on."""
    with opened(ledger_url) as here, opened(ledger_url) as elsewhere:
        here.record(contact("c", 1))
        elsewhere.rotate_key(b"the next key of at least 32 bytes", by="m.durand")
        with pytest.raises(LedgerError, match="newest key"):
            here.record(contact("c", 2))
        assert "key" in assert_the_call_goes_on(here)
        assert elsewhere.standing(CALLER).known


def test_a_newer_schema_is_refused(ledger_url: str) -> None:
    """A ledger that a newer release has written is left alone, and the message says what to upgrade."""
    opened(ledger_url).close()
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerError, match="upgrade emotion-triage"):
        opened(ledger_url)


# SQLite: locks, modes, disks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A SQLite ledger with one contact."""
    path = tmp_path / "ledger.db"
    with opened(f"sqlite:///{path}") as ledger:
        ledger.record(contact("c", 1))
    return path


def test_a_locked_ledger(path: Path) -> None:
    """While another process holds the write lock, a record is refused with the fix, and standings are still told."""
    with opened(f"sqlite:///{path}?timeout=0.1") as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked by another process; find who"):
            ledger.record(contact("c", 2))
        assert ledger.standing(CALLER, at=LATER).state is StandingState.WATCH
        other.execute("ROLLBACK")
        other.close()
        ledger.record(contact("c", 2))
        assert assert_whole(ledger, {"c-1", "c-2"}) == 2


def test_a_ledger_kept_by_another(path: Path) -> None:
    """While another process keeps the file to itself, even from readers, calls go on."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    with opened(f"sqlite:///{path}?timeout=0.1") as ledger:
        ledger.store.close()
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in assert_the_call_goes_on(ledger)
        other.execute("COMMIT")
        other.close()
        assert ledger.standing(CALLER).known


def test_a_read_only_ledger(path: Path) -> None:
    """A ledger that may only be read tells standings, and refuses a record with the fix."""
    with opened(f"sqlite:///file:{path}?mode=ro&uri=true") as ledger:
        assert ledger.standing(CALLER, at=LATER).state is StandingState.WATCH
        with pytest.raises(LedgerError, match="is read-only; make the file"):
            ledger.record(contact("c", 2))


def test_a_disk_that_fills(tmp_path: Path) -> None:
    """A writer that may write no more ends with the fix, and every contact it acknowledged is whole."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    told, problem = writer(url, "f", 5000, "--max-bytes", "3000000").communicate()
    acknowledged = set(told.split()[1:])
    assert 20 < len(acknowledged) < 5000
    assert "LedgerError: ledger sqlite" in problem
    assert "disk" in problem
    with opened(url) as ledger:
        assert assert_whole(ledger, acknowledged) == len(acknowledged)
        ledger.record(contact("after", 1))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if mounted.returncode:
        pytest.skip("not allowed to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(tiny_disk: Path) -> None:
    """On a full disk a record is refused with the fix, standings are told, and with room again writing goes on."""
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    with opened(f"sqlite:///{tiny_disk}/ledger.db") as ledger:
        acknowledged: set[str] = set()

        def fill() -> None:
            for i in range(5000):
                ledger.record(contact("f", i))
                acknowledged.add(f"f-{i}")

        with pytest.raises(LedgerError, match="no room left; free space"):
            fill()
        assert ledger.standing(CALLER, at=LATER).state is not StandingState.CLEAR
        ballast.unlink()
        ledger.record(contact("after", 1))
        assert_whole(ledger, acknowledged | {"after-1"})


def test_a_damaged_file(path: Path) -> None:
    """A file whose pages are overwritten is told as damaged, and calls go on."""
    with opened(f"sqlite:///{path}") as ledger:
        ledger.store.close()
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        path.write_bytes(content)
        assert "restore" in assert_the_call_goes_on(ledger)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A file that is no database, and a folder that is not there, are refused with the fix."""
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerError, match="not a SQLite database"):
        opened(f"sqlite:///{other}")
    with pytest.raises(LedgerError, match="folder exists"):
        opened(f"sqlite:///{tmp_path}/nowhere/ledger.db")


# PostgreSQL: servers


def admin(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement), {"name": make_url(url).database})
    engine.dispose()


HANG_UP = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"


def test_a_connection_lost_between_calls(postgres_url: str) -> None:
    """Where the server closed every idle connection, the next record makes a new one and nothing is lost."""
    with opened(postgres_url) as ledger:
        ledger.record(contact("c", 1))
        admin(postgres_url, HANG_UP)
        ledger.record(contact("c", 2))
        assert assert_whole(ledger, {"c-1", "c-2"}) == 2


def test_a_connection_lost_during_a_write(postgres_url: str) -> None:
    """A connection lost within a transaction is told with the fix, and nothing of the transaction stays."""
    with opened(postgres_url) as ledger:
        ledger.record(contact("c", 1))

        def lose() -> None:
            with ledger.store.write() as connection:
                connection.execute(text("DELETE FROM entries"))
                admin(postgres_url, HANG_UP)
                connection.execute(text("DELETE FROM decisions"))

        with pytest.raises(LedgerError, match="cannot be reached; check that the server"):
            lose()
        assert assert_whole(ledger, {"c-1"}) == 1


def test_a_server_that_is_gone(postgres_url: str) -> None:
    """With the database gone, calls go on, and a record is refused with the fix."""
    with opened(postgres_url) as ledger:
        ledger.record(contact("c", 1))
        database = make_url(postgres_url).database
        admin(postgres_url, f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS false')
        admin(postgres_url, HANG_UP)
        assert_the_call_goes_on(ledger)
        with pytest.raises(LedgerError, match="ledger postgresql"):
            ledger.record(contact("c", 2))
        admin(postgres_url, f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS true')
        assert ledger.standing(CALLER, at=LATER).state is StandingState.WATCH


def test_no_server_at_all() -> None:
    """A server that does not answer is refused at once, with the fix and without the password."""
    with pytest.raises(LedgerError, match="check that the server runs") as caught:
        opened("postgresql+psycopg://triage:secret@127.0.0.1:9/nowhere")
    assert "secret" not in str(caught.value)
