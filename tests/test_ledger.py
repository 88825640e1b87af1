"""The ledger on both stores: what is kept, what follows for routing, and who may decide what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from sqlalchemy import select

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.queries import EASY, KNOWN, SETTLED, TOLD
from emotion_triage.ledger.schema import decisions
from emotion_triage.ledger.verification import verify
from emotion_triage.routing.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR, StandingState

KEY = b"k" * 32
ANN, BOB = "+33123456789", "+33198765432"
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = Policy.load()
OF_AGENTS = (EASY, SETTLED, TOLD)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, policy=POLICY, key=KEY) as ledger:
        yield ledger


def contact(
    contact_id: str,
    caller: str | None = ANN,
    agent_id: str = "a-1",
    *,
    ended_at: datetime = AT,
    disposition: Disposition = Disposition.ABUSE,
    peak: Level | None = None,
    escalated_s: float = 0.0,
) -> Contact:
    return Contact(
        contact_id=contact_id,
        caller=caller,
        agent_id=agent_id,
        started_at=ended_at - timedelta(seconds=120),
        duration_s=120.0,
        disposition=disposition,
        peak=peak,
        escalated_s=escalated_s,
    )


def restriction(
    kind: RestrictionKind = RestrictionKind.BLOCK, *, days: float = 30.0, since: datetime = AT
) -> Restriction:
    until = since + timedelta(days=days)
    return Restriction(kind=kind, decided_by="m.durand", reason="threats", until=until, review_at=until - HOUR / 2)


def test_a_standing_steps_up_and_down(ledger: Ledger) -> None:
    """One abusive contact is watched, three are protected, and each leaves 90 days after its end."""
    for day in range(3):
        ledger.record(contact(f"c-{day}", agent_id=f"a-{day}", ended_at=AT + day * DAY))
    states = [ledger.standing(ANN, at=AT + day * DAY + HOUR).state.value for day in (-1, 0, 1, 2, 89, 90, 91, 92)]
    assert states == ["clear", "watch", "watch", "protected", "protected", "watch", "watch", "clear"]
    told = ledger.standing(ANN, at=AT + 2 * DAY + HOUR)
    assert (told.since, told.expires_at) == (AT + 2 * DAY, AT + 90 * DAY)
    assert told.avoid_agents == ("a-0", "a-1", "a-2")


def test_only_a_person_makes_a_contact_abusive(ledger: Ledger) -> None:
    """However long a caller was escalated, nothing is held against him until someone says so."""
    ledger.record(contact("c-1", disposition=Disposition.NONE, peak=Level.ESCALATED, escalated_s=600.0))
    ledger.record(contact("c-2", disposition=Disposition.DISCONTENT, peak=Level.ESCALATED, escalated_s=600.0))
    assert ledger.standing(ANN, at=AT + HOUR).state is StandingState.CLEAR
    ledger.verdict("c-1", by="s", abusive=True, reason="insults", at=AT + HOUR)
    assert ledger.standing(ANN, at=AT + HOUR).state is StandingState.WATCH


def test_what_is_said_before_a_contact_arrives_holds(ledger: Ledger) -> None:
    """A verdict or void that comes before its contact counts once the contact is there, for caller and agent."""
    ledger.verdict("c-1", by="s", abusive=True, reason="heard it live", at=AT)
    for name in ("c-2", "c-3"):
        ledger.void(name, by="s", reason="test call", at=AT)
    ledger.record(contact("c-1", ended_at=AT + HOUR, disposition=Disposition.OK), at=AT + HOUR)
    for name in ("c-2", "c-3"):
        ledger.record(contact(name, ended_at=AT + HOUR), at=AT + HOUR)
    for at in (AT + HOUR, AT + 2 * DAY):
        assert ledger.standing(ANN, at=at).abusive_contacts == 1
        assert ledger.exposure("a-1", at=at).abusive_contacts == 1


def test_the_same_contact_counts_once(ledger: Ledger) -> None:
    """A contact that comes twice is one; other facts under its name are refused, and change nothing."""
    for _ in range(2):
        ledger.record(contact("c-1"), at=AT)
    for other in (
        contact("c-1", BOB),
        contact("c-1", None),
        contact("c-1", agent_id="a-2"),
        contact("c-1", ended_at=AT + HOUR),
        contact("c-1", disposition=Disposition.OK),
    ):
        with pytest.raises(LedgerError, match="other facts"):
            ledger.record(other, at=AT)
    assert ledger.standing(ANN, at=AT + HOUR).abusive_contacts == 1
    assert ledger.standing(BOB, at=AT + HOUR) == CLEAR
    assert ledger.exposure("a-1", at=AT + HOUR).abusive_contacts == 1


def test_withheld_callers_share_nothing(ledger: Ledger) -> None:
    """A withheld number weighs on its agent and on no caller, and nothing can be held against it."""
    ledger.record(contact("c-1", None))
    ledger.record(contact("c-2", "sip:anonymous@anonymous.invalid", ended_at=AT + HOUR))
    for withheld in (None, "anonymous", "Restricted"):
        assert ledger.standing(withheld, at=AT + 2 * HOUR) == CLEAR
        with pytest.raises(LedgerError, match="withheld"):
            ledger.restrict(withheld, restriction(), at=AT)  # type: ignore[arg-type]
    assert ledger.exposure("a-1", at=AT + 2 * HOUR).abusive_contacts == 2


def test_a_restriction_needs_a_person_a_reason_and_an_end(ledger: Ledger) -> None:
    """Without a name or a reason, for more than six months, or with a late review, nothing is restricted."""
    sound = restriction()
    for change, complaint in (
        ({"decided_by": " "}, "decided_by"),
        ({"reason": ""}, "reason"),
        ({"until": AT + 200 * DAY}, "max_restriction_days"),
        ({"until": AT - DAY}, "max_restriction_days"),
        ({"review_at": sound.until + DAY}, "review"),
        ({"until": datetime(2026, 4, 1)}, "time zone"),
    ):
        with pytest.raises(LedgerError, match=complaint):
            ledger.restrict(ANN, msgspec.structs.replace(sound, **change), at=AT)
    assert ledger.standing(ANN, at=AT) == CLEAR


def test_a_restriction_ends_by_itself_and_spares_exempt_queues(ledger: Ledger) -> None:
    """It holds from its decision to its end, in every queue but those of the policy's list."""
    imposed = restriction()
    ledger.restrict(ANN, imposed, at=AT)
    told = ledger.standing(ANN, at=AT)
    assert (told.state, told.restriction) == (StandingState.RESTRICTED, imposed)
    assert (told.since, told.expires_at) == (AT, imposed.until)
    assert ledger.standing(ANN, queue="sales", at=AT).state is StandingState.RESTRICTED
    assert ledger.standing(ANN, queue="emergency", at=AT) == CLEAR
    assert ledger.standing(ANN, at=imposed.until - timedelta(microseconds=1)).state is StandingState.RESTRICTED
    assert ledger.standing(ANN, at=imposed.until) == CLEAR


