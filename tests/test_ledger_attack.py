"""What somebody does who can write to the database and has no key: nothing of it counts, and all of it is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from sqlalchemy import text

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.audit_log import chained, committed
from emotion_triage.ledger.coverage import uncovered
from emotion_triage.ledger.log_events import Override
from emotion_triage.ledger.seals import Seal
from emotion_triage.ledger.verification import Anchor, entries, head_of, verify
from emotion_triage.routing.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import StandingState

KEY = b"k" * 32
ANN, BOB, EVE = "+33123456789", "+33198765432", "+33155555555"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Policy.load()


def contact(contact_id: str, caller: str | None = ANN, agent_id: str = "a-1") -> Contact:
    return Contact(
        contact_id=contact_id,
        caller=caller,
        agent_id=agent_id,
        started_at=AT - HOUR,
        duration_s=60.0,
        disposition=Disposition.ABUSE,
        peak=Level.ESCALATED,
        escalated_s=30.0,
    )


def restriction(days: float = 30.0) -> Restriction:
    until = AT + timedelta(days=days)
    return Restriction(kind=RestrictionKind.BLOCK, decided_by="m.durand", reason="r", until=until, review_at=until)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """Ann abused an agent, was restricted and then not, and objects; Bob is restricted; both were routed."""
    with Ledger.open(ledger_url, policy=POLICY, key=KEY) as ledger:
        ledger.record(contact("c-1"), at=AT)
        ledger.verdict("c-1", by="s", abusive=True, reason="heard it", at=AT)
        ledger.restrict(ANN, restriction(), at=AT)
        ledger.lift(ANN, by="m.durand", reason="apologised", at=AT + HOUR / 2)
        ledger.object_to_scoring(ANN, at=AT)
        ledger.restrict(BOB, restriction(), at=AT)
        for name, caller in (("c-2", ANN), ("c-3", BOB)):
            said = Override(by="m.durand", reason="r", recommended="general", queue="senior")
            ledger.log(said, call_id=name, caller=caller, at=AT)
        yield ledger


def tampered(ledger: Ledger, *statements: str, **values: Any) -> None:
    with ledger.store.write() as connection:
        for statement in statements:
            if values:
                connection.execute(text(statement), values)
            else:
                connection.exec_driver_sql(statement)


def problems(ledger: Ledger, *anchors: Anchor) -> list[str]:
    """What checking the log and the rows finds."""
    with ledger.store.scan() as connection:
        told = verify(connection, seals=[ledger.seal], anchors=anchors)
        found = list(uncovered(connection, entries(connection), ledger.seal))
    return ([f"line {told.bad_seq} {told.problem}"] if not told.sound else []) + found


def append_forged(ledger: Ledger, kind: str, body: dict[str, Any]) -> None:
    """Append a line as the library would, for somebody who has no key."""
    with ledger.store.write() as connection:
        head = head_of(connection)
        content, seq = json.dumps({"kind": kind, **body}, separators=(",", ":")), head.seq + 1
        commitment = committed("salt", None, None, content)
        digest = chained(head.digest, seq, 1, kind, commitment)
        line = "INSERT INTO decisions VALUES (:seq, 1, :kind, NULL, NULL, 'salt', :body, :commitment, :digest)"
        values = {"seq": seq, "kind": kind, "body": content, "commitment": commitment, "digest": digest}
        connection.execute(text(line), values)
        connection.execute(text("UPDATE heads SET seq = :seq, digest = :digest"), values)


def test_what_the_library_does_is_sound(ledger: Ledger) -> None:
    """A ledger that nothing else wrote to is sound, also after it forgot, pruned, purged and changed its key."""
    assert problems(ledger) == []
    ledger.forget(BOB, by="dpo", reason="asked", at=AT + DAY)
    assert problems(ledger) == []
    ledger.rotate_key(b"n" * 32, by="m.durand", at=AT + DAY)
    assert problems(ledger) == []
    ledger.purge(at=AT + 31 * DAY)
    assert problems(ledger) == []
    ledger.purge(at=AT + 500 * DAY, most_idle_days=500)
    assert problems(ledger) == []
    assert ledger.standing(ANN, at=AT + DAY).objection


def test_a_forged_forgetting_is_found(ledger: Ledger) -> None:
    """A line emptied by hand, with a forgetting forged to excuse it, is found: the head is not signed."""
    kept = Anchor(digest=_head(ledger).digest)
    tampered(ledger, "UPDATE decisions SET body = NULL, salt = NULL, call_id = NULL, subject_id = NULL WHERE seq = 3")
    append_forged(ledger, "forget", {"by": "dpo", "reason": "asked", "erased": [[3, 3]]})
    assert "not signed with this ledger's key" in problems(ledger, kept)[0]


def test_a_forged_pruning_is_found(ledger: Ledger) -> None:
    """The oldest lines dropped by hand, with a pruning forged to excuse it, are found."""
    with ledger.store.scan() as connection:
        third = list(entries(connection))[2]
    tampered(
        ledger,
        "DELETE FROM decisions WHERE seq <= 3",
        "UPDATE heads SET first_seq = 4, first_digest = :digest",
        digest=third.digest,
    )
    append_forged(ledger, "prune", {"first_seq": 4, "first_digest": third.digest, "dropped": 3})
    assert "not signed with this ledger's key" in problems(ledger)[0]


def test_a_forged_line_is_not_signed_by_the_next_one(ledger: Ledger) -> None:
    """Where the ledger writes on after a forged line, the log says that it had been altered, for good."""
    append_forged(ledger, "forget", {"by": "dpo", "reason": "asked", "erased": []})
    ledger.object_to_scoring(EVE, at=AT)
    ledger.object_to_scoring(BOB, at=AT)
    assert any("had been altered before" in problem for problem in problems(ledger))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM heads",
        "UPDATE heads SET seal = NULL",
        "UPDATE heads SET seq = 2, digest = (SELECT digest FROM decisions WHERE seq = 2)",
        "INSERT INTO decisions SELECT 99, at_us, kind, call_id, subject_id, salt, body, commitment, digest "
        "FROM decisions WHERE seq = 2",
        "DELETE FROM decisions WHERE seq > 4",
    ],
)
def test_the_ledger_writes_on_and_says_so(statement: str, ledger: Ledger) -> None:
    """Whatever is done to the log, acts are still taken and logged, and the log says that it had been altered."""
    tampered(ledger, statement)
    ledger.object_to_scoring(EVE, at=AT)
    assert ledger.standing(EVE, at=AT + HOUR).objection
    assert problems(ledger)


def test_a_whole_log_removed_is_found(ledger: Ledger) -> None:
    """A log that is removed whole, its head too, is found by its successor."""
    tampered(ledger, "DELETE FROM decisions", "DELETE FROM heads")
    ledger.object_to_scoring(EVE, at=AT)
    assert "had been altered before" in problems(ledger)[0]


def test_an_older_database_is_found_by_a_head_kept_elsewhere(ledger: Ledger) -> None:
    """A database put back as it was, signatures and all, is found by a head that was kept since, and only by that."""
    with ledger.store.scan() as connection:
        head = connection.execute(text("SELECT * FROM heads")).one()._mapping
    ledger.object_to_scoring(EVE, at=AT)
    kept = _head(ledger)
    tampered(ledger, f"DELETE FROM decisions WHERE seq > {head['seq']}", "DELETE FROM entries WHERE entry_id > 7")
    tampered(ledger, "UPDATE heads SET seq = :seq, digest = :digest, seal = :seal", **head)
    assert not any(problem.startswith("line") for problem in problems(ledger))
    assert f"line {kept.seq} or one before" in problems(ledger, Anchor(digest=kept.digest, seq=kept.seq))[0]


def test_a_head_from_before_a_pruning_says_nothing(ledger: Ledger) -> None:
    """A head whose line was pruned by right since is no fault."""
    kept = _head(ledger)
    ledger.purge(at=AT + 500 * DAY, most_idle_days=500)
    assert problems(ledger, Anchor(digest=kept.digest, seq=kept.seq)) == []


def test_another_key_is_not_this_one(ledger: Ledger) -> None:
    """A log that is whole but signed with another key is found."""
    with ledger.store.scan() as connection:
        assert not verify(connection, seals=[Seal(b"x" * 32)]).sound
        assert verify(connection).signed is None


# rows


def forged_restriction(ledger: Ledger, caller: str) -> None:
    """A restriction until 2036, in a person's name, by SQL."""
    body = json.dumps(
        {
            "kind": "block",
            "decided_by": "m.durand",
            "reason": "r",
            "until": "2036-01-01T00:00:00Z",
            "review_at": "2036-01-01T00:00:00Z",
            "restriction_id": "f" * 32,
        }
    )
    pseudonym = ledger._access.identity.pseudonym(caller)
    tampered(
        ledger,
        "INSERT INTO entries (kind, subject_id, at_us, recorded_at_us, marked, body, seal) SELECT 'restriction', "
        "subject_id, 0, 0, :no, :body, (SELECT max(seal) FROM entries) FROM subjects WHERE pseudonym = :pseudonym",
        no=False,
        body=body,
        pseudonym=pseudonym,
    )


