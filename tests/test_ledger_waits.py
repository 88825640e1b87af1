"""PostgreSQL that is frozen or locked: no call waits longer than 2 s, and whoever closes the ledger is not held up."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from sqlalchemy import create_engine, text

from emotion_triage.errors import LedgerUnavailable
from emotion_triage.ledger import Ledger
from emotion_triage.routing.contacts import Contact, Disposition
from emotion_triage.routing.policy import Policy

KEY = b"k" * 32
ANN = "+33123456789"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = Policy.load()
CALL_WAITS_S = 2.0
SLACK_S = 1.5
"""What a busy machine may add."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test's own network leaves open, so that no other test is blamed for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def contact(contact_id: str) -> Contact:
    return Contact(
        contact_id=contact_id,
        caller=ANN,
        agent_id="a-1",
        started_at=AT,
        duration_s=0.0,
        disposition=Disposition.ABUSE,
    )


def took_s(began_s: float) -> float:
    return time.monotonic() - began_s


def test_a_frozen_server_holds_no_call(network: Any, through: str) -> None:
    """A server that stops answering costs one call 2 s and those after it nothing; a write is refused in time."""
    with Ledger.open(through, policy=POLICY, key=KEY) as ledger:
        ledger.record(contact("c-1"), at=AT)
        assert ledger.standing(ANN, at=AT).abusive_contacts == 1
        network.frozen = True
        began_s = time.monotonic()
        told = ledger.standing(ANN, at=AT)
        assert not told.known
        assert took_s(began_s) < CALL_WAITS_S + SLACK_S
        began_s = time.monotonic()
        assert not ledger.standing(ANN, at=AT).known
        assert ledger.eligible(["a-1"], caller=ANN, at=AT).agents == ("a-1",)
        assert took_s(began_s) < SLACK_S
        began_s = time.monotonic()
        with pytest.raises(LedgerUnavailable, match="cannot be reached"):
            ledger.record(contact("c-2"), at=AT)
        assert took_s(began_s) < 2 * CALL_WAITS_S + SLACK_S
        network.frozen = False
        ledger.store._silent_until_s = 0.0
        ledger.record(contact("c-2"), at=AT)
        assert ledger.standing(ANN, at=AT).abusive_contacts == 2


def test_a_server_frozen_from_the_start(network: Any, through: str) -> None:
    """A ledger whose server takes connections and says nothing is refused within seconds."""
    network.frozen = True
    began_s = time.monotonic()
    with pytest.raises(LedgerUnavailable, match="check that the server runs"):
        Ledger.open(through, policy=POLICY, key=KEY)
    assert took_s(began_s) < CALL_WAITS_S + SLACK_S


@contextmanager
def locked(url: str, lock: str) -> Iterator[None]:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(lock))
        yield
    engine.dispose()


def test_an_exclusive_lock_holds_no_call(postgres_url: str) -> None:
    """While somebody else keeps the tables, a call waits 2 s at most."""
    with Ledger.open(postgres_url, policy=POLICY, key=KEY) as ledger:
        ledger.record(contact("c-1"), at=AT)
        with locked(postgres_url, "LOCK TABLE entries, subjects IN ACCESS EXCLUSIVE MODE"):
            began_s = time.monotonic()
            assert not ledger.standing(ANN, at=AT).known
            assert took_s(began_s) < CALL_WAITS_S + SLACK_S
        ledger.store._silent_until_s = 0.0
        assert ledger.standing(ANN, at=AT).known


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_closing_does_not_wait_for_a_writer(kind: str, request: pytest.FixtureRequest, tmp_path: object) -> None:
    """A writer that waits for its turn gives up at once when the ledger is closed, so that a server can end."""
    if kind == "sqlite":
        url, lock = f"sqlite:///{tmp_path}/ledger.db", "UPDATE meta SET value = value"
    else:
        url, lock = str(request.getfixturevalue("postgres_url")), "SELECT * FROM meta FOR UPDATE"
    ledger = Ledger.open(url, policy=POLICY, key=KEY)
    refused: list[LedgerUnavailable] = []

    def write() -> None:
        try:
            ledger.record(contact("c-1"), at=AT)
        except LedgerUnavailable as error:
            refused.append(error)

    writer = threading.Thread(target=write)
    with locked(url, lock):
        writer.start()
        time.sleep(1.0)
        assert writer.is_alive()
        began_s = time.monotonic()
        ledger.close()
        writer.join(10.0)
        assert took_s(began_s) < 1.0 + SLACK_S
    assert refused