def test_the_latest_restriction_is_told_and_a_lift_ends_all(ledger: Ledger) -> None:
    """A milder decision after a block is what the caller is told; lifting leaves him with neither."""
    ledger.restrict(ANN, restriction(), at=AT)
    ledger.restrict(ANN, restriction(RestrictionKind.CALLBACK_ONLY, days=3.0, since=AT + DAY), at=AT + DAY)
    told = ledger.standing(ANN, at=AT + 2 * DAY).restriction
    assert told is not None
    assert told.kind is RestrictionKind.CALLBACK_ONLY
    ledger.appeal(ANN, by="clerk", text="I was ill", at=AT + 2 * DAY)
    ledger.lift(ANN, by="m.durand", reason="appeal upheld", at=AT + 2 * DAY)
    assert ledger.standing(ANN, at=AT + 2 * DAY).state is StandingState.CLEAR
    with pytest.raises(LedgerError, match="not restricted now"):
        ledger.appeal(ANN, by="clerk", text="again", at=AT + 2 * DAY)


def test_an_objection_is_remembered_until_withdrawn(ledger: Ledger) -> None:
    """A caller who objected is told so with his standing, however he calls, until he withdraws it."""
    ledger.object_to_scoring(ANN, at=AT)
    assert ledger.standing("01 23 45 67 89", at=AT + HOUR).objection
    assert not ledger.standing(BOB, at=AT + HOUR).objection
    ledger.withdraw_objection(ANN, at=AT + HOUR)
    assert not ledger.standing(ANN, at=AT + HOUR).objection


def test_what_waits_for_a_person(ledger: Ledger) -> None:
    """Unmarked escalations and contradicted dispositions wait for a verdict, due restrictions for a review."""
    ledger.record(contact("quiet", disposition=Disposition.OK, peak=Level.CALM))
    ledger.record(contact("unmarked", disposition=Disposition.NONE, peak=Level.ESCALATED, escalated_s=30.0))
    ledger.record(contact("praised", disposition=Disposition.OK, peak=Level.ESCALATED, escalated_s=30.0))
    ledger.record(contact("cold", disposition=Disposition.ABUSE, peak=Level.CALM))
    ledger.record(contact("agreed", disposition=Disposition.ABUSE, peak=Level.ESCALATED, escalated_s=30.0))
    ledger.restrict(BOB, restriction(days=2.0), at=AT)
    waiting = {review.contact_id for review in ledger.reviews(at=AT + HOUR)}
    assert waiting == {"unmarked", "praised", "cold"}
    ledger.verdict("unmarked", by="s", abusive=False, reason="loud line", at=AT + HOUR)
    ledger.void("praised", by="s", reason="test call", at=AT + HOUR)
    later = ledger.reviews(at=AT + 2 * DAY - HOUR / 4)
    assert [(review.contact_id, review.kind) for review in later] == [("cold", "verdict"), (None, "restriction")]
    assert later[1].decided_by == "m.durand"
    assert ledger.reviews(at=AT + 31 * DAY) == ()


