"""What the ledger refuses, and what it makes of clocks: time zones, endless numbers, years ahead, forgotten calls."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from sqlalchemy import text

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.log_events import Decision, Judged, Override
from emotion_triage.ledger.verification import entries, verify
from emotion_triage.routing.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy

KEY = b"k" * 32
ANN, BOB = "+33123456789", "+33198765432"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAIVE = datetime(2026, 3, 2, 9)
DAY = timedelta(days=1)
PARIS = ZoneInfo("Europe/Paris")
POLICY = Policy.load()


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, policy=POLICY, key=KEY) as ledger:
        yield ledger


def contact(contact_id: str = "c-1", **other: Any) -> Contact:
    told = {"caller": ANN, "agent_id": "a-1", "started_at": AT, "duration_s": 60.0, "disposition": Disposition.ABUSE}
    return Contact(contact_id=contact_id, **told | other)


def said(queue: str = "senior") -> Override:
    return Override(by="m.durand", reason="knows them", recommended="general", queue=queue)


# clocks


@pytest.mark.parametrize(
    ("started_at", "ended_at"),
    [
        (datetime(2026, 10, 25, 2, 50, tzinfo=PARIS), datetime(2026, 10, 25, 1, 20, tzinfo=UTC)),
        (datetime(2026, 10, 25, 2, 50, fold=1, tzinfo=PARIS), datetime(2026, 10, 25, 2, 20, tzinfo=UTC)),
        (datetime(2026, 3, 29, 1, 50, tzinfo=PARIS), datetime(2026, 3, 29, 1, 20, tzinfo=UTC)),
        (
            datetime(2026, 10, 4, 1, 50, tzinfo=ZoneInfo("Australia/Lord_Howe")),
            datetime(2026, 10, 3, 15, 50, tzinfo=UTC),
        ),
    ],
)
def test_a_contact_ends_by_the_clock_that_never_jumps(started_at: datetime, ended_at: datetime, ledger: Ledger) -> None:
    """Half an hour lasts half an hour, also in a night in which the clock is set; the agent rests from its end."""
    assert contact(started_at=started_at, duration_s=1800.0).ended_at == ended_at
    ledger.record(contact(started_at=started_at, duration_s=1800.0), at=ended_at)
    ledger.record(contact(started_at=started_at, duration_s=1800.0), at=ended_at)
    assert ledger.exposure("a-1", at=ended_at).after_call_work_s == POLICY.protection.after_call_work_s
    assert ledger.standing(ANN, at=ended_at).abusive_contacts == 1


NAIVE_ACTS: dict[str, Callable[[Ledger], object]] = {
    "started_at": lambda ledger: ledger.record(contact(started_at=NAIVE)),
    "record": lambda ledger: ledger.record(contact(), at=NAIVE),
    "standing": lambda ledger: ledger.standing(ANN, at=NAIVE),
    "eligible": lambda ledger: ledger.eligible(["a-1"], caller=ANN, at=NAIVE),
    "exposure": lambda ledger: ledger.exposure("a-1", at=NAIVE),
    "reviews": lambda ledger: ledger.reviews(at=NAIVE),
    "export": lambda ledger: ledger.export(ANN, at=NAIVE),
    "verdict": lambda ledger: ledger.verdict("c-1", by="s", abusive=True, reason="r", at=NAIVE),
    "until": lambda ledger: ledger.restrict(
        ANN, Restriction(kind=RestrictionKind.BLOCK, decided_by="d", reason="r", until=NAIVE, review_at=AT)
    ),
    "review_at": lambda ledger: ledger.restrict(
        ANN,
        Restriction(kind=RestrictionKind.BLOCK, decided_by="d", reason="r", until=AT + 30 * DAY, review_at=NAIVE),
        at=AT,
    ),
    "log": lambda ledger: ledger.log(said(), call_id="c-1", at=NAIVE),
    "log_all": lambda ledger: ledger.log_all([Decision(at=NAIVE, call_id="c-1", caller=None, body=said())]),
    "purge": lambda ledger: ledger.purge(at=NAIVE),
    "forget": lambda ledger: ledger.forget(ANN, by="d", reason="r", at=NAIVE),
    "a date": lambda ledger: ledger.standing(ANN, at=AT.date()),  # type: ignore[arg-type]
    "a text": lambda ledger: ledger.record(contact(started_at=AT.isoformat())),
}


@pytest.mark.parametrize("act", NAIVE_ACTS)
def test_a_moment_without_a_time_zone_is_refused(act: str, ledger: Ledger) -> None:
    """No moment is taken without its time zone, anywhere, and the message shows how to get one."""
    with pytest.raises(LedgerError, match=r"expected .*datetime\.now\(timezone\.utc\)"):
        NAIVE_ACTS[act](ledger)


# numbers


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("field", ["duration_s", "escalated_s"])
def test_a_length_of_time_is_finite(field: str, value: float, ledger: Ledger) -> None:
    """A contact whose lengths of time are not finite is refused, and nothing of it is kept."""
    with pytest.raises(LedgerError, match=f"{field}: got .*expected a finite number"):
        ledger.record(contact(peak=Level.ESCALATED, **{field: value}), at=AT)
    ledger.record(contact(peak=Level.ESCALATED, escalated_s=20.0), at=AT)
    assert ledger.standing(ANN, at=AT + DAY).problem is None


@pytest.mark.parametrize(
    "act",
    [
        lambda ledger: ledger.outcome("c-1", survey=math.nan),
        lambda ledger: ledger.outcome("c-1", survey=math.inf),
        lambda ledger: ledger.keep_windows("c-1", [[3.0, 2.5, 0.0, math.inf, 0.5]], model_digest="m"),
        lambda ledger: ledger.keep_windows("c-1", [[3.0, 2.5, 0.0, 1e300, 0.5]], model_digest="m"),
        lambda ledger: ledger.record(contact("c-2", duration_s=1e300)),
        lambda ledger: ledger.record(contact("c-2", duration_s=-1.0)),
        lambda ledger: ledger.record(contact("c-2", duration_s="60")),
        lambda ledger: ledger.record(contact("c-2", started_at=datetime.max.replace(tzinfo=UTC))),
        lambda ledger: ledger.log(_escalation(math.nan), call_id="c-1"),
        lambda ledger: ledger.log(_escalation(math.inf), call_id="c-1"),
    ],
)
def test_no_number_is_kept_that_cannot_be_read_again(act: Callable[[Ledger], object], ledger: Ledger) -> None:
    """NaN, infinities and lengths beyond any calendar are refused everywhere, and leave nothing behind."""
    with pytest.raises(LedgerError):
        act(ledger)
    with ledger.store.scan() as connection:
        assert list(entries(connection)) == []


def _escalation(score: float) -> Escalation:
    return Escalation(time_s=9.0, level=Level.ESCALATED, previous=Level.TENSE, score=score, held_s=2.0, cause="rise")


# calls' names


@pytest.mark.parametrize("name", [None, "", "  ", 17, "a\nb"])
@pytest.mark.parametrize(
    "act",
    [
        lambda ledger, name: ledger.log(said(), call_id=name),
        lambda ledger, name: ledger.verdict(name, by="s", abusive=True, reason="r"),
        lambda ledger, name: ledger.void(name, by="s", reason="r"),
        lambda ledger, name: ledger.outcome(name, survey=1.0),
        lambda ledger, name: ledger.keep_windows(name, [[0.0] * 5]),
        lambda ledger, name: ledger.record(contact(name)),
        lambda ledger, name: ledger.log_all([Decision(at=AT, call_id=name, caller=None, body=said())]),
    ],
)
def test_a_call_has_a_name(act: Callable[[Ledger, Any], object], name: object, ledger: Ledger) -> None:
    """A call or contact without a name is refused, whatever is done with it."""
    with pytest.raises(LedgerError, match="expected"):
        act(ledger, name)


@pytest.mark.parametrize("name", ["call-+33612345678", "PJSIP/trunk-0612345678", "06 12 34 56 78"])
def test_no_number_in_a_name_reaches_the_ledger(name: str, ledger: Ledger) -> None:
    """Contact, verdict and log go by one alias, however the engine names the call, and no digits of it are kept."""
    ledger.log(said(), call_id=name, caller=ANN, at=AT)
    ledger.record(contact(name), at=AT)
    ledger.verdict(name, by="s", abusive=False, reason="r", at=AT)
    assert ledger.standing(ANN, at=AT + DAY).abusive_contacts == 0
    tables = ("entries", "decisions", "subjects")
    with ledger.store.scan() as connection:
        rows = [str(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]
    assert not [row for row in rows if "612345678" in row or "12 34 56" in row]
    assert [row for row in rows if "number~" in row]


# forgetting


def test_forgetting_finds_what_was_logged_before_anything_was_kept(ledger: Ledger) -> None:
    """Lines logged with a caller of whom nothing was kept go when the caller is forgotten, and others' stay."""
    ledger.log(said("annabel"), call_id="c-1", caller=ANN, at=AT)
    ledger.log(said("annabel again"), call_id="c-1", at=AT)
    ledger.log_all([Decision(at=AT, call_id="c-2", caller="01 23 45 67 89", body=said("annabel too"))])
    ledger.log(said("bob"), call_id="c-3", caller=BOB, at=AT)
    ledger.verdict("c-2", by="s", abusive=True, reason="annabel shouts", at=AT)
    ledger.forget(ANN, by="dpo", reason="asked", at=AT)
    with ledger.store.scan() as connection:
        told = [str(line.body) for line in entries(connection)]
        kept = [str(row) for row in connection.execute(text("SELECT * FROM entries"))]
        assert verify(connection, seals=[ledger.seal]).sound
    assert not [each for each in told + kept if "annabel" in each]
    assert [each for each in told if "bob" in each]
    assert ledger.export(ANN, at=AT).kept == ()


