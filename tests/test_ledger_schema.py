"""The schema grows by steps: from every released one to this library's, and never from the future."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

import emotion_triage.ledger.migrations
from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.schema import metadata
from emotion_triage.ledger.store import Store
from emotion_triage.ledger.verification import entries, verify
from emotion_triage.routing.contacts import Contact, Disposition
from emotion_triage.routing.policy import Policy

MIGRATIONS = Path(emotion_triage.ledger.migrations.__file__).parent
RELEASED = [revision.revision for revision in ScriptDirectory(MIGRATIONS).walk_revisions()]
KEY = b"k" * 32
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at_revision(url: str, revision: str) -> None:
    """Make the database as the release with this schema left it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


@pytest.mark.parametrize("revision", RELEASED)
def test_every_released_schema_is_upgraded(revision: str, ledger_url: str) -> None:
    """A database of any released schema opens, takes a contact, and then has this library's very tables."""
    at_revision(ledger_url, revision)
    with Ledger.open(ledger_url, policy=Policy.load(), key=KEY) as ledger:
        ledger.record(
            Contact(
                contact_id="c-1",
                caller="crm:1",
                agent_id="a-1",
                started_at=AT,
                duration_s=0.0,
                disposition=Disposition.ABUSE,
            ),
            at=AT,
        )
        assert ledger.standing("crm:1", at=AT).abusive_contacts == 1
        with ledger.store.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_schemas_follow_one_another() -> None:
    """Every schema but the first has one before it, and there is one last."""
    script = ScriptDirectory(MIGRATIONS)
    assert script.get_bases() == ["0001"]
    assert len(script.get_heads()) == 1


def test_a_newer_schema_is_left_alone(ledger_url: str) -> None:
    """A database that a newer release wrote is refused, with the fix, and stays as it was."""
    Store(ledger_url).close()
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=rf"got schema 9999, expected {RELEASED[0]} or older.*upgrade emotion-triage"):
        Ledger.open(ledger_url, policy=Policy.load(), key=KEY)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()


def test_what_an_older_release_left_is_signed_once(ledger_url: str) -> None:
    """Rows without signatures, of the first schema, are signed when they are first opened with their key, and it is
    logged; a signature removed later is not made anew."""
    contact = Contact(
        contact_id="c-1", caller="crm:1", agent_id="a-1", started_at=AT, duration_s=0.0, disposition=Disposition.ABUSE
    )
    with Ledger.open(ledger_url, policy=Policy.load(), key=KEY) as ledger:
        ledger.record(contact, at=AT)
        ledger.object_to_scoring("crm:1", at=AT)
        unsealed = ledger._access.identity.unsealed_fingerprint
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        for table in ("subjects", "entries", "heads"):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN seal"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        connection.execute(text("UPDATE meta SET value = :value WHERE key = 'fingerprint'"), {"value": unsealed})
    for _ in range(2):
        with Ledger.open(ledger_url, policy=Policy.load(), key=KEY) as ledger:
            told = ledger.standing("crm:1", at=AT)
            assert (told.abusive_contacts, told.objection, told.problem) == (1, True, None)
            with ledger.store.scan() as connection:
                assert verify(connection, seals=[ledger.seal]).sound
                kinds = [line.kind for line in entries(connection)]
    assert kinds == ["verdict", "objection", "seal"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE entries SET seal = NULL"))
    engine.dispose()
    with Ledger.open(ledger_url, policy=Policy.load(), key=KEY) as ledger:
        assert ledger.standing("crm:1", at=AT).problem is not None