def test_a_flag_asks_a_person_and_counts_against_nobody(ledger: Ledger) -> None:
    """A flag waits for a verdict from the moment it is set, before its contact and after, until somebody judges."""
    ledger.flag("c-1", by="a-17", reason="insults, from 06 12 34 56 78", caller=ANN, at=AT)
    (asked,) = ledger.reviews(at=AT)
    assert (asked.kind, asked.contact_id, asked.agent_id) == ("verdict", "c-1", "a-17")
    assert asked.reason == "flagged by a-17: insults, from [number]"
    assert ledger.standing(ANN, at=AT).state is StandingState.CLEAR
    ledger.record(contact("c-1", disposition=Disposition.OK, peak=Level.ESCALATED, escalated_s=30.0), at=AT + HOUR)
    (asked,) = ledger.reviews(at=AT + HOUR)
    assert asked.reason == "flagged by a-17: insults, from [number]; marked OK though escalated for 30 s"
    assert ledger.standing(ANN, at=AT + HOUR).state is StandingState.CLEAR
    ledger.flag("c-1", by="a-17", at=AT + HOUR)
    ledger.flag("c-1", by="a-17", reason="and threats", at=AT + HOUR)
    assert ledger.reviews(at=AT + HOUR)[0].reason.startswith("flagged by a-17: insults, from [number]; and threats; ")
    ledger.verdict("c-1", by="m.durand", abusive=True, reason="heard", at=AT + 2 * HOUR)
    assert ledger.reviews(at=AT + 2 * HOUR) == ()
    assert ledger.standing(ANN, at=AT + 2 * HOUR).state is StandingState.WATCH
    ledger.flag("c-2", by="a-17", at=AT + HOUR)
    ledger.verdict("c-2", by="m.durand", abusive=False, reason="heard", at=AT + HOUR)
    assert ledger.reviews(at=AT + 2 * HOUR) == ()
    with pytest.raises(LedgerError, match="by: got ''"):
        ledger.flag("c-3", by="", at=AT)


def test_a_flag_goes_with_its_caller(ledger: Ledger) -> None:
    """A caller who is forgotten takes the flag of a call along that was never recorded, from the log too."""
    ledger.flag("c-1", by="a-17", reason="shouting", caller=ANN, at=AT)
    assert [each.kind for each in ledger.export(ANN, at=AT).kept] == ["flag", "decision"]
    ledger.forget(ANN, by="dpo", reason="asked", at=AT + HOUR)
    assert ledger.reviews(at=AT + HOUR) == ()
    with ledger.store.read() as connection:
        assert verify(connection, seals=[ledger.seal]).sound
        assert not any("shouting" in str(row) for row in connection.execute(select(decisions)))


def test_scores_go_before_contacts(ledger: Ledger) -> None:
    """After 30 days a purge leaves a contact without what the voice told; after 180 nothing."""
    ledger.record(contact("c-1", peak=Level.ESCALATED, escalated_s=30.0), at=AT)
    kinds = []
    for day in (29, 31, 179, 181):
        ledger.purge(at=AT + day * DAY)
        kinds.append([kept.kind for kept in ledger.export(ANN, at=AT).kept if kept.kind != "decision"])
    assert kinds == [["contact", "evidence"], ["contact"], ["contact"], []]


def test_a_callers_copy_tells_everything(ledger: Ledger) -> None:
    """An export holds contact, verdict, restriction and the decisions, and none of another caller."""
    ledger.record(contact("c-1"), at=AT)
    ledger.record(contact("c-2", BOB), at=AT)
    ledger.verdict("c-1", by="s", abusive=True, reason="insults", at=AT)
    ledger.restrict(ANN, restriction(), at=AT)
    copy = msgspec.json.decode(msgspec.json.encode(ledger.export(ANN, at=AT + HOUR)))
    kinds = [kept["kind"] for kept in copy["kept"]]
    assert kinds == ["contact", "verdict", "restriction", "decision", "decision", "decision"]
    assert copy["standing"]["state"] == "restricted"
    assert "c-2" not in str(copy)


