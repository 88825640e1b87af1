"""The decision log: what was written cannot be changed unnoticed, and a caller can still be forgotten."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from emotion_triage.ledger.audit_log import append, begin, chained, committed, erase, prune
from emotion_triage.ledger.log_events import Escalated, Judged, Override, Routed, without_numbers
from emotion_triage.ledger.seals import Seal
from emotion_triage.ledger.store import Store
from emotion_triage.ledger.verification import Verification, entries, lines, verify, verify_lines
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR

SEAL = Seal(b"s" * 32)
ANNA, BERT = "a" * 32, "b" * 32


def routed(call_id: str) -> Routed:
    route = Policy.load().router.route(
        call_id=call_id, time_s=1.5, level=Level.TENSE, standing=CLEAR, model_digest="m" * 64, policy_digest="p" * 16
    )
    return Routed.of(route)


def fill(connection: Connection, n: int = 6) -> None:
    """Entry i is of call i; the even ones are Bert's, the odd ones Anna's."""
    for i in range(1, n + 1):
        append(
            connection,
            SEAL,
            routed(f"call-{i}"),
            at_us=1000 * i,
            call_id=f"call-{i}",
            subject_id=ANNA if i % 2 else BERT,
        )


def checked(store: Store, head: str | None = None) -> Verification:
    with store.read() as connection:
        return verify(connection, head=head, seals=[SEAL])


def tamper(store: Store, *statements: str) -> Verification:
    """Do what an intruder would, then check."""
    with store.write() as connection:
        for statement in statements:
            connection.execute(text(statement))
    return checked(store)


@pytest.fixture
def store(ledger_url: str) -> Iterator[Store]:
    store = Store(ledger_url)
    with store.write() as connection:
        begin(connection, SEAL)
    yield store
    store.close()


@pytest.fixture
def filled(store: Store) -> Store:
    with store.write() as connection:
        fill(connection)
    return store


def test_an_empty_log_is_sound(store: Store) -> None:
    """A log in which nothing was ever written is sound, and says so."""
    verification = checked(store)
    assert verification.sound
    assert (verification.entries, verification.last_seq) == (0, 0)


def test_a_log_as_written_is_sound(filled: Store) -> None:
    """A log as it was written is sound, and its head is the digest of its last line."""
    verification = checked(filled)
    assert verification.sound
    assert (verification.entries, verification.erased, verification.first_seq, verification.last_seq) == (6, 0, 1, 6)
    with filled.read() as connection:
        assert list(entries(connection))[-1].digest == verification.head


def test_what_was_told_can_be_read_again(store: Store) -> None:
    """An entry gives back the decision as it was: the level, the drivers, the digests."""
    change = Escalation(time_s=9.0, level=Level.ESCALATED, previous=Level.TENSE, score=0.7, held_s=2.0, cause="rise")
    with store.write() as connection:
        append(connection, SEAL, Escalated.of(change, model_digest=None, policy_digest="p"), at_us=5, call_id="call-1")
    with store.read() as connection:
        (entry,) = entries(connection)
    assert (entry.kind, entry.call_id, entry.at_us) == ("escalation", "call-1", 5)
    assert json.loads(entry.body or "")["level"] == 2


EMPTY = "UPDATE decisions SET body = NULL, salt = NULL, call_id = NULL, subject_id = NULL WHERE seq = "
ALTERATIONS = {
    "body": ("UPDATE decisions SET body = replace(body, 'general', 'senior') WHERE seq = 3", 3, "says something else"),
    "call": ("UPDATE decisions SET call_id = 'call-9' WHERE seq = 3", 3, "says something else"),
    "caller": (f"UPDATE decisions SET subject_id = '{BERT}' WHERE seq = 3", 3, "says something else"),
    "time": ("UPDATE decisions SET at_us = 3001 WHERE seq = 3", 3, "does not follow"),
    "kind": ("UPDATE decisions SET kind = 'override' WHERE seq = 3", 3, "does not follow"),
    "commitment": ("UPDATE decisions SET commitment = digest WHERE seq = 3", 3, "does not follow"),
    "digest": ("UPDATE decisions SET digest = commitment WHERE seq = 3", 3, "does not follow"),
    "first line": ("UPDATE decisions SET at_us = 0 WHERE seq = 1", 1, "does not follow"),
    "salt": ("UPDATE decisions SET salt = upper(salt) WHERE seq = 3", 3, "says something else"),
    "no salt at all": ("UPDATE decisions SET salt = 'none' WHERE seq = 3", 3, "says something else"),
    "missing": ("DELETE FROM decisions WHERE seq = 3", 3, "missing"),
    "first missing": ("DELETE FROM decisions WHERE seq = 1", 1, "missing"),
    "cut": ("DELETE FROM decisions WHERE seq > 4", 5, "cut"),
    "all gone": ("DELETE FROM decisions", 1, "cut"),
    "no head": ("DELETE FROM heads", 1, "beyond"),
    "head moved back": ("UPDATE heads SET seq = 5", 5, "not signed"),
    "head replaced": ("UPDATE heads SET digest = first_digest", 6, "head"),
    "half emptied": ("UPDATE decisions SET body = NULL WHERE seq = 3", 3, "no forgetting"),
    "emptied": (
        "UPDATE decisions SET body = NULL, salt = NULL, call_id = NULL, subject_id = NULL WHERE seq = 3",
        3,
        "forg",
    ),
    "added": (
        "INSERT INTO decisions SELECT 7, at_us, kind, call_id, subject_id, salt, body, commitment, digest "
        "FROM decisions WHERE seq = 6",
        7,
        "does not follow",
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_one_alteration_is_found(name: str, filled: Store) -> None:
    """Whatever is done to one line or to the head, the first bad line is named and what is wrong is told."""
    statement, seq, problem = ALTERATIONS[name]
    verification = tamper(filled, statement)
    assert verification.bad_seq == seq
    assert problem in (verification.problem or "")


def test_an_excuse_that_says_nothing_is_found(filled: Store) -> None:
    """An entry that is called a forgetting, chained as it should be, but says something else, is found."""
    head, content = checked(filled).head, "{}"
    commitment = committed("salt", None, None, content)
    forged = {"m": commitment, "d": chained(head, 7, 7000, "forget", commitment), "b": content}
    with filled.write() as connection:
        line = "INSERT INTO decisions VALUES (7, 7000, 'forget', NULL, NULL, 'salt', :b, :m, :d)"
        connection.execute(text(line), forged)
        connection.execute(text("UPDATE heads SET seq = 7, digest = :d"), {"d": forged["d"]})
    verification = checked(filled)
    assert verification.bad_seq == 7
    assert "is no forget" in (verification.problem or "")


def test_two_lines_swapped_are_found(filled: Store) -> None:
    """Two lines that change places are found at the first of the two."""
    verification = tamper(
        filled,
        "UPDATE decisions SET seq = 100 WHERE seq = 3",
        "UPDATE decisions SET seq = 3 WHERE seq = 4",
        "UPDATE decisions SET seq = 4 WHERE seq = 100",
    )
    assert verification.bad_seq == 3


def test_a_beginning_cut_off_by_hand_is_found(filled: Store) -> None:
    """Dropping the oldest lines and moving the beginning, as pruning does, is found where no entry tells of it."""
    verification = tamper(
        filled,
        "UPDATE heads SET first_seq = 4, first_digest = (SELECT digest FROM decisions WHERE seq = 3)",
        "DELETE FROM decisions WHERE seq < 4",
    )
    assert verification.bad_seq == 1
    assert "nothing says why" in (verification.problem or "")


def test_a_log_written_anew_is_found_by_a_digest_kept_elsewhere(filled: Store) -> None:
    """Who rewrites the whole chain is found by a digest that was kept outside, and only by that."""
    kept = checked(filled).head
    assert checked(filled, head=kept).sound
    tamper(filled, "DELETE FROM decisions", "DELETE FROM heads")
    with filled.write() as connection:
        fill(connection, 7)
    assert "had been altered" in (checked(filled).problem or "")
    assert checked(filled, head=kept).bad_seq == 1


def test_a_digest_kept_elsewhere_may_be_old(filled: Store) -> None:
    """A log that has grown since its digest was kept still holds it."""
    kept = checked(filled).head
    with filled.write() as connection:
        fill(connection, 2)
    assert checked(filled, head=kept).sound


# forgetting and retention


def test_a_forgotten_caller_leaves_a_sound_log(filled: Store) -> None:
    """Forgetting empties every line of the caller and of his calls, names them, and the chain still verifies."""
    with filled.write() as connection:
        append(connection, SEAL, routed("call-7"), at_us=7000, call_id="call-7")
        append(connection, SEAL, routed("call-8"), at_us=8000, call_id="call-8")
        assert erase(connection, SEAL, ANNA, at_us=9000, by="m.durand", reason="asked", call_ids=["call-7"]) == 4
    verification = checked(filled)
    assert verification.sound
    assert (verification.entries, verification.erased) == (9, 4)
    with filled.read() as connection:
        told = "\n".join(lines(connection))
    assert ANNA not in told
    assert "call-7" not in told
    assert BERT in told
    assert "[[1,1],[3,3],[5,5],[7,7]]" in told


def test_an_erasure_undone_is_found(filled: Store) -> None:
    """A line that a forgetting lists and that is full again is found."""
    with filled.read() as connection:
        before = next(iter(entries(connection)))
    with filled.write() as connection:
        erase(connection, SEAL, ANNA, at_us=9000, by="m.durand", reason="asked")
    with filled.write() as connection:
        again = text("UPDATE decisions SET body = :b, salt = :s, call_id = :c, subject_id = :w WHERE seq = 1")
        connection.execute(again, {"b": before.body, "s": before.salt, "c": before.call_id, "w": before.subject_id})
    verification = checked(filled)
    assert verification.bad_seq == 1
    assert "is not" in (verification.problem or "")


def test_an_erasure_beyond_the_one_decided_is_found(filled: Store) -> None:
    """Beside a legitimate forgetting, emptying one more line is found and named."""
    with filled.write() as connection:
        erase(connection, SEAL, ANNA, at_us=9000, by="m.durand", reason="asked")
    verification = tamper(filled, f"{EMPTY} 4")
    assert verification.bad_seq == 4


def test_a_forgetting_cannot_itself_be_forgotten(filled: Store) -> None:
    """Emptying the entry that excuses erasures is found."""
    with filled.write() as connection:
        erase(connection, SEAL, ANNA, at_us=9000, by="m.durand", reason="asked")
    verification = tamper(filled, f"{EMPTY} 7")
    assert verification.bad_seq == 7


def test_pruning_drops_the_oldest_and_no_others(filled: Store) -> None:
    """Retention drops the lines before a date, the log says where it begins since, and verifies."""
    with filled.write() as connection:
        assert prune(connection, SEAL, 4000, at_us=9000) == 3
        assert prune(connection, SEAL, 4000, at_us=9500) == 0
    verification = checked(filled)
    assert verification.sound
    assert (verification.first_seq, verification.last_seq, verification.entries) == (4, 7, 4)


def test_pruning_stops_at_the_first_line_that_stays(store: Store) -> None:
    """An old line behind a younger one stays: only the beginning of a chain can go."""
    with store.write() as connection:
        for at_us in (1, 5, 2):
            append(connection, SEAL, routed("call"), at_us=at_us)
        assert prune(connection, SEAL, 3, at_us=9) == 1
    assert checked(store).sound


def test_pruning_everything_leaves_the_word_of_it(filled: Store) -> None:
    """Where every line is past its time, the entry that says so is what remains."""
    with filled.write() as connection:
        assert prune(connection, SEAL, 10_000, at_us=20_000) == 6
    verification = checked(filled)
    assert verification.sound
    assert (verification.entries, verification.first_seq) == (1, 7)
    with filled.write() as connection:
        fill(connection, 2)
    assert checked(filled).sound


def test_forgetting_goes_with_pruning(filled: Store) -> None:
    """A log that was emptied in parts, pruned and emptied again still verifies."""
    with filled.write() as connection:
        erase(connection, SEAL, ANNA, at_us=7000, by="m.durand", reason="asked")
        prune(connection, SEAL, 3000, at_us=8000)
        erase(connection, SEAL, BERT, at_us=9000, by="m.durand", reason="asked")
        fill(connection, 2)
    verification = checked(filled)
    assert verification.sound, verification.problem
    assert verification.first_seq == 3


def test_a_transaction_that_fails_leaves_no_line(filled: Store) -> None:
    """What is appended in a transaction that is given up is not in the log."""

    def fail() -> None:
        with filled.write() as connection:
            fill(connection, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    verification = checked(filled)
    assert (verification.sound, verification.entries) == (True, 6)


# exported logs


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('log')}/ledger.db")
    with store.write() as connection:
        begin(connection, SEAL)
        fill(connection, 8)
        append(
            connection,
            SEAL,
            Override(by="m.durand", reason="knows +33 6 12 34 56 78", recommended="senior", queue=None),
            at_us=1,
        )
        append(
            connection,
            SEAL,
            Judged(contact_id="c-1", verdict="abusive", by="m.durand", reason=""),
            at_us=2,
            subject_id=BERT,
        )
        erase(connection, SEAL, ANNA, at_us=9000, by="m.durand", reason="asked")
    with store.read() as connection:
        told = list(lines(connection))
    store.close()
    return told


def written(path: Path, told: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in told))
    return path


def test_an_export_verifies(exported: list[str], tmp_path: Path) -> None:
    """An exported log is checked as the database's is."""
    verification = verify_lines(written(tmp_path / "log.jsonl", exported))
    assert (verification.sound, verification.entries, verification.erased) == (True, 11, 4)
    assert "knows [number]" in "".join(exported)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), act=st.sampled_from(["drop", "swap", "repeat", "flip", "cut"]))