def test_a_caller_is_known_as_long_as_the_log_tells_of_them(ledger: Ledger) -> None:
    """A purge leaves the pseudonym of a caller of whom the log alone tells, and takes it with the last line."""
    ledger.log(said("annabel"), call_id="c-1", caller=ANN, at=AT)
    ledger.purge(at=AT + 30 * DAY)
    assert [each.kind for each in ledger.export(ANN, at=AT).kept] == ["decision"]
    ledger.purge(at=AT + 400 * DAY, most_idle_days=400)
    with ledger.store.scan() as connection:
        assert connection.execute(text("SELECT count(*) FROM subjects")).scalar_one() == 0


# retention


def test_a_line_from_the_future_stops_no_pruning(ledger: Ledger) -> None:
    """A line dated years ahead goes with the lines around it, and takes none along that must stay."""
    for at, name in ((AT, "c-1"), (AT + 3650 * DAY, "c-2"), (AT + DAY, "c-3"), (AT + 390 * DAY, "c-4")):
        ledger.log(said(), call_id=name, at=at)
    ledger.purge(at=AT + 400 * DAY, most_idle_days=400)
    with ledger.store.scan() as connection:
        assert next(line.call_id for line in entries(connection)) == "c-4"
        assert verify(connection, seals=[ledger.seal]).sound


