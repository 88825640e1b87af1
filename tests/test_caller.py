"""Scores in, events out, for one caller: what is evidence, what he is compared with, where he goes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from emotion_triage.affect.affect import Affect, describe, log_odds
from emotion_triage.affect.classifier import LABELS, Classifier
from emotion_triage.call.caller import (
    TYPICAL_SPREAD,
    TYPICAL_WEIGHT,
    CallerState,
    typical_caller,
)
from emotion_triage.prosody.functionals import DRIVER_GROUPS, FEATURE_NAMES, STATISTIC_NAMES, TONE_NAMES
from emotion_triage.prosody.measurement import MIN_NEW_SPEECH_S, WindowMeasurement
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR, Route, RoutingPolicy, Standing, StandingState

POLICY = Policy.parse(
    "[escalation]\nbaseline_s = 2.0\nsmoothing_s = 0.0\nmin_duration_on_s = 0.0\nmin_duration_off_s = 0.0\n"
    "min_speech_probability = 0.5\nmin_speech_s = 1.0\nrelative_shift = 0\nabsolute_shift = 0\nabsolute_smoothing_s = 0"
)
FALLING = msgspec.structs.replace(POLICY, routing=RoutingPolicy(routes_may_fall=True))
N_ROWS = 1 + len(DRIVER_GROUPS) + 1
"""Of a caller who is known; one more before."""
AGAINST = LABELS.index("anger_against_baseline")
HIMSELF = 1.0 / (1.0 + np.exp(3.0))
"""What the hand-made model says of the typical caller: its bias is -3."""


@pytest.fixture
def caller(anger_model: Path) -> CallerState:
    return new_caller(anger_model)


def new_caller(
    model: Path, *, standing: Standing = CLEAR, objection: bool = False, policy: Policy = POLICY
) -> CallerState:
    classifier = Classifier.load(model)
    return CallerState(
        call_id="call",
        policy=policy,
        model_digest=classifier.digest,
        standing=standing,
        typical=typical_caller(classifier.mean, classifier.score),
        objection=objection,
        time_s=0.0,
    )


def step(
    time_s: float, *, speech_s: float = 2.0, new_speech_s: float = 0.5, level_dbfs: float = -25.0
) -> WindowMeasurement:
    statistics = np.ones(len(STATISTIC_NAMES), np.float32)
    statistics[STATISTIC_NAMES.index("level_dbfs")] = level_dbfs
    tone = np.ones(len(TONE_NAMES), np.float32)
    return WindowMeasurement(time_s, statistics, speech_s, 0.0, 40.0, new_speech_s, round(50 * time_s), tone)


def scores(
    anger: float,
    *,
    of_anyone: float | None = None,
    speech: float = 0.9,
    known: bool = False,
    swing: float = TYPICAL_SPREAD,
) -> np.ndarray:
    """The classifier's rows: one anger, unless another is given for anyone who sounds like that.

    Of a caller not yet known, the window strays from his baseline by `swing` log-odds.
    """
    alone = anger if of_anyone is None else of_anyone
    row = {"anger": alone, "anger_against_baseline": anger, "distress": 0.2, "arousal": 0.3, "speech": speech}
    rows = np.tile(np.array([row[label] for label in LABELS], np.float32), (N_ROWS + (not known), 1))
    rows[-1, AGAINST] = HIMSELF  # his baseline sounds like a typical caller's
    if not known:
        rows[-2, AGAINST] = 1.0 / (1.0 + np.exp(3.0 - swing))
    return rows


@pytest.mark.parametrize(
    ("speech_s", "new_speech_s", "evidence"),
    [(2.0, 0.5, True), (1.0, MIN_NEW_SPEECH_S, True), (0.98, 0.5, False), (2.0, 0.08, False), (0.0, 0.0, False)],
)
def test_evidence_needs_speech(caller: CallerState, speech_s: float, new_speech_s: float, evidence: bool) -> None:
    """A step is scored if its window holds `min_speech_s` of speech and it brings 0.1 s that is new."""
    inputs = caller.inputs(step(1.0, speech_s=speech_s, new_speech_s=new_speech_s))
    assert (inputs is not None) == evidence


def test_what_is_not_a_voice_is_not_scored(caller: CallerState) -> None:
    """Below `min_speech_probability` there is no Affect, no speech is counted and no baseline filled."""
    for k in range(10):
        assert caller.inputs(step(float(k))) is not None
        assert caller.hear(step(float(k)), scores(0.99, speech=0.49)) == []
    assert (caller.level, caller.speech_s) == (Level.CALM, 0.0)
    (affect,) = caller.hear(step(10.0), scores(0.2, speech=0.5))
    assert isinstance(affect, Affect)
    assert caller.speech_s == 0.5


def test_speech_is_counted_once(caller: CallerState) -> None:
    """Speech of steps too short to score counts with the next that is scored."""
    for short in (step(0.5, speech_s=0.4, new_speech_s=0.4), step(1.0, speech_s=0.8, new_speech_s=0.4)):
        assert caller.inputs(short) is None
        assert caller.hear(short, None) == []
    caller.hear(step(1.5, speech_s=1.2, new_speech_s=0.4), scores(0.1))
    assert caller.speech_s == pytest.approx(1.2)


def test_an_affect_is_the_windows_own_row(caller: CallerState) -> None:
    """Row 0 is told; the occluded rows only make drivers."""
    table = scores(0.3)
    table[1:] = 0.9
    (affect,) = caller.hear(step(1.0), table)
    assert (affect.anger, affect.distress, affect.arousal) == pytest.approx((0.3, 0.2, 0.3))
    assert (affect.time_s, affect.speech_s, affect.lost_s) == (1.0, 2.0, 0.0)
    assert all(driver.weight < 0 for driver in affect.drivers)


def test_a_caller_is_compared_with_himself_once_he_is_known(caller: CallerState) -> None:
    """Drivers refer to the training speech, without a level, until the baseline is full, then to the caller."""
    references = []
    for k in range(6):
        table = scores(0.3, known=k >= 4)
        table[1:] = scores(0.1, known=k >= 4)[1:]
        affect = caller.hear(step(float(k), level_dbfs=-25.0 if k < 4 else -15.0), table)[0]
        assert isinstance(affect, Affect)
        references.append({driver.reference for driver in affect.drivers})
        assert ("loudness" in {driver.name for driver in affect.drivers}) == (k >= 4)
    assert references == [{"population"}] * 4 + [{"caller"}] * 2


def test_the_anger_told_is_that_of_one_who_is_known(caller: CallerState) -> None:
    """Before the baseline is full an Affect tells the anger of anyone who sounds so, then this caller's and both."""
    told, alone = [], []
    for k in range(6):
        affect = caller.hear(step(float(k)), scores(0.3, of_anyone=0.1, known=k >= 4))[0]
        assert isinstance(affect, Affect)
        told.append(affect.anger)
        alone.append(affect.anger_alone)
    assert told == pytest.approx([0.1] * 4 + [0.3] * 2)
    assert alone == [None] * 4 + [pytest.approx(0.1)] * 2