def test_a_restriction_by_sql_is_not_applied(ledger: Ledger) -> None:
    """A restriction that nobody decided restricts nobody, waits for no review, and the standing says what was found."""
    forged_restriction(ledger, ANN)
    told = ledger.standing(ANN, at=AT + HOUR)
    assert (told.state, told.restriction, told.known) == (StandingState.WATCH, None, True)
    assert "left out what this library did not write" in (told.problem or "")
    assert ledger.standing(ANN, at=datetime(2030, 1, 1, tzinfo=UTC)).state is StandingState.CLEAR
    assert all(review.restriction_id != "f" * 32 for review in ledger.reviews(at=datetime(2036, 1, 2, tzinfo=UTC)))
    with pytest.raises(LedgerError, match="not restricted now"):
        ledger.lift(ANN, by="m.durand", reason="r", at=AT + HOUR)
    assert any("added or altered by something else" in problem for problem in problems(ledger))


ROWS: dict[str, tuple[str, Callable[[Ledger], bool]]] = {
    "a verdict turned": (
        "UPDATE entries SET body = replace(body, 'true', 'false') WHERE kind = 'verdict'",
        lambda ledger: ledger.standing(ANN, at=AT + HOUR).abusive_contacts == 1,
    ),
    "a contact given to another caller": (
        "UPDATE entries SET subject_id = (SELECT max(subject_id) FROM entries WHERE subject_id <> "
        "(SELECT subject_id FROM entries WHERE kind = 'contact')) WHERE kind = 'contact'",
        lambda ledger: ledger.standing(BOB, at=AT + HOUR).abusive_contacts == 0,
    ),
    "a restriction made longer": (
        "UPDATE entries SET expires_at_us = 4102444800000000 WHERE kind = 'restriction'",
        lambda ledger: ledger.standing(BOB, at=AT + HOUR).restriction is None,
    ),
    "a lift undone": (
        "DELETE FROM entries WHERE kind = 'lift'",
        lambda ledger: True,
    ),
    "an objection deleted": (
        "DELETE FROM entries WHERE kind = 'objection'",
        lambda ledger: True,
    ),
    "an objection turned": (
        "UPDATE entries SET body = replace(body, 'true', 'false') WHERE kind = 'objection'",
        lambda ledger: ledger.standing(ANN, at=AT + HOUR).objection,
    ),
    "a verdict deleted": ("DELETE FROM entries WHERE kind = 'verdict'", lambda ledger: True),
    "a mark removed": ("UPDATE entries SET marked = (1 = 0)", lambda ledger: True),
}


