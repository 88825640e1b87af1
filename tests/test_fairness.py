"""Audits: intervals as Wilson's, truth as people told it, decisions as the application notes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("phonenumbers")
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.affect.affect import Driver
from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.fairness import GroupAudit
from emotion_triage.ledger.labelled import LABELLED_COLUMNS, SCORE_COLUMNS, WINDOW_COLUMNS
from emotion_triage.ledger.log_events import Override
from emotion_triage.ledger.verification import Entry, entries, verify
from emotion_triage.proportions import Z_95, wilson
from emotion_triage.routing.contacts import Contact, Disposition
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
CALLER = "+33612345678"
MODEL = "a model's digest"
POLICY = Policy.load()


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, policy=POLICY, key=b"k" * 32) as ledger:
        yield ledger


def record(ledger: Ledger, contact_id: str, *, peak: Level | None = Level.ESCALATED, **facts: object) -> None:
    contact = Contact(contact_id=contact_id, caller=CALLER, agent_id="a-1", started_at=AT, duration_s=60.0, peak=peak)
    ledger.record(msgspec.structs.replace(contact, **facts), at=AT)


def everyone(ledger: Ledger) -> GroupAudit:
    return ledger.audit()[0]


# intervals


@pytest.mark.parametrize(("count", "of"), [(9, 10), (0, 10), (1, 1), (50, 100), (3, 4000)])
def test_intervals_are_wilsons(count: int, of: int) -> None:
    """Intervals are those that scipy gives by Wilson's method."""
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
    rate = wilson(count, of)
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(of=st.integers(1, 10_000), data=st.data())
def test_an_interval_holds_where_the_score_test_does(of: int, data: st.DataObject) -> None:
    """An interval lies in 0 to 1, holds the rate, and each inner end is where the score test's statistic is 1.96."""
    count = data.draw(st.integers(0, of))
    rate = wilson(count, of)
    assert 0.0 <= rate.low <= count / of <= rate.high <= 1.0
    for end in (rate.low, rate.high):
        if 0.0 < end < 1.0:
            assert abs(count / of - end) / math.sqrt(end * (1 - end) / of) == pytest.approx(Z_95, rel=1e-4)


# truth


@pytest.mark.parametrize(
    ("disposition", "verdict", "false_alarm", "angry"),
    [
        (Disposition.NONE, None, None, None),
        (Disposition.OK, None, None, False),
        (Disposition.DISCONTENT, None, None, True),
        (Disposition.ABUSE, None, None, True),
        (Disposition.ABUSE, False, None, None),
        (Disposition.DISCONTENT, False, None, True),
        (Disposition.OK, True, None, True),
        (Disposition.ABUSE, None, True, False),
        (Disposition.OK, None, False, True),
        (Disposition.OK, True, True, False),
    ],
)
def test_truth_is_what_people_said(
    disposition: Disposition, verdict: bool | None, false_alarm: bool | None, angry: bool | None, ledger: Ledger
) -> None:
    """A false-alarm mark goes before a verdict, a verdict before a disposition; of others nothing is known."""
    record(ledger, "c-1", disposition=disposition)
    if verdict is not None:
        ledger.verdict("c-1", by="m.durand", abusive=verdict, reason="heard it", at=AT)
    if false_alarm is not None:
        ledger.outcome("c-1", false_alarm=false_alarm, by="m.durand", at=AT)
    told = everyone(ledger)
    assert (told.hits.of, told.false_alarms.of) == (int(angry is True), int(angry is False))
    assert told.hits.count + told.false_alarms.count == int(angry is not None)


def test_what_is_not_counted(ledger: Ledger) -> None:
    """A void contact is not counted at all, and one whose voice was not scored is neither hit nor miss."""
    record(ledger, "c-1", disposition=Disposition.ABUSE)
    record(ledger, "c-2", disposition=Disposition.ABUSE, peak=None)
    ledger.void("c-1", by="m.durand", reason="a test call", at=AT)
    told = everyone(ledger)
    assert (told.contacts, told.hits.of) == (1, 0)


def test_groups(ledger: Ledger) -> None:
    """Contacts are grouped by what is known of them; the unknown come last; routes are shares of a group's contacts."""
    for i, (language, queue) in enumerate([("fr", "senior"), ("fr", "general"), (None, "general"), ("en", None)]):
        record(ledger, f"c-{i}", language=language, queue=queue)
    told = [group for group in ledger.audit() if group.dimension == "language"]
    assert [(group.group, group.contacts) for group in told] == [("en", 1), ("fr", 2), ("unknown", 1)]
    assert {queue: rate.value for queue, rate in told[1].routes.items()} == {"general": 0.5, "senior": 0.5}
    assert set(told[0].routes) == {"unknown"}


# windows


