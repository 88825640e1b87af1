"""Levels follow the evidence: by hand, and against a slow model that keeps the whole history."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_triage.affect.affect import Affect, Driver
from emotion_triage.routing.escalation import REASONS, Cause, Escalation, EscalationPolicy, Escalator, Level
from emotion_triage.routing.policy import Policy

CALM, TENSE, ESCALATED = Level
PLAIN = EscalationPolicy(
    min_speech_s=1.0,
    min_speech_probability=0.5,
    min_snr_db=0.0,
    baseline_s=4.0,
    relative_slope=1.0,
    absolute_slope=1.0,
    relative_shift=0.0,
    absolute_shift=0.0,
    smoothing_s=0.0,
    absolute_smoothing_s=0.0,
    tense_onset=0.5,
    tense_offset=0.4,
    escalated_onset=0.7,
    escalated_offset=0.6,
    min_duration_on_s=0.0,
    min_duration_off_s=0.0,
    hold_s=10.0,
)


def affect(time_s: float, anger: float) -> Affect:
    return Affect(time_s=time_s, anger=anger, distress=0.0, arousal=0.0, speech_s=2.0, lost_s=0.0)


def timeline(
    policy: EscalationPolicy,
    scores: list[float],
    *,
    relative: float | None = None,
    step_s: float = 1.0,
    speech_s: float | None = None,
) -> list[Level]:
    """Levels after absolute scores, `step_s` apart, each of so much speech, beside a constant relative one."""
    escalator, levels = Escalator(policy), []
    for k, anger in enumerate(scores, start=1):
        before = escalator.level
        change = push(escalator, k * step_s, anger, relative, speech_s=step_s if speech_s is None else speech_s)
        assert (before if change is None else change.level) is escalator.level
        levels.append(escalator.level)
    return levels


def push(
    escalator: Escalator, time_s: float, absolute: float, relative: float | None = None, *, speech_s: float = 1.0
) -> Escalation | None:
    told = absolute if relative is None else relative
    return escalator.push(affect(time_s, told), absolute=absolute, relative=relative, new_speech_s=speech_s)


def having(**settings_: float) -> EscalationPolicy:
    return msgspec.structs.replace(PLAIN, **settings_)


def odds(p: float) -> float:
    return math.log(p / (1 - p))


# By hand


def test_levels_have_onset_and_offset() -> None:
    """A level begins at its onset, lasts while the score is between offset and onset, and ends below the offset."""
    scores = [0.49, 0.51, 0.41, 0.69, 0.71, 0.61, 0.59, 0.41, 0.39, 0.45]
    expected = [CALM, TENSE, TENSE, TENSE, ESCALATED, ESCALATED, TENSE, TENSE, CALM, CALM]
    assert timeline(PLAIN, scores) == expected


def test_a_level_may_be_skipped() -> None:
    """Rage takes a caller from CALM to ESCALATED at once, and silence of it back."""
    assert timeline(PLAIN, [0.1, 0.95, 0.1]) == [CALM, ESCALATED, CALM]


def test_a_level_rises_after_its_dwell() -> None:
    """The score must stay at the onset for `min_duration_on_s`; one window below it starts the time again."""
    policy = having(min_duration_on_s=2.0)
    assert timeline(policy, [0.6, 0.6, 0.6, 0.6]) == [CALM, CALM, TENSE, TENSE]
    assert timeline(policy, [0.6, 0.6, 0.45, 0.6, 0.6, 0.6]) == [CALM] * 5 + [TENSE]
    assert timeline(policy, [0.6, 0.9, 0.9, 0.9]) == [CALM, CALM, TENSE, ESCALATED]


def test_a_level_falls_after_its_dwell() -> None:
    """The score must stay below the offset for `min_duration_off_s`; one window at it starts the time again."""
    policy = having(min_duration_off_s=2.0)
    assert timeline(policy, [0.6, 0.3, 0.3, 0.3]) == [TENSE, TENSE, TENSE, CALM]
    assert timeline(policy, [0.6, 0.3, 0.3, 0.45, 0.3, 0.3, 0.3]) == [TENSE] * 6 + [CALM]
    assert timeline(policy, [0.9, 0.5, 0.5, 0.5, 0.5]) == [ESCALATED] * 3 + [TENSE, TENSE]


@pytest.mark.parametrize("pause_s", [0.0, 0.5, 4.0, 9.0])
def test_a_dwell_is_counted_in_speech(pause_s: float) -> None:
    """However long the pauses between windows are, a dwell is full after so much speech, up as well as down."""
    up, down = having(min_duration_on_s=4.0), having(min_duration_off_s=4.0)
    assert timeline(up, [0.6] * 9, step_s=0.5 + pause_s, speech_s=0.5) == [CALM] * 8 + [TENSE]
    assert timeline(down, [0.6] + [0.1] * 9, step_s=0.5 + pause_s, speech_s=0.5) == [TENSE] * 9 + [CALM]


def test_a_pause_is_not_calm() -> None:
    """1.5 s of calmer speech and a pause of 5 s leave an angry caller where they are, and so does the next anger."""
    policy = msgspec.structs.replace(Policy.load().escalation, baseline_s=4.0)
    escalator = Escalator(policy)
    for k in range(20):
        push(escalator, 60.0 + 0.5 * k, 0.99, speech_s=0.5)
    assert escalator.level is ESCALATED
    for time_s, anger in ((70.0, 0.01), (70.5, 0.01), (71.0, 0.01), (76.5, 0.01), (77.0, 0.99)):
        assert escalator.wait(time_s) == []
        assert push(escalator, time_s, anger, speech_s=0.5) is None
    assert escalator.level is ESCALATED


def test_hundredths_of_a_second_add_up() -> None:
    """A dwell of 0.3 s is full after three windows of 0.1 s, whose sum in floating point is not 0.3."""
    assert timeline(having(min_duration_on_s=0.3), [0.6] * 4, speech_s=0.1) == [CALM] * 3 + [TENSE]


def test_smoothing_follows_with_its_time_constant() -> None:
    """After one time constant of speech the smoothed log-odds have gone 1 - 1/e of the way, in however many windows."""
    policy = having(smoothing_s=3.0)
    for step_s, n in ((0.5, 6), (1.0, 3), (3.0, 1)):
        escalator = Escalator(policy)
        push(escalator, 0.0, 0.1, 0.1)
        for k in range(1, n + 1):
            push(escalator, 2 * k * step_s, 0.1, 0.8, speech_s=step_s)
        expected = odds(0.8) + (odds(0.1) - odds(0.8)) / math.e
        assert odds(escalator.score) == pytest.approx(expected)


@pytest.mark.parametrize("speech_s", [0.25, 0.5, 1.0])
def test_the_voice_by_itself_is_a_mean_of_speech(speech_s: float) -> None:
    """Until so much speech was scored every second of it counts alike, in however many windows; then the last do."""
    escalator = Escalator(having(absolute_smoothing_s=8.0))
    for k in range(round(6.0 / speech_s)):
        push(escalator, (k + 1) * speech_s, 0.9 if k < round(2.0 / speech_s) else 0.2, speech_s=speech_s)
    assert odds(escalator.score) == pytest.approx((2.0 * odds(0.9) + 4.0 * odds(0.2)) / 6.0)
    for k in range(round(40.0 / speech_s)):
        push(escalator, 6.0 + (k + 1) * speech_s, 0.2, speech_s=speech_s)
    assert escalator.score == pytest.approx(0.2, abs=0.02)


def test_the_voice_by_itself_holds_a_level_up_and_raises_none() -> None:
    """Who arrives angry is not calm once their own anger is the measure; who always sounds angry is not raised."""
    arrived = Escalator(PLAIN)
    push(arrived, 1.0, 0.8)
    push(arrived, 2.0, 0.8, 0.1)
    assert (arrived.level, arrived.score) == (ESCALATED, pytest.approx(0.8))
    push(arrived, 3.0, 0.2, 0.1)
    assert arrived.level < ESCALATED
    usual = Escalator(PLAIN)
    push(usual, 1.0, 0.8, 0.1)
    assert (usual.level, usual.score) == (CALM, pytest.approx(0.1))
    push(usual, 2.0, 0.1, 0.8)
    assert usual.level is ESCALATED


@pytest.mark.parametrize(("absolute", "relative"), [(0.2, 0.6), (0.6, 0.2), (0.4, 0.4)])
def test_against_a_baseline_each_evidence_has_its_shift(absolute: float, relative: float) -> None:
    """The score of a calm caller is that against their baseline; of one who is not, the stronger of both."""
    for shift in (-1.0, 0.0, 1.0):
        for raised in (False, True):
            escalator = Escalator(having(relative_shift=shift, absolute_shift=-shift))
            if raised:
                push(escalator, 1.0, 0.99999)
                assert escalator.level is ESCALATED
            push(escalator, 2.0, absolute, relative)
            both = odds(relative) + shift, odds(absolute) - shift
            assert odds(escalator.score) == pytest.approx(max(both) if raised else both[0])


@pytest.mark.parametrize(("slope", "expected"), [(0.5, 0.5 * odds(0.8)), (2.0, 2.0 * odds(0.8))])
def test_a_slope_multiplies_what_its_shift_is_added_to(slope: float, expected: float) -> None:
    """Each slope multiplies the log-odds of its own evidence, before the shift."""
    for own, evidence in (("relative", {"absolute": 0.1, "relative": 0.8}), ("absolute", {"absolute": 0.8})):
        escalator = Escalator(having(**{f"{own}_slope": slope, f"{own}_shift": 1.0}))
        push(escalator, 1.0, **evidence)
        assert odds(escalator.score) == pytest.approx(expected + 1.0)


def test_without_a_baseline_only_absolute_evidence_counts() -> None:
    """Before the caller has a baseline, `relative_shift` changes nothing."""
    for shift in (-5.0, 0.0, 5.0):
        escalator = Escalator(having(relative_shift=shift, absolute_shift=-1.0))
        push(escalator, 1.0, 0.6)
        assert odds(escalator.score) == pytest.approx(odds(0.6) - 1.0)


@pytest.mark.parametrize("key", ["relative_shift", "absolute_shift"])
def test_a_larger_shift_escalates_sooner(key: str) -> None:
    """More of either shift never lowers a level, and some of it raises one."""
    other = "absolute_shift" if key == "relative_shift" else "relative_shift"
    relative = 0.3 if key == "relative_shift" else None
    levels = [timeline(having(**{key: shift, other: -20.0}), [0.3], relative=relative)[0] for shift in (-3.0, 0.5, 3.0)]
    assert levels == sorted(levels)
    assert levels[0] is CALM
    assert levels[-1] is ESCALATED


def test_an_escalation_tells_what_changed() -> None:
    """A change carries its time, both levels, the smoothed score, and how long the level before had lasted."""
    escalator = Escalator(PLAIN)
    assert push(escalator, 2.0, 0.2) is None
    rise = push(escalator, 3.5, 0.8)
    fall = push(escalator, 9.0, 0.1)
    assert rise is not None
    assert fall is not None
    assert (rise.time_s, rise.previous, rise.level, rise.held_s, rise.cause) == (3.5, CALM, ESCALATED, 3.5, "rise")
    assert rise.score == pytest.approx(0.8)
    assert (fall.time_s, fall.previous, fall.level, fall.held_s, fall.cause) == (9.0, ESCALATED, CALM, 5.5, "fall")


@pytest.mark.parametrize(
    ("cause", "english", "french"),
    [
        ("rise", "voice 7 dB louder", "voix 7 dB plus forte"),
        ("fall", "tone of voice less like anger", "ton de voix plus loin de la colère"),
        ("silence", "no more speech to score", "plus aucune parole à noter"),
    ],
)
def test_a_reason_never_contradicts_its_level(cause: Cause, english: str, french: str) -> None:
    """A rise says what speaks for anger, a fall what fell, silence that nothing was heard."""
    drivers = (
        Driver(name="loudness", change=7.0, unit="dB", reference="caller", weight=1.0),
        Driver(name="tone", change=-2.0, unit="log-odds", reference="peak", weight=-1.5),
    )
    change = Escalation(
        time_s=9.0,
        level=CALM,
        previous=TENSE,
        score=0.2,
        held_s=4.0,
        cause=cause,
        drivers=() if cause == "silence" else drivers,
    )
    assert (change.reason("en"), change.reason("fr")) == (english, french)
    bare = msgspec.structs.replace(change, drivers=())
    assert (bare.reason("en"), bare.reason("fr")) == (REASONS[cause]["en"], REASONS[cause]["fr"])


# Want of evidence


def test_no_evidence_is_not_calm() -> None:
    """The level holds for `hold_s` after the last evidence, then steps down one level each `hold_s`."""
    escalator = Escalator(PLAIN)
    push(escalator, 5.0, 0.9)
    assert escalator.wait(14.999) == []
    assert escalator.level is ESCALATED
    (down,) = escalator.wait(15.0)
    assert (down.time_s, down.previous, down.level, down.held_s) == (15.0, ESCALATED, TENSE, 10.0)
    assert (down.cause, down.drivers) == ("silence", ())
    assert escalator.wait(24.999) == []
    (down,) = escalator.wait(30.0)
    assert (down.time_s, down.previous, down.level) == (25.0, TENSE, CALM)
    assert escalator.wait(1e6) == []


def test_a_long_wait_tells_every_step() -> None:
    """A wait past both steps tells both, each at its own time, as waiting in small pieces does."""
    at_once, in_pieces = Escalator(PLAIN), Escalator(PLAIN)
    for escalator in (at_once, in_pieces):
        push(escalator, 5.0, 0.9)
    pieces = [step for time_s in range(5, 60) for step in in_pieces.wait(float(time_s))]
    assert at_once.wait(3600.0) == pieces
    assert [step.time_s for step in pieces] == [15.0, 25.0]


def test_weak_evidence_keeps_a_level_from_stepping_down() -> None:
    """Evidence between offset and onset, however old the rise, restarts the hold."""
    escalator = Escalator(PLAIN)
    for k in range(12):
        assert escalator.wait(5.0 * k) == []
        push(escalator, 5.0 * k, 0.65 if k else 0.9)
    assert escalator.level is ESCALATED


def test_evidence_after_a_step_down_starts_anew() -> None:
    """What was smoothed before a level stepped down no longer counts after it."""
    escalator = Escalator(having(smoothing_s=60.0, absolute_smoothing_s=60.0))
    push(escalator, 0.0, 0.99)
    escalator.wait(20.0)
    assert (escalator.level, escalator.score) == (CALM, 0.0)
    assert push(escalator, 20.5, 0.2) is None
    assert escalator.score == pytest.approx(0.2)


# Against a slow model


class Slow:
    """The escalator's rules over the whole history, each computed from the start."""

    def __init__(self, policy: EscalationPolicy) -> None:
        self.policy = policy
        self.alone: list[tuple[float, float]] = []
        self.against: list[tuple[float, float]] = []
        self.scores: list[tuple[float, float]] = []
        self.level, self.since_s, self.heard_s, self.spoken_s = CALM, 0.0, 0.0, 0.0

    def push(
        self, time_s: float, absolute: float, relative: float | None, speech_s: float
    ) -> list[tuple[float, Level, Level]]:
        policy = self.policy
        self.spoken_s += speech_s
        self.heard_s = time_s
        self.alone.append((speech_s, odds(absolute) + policy.absolute_shift))
        smooth = self.mean()
        if relative is not None:
            self.against.append((speech_s, odds(relative) + policy.relative_shift))
            against = self.against[0][1]
            for new_s, value in self.against[1:]:
                keep = math.exp(-new_s / policy.smoothing_s) if policy.smoothing_s else 0.0
                against = keep * against + (1 - keep) * value
            smooth = max(against, smooth) if self.level > CALM else against
        self.scores.append((self.spoken_s, 1 / (1 + math.exp(-smooth))))
        target = self.level
        for level, onset, offset in (
            (TENSE, policy.tense_onset, policy.tense_offset),
            (ESCALATED, policy.escalated_onset, policy.escalated_offset),
        ):
            above = self.lasting(lambda score, onset=onset: score >= onset)
            below = self.lasting(lambda score, offset=offset: score < offset)
            if above is not None and above >= policy.min_duration_on_s:
                target = max(target, level)
            if below is not None and below >= policy.min_duration_off_s:
                target = min(target, Level(level - 1))
        return self.move(target, time_s)

    def mean(self) -> float:
        """Every second alike until there are enough, then the newest replaces its share."""
        mean, spoken_s = 0.0, 0.0
        for new_s, value in self.alone:
            spoken_s = min(spoken_s + new_s, self.policy.absolute_smoothing_s)
            share = min(1.0, new_s / spoken_s) if spoken_s else 1.0
            mean = (1 - share) * mean + share * value
        return mean

    def lasting(self, holds: Callable[[float], bool]) -> float | None:
        """For how much speech a condition has held without a break, None where it does not now."""
        run = []
        for spoken_s, score in reversed(self.scores):
            if not holds(score):
                break
            run.append(spoken_s)
        return run[0] - run[-1] if run else None

    def wait(self, time_s: float) -> list[tuple[float, Level, Level]]:
        steps = []
        while self.level > CALM and time_s >= max(self.heard_s, self.since_s) + self.policy.hold_s:
            due_s = max(self.heard_s, self.since_s) + self.policy.hold_s
            self.alone, self.against, self.scores = [], [], []
            steps += self.move(Level(self.level - 1), due_s)
        return steps

    def move(self, level: Level, time_s: float) -> list[tuple[float, Level, Level]]:
        if level == self.level:
            return []
        before, self.level, self.since_s = self.level, level, time_s
        return [(time_s, before, level)]