def test_a_line_from_the_future_before_one_that_stays_is_kept(ledger: Ledger) -> None:
    """A line dated ahead with no old line behind it may be of today: it stays."""
    for at, name in ((AT, "c-1"), (AT + 3650 * DAY, "c-2"), (AT + 390 * DAY, "c-3")):
        ledger.log(said(), call_id=name, at=at)
    ledger.purge(at=AT + 400 * DAY, most_idle_days=400)
    with ledger.store.scan() as connection:
        assert next(line.call_id for line in entries(connection)) == "c-2"


def test_a_purge_far_ahead_asks_first(ledger: Ledger) -> None:
    """A purge by a clock that is years ahead removes nothing, and says how to go on where it is right."""
    ledger.record(contact(), at=AT)
    ledger.object_to_scoring(ANN, at=AT)
    for days in (200, 400, 3650):
        with pytest.raises(LedgerError, match=r"set the clock, or purge with most_idle_days=\d+"):
            ledger.purge(at=AT + days * DAY)
    assert ledger.standing(ANN, at=AT + DAY).abusive_contacts == 1
    with ledger.store.scan() as connection:
        assert verify(connection, seals=[ledger.seal]).last_seq == 2
    ledger.purge(at=AT + 3650 * DAY, most_idle_days=3650)
    assert ledger.standing(ANN, at=AT + DAY).abusive_contacts == 0
    assert ledger.standing(ANN, at=AT + DAY).objection


