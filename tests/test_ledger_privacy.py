"""No number anywhere, and no trace of who was forgotten."""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from sqlalchemy import text

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.verification import verify
from emotion_triage.routing.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy

KEY, NEXT_KEY = b"k" * 32, b"n" * 32
POLICY = Policy.load()
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANN = "+33123456789"
SPELLINGS = (ANN, "0123456789", "01 23 45 67 89")
# The digits that any spelling of the number would show.
TELLTALES = ("123456789", "23 45 67 89", "23.45.67.89")


def contact(contact_id: str, caller: str, ended_at: datetime = AT) -> Contact:
    return Contact(
        contact_id=contact_id,
        caller=caller,
        agent_id="a-1",
        started_at=ended_at - timedelta(seconds=60),
        duration_s=60.0,
        disposition=Disposition.ABUSE,
        peak=Level.ESCALATED,
        escalated_s=20.0,
    )


def a_life(ledger: Ledger, caller: str, name: str) -> None:
    """Everything that can be said of a caller, with his number in whatever people write."""
    until = AT + timedelta(days=30)
    ledger.record(contact(f"{name}-1", caller), at=AT)
    ledger.record(contact(f"{name}-2", caller, AT + timedelta(hours=1)), at=AT)
    ledger.verdict(f"{name}-1", by="s", abusive=True, reason=f"{name} again, from {ANN}", at=AT)
    ledger.void(f"{name}-2", by="s", reason=f"{name}: wrong person, 01 23 45 67 89", at=AT)
    ledger.outcome(f"{name}-1", survey=2.0, at=AT)
    ledger.restrict(
        caller,
        Restriction(
            kind=RestrictionKind.BLOCK, decided_by="d", reason=f"{name}: {ANN} threatens", until=until, review_at=until
        ),
        at=AT,
    )
    ledger.appeal(caller, by="clerk", text=f"{name} wants to be called on 0123456789", at=AT)
    ledger.lift(caller, by="d", reason=f"{name} apologised", at=AT)
    ledger.object_to_scoring(caller, at=AT)


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def test_forgetting_leaves_no_trace(tmp_path: Path) -> None:
    """After `forget` no file of the database holds the caller, by pseudonym, subject or words; the log is whole."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", policy=POLICY, key=KEY) as ledger:
        for customer in range(60):
            a_life(ledger, f"crm:{customer}", f"other{customer}")
            if customer == 30:
                a_life(ledger, ANN, "annabel")
        with ledger.store.read() as connection:
            find = text("SELECT subject_id FROM subjects WHERE pseudonym = :p")
            pseudonym = Identity([KEY], "FR").pseudonym(ANN)
            subject_id = connection.execute(find, {"p": pseudonym}).scalar_one()
        traces = [str(pseudonym).encode(), subject_id.encode(), b"annabel"]
        before = everything(tmp_path)
        assert all(trace in before for trace in traces)
        ledger.forget(ANN, by="dpo", reason="asked by letter", at=AT)
        after = everything(tmp_path)
        assert not [trace for trace in traces if trace in after]
        assert ledger.standing(ANN, at=AT) == ledger.standing("crm:nobody", at=AT)
        assert ledger.export(ANN, at=AT).kept == ()
        assert ledger.exposure("a-1", at=AT + timedelta(hours=2)).abusive_contacts == 60
        with ledger.store.read() as connection:
            verification = verify(connection)
    assert verification.sound, verification.problem
    assert verification.erased == 9


def test_forgetting_on_any_store(ledger_url: str) -> None:
    """After `forget` no row of any table is about the caller, and the log is whole."""
    with Ledger.open(ledger_url, policy=POLICY, key=KEY) as ledger:
        a_life(ledger, ANN, "annabel")
        a_life(ledger, "crm:1", "bob")
        ledger.forget(ANN, by="dpo", reason="asked by letter", at=AT)
        with ledger.store.read() as connection:
            rows = [
                str(row)
                for table in ("meta", "subjects", "entries", "decisions", "heads")
                for row in connection.execute(text(f"SELECT * FROM {table}"))
            ]
            assert verify(connection).sound
    pseudonym = Identity([KEY], "FR").pseudonym(ANN)
    assert not [row for row in rows if "annabel" in row or str(pseudonym) in row]
    assert [row for row in rows if "bob" in row]


def test_a_rotation_leaves_no_old_pseudonym(tmp_path: Path) -> None:
    """After a rotation the pseudonyms under the old key stand nowhere in the files: it may have been stolen."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", policy=POLICY, key=KEY) as ledger:
        for customer in range(100):
            ledger.record(contact(f"c-{customer}", f"crm:{customer}"), at=AT)
        ledger.rotate_key(NEXT_KEY, by="d", at=AT)
        old, new = Identity([KEY], "FR"), Identity([KEY, NEXT_KEY], "FR")
        held = everything(tmp_path)
        for customer in range(100):
            assert str(new.pseudonym(f"crm:{customer}")).encode() in held
            assert str(old.pseudonym(f"crm:{customer}")).encode() not in held


@pytest.mark.parametrize("spelt", SPELLINGS)
def test_a_run_emits_no_number(
    spelt: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files, logs, streams, reprs, errors and tracebacks of a whole run show no caller's number."""
    caplog.set_level(logging.DEBUG)
    said = []
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", policy=POLICY, key=KEY) as ledger:
        a_life(ledger, spelt, "annabel")
        said += [repr(ledger), repr(contact("c-1", spelt)), str(contact("c-1", spelt))]
        said += [repr(ledger.standing(spelt, at=AT)), repr(ledger.export(spelt, at=AT))]
        said.append(msgspec.json.encode(ledger.export(spelt, at=AT)).decode())
        faults = (
            lambda: ledger.record(contact("annabel-1", spelt, AT + timedelta(days=1)), at=AT),
            lambda: ledger.lift(spelt, by="d", reason="again", at=AT),
            lambda: ledger.forget(spelt, by="", reason="r", at=AT),
            lambda: ledger.record(contact("c-9", f"{spelt} is Ann"), at=AT),
        )
        for fault in faults:
            with pytest.raises(LedgerError) as caught:
                fault()
            said.append("".join(traceback.format_exception(caught.value)))
        with ledger.store.write() as connection:
            connection.execute(text("DROP TABLE entries"))
        with pytest.raises(LedgerError) as caught:
            ledger.record(contact("c-3", spelt), at=AT)
        said.append("".join(traceback.format_exception(caught.value)))
        said.append(repr(ledger.standing(spelt, at=AT)))
    said += [caplog.text, *capfd.readouterr(), everything(tmp_path).decode("latin-1")]
    for telltale in TELLTALES:
        assert not [each[:200] for each in said if telltale in each]