@pytest.mark.parametrize("name", ROWS)
def test_an_altered_row_counts_for_nothing_and_is_found(name: str, ledger: Ledger) -> None:
    """A row that something else changed, moved or removed changes no standing for the worse, and is found."""
    statement, holds = ROWS[name]
    tampered(ledger, statement)
    assert holds(ledger)
    assert problems(ledger)


def test_swapped_pseudonyms_restrict_nobody(ledger: Ledger) -> None:
    """Two callers whose pseudonyms change places do not change their standings with them."""
    pseudonyms = {each: ledger._access.identity.pseudonym(each) for each in (ANN, BOB)}
    swap = "UPDATE subjects SET pseudonym = :new WHERE pseudonym = :old"
    for old, new in ((ANN, "x"), (BOB, pseudonyms[ANN]), ("x", pseudonyms[BOB])):
        tampered(ledger, swap, old=pseudonyms.get(old, old), new=new)
    told = ledger.standing(ANN, at=AT + HOUR)
    assert (told.restriction, told.objection) == (None, True)
    assert "pseudonym" in (told.problem or "")
    assert ledger.standing(BOB, at=AT + HOUR).restriction is None
    assert any("pseudonym" in problem for problem in problems(ledger))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = 'not json'",
        "UPDATE entries SET body = '{}'",
        "UPDATE entries SET body = ''",
        "UPDATE entries SET kind = 'sabotage'",
        "UPDATE entries SET at_us = 9223372036854775807",
        'UPDATE entries SET body = \'{"peak":2,"escalated_s":null,"drivers":[]}\' WHERE kind = \'evidence\'',
    ],
)
def test_no_row_stops_a_call(statement: str, ledger: Ledger) -> None:
    """Whatever rows hold, a standing and candidates are given and say why; reviews, audits and acts go on."""
    tampered(ledger, statement)
    told = ledger.standing(ANN, at=AT + HOUR)
    assert told.problem is not None
    assert told.objection
    candidates = ledger.eligible(["a-1", "a-2"], caller=ANN, at=AT + HOUR)
    assert set(candidates.agents) <= {"a-1", "a-2"}
    assert candidates.agents
    assert "left out" in candidates.reason
    ledger.exposure("a-1", at=AT + HOUR)
    ledger.reviews(at=AT + HOUR)
    ledger.audit()
    ledger.export(ANN, at=AT + HOUR)
    ledger.record(contact("c-9", EVE), at=AT)
    ledger.purge(at=AT + DAY)
    ledger.rotate_key(b"n" * 32, by="d", at=AT + DAY)
    assert ledger.standing(ANN, at=AT + HOUR).problem is not None
    assert problems(ledger)