def test_windows_belong_to_a_contact(ledger: Ledger) -> None:
    """Windows of an unknown contact or of another shape are refused, and windows go with the scores."""
    with pytest.raises(LedgerError, match="record it first"):
        ledger.keep_windows("c-1", np.zeros((1, len(WINDOW_COLUMNS))))
    record(ledger, "c-1", disposition=Disposition.OK)
    with pytest.raises(LedgerError, match=r"got shape \(2, 3\)"):
        ledger.keep_windows("c-1", np.zeros((2, 3)))
    ledger.keep_windows("c-1", np.ones((2, len(WINDOW_COLUMNS))), at=AT)
    (block,) = ledger.labelled_windows(MODEL)
    assert block.shape == (2, len(LABELLED_COLUMNS))
    ledger.purge(at=AT + timedelta(days=POLICY.protection.retention.scores_days + 1))
    assert list(ledger.labelled_windows(MODEL)) == []


def test_scores_are_of_one_model_and_of_numbered_callers(ledger: Ledger) -> None:
    """Scores kept twice are given once, another model's not at all, and contacts of one caller share his number."""
    scores = [[3.0, 2.5, 0.0, 0.4, np.nan], [3.5, 3.0, 0.0, 0.9, 0.8]]
    for name, caller in (("c-1", CALLER), ("c-2", CALLER), ("c-3", None), ("c-4", None)):
        record(ledger, name, caller=caller, disposition=Disposition.OK)
        for _ in range(2):
            ledger.keep_windows(name, scores, model_digest=MODEL, at=AT)
        ledger.keep_windows(name, scores, model_digest="another", at=AT)
    blocks = list(ledger.labelled_windows(MODEL))
    assert [(block[0, 0], block[0, 1]) for block in blocks] == [(0, 0), (1, 0), (2, 1), (3, 2)]
    kept = blocks[0][:, [LABELLED_COLUMNS.index(name) for name in SCORE_COLUMNS]]
    np.testing.assert_allclose(kept, scores, rtol=1e-6)
    assert np.isnan(blocks[0][:, -1]).all()


# what the application notes


def logged(ledger: Ledger) -> list[Entry]:
    with ledger.store.read() as connection:
        assert verify(connection).sound
        return list(entries(connection))


def test_a_call_is_noted(ledger: Ledger) -> None:
    """A route, a change of level and a person's override are in the log with digests, drivers and names."""
    route = POLICY.router.route(
        call_id="c-1", time_s=0.0, level=Level.TENSE, standing=CLEAR, model_digest="m", policy_digest="p"
    )
    louder = Driver(name="loudness", change=8.0, unit="dB", reference="caller", weight=1.4)
    change = Escalation(
        time_s=9.0, level=Level.ESCALATED, previous=Level.TENSE, score=0.7, held_s=2.0, cause="rise", drivers=(louder,)
    )
    override = Override(by="m.durand", reason="knows 06 12 34 56 78", recommended="senior", queue="general")
    ledger.log(route, call_id="c-1", at=AT)
    ledger.log(change, call_id="c-1", model_digest="m", at=AT)
    ledger.log(override, call_id="c-1", at=AT)
    told = [(each.kind, each.call_id, msgspec.json.decode(each.body or "")) for each in logged(ledger)]
    assert [(kind, call_id) for kind, call_id, _ in told] == [
        ("route", "c-1"),
        ("escalation", "c-1"),
        ("override", "c-1"),
    ]
    assert (told[0][2]["rule"], told[0][2]["model_digest"], told[0][2]["policy_digest"]) == ("tense caller", "m", "p")
    assert told[1][2]["drivers"][0]["name"] == "loudness"
    assert (told[1][2]["model_digest"], told[1][2]["policy_digest"]) == ("m", POLICY.digest)
    assert told[2][2]["reason"] == "knows [number]"


@pytest.mark.parametrize("caller", [CALLER, None])
def test_what_is_noted_is_forgotten(caller: str | None, ledger: Ledger) -> None:
    """Forgetting a caller erases what was noted of his calls, whether he was named then or only his contact's name."""
    record(ledger, "c-1")
    route = POLICY.router.route(
        call_id="c-1", time_s=0.0, level=None, standing=CLEAR, model_digest="m", policy_digest="p"
    )
    ledger.log(route, call_id="c-1", caller=caller, at=AT)
    ledger.log(route, call_id="c-2", at=AT)
    ledger.forget(CALLER, by="m.durand", reason="asked", at=AT)
    left = [each.call_id for each in logged(ledger) if not each.erased]
    assert left == ["c-2", None]


def test_a_line_names_its_caller_by_a_pseudonym(ledger: Ledger) -> None:
    """A caller of whom nothing else is kept has a pseudonym in the log, so that they can be forgotten."""
    route = POLICY.router.route(
        call_id="c-1", time_s=0.0, level=None, standing=CLEAR, model_digest="m", policy_digest="p"
    )
    ledger.log(route, call_id="c-1", caller=CALLER, at=AT)
    assert all(each.subject_id for each in logged(ledger))
    assert ledger.standing(CALLER, at=AT).abusive_contacts == 0