@pytest.mark.parametrize("swing", [0.0, 0.3, TYPICAL_SPREAD, 2.0])
def test_anger_is_in_units_of_the_callers_own_unrest(caller: CallerState, swing: float) -> None:
    """The same window tells less anger of who strayed far from his baseline while it filled up, more of who did not."""
    for k in range(4):
        caller.hear(step(float(k)), scores(0.01, swing=swing))  # the first window has no baseline to stray from
    affect = caller.hear(step(4.0), scores(0.3, known=True))[0]
    assert isinstance(affect, Affect)
    spread = np.sqrt((TYPICAL_WEIGHT * TYPICAL_SPREAD**2 + 3 * swing**2) / (TYPICAL_WEIGHT + 3))
    assert float(log_odds(affect.anger)) == pytest.approx(-3.0 + (log_odds(0.3) + 3.0) * TYPICAL_SPREAD / spread, 1e-5)


def test_while_a_baseline_fills_up_each_window_is_held_against_what_there_is_of_it(caller: CallerState) -> None:
    """The last two rows are the window and the mean of those before it, both with their change against that mean."""
    for k, level_dbfs in enumerate((-30.0, -20.0)):
        caller.hear(step(float(k), level_dbfs=level_dbfs), scores(0.1))
    rows = caller.inputs(step(2.0, level_dbfs=-19.0))
    assert rows is not None
    change = FEATURE_NAMES.index("level_dbfs_change")
    assert rows[:, change].tolist() == [0.0] * (N_ROWS - 1) + [6.0, 0.0]


def test_who_arrives_angry_is_raised_and_who_always_sounds_angry_is_not(anger_model: Path) -> None:
    """Before there is a baseline the voice by itself escalates; afterwards only a caller's own anger does."""
    caller = new_caller(anger_model)
    events = caller.hear(step(0.0), scores(0.01, of_anyone=0.999))
    assert [type(event) for event in events] == [Affect, Escalation, Route]
    settled = new_caller(anger_model)
    for k in range(5):
        settled.hear(step(float(k)), scores(0.01, known=k >= 4))
    assert [type(event) for event in settled.hear(step(5.0), scores(0.01, of_anyone=0.999, known=True))] == [Affect]
    settled.hear(step(6.0), scores(0.999, of_anyone=0.01, known=True))
    assert settled.level is Level.ESCALATED


def test_a_route_follows_a_level(caller: CallerState) -> None:
    """A change of level that leads elsewhere is followed by a Route of the same moment, and `route` is it."""
    affect, escalation, route = caller.hear(step(1.0), scores(0.95))
    assert isinstance(affect, Affect)
    assert (escalation.time_s, escalation.previous, escalation.level) == (1.0, Level.CALM, Level.ESCALATED)
    assert route == caller.route
    assert (route.time_s, route.level, route.rule) == (1.0, Level.ESCALATED, "escalated caller")