def test_an_empty_ledger_is_purged(ledger: Ledger) -> None:
    """Where nothing was ever written there is nothing to ask about."""
    ledger.purge(at=AT)


# a caller's copy


def a_life(ledger: Ledger) -> None:
    ledger.record(contact("c-1", agent_id="nadia"), at=AT)
    ledger.record(contact("c-2", agent_id="tom", disposition=Disposition.OK), at=AT)
    ledger.verdict("c-1", by="m.durand", abusive=True, reason="shouted at nadia, says tom", at=AT)
    until = AT + 30 * DAY
    decided = Restriction(
        kind=RestrictionKind.BLOCK, decided_by="m.durand", reason="nadia was threatened", until=until, review_at=until
    )
    ledger.restrict(ANN, decided, at=AT)
    ledger.appeal(ANN, by="clerk", text="says that nadia began", at=AT)
    ledger.log(Judged(contact_id="c-1", verdict="abusive", by="nadia", reason="x"), call_id="c-1", caller=ANN, at=AT)  # type: ignore[arg-type]


def test_a_copy_names_nobody_who_was_abused(ledger: Ledger) -> None:
    """What a caller may read of themselves has aliases for agents and supervisors, one each, in fields and in words."""
    a_life(ledger)
    copy = ledger.export(ANN, at=AT + DAY)
    written = msgspec.json.encode(copy).decode()
    assert not [name for name in ("nadia", "tom", "durand", "clerk") if name in written]
    assert copy.standing.avoid_agents == ("staff-1",)
    assert [each.agent_id for each in copy.kept if each.kind == "contact" and each.contact_id == "c-1"] == ["staff-1"]
    verdict = json.loads(bytes(next(each.body for each in copy.kept if each.kind == "verdict")))
    (tom,) = (each.agent_id for each in copy.kept if each.kind == "contact" and each.contact_id == "c-2")
    assert tom != "staff-1"
    assert verdict["reason"] == f"shouted at staff-1, says {tom}"


def test_a_copy_names_them_where_the_policy_says_so(ledger_url: str) -> None:
    """With `protection.export_names = "names"` a copy names whoever acted."""
    policy = Policy.parse('[protection]\nexport_names = "names"')
    with Ledger.open(ledger_url, policy=policy, key=KEY) as ledger:
        a_life(ledger)
        written = msgspec.json.encode(ledger.export(ANN, at=AT + DAY)).decode()
    assert all(name in written for name in ("nadia", "tom", "m.durand", "clerk"))


def test_a_caller_who_cannot_be_read_ends_no_call(ledger: Ledger) -> None:
    """A call goes on with a caller who cannot be read: clear, with the reason, and not scored in case they objected."""
    told = ledger.standing("bob 0612345678", at=AT)
    assert (told.state.value, told.known, told.objection) == ("clear", False, True)
    assert "cannot be read" in (told.problem or "")
    assert "0612345678" not in (told.problem or "")
    ledger.record(contact(), at=AT)
    candidates = ledger.eligible(["a-1", "a-2"], caller="bob 0612345678", at=AT + timedelta(seconds=70))
    assert candidates.agents == ("a-2",)
    assert "cannot be read" in candidates.reason
    ledger.log(said(), call_id="c-9", caller="bob 0612345678", at=AT)
    with ledger.store.scan() as connection:
        assert "0612345678" not in str(list(entries(connection)))