def test_any_change_to_an_export_is_found(
    seed: int, act: str, exported: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any entry dropped, moved, repeated or cut, and any character of it replaced, is found, at or before its line."""
    chance = random.Random(seed)
    told = list(exported)
    at = chance.randrange(1, len(told))
    if act == "drop":
        del told[at]
    elif act == "swap":
        other = chance.choice([i for i in range(1, len(told)) if i != at])
        told[at], told[other] = told[other], told[at]
        at = min(at, other)
    elif act == "repeat":
        told.insert(at + 1, told[at])
    elif act == "cut":
        told = told[:at]
    else:
        line = told[at]
        digits = [i for i, character in enumerate(line) if character.isdigit()]
        i = chance.choice(digits)
        told[at] = line[:i] + str((int(line[i]) + 1) % 10) + line[i + 1 :]
    verification = verify_lines(written(tmp_path_factory.mktemp("log") / "log.jsonl", told))
    assert not verification.sound
    assert verification.bad_seq is not None
    if act != "flip":
        assert verification.bad_seq in (at, at + 1)


def test_a_line_cut_in_half_is_found(exported: list[str], tmp_path: Path) -> None:
    """A line that a stopped copy has cut is named by its number in the file."""
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([*exported[:4], exported[4][:60]]))
    verification = verify_lines(path)
    assert verification.bad_seq == 4
    assert "line 5" in (verification.problem or "")


@pytest.mark.parametrize("content", ["", "{}\n", "no log\n"])
def test_what_is_no_export_is_refused(content: str, tmp_path: Path) -> None:
    """A file that does not begin with a log's head is refused with what was expected."""
    from emotion_triage.errors import LedgerError

    path = tmp_path / "other.jsonl"
    path.write_text(content)
    with pytest.raises(LedgerError, match="log export"):
        verify_lines(path)


@pytest.mark.parametrize("number", ["+33612345678", "06 12 34 56 78", "(555) 123-4567", "0033-6-12-34-56-78"])
def test_numbers_in_what_people_write_are_left_out(number: str) -> None:
    """Whoever writes a number into a reason finds it replaced, and the rest as it was."""
    assert without_numbers(f"shouted, {number} again") == "shouted, [number] again"


@pytest.mark.parametrize("told", ["on 3 May 2026", "3 times in 20 minutes", "desk 12, floor 3", "2026-05-03"])
def test_other_digits_stay(told: str) -> None:
    """Dates and counts are no numbers of callers."""
    assert without_numbers(told) == told