def test_another_process_that_rotated_the_key_is_noticed(ledger: Ledger, ledger_url: str) -> None:
    """A ledger still open with the old key knows nobody and writes nothing, and says which keys it needs."""
    ledger.record(contact("c-1"), at=AT)
    with Ledger.open(ledger_url, policy=POLICY, key=KEY) as other:
        other.rotate_key(b"n" * 32, by="d", at=AT)
    told = ledger.standing(ANN, at=AT + HOUR)
    assert (told.state, told.known) == (StandingState.CLEAR, False)
    assert "previous_keys" in str(told.problem)
    with pytest.raises(LedgerError, match="previous_keys"):
        ledger.record(contact("c-2"), at=AT)
    with Ledger.open(ledger_url, policy=POLICY, key=b"n" * 32, previous_keys=[KEY]) as newer:
        assert newer.standing(ANN, at=AT + HOUR).abusive_contacts == 1


@pytest.mark.parametrize(("when_unknown", "objects"), [("neutral", True), ("score", False)])
def test_a_ledger_that_cannot_be_asked_may_hold_an_objection(
    ledger: Ledger, ledger_url: str, when_unknown: str, objects: bool
) -> None:
    """An unknown caller objects unless the policy says to score him; one who is known to nobody does not."""
    policy = Policy.parse(f'[protection]\nwhen_unknown = "{when_unknown}"')
    with Ledger.open(ledger_url, policy=policy, key=KEY) as silenced:
        assert not silenced.standing(ANN, at=AT).objection
        ledger.rotate_key(b"n" * 32, by="d", at=AT)
        told = silenced.standing(ANN, at=AT)
        assert (told.known, told.state, told.objection) == (False, StandingState.CLEAR, objects)


def test_exposure_before_the_shift_is_counted_as_people_said_last(ledger: Ledger) -> None:
    """Of old contacts those count that nobody disputes, and those whose latest verdict says so; void ones never."""
    for name, disposition in (
        ("undisputed", Disposition.ABUSE),
        ("confirmed", Disposition.ABUSE),
        ("mild", Disposition.ABUSE),
        ("void", Disposition.ABUSE),
        ("unmarked", Disposition.OK),
        ("quiet", Disposition.OK),
    ):
        ledger.record(contact(name, disposition=disposition, ended_at=AT - 2 * DAY), at=AT)
    ledger.record(contact("too old", ended_at=AT - 91 * DAY), at=AT)
    assert ledger.exposure("a-1", at=AT).abusive_contacts == 4
    for name, abusive in (("confirmed", True), ("mild", True), ("mild", False), ("unmarked", True)):
        ledger.verdict(name, by="s", abusive=abusive, reason="heard it", at=AT)
    ledger.void("void", by="s", reason="wrong call", at=AT)
    told = ledger.exposure("a-1", at=AT)
    assert (told.abusive_contacts, told.hard_in_shift, told.last_at) == (3, 0, None)


def test_an_escalation_weighs_in_the_shift(ledger: Ledger) -> None:
    """An escalated contact that nobody marked counts as hard in the shift, and easy ones end a row."""
    ledger.record(contact("loud", disposition=Disposition.OK, peak=Level.ESCALATED, ended_at=AT - HOUR), at=AT)
    assert ledger.exposure("a-1", at=AT).hard_in_a_row == 1
    ledger.record(contact("tense", disposition=Disposition.OK, peak=Level.TENSE), at=AT)
    told = ledger.exposure("a-1", at=AT)
    assert (told.hard_in_shift, told.hard_in_a_row, told.last_at) == (1, 0, AT)


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    """A clock that does not say where it stands is refused rather than guessed at."""
    with pytest.raises(LedgerError, match="time zone"):
        ledger.standing(ANN, at=datetime(2026, 3, 2))


def test_a_standing_is_found_through_indexes(tmp_path: Path) -> None:
    """SQLite finds a caller, his entries and an agent's by searching indexes, and scans no table."""
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", policy=POLICY, key=KEY) as ledger:
        plans = {}
        with ledger.store.read() as connection:
            for statement, values in (
                (KNOWN, {"pseudonym": "p"}),
                *((each, {"agents": ["a", "b"], "window_us": 0, "shift_us": 1, "now_us": 2}) for each in OF_AGENTS),
            ):
                text = statement.params(values).compile(connection.engine, compile_kwargs={"literal_binds": True})
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
                plans[id(statement)] = " ".join(row[3] for row in rows)
    assert "USING INDEX entries_of_subject" in plans[id(KNOWN)]
    assert "sqlite_autoindex_subjects_2" in plans[id(KNOWN)]
    assert all("USING COVERING INDEX marks_of_agent" in plans[id(each)] for each in OF_AGENTS)
    assert "USING INDEX entries_of_contact" in plans[id(TOLD)]
    assert "SCAN entries" not in "".join(plans.values())
    assert "SCAN subjects" not in "".join(plans.values())