@pytest.mark.parametrize(
    "value", ["x'ff00ff'", "cast(x'c328' AS TEXT)", "17", "1e308"], ids=["blob", "not UTF-8", "integer", "float"]
)
def test_no_type_of_sqlites_stops_a_call(value: str, tmp_path: Any) -> None:
    """SQLite keeps anything in any column: bytes, numbers and texts that are none stop no call."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", policy=POLICY, key=KEY) as ledger:
        ledger.record(contact("c-1"), at=AT)
        tampered(ledger, f"UPDATE entries SET body = {value}", f"UPDATE decisions SET body = {value}, salt = {value}")
        assert ledger.standing(ANN, at=AT + HOUR).problem is not None
        assert ledger.eligible(["a-1"], caller=ANN, at=AT + HOUR).agents == ("a-1",)
        ledger.export(ANN)
        assert len(problems(ledger)) >= 3


def test_a_fingerprint_removed_is_no_new_ledger(ledger: Ledger, ledger_url: str) -> None:
    """A ledger whose key's fingerprint is removed is refused, rather than signed as it is found."""
    tampered(ledger, "UPDATE meta SET value = '' WHERE key = 'fingerprint'")
    with pytest.raises(LedgerError, match="no fingerprint"):
        Ledger.open(ledger_url, policy=POLICY, key=KEY)
    assert not ledger.standing(ANN, at=AT).known


def _head(ledger: Ledger) -> Any:
    with ledger.store.scan() as connection:
        return head_of(connection)