def test_a_level_that_leads_nowhere_else_makes_no_route(anger_model: Path) -> None:
    """A restricted caller's route is the same at every level, so none is told when his level changes."""
    restricted = Standing(state=StandingState.RESTRICTED, abusive_contacts=3, since=None, expires_at=None)
    caller = new_caller(anger_model, standing=restricted)
    before = caller.route
    events = caller.hear(step(1.0), scores(0.95))
    assert [type(event) for event in events] == [Affect, Escalation]
    assert caller.route == before


def test_waiting_brings_the_level_down_and_not_the_route(caller: CallerState) -> None:
    """After `hold_s` without evidence the level steps down, each time at its own time; the granted route holds."""
    caller.hear(step(1.0), scores(0.95))
    granted, hold_s = caller.route, POLICY.escalation.hold_s
    events = caller.wait(1.0 + 2 * hold_s)
    assert [(type(event), event.time_s) for event in events] == [
        (Escalation, 1.0 + hold_s),
        (Escalation, 1.0 + 2 * hold_s),
    ]
    assert (caller.level, caller.route) == (Level.CALM, granted)


def test_a_policy_may_let_routes_fall(anger_model: Path) -> None:
    """Where `routes_may_fall` is true the route follows the level down, each time at its own time."""
    caller = new_caller(anger_model, policy=FALLING)
    caller.hear(step(1.0), scores(0.95))
    hold_s = FALLING.escalation.hold_s
    events = caller.wait(1.0 + 2 * hold_s)
    assert [(type(event), event.time_s, event.level) for event in events] == [
        (Escalation, 1.0 + hold_s, Level.TENSE),
        (Route, 1.0 + hold_s, Level.TENSE),
        (Escalation, 1.0 + 2 * hold_s, Level.CALM),
        (Route, 1.0 + 2 * hold_s, Level.CALM),
    ]


def loud(time_s: float, level_dbfs: float, anger: float) -> tuple[WindowMeasurement, np.ndarray]:
    """A window of a known caller and its scores, in which loudness is all that anger comes from."""
    table = scores(anger, known=True)
    table[1 + list(DRIVER_GROUPS).index("loudness"), AGAINST] = HIMSELF
    return step(time_s, level_dbfs=level_dbfs), table


def test_a_fall_says_what_fell(caller: CallerState) -> None:
    """A caller who is still louder than usual, but less than at their angriest, falls because they speak softer."""
    for k in range(4):
        caller.hear(step(float(k), level_dbfs=-25.0), scores(0.01))
    changes = []
    for k, (level_dbfs, anger) in enumerate([(-12.0, 0.95), (-10.0, 0.98), (-12.0, 0.96), (-17.0, 0.3)]):
        events = caller.hear(*loud(4.0 + k, level_dbfs, anger))
        assert isinstance(events[0], Affect)
        assert "louder" in describe(events[0].drivers)
        changes += [event for event in events if isinstance(event, Escalation)]
    rise, fall = changes
    assert (rise.level, rise.cause, rise.reason("en")) == (Level.ESCALATED, "rise", "voice 13 dB louder")
    assert (fall.level, fall.cause, fall.reason("en")) == (Level.TENSE, "fall", "voice 7 dB softer")
    assert {driver.reference for driver in fall.drivers} == {"peak"}


def test_a_fall_after_another_says_what_fell_since(caller: CallerState) -> None:
    """Each fall refers to the angriest window since the fall before."""
    for k in range(4):
        caller.hear(step(float(k), level_dbfs=-25.0), scores(0.01))
    reasons = []
    for k, (level_dbfs, anger) in enumerate([(-5.0, 0.99), (-20.0, 0.1), (-10.0, 0.95), (-22.0, 0.1)]):
        events = caller.hear(*loud(4.0 + k, level_dbfs, anger))
        reasons += [event.reason("en") for event in events if isinstance(event, Escalation)]
    assert reasons == ["voice 20 dB louder", "voice 15 dB softer", "voice 15 dB louder", "voice 12 dB softer"]


def test_a_window_weighs_no_more_than_its_own_speech(anger_model: Path) -> None:
    """Speech of windows too short to be scored counts as scored, but fills no dwell of the window that follows."""
    slow = msgspec.structs.replace(POLICY.escalation, min_duration_on_s=2.5)
    caller = new_caller(anger_model, policy=msgspec.structs.replace(POLICY, escalation=slow))
    caller.hear(step(1.0), scores(0.95))
    for k in range(10):
        caller.hear(step(4.0 + 3.0 * k, speech_s=0.4, new_speech_s=0.4), None)
    caller.hear(step(35.0, speech_s=1.2), scores(0.95))
    assert caller.speech_s == pytest.approx(0.5 + 4.0 + 0.5)
    assert caller.level is Level.CALM


def test_who_objects_has_no_level(anger_model: Path) -> None:
    """The route of a caller who objected is neutral and names no level; a restricted one keeps a person's decision."""
    assert new_caller(anger_model, objection=True).route.rule == "neutral"
    assert new_caller(anger_model, objection=True).route.level is None
    restricted = Standing(state=StandingState.RESTRICTED, abusive_contacts=3, since=None, expires_at=None)
    assert new_caller(anger_model, standing=restricted, objection=True).route.rule == "restricted caller"
