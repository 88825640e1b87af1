"""Exposure and the order of agents, from accounts alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.ledger.exposures import exposure, ranked
from emotion_triage.ledger.projection import Account, Evidence, micros
from emotion_triage.routing.contacts import Disposition, Exposure
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR, Standing, StandingState

PROTECTION = Policy.parse("[protection]\nmax_in_a_row = 2").protection
NOW = datetime(2026, 3, 2, 17, tzinfo=UTC)
ESCALATED = Evidence(peak=Level.ESCALATED, escalated_s=30.0, drivers=())
WATCHED = Standing(
    state=StandingState.WATCH, abusive_contacts=1, since=NOW, expires_at=NOW, avoid_agents=("hurt",), usual_agents=()
)


def account(minutes_ago: float, *, abusive: bool = False, escalated: bool = False) -> Account:
    return Account(
        contact_id=f"c{minutes_ago}",
        agent_id="a",
        at_us=micros(NOW - timedelta(minutes=minutes_ago)),
        disposition=Disposition.ABUSE if abusive else Disposition.OK,
        evidence=ESCALATED if escalated else None,
    )


def had(*told: Account) -> Exposure:
    return exposure("a", told, PROTECTION, micros(NOW))


def test_abuse_brings_after_call_work() -> None:
    """For 300 s after a confirmed abusive contact the agent has after-call work, and then no more."""
    assert had(account(2, abusive=True)).after_call_work_s == 180.0
    assert had(account(5, abusive=True)).after_call_work_s == 0.0
    assert had(account(2, escalated=True)).after_call_work_s == 0.0


def test_two_hard_contacts_in_a_row_shield() -> None:
    """Two in a row shield for 30 minutes from the second; an easy one between them does not."""
    shielded = had(account(40, escalated=True), account(10, abusive=True))
    assert (shielded.hard_in_a_row, shielded.shielded_until) == (2, NOW + timedelta(minutes=20))
    apart = had(account(40, escalated=True), account(20), account(10, abusive=True))
    assert (apart.hard_in_a_row, apart.shielded_until) == (1, None)
    assert had(account(60, escalated=True), account(31, abusive=True)).shielded_until is None


def test_three_hard_contacts_in_a_shift_shield_until_one_has_left_it() -> None:
    """With three in eight hours the shield lasts until the first of them is eight hours past."""
    told = (
        account(400, escalated=True),
        account(300),
        account(200, abusive=True),
        account(100),
        account(50, abusive=True),
    )
    assert had(*told).shielded_until == NOW + timedelta(minutes=480 - 400)
    assert had(*told[1:]).shielded_until is None
    four = (account(450, escalated=True), *told)
    assert had(*four).shielded_until == NOW + timedelta(minutes=480 - 400)


def test_a_false_alarm_and_a_void_weigh_on_nobody() -> None:
    """An escalation that a person found to be none, and a contact that is void, are not counted."""
    false_alarm, void = account(20, escalated=True), account(10, abusive=True)
    false_alarm.false_alarm, void.void = True, True
    told = had(false_alarm, void)
    assert (told.hard_in_shift, told.abusive_contacts, told.shielded_until) == (0, 0, None)


def test_who_was_abused_by_him_never_takes_his_call() -> None:
    """Not even as the only one free, and not even as his usual adviser: then the fallbacks are offered."""
    told = ranked(["hurt"], {"hurt": Exposure(agent_id="hurt")}, WATCHED, Level.CALM, PROTECTION)
    assert told.agents == ()
    assert told.fallbacks == ("supervisor", "callback", "voicebot")
    assert "1 abused by this caller" in told.reason


def test_the_usual_adviser_comes_first() -> None:
    """An everyday call goes to who knows the caller, then to who has rested longest."""
    standing = msgspec.structs.replace(CLEAR, usual_agents=("knows", "met"))
    exposures = {
        "busy": Exposure(agent_id="busy", last_at=NOW),
        "rested": Exposure(agent_id="rested", last_at=NOW - timedelta(hours=1)),
        "met": Exposure(agent_id="met", last_at=NOW),
        "knows": Exposure(agent_id="knows", last_at=NOW),
    }
    told = ranked(list(exposures), exposures, standing, Level.CALM, PROTECTION)
    assert told.agents == ("knows", "met", "rested", "busy")


def test_a_shield_is_for_hard_calls() -> None:
    """A shielded agent takes an everyday call, and no call of an escalated or a watched caller."""
    exposures = {"a": Exposure(agent_id="a", hard_in_a_row=2, shielded_until=NOW)}
    assert ranked(["a"], exposures, CLEAR, Level.TENSE, PROTECTION).agents == ("a",)
    assert ranked(["a"], exposures, CLEAR, Level.ESCALATED, PROTECTION).agents == ()
    assert ranked(["a"], exposures, WATCHED, Level.CALM, PROTECTION).agents == ()


def test_a_strangers_call_goes_last_to_who_just_had_a_hard_one() -> None:
    """Nobody knows yet how a stranger is; a caller who is known to be quiet goes to whoever has rested longest."""
    exposures = {
        "hit": Exposure(agent_id="hit", hard_in_a_row=1, last_at=NOW - timedelta(hours=1)),
        "other": Exposure(agent_id="other", last_at=NOW),
    }
    quiet = msgspec.structs.replace(CLEAR, usual_agents=("away",))
    assert ranked(list(exposures), exposures, CLEAR, Level.CALM, PROTECTION).agents == ("other", "hit")
    assert ranked(list(exposures), exposures, quiet, Level.CALM, PROTECTION).agents == ("hit", "other")


def test_no_hard_call_follows_a_hard_one() -> None:
    """Under the balanced policy one hard contact shields, until an easy one comes between or half an hour passes."""
    balanced, told = Policy.load().protection, [account(10, abusive=True)]
    assert exposure("a", told, balanced, micros(NOW)).shielded_until == NOW + timedelta(minutes=20)
    assert exposure("a", [*told, account(1)], balanced, micros(NOW)).shielded_until is None


burdens = st.builds(
    Exposure,
    agent_id=st.just(""),
    abusive_contacts=st.integers(0, 5),
    hard_in_shift=st.integers(0, 3),
    hard_in_a_row=st.integers(0, 3),
    after_call_work_s=st.sampled_from([0.0, 0.0, 120.0]),
    shielded_until=st.none() | st.just(NOW),
)


@given(
    st.dictionaries(st.sampled_from(["hurt", "b", "c", "d", "e"]), burdens, max_size=5),
    st.sampled_from([CLEAR, WATCHED]),
    st.sampled_from(Level),
)
def test_candidates_are_sound(exposures: dict[str, Exposure], standing: Standing, level: Level) -> None:
    """Nobody barred, an agent or a fallback always, and no one hit twice in a row before one who was not."""
    told = ranked(list(exposures), exposures, standing, level, PROTECTION)
    hard = level is Level.ESCALATED or standing is WATCHED
    allowed = {
        agent
        for agent, each in exposures.items()
        if agent not in standing.avoid_agents
        and each.after_call_work_s == 0
        and not (hard and each.shielded_until is not None)
    }
    assert set(told.agents) == allowed
    assert len(told.agents) == len(allowed)
    assert bool(told.agents) != bool(told.fallbacks)
    if hard:
        in_a_row = [exposures[agent].hard_in_a_row for agent in told.agents]
        assert in_a_row == sorted(in_a_row)