scores = st.sampled_from([0.05, 0.25, 0.45, 0.55, 0.65, 0.75, 0.95])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.5, 0.5, 1.0, 3.0, 12.0]),
            scores,
            st.one_of(st.none(), scores),
            st.sampled_from([0.125, 0.25, 0.5]),  # sums of these are exact
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([0.0, 1.0, 3.0]),
    st.sampled_from([0.0, 2.0, 8.0]),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0.0, 1.0, 5.0]),
    st.sampled_from([2.0, 8.0]),
    st.sampled_from([-1.0, 0.0]),
)
def test_levels_are_those_of_a_slow_model(
    windows: list[tuple[float, float, float | None, float]],
    smoothing_s: float,
    absolute_smoothing_s: float,
    on_s: float,
    off_s: float,
    hold_s: float,
    shift: float,
) -> None:
    """For any evidence at any times under any policy, changes are those computed from the whole history."""
    policy = having(
        smoothing_s=smoothing_s,
        absolute_smoothing_s=absolute_smoothing_s,
        min_duration_on_s=on_s,
        min_duration_off_s=off_s,
        hold_s=hold_s,
        relative_shift=shift,
        absolute_shift=-shift,
    )
    fast, slow, time_s = Escalator(policy), Slow(policy), 0.0
    for gap_s, absolute, relative, speech_s in windows:
        time_s += gap_s
        told: list[Escalation] = fast.wait(time_s)
        if (change := push(fast, time_s, absolute, relative, speech_s=speech_s)) is not None:
            told.append(change)
        expected = slow.wait(time_s) + slow.push(time_s, absolute, relative, speech_s)
        assert [(each.time_s, each.previous, each.level) for each in told] == expected
        assert fast.level is slow.level
        assert fast.score == pytest.approx(slow.scores[-1][1])


def test_the_balanced_policy_takes_its_time() -> None:
    """Under the balanced policy one furious window does not escalate, and fury of ten seconds does."""
    policy = Policy.load().escalation
    assert timeline(policy, [0.02] * 10 + [0.99] + [0.02] * 10, step_s=0.5)[-1] < ESCALATED
    assert timeline(policy, [0.02] * 10 + [0.99] * 20, step_s=0.5)[-1] is ESCALATED
