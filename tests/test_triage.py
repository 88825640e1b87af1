"""A call from its first packet to its flush: gaps, pauses, notice, objection, bad audio and what is not speech."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotion_triage
from emotion_triage.affect.affect import Affect
from emotion_triage.affect.classifier import Classifier
from emotion_triage.audio.stream import decode_mulaw, encode_mulaw
from emotion_triage.call.caller import Event
from emotion_triage.call.triage import Call, Triage
from emotion_triage.errors import ArgumentError, AudioError, PushError, StreamError, TriageError
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Route, Standing, StandingState, same_destination
from emotion_triage.synthesis import sounds
from emotion_triage.synthesis.speech import synthetic_speech

RATE_HZ = 8000
SPOKEN = round(18.02 * RATE_HZ)
"""Samples of `temper` up to the end of its anger, and of the window that ends with it."""


@pytest.fixture
def call(triage: Triage) -> Call:
    return triage.call("call", encoding="float32")


def affects(events: list[Event]) -> list[Affect]:
    return [event for event in events if isinstance(event, Affect)]


def levels(events: list[Event]) -> list[tuple[float, Level]]:
    return [(event.time_s, event.level) for event in events if isinstance(event, Escalation)]


# A call


def test_a_route_before_the_first_word(triage: Triage) -> None:
    """The standing alone chooses a queue at 0 s, with the agents to avoid and both digests."""
    protected = Standing(
        state=StandingState.PROTECTED, abusive_contacts=2, since=None, expires_at=None, avoid_agents=("a-17",)
    )
    route = triage.call("c-1", standing=protected).route
    assert (route.call_id, route.time_s, route.queue, route.avoid_agents) == ("c-1", 0.0, "protected", ("a-17",))
    assert (route.model_digest, route.policy_digest) == (triage.classifier.digest, triage.policy.digest)
    assert triage.call("c-2").route.queue == "general"


def test_a_call_tells_where_it_is(call: Call, temper: np.ndarray) -> None:
    """Level, route, position and speech follow the events."""
    for packet in np.split(temper, len(temper) // 4000):
        for event in call.push(packet):
            if isinstance(event, Escalation):
                assert event.level is call.level or len(levels([event])) == 1
            last = event
        if call.position_s == 16.0:
            assert (call.level, call.route.rule) == (Level.ESCALATED, "escalated caller")
    assert last.time_s <= call.position_s == len(temper) / RATE_HZ
    assert 10.0 < call.speech_s < 22.0
    assert call.lost_s == 0.0


def test_a_call_without_gaps_has_lost_nothing(call: Call, temper: np.ndarray) -> None:
    """No Affect of a call that came whole, the first ones included, reports lost audio."""
    assert {affect.lost_s for affect in affects(call.push(temper) + call.flush())} == {0.0}


def test_a_flush_ends_a_call(call: Call, temper: np.ndarray) -> None:
    """The first flush scores what is left, the second nothing, and neither push nor advance comes after it."""
    assert affects(call.push(temper[: round(2.9 * RATE_HZ)]))[-1].time_s == pytest.approx(2.52)
    (last,) = affects(call.flush())
    assert last.time_s == pytest.approx(2.9)
    assert call.flush() == []
    before = call.position_s
    with pytest.raises(StreamError, match=r"after flush.*reset\(\)"):
        call.push(temper[:160])
    with pytest.raises(StreamError, match="after flush"):
        call.push(temper[:160], at=10 * RATE_HZ)
    with pytest.raises(StreamError, match="after flush"):
        call.advance(10 * RATE_HZ)
    assert call.position_s == before


def test_a_context_flushes(triage: Triage, temper: np.ndarray) -> None:
    """Leaving a `with` block flushes, also when it is left by an error, which passes through."""
    with triage.call("call", encoding="float32") as call:
        call.push(temper[:4000])
    with pytest.raises(StreamError):
        call.push(temper[:160])
    with pytest.raises(KeyError), triage.call("call", encoding="float32") as call:
        raise KeyError
    with pytest.raises(StreamError):
        call.push(temper[:160])


def test_what_another_version_pickled_is_refused_unread(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call or Triage of another version is refused by its version, before anything of its state is read."""
    for pickled in (triage, triage.call("call")):
        with monkeypatch.context() as other:
            other.setattr(emotion_triage, "__version__", "0.0.9")
            stored = pickle.dumps(pickled)
        with pytest.raises(TriageError, match=r"got what emotion-triage 0.0.9 pickled, expected \d.*let calls end"):
            pickle.loads(stored)
        with pytest.raises(TriageError, match=r"0\.0\.9"):  # whatever names that version had
            pickle.loads(stored.replace(b"emotion_triage.affect", b"emotion_triage.agfect"))


def test_an_index_beyond_any_call_is_refused(triage: Triage) -> None:
    """An index that no call reaches is refused as what it is, and leaves the call as it was."""
    call = triage.call("call")
    call.push(bytes(160), at=8000)
    for wrong in (10**400, 1 << 62):
        with pytest.raises(ArgumentError, match="at: got"):
            call.push(bytes(160), at=wrong)
        with pytest.raises(ArgumentError, match="to: got"):
            call.advance(wrong)
    assert call.position_s == 1.02


def test_a_triage_pickles(triage: Triage) -> None:
    """A Triage pickled and read back has the same model and policy."""
    again = pickle.loads(pickle.dumps(triage))
    assert again.classifier.digest == triage.classifier.digest
    assert again.policy == triage.policy


@pytest.mark.parametrize(("encoding", "rate_hz"), [("opus", 8000), ("mulaw", 4000), ("pcm16", 96000)])
def test_a_format_that_cannot_be_heard(triage: Triage, encoding: str, rate_hz: int) -> None:
    """A call of an unknown encoding or rate is refused when it is opened, not at its first packet."""
    with pytest.raises(AudioError, match="expected"):
        triage.call("call", encoding=encoding, sample_rate_hz=rate_hz)


# Gaps and pauses


def test_a_gap_is_counted_and_not_filled(triage: Triage, call: Call, temper: np.ndarray) -> None:
    """A lost second is in the call's `lost_s` and in the windows that hold its frames, and not in `speech_s`."""
    events = call.push(temper[: 12 * RATE_HZ]) + call.push(temper[13 * RATE_HZ : 18 * RATE_HZ], at=13 * RATE_HZ)
    assert call.lost_s == 1.0
    assert call.position_s == 18.0
    # frame 599 would need the first lost sample, frame 649 the last
    for affect in affects(events):
        end = -(-round((affect.time_s - 0.02) / 0.02) // 25) * 25  # a window ends with its step
        held = sum(599 <= frame <= 649 for frame in range(end - 150, end))
        assert affect.lost_s == pytest.approx(0.02 * held), affect.time_s
    assert max(affect.lost_s for affect in affects(events)) == pytest.approx(1.02)
    whole = triage.call("call", encoding="float32")
    whole.push(temper[: 18 * RATE_HZ])
    assert call.speech_s == pytest.approx(whole.speech_s - 0.8, abs=0.3)


def test_zeros_are_not_a_gap(call: Call, temper: np.ndarray) -> None:
    """Digital silence is heard: nothing is lost."""
    events = call.push(temper[: 2 * RATE_HZ]) + call.push(np.zeros(RATE_HZ, np.float32))
    events += call.push(temper[2 * RATE_HZ : 4 * RATE_HZ])
    assert call.lost_s == 0.0
    assert not any(affect.lost_s for affect in affects(events))


def test_at_where_the_stream_is_changes_nothing(triage: Triage, temper: np.ndarray) -> None:
    """Packets with their stream index tell what packets without it tell."""
    with_index, without = (triage.call("call", encoding="float32") for _ in range(2))
    for start in range(0, len(temper), 1600):
        packet = temper[start : start + 1600]
        assert with_index.push(packet, at=start) == without.push(packet)
    assert with_index.lost_s == 0.0


def test_the_past_is_refused(call: Call, temper: np.ndarray) -> None:
    """A jump back is a StreamError that says where the stream is, and the call goes on from there."""
    call.push(temper[:1600])
    with pytest.raises(StreamError, match="got audio at sample 1599, expected 1600 or later"):
        call.push(temper[:160], at=1599)
    assert (call.position_s, call.lost_s) == (0.2, 0.0)
    call.push(temper[1600:3200], at=1600)
    assert call.position_s == 0.4


def test_what_was_before_a_gap_is_scored_as_at_a_flush(triage: Triage, call: Call, temper: np.ndarray) -> None:
    """Speech between the last window and a gap is not forgotten."""
    before = call.push(temper[: round(2.9 * RATE_HZ)])
    (last,) = affects(call.advance(4 * RATE_HZ))
    assert last.time_s == pytest.approx(2.9)
    assert last.time_s > affects(before)[-1].time_s
    assert last.lost_s == pytest.approx(0.12)


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_a_gap_of_a_day_costs_what_one_of_a_minute_does(triage: Triage, temper: np.ndarray, rate_hz: int) -> None:
    """However long the gap, no window of it is measured, the state is as large, and the same events follow later."""
    told = []
    for gap_s in (60, 24 * 3600):
        call = triage.call("call", encoding="float32", sample_rate_hz=rate_hz)
        speech = np.resize(temper, 5 * rate_hz)
        call.push(speech)
        call.advance(30 * rate_hz)
        with patch("emotion_triage.prosody.measurement.functionals") as measure:
            assert call.advance((30 + gap_s) * rate_hz) == []
        assert not measure.called
        told.append((len(pickle.dumps(call)), call.push(speech), gap_s))
    (size, events, gap_s), (later_size, later_events, later_gap_s) = told
    assert later_size == pytest.approx(size, abs=64)
    assert affects(events)
    assert len(events) == len(later_events)
    for event, later in zip(affects(events), affects(later_events), strict=True):
        assert later.anger == event.anger
        assert later.time_s - later_gap_s == pytest.approx(event.time_s - gap_s)


def test_no_evidence_is_not_calm(triage: Triage, call: Call, temper: np.ndarray) -> None:
    """While the caller is on hold the level holds for `hold_s`, then steps down one each `hold_s`; the route stays."""
    heard = call.push(temper[:SPOKEN])
    assert call.level is Level.ESCALATED
    last_s, hold_s = affects(heard)[-1].time_s, triage.policy.escalation.hold_s
    told = [event for second in range(19, 40) for event in call.advance(second * RATE_HZ)]
    assert affects(told) == []
    assert levels(told) == [(last_s + hold_s, Level.TENSE), (last_s + 2 * hold_s, Level.CALM)]
    assert [event for event in told if isinstance(event, Route)] == []
    assert (call.route.rule, call.route.level, call.level) == ("escalated caller", Level.ESCALATED, Level.CALM)
    assert [event.cause for event in told if isinstance(event, Escalation)] == ["silence"] * 2
    assert call.lost_s == pytest.approx(39 - SPOKEN / RATE_HZ)


def test_one_long_pause_tells_what_short_ones_do(triage: Triage, temper: np.ndarray) -> None:
    """A minute's pause at once tells the same steps and times as seconds do, and as a gap before audio."""
    told = []
    for moves in (range(19, 80), [79], []):
        call = triage.call("call", encoding="float32")
        call.push(temper[:SPOKEN])
        events = [event for second in moves for event in call.advance(second * RATE_HZ)]
        told.append(events + call.push(temper[:160], at=79 * RATE_HZ))
    assert told[0] == told[1] == told[2]
    assert [type(event) for event in told[0]] == [Escalation, Escalation]


def test_silence_steps_down_as_a_pause_does(triage: Triage, temper: np.ndarray) -> None:
    """Digital silence is no evidence either: the steps down have the times of a pause."""
    paused, silent = (triage.call("call", encoding="float32") for _ in range(2))
    for each in (paused, silent):
        each.push(temper[:SPOKEN])
    events = paused.advance(30 * RATE_HZ)
    assert levels(silent.push(np.zeros(12 * RATE_HZ, np.float32))) == levels(events)
    assert len(levels(events)) == 2


def test_advance_to_the_past_is_nothing(call: Call, temper: np.ndarray) -> None:
    """Stream time that has passed already is passed over."""
    call.push(temper[:1600])
    assert call.advance(800) == []
    assert (call.position_s, call.lost_s) == (0.2, 0.0)


# Bad audio

BAD = [
    (np.array([0.1, np.nan], np.float32), "nan"),
    (np.array([0.1, 300.0], np.float32), "divide 16-bit values"),
    (np.zeros(160, np.float64), "astype"),
    (np.zeros((160, 2), np.float32), "one channel"),
    ("audio", "got str"),
]


@pytest.mark.parametrize(("chunk", "message"), BAD, ids=[message for _, message in BAD])
@pytest.mark.parametrize("at", [None, 3 * RATE_HZ])
def test_a_bad_chunk_changes_nothing(
    triage: Triage, temper: np.ndarray, chunk: np.ndarray, message: str, at: int | None
) -> None:
    """After audio that cannot be used, at a gap or not, a call goes on as if it had never been pushed."""
    tried, spared = (triage.call("call", encoding="float32") for _ in range(2))
    for each in (tried, spared):
        each.push(temper[: 2 * RATE_HZ])
    with pytest.raises(AudioError, match=message):
        tried.push(chunk, at=at)
    assert (tried.position_s, tried.lost_s) == (2.0, 0.0)
    rest = temper[2 * RATE_HZ :]
    assert tried.push(rest) + tried.flush() == spared.push(rest) + spared.flush()


def test_a_bad_chunk_in_a_tick_harms_no_other(triage: Triage, temper: np.ndarray) -> None:
    """The others of the tick are scored, their events are in the error, and the bad call goes on as before."""
    calls = [triage.call(str(n), encoding="float32") for n in range(4)]
    alone = [triage.call(str(n), encoding="float32") for n in range(4)]
    first, second = temper[: 5 * RATE_HZ], temper[5 * RATE_HZ : 8 * RATE_HZ]
    triage.push_many([(each, first) for each in calls])
    for each in alone:
        each.push(first)
    nan = np.full(160, np.nan, np.float32)
    calls[3].flush()
    with pytest.raises(
        PushError, match="2 of 5 chunks could not be used, the first at 1: float32 audio: got nan"
    ) as caught:
        triage.push_many([(calls[0], second), (calls[1], nan), (calls[2], second), (calls[3], second), (calls[1], b"")])
    assert set(caught.value.errors) == {1, 3}
    assert isinstance(caught.value.errors[1], AudioError)
    assert isinstance(caught.value.errors[3], StreamError)
    assert caught.value.events == [alone[0].push(second), [], alone[2].push(second), [], []]
    assert caught.value.events[0]
    assert calls[1].push(second) == alone[1].push(second)
    assert calls[1].position_s == 8.0


def test_a_push_error_pickles(triage: Triage) -> None:
    """What went wrong survives the way to another process."""
    with pytest.raises(PushError) as caught:
        triage.push_many([(triage.call("call"), 3)])  # type: ignore[list-item]
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.events == [[]]
    assert list(again.errors) == [0]


# Notice and objection


class Spied:
    """Counts what the classifier of a Triage is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = self.seconds = 0
        score, tone = Classifier.score, Classifier.tone

        def counted(classifier: Classifier, features: np.ndarray) -> np.ndarray:
            self.rows += len(features)
            return score(classifier, features)

        def encoded(classifier: Classifier, second: np.ndarray) -> np.ndarray:
            self.seconds += 1
            return tone(classifier, second)

        monkeypatch.setattr(Classifier, "score", counted)
        monkeypatch.setattr(Classifier, "tone", encoded)


@pytest.fixture
def spy(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> Spied:
    return Spied(monkeypatch)


def test_the_spy_sees(triage: Triage, spy: Spied, temper: np.ndarray) -> None:
    """A call without objection is scored: the window, its eight occlusions, and it and its baseline so far."""
    told = triage.call("call", encoding="float32").push(temper[: 5 * RATE_HZ])
    assert spy.rows == 11 * len(affects(told)) > 0
    assert 0 < spy.seconds <= 5


@pytest.mark.parametrize("state", [StandingState.CLEAR, StandingState.PROTECTED])
def test_who_objects_is_not_scored(triage: Triage, spy: Spied, temper: np.ndarray, state: StandingState) -> None:
    """No score is computed, no event comes, and the route is neutral from the start, whatever the standing."""
    standing = Standing(state=state, abusive_contacts=0, since=None, expires_at=None)
    call = triage.call("call", encoding="float32", objection=True, standing=standing)
    assert (call.route.rule, call.route.level, call.route.time_s) == ("neutral", None, 0.0)
    events = call.push(temper) + call.advance(60 * RATE_HZ) + call.push(temper, at=60 * RATE_HZ) + call.flush()
    assert (events, spy.rows, spy.seconds, call.speech_s) == ([], 0, 0, 0.0)
    assert call.route.rule == "neutral"
    assert call.position_s == 60.0 + len(temper) / RATE_HZ


def test_an_objection_that_is_remembered_holds(triage: Triage, spy: Spied, temper: np.ndarray) -> None:
    """A caller whose standing says that he objected once is not scored either."""
    standing = Standing(state=StandingState.CLEAR, abusive_contacts=0, since=None, expires_at=None, objection=True)
    call = triage.call("call", encoding="float32", standing=standing)
    assert call.push(temper) + call.flush() == []
    assert (call.route.rule, spy.rows, spy.seconds) == ("neutral", 0, 0)


def test_who_may_have_objected_is_not_scored(triage: Triage, spy: Spied, temper: np.ndarray) -> None:
    """Where the ledger could not be asked, a caller may have objected: no score, and the neutral route."""
    unknown = triage.policy.protection.unknown_standing("the ledger is away")
    call = triage.call("call", encoding="float32", standing=unknown)
    assert call.push(temper) + call.flush() == []
    assert (call.route.rule, call.route.standing, spy.rows) == ("neutral", StandingState.CLEAR, 0)


def test_a_caller_may_object_at_any_time(triage: Triage, spy: Spied, temper: np.ndarray) -> None:
    """From an objection on nothing is scored, level and baseline are forgotten; the place that was granted stays."""
    call = triage.call("call", encoding="float32")
    call.push(temper[: 16 * RATE_HZ])
    assert call.level is Level.ESCALATED
    scored = spy.rows
    granted = call.route
    assert call.object() == []
    assert call.object() == []
    assert (call.route.rule, call.route.time_s, call.route.level) == ("neutral", 16.0, None)
    assert same_destination(call.route, granted)
    assert call.push(temper) + call.advance(99 * RATE_HZ) + call.flush() == []
    assert (spy.rows, call.speech_s, call.level, call.objection) == (scored, 0.0, Level.CALM, True)


@pytest.mark.parametrize(
    ("neutral", "policy", "leads"),
    [
        ('queue = "general"\npriority = 50', "", []),
        ('queue = "listeners"\npriority = 50', "", []),
        ('queue = "listeners"\npriority = 55', "", [("listeners", 55)]),
        ('queue = "listeners"\npriority = 50', "routes_may_fall = true", [("listeners", 50)]),
    ],
)
def test_an_objection_costs_no_place(triage: Triage, neutral: str, policy: str, leads: list[tuple[str, int]]) -> None:
    """A caller who objects is led elsewhere only to a better place, unless the policy lets routes fall."""
    settings_ = Policy.parse(f"[neutral]\n{neutral}\n[routing]\n{policy}")
    call = Triage(triage.classifier, settings_).call("call")
    told = call.object()
    assert [(event.queue, event.priority) for event in told if isinstance(event, Route)] == leads
    assert (call.route.rule, call.route.level) == ("neutral", None)
    assert call.object() == []


def test_an_objection_ends_with_its_call(triage: Triage, temper: np.ndarray) -> None:
    """A reset brings back the objection that the call was opened with, and no other."""
    call = triage.call("call", encoding="float32")
    call.object()
    call.reset()
    assert not call.objection
    assert affects(call.push(temper[: 5 * RATE_HZ]))
    objecting = triage.call("call", encoding="float32", objection=True)
    objecting.reset()
    assert objecting.objection


@pytest.fixture
def told_first(triage: Triage) -> Triage:
    """The same model under a policy that requires a notice."""
    return Triage(triage.classifier, Policy.parse('[notice]\nmode = "required"'))


def test_nothing_is_scored_before_the_notice(told_first: Triage, spy: Spied, temper: np.ndarray) -> None:
    """Where notice is required nothing is scored, and no audio kept, until it was played."""
    call = told_first.call("call", encoding="float32")
    assert call.push(temper[: 6 * RATE_HZ]) == []
    assert call.notice_played_s is None
    assert call.flush() == []
    assert (spy.rows, spy.seconds, call.speech_s, call.position_s) == (0, 0, 0.0, 6.0)


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_scoring_begins_with_the_notice(told_first: Triage, temper: np.ndarray, rate_hz: int) -> None:
    """After the notice a call tells what a call that began there would, later by the time before it."""
    samples = temper if rate_hz == 8000 else np.repeat(temper, 2)
    assumed = Triage(told_first.classifier, Policy.load())
    late, fresh = (each.call("call", encoding="float32", sample_rate_hz=rate_hz) for each in (told_first, assumed))
    for packet in np.split(samples[: 5 * rate_hz], 250):
        assert late.push(packet) == []
    late.notice_played()
    assert late.notice_played_s == 5.0
    after = affects(late.push(samples[: 9 * rate_hz]) + late.flush())
    expected = affects(fresh.push(samples[: 9 * rate_hz]) + fresh.flush())
    assert [affect.time_s - 5.0 for affect in after] == pytest.approx([affect.time_s for affect in expected])
    assert [affect.anger for affect in after] == pytest.approx([affect.anger for affect in expected], abs=2e-3)
    late.notice_played()
    assert late.notice_played_s == 5.0


def test_a_notice_is_of_one_call(told_first: Triage, temper: np.ndarray) -> None:
    """A reset forgets that the notice was played."""
    call = told_first.call("call", encoding="float32")
    call.notice_played()
    assert call.notice_played_s == 0.0
    call.reset()
    assert call.notice_played_s is None
    assert call.push(temper[: 5 * RATE_HZ]) == []


# What is not speech

SECONDS = 30


def clicks(seed: int) -> np.ndarray:
    """Three full-scale impulses a second over line noise."""
    draw = np.random.default_rng(seed)
    samples = 0.001 * draw.standard_normal(SECONDS * RATE_HZ)
    samples[draw.integers(len(samples), size=3 * SECONDS)] = draw.choice([-1.0, 1.0], 3 * SECONDS)
    return samples


def white(seed: int, level_dbfs: float) -> np.ndarray:
    return sounds.at_level(np.random.default_rng(seed).standard_normal(SECONDS * RATE_HZ), level_dbfs)


def digits(seed: int) -> np.ndarray:
    return sounds.dtmf("".join(np.random.default_rng(seed).choice(list("0123456789ABCD*#"), 5 * SECONDS)))


NOT_SPEECH: dict[str, Callable[[int], np.ndarray]] = {
    "digital zeros": lambda seed: np.zeros(SECONDS * RATE_HZ),
    "DC": lambda seed: np.full(SECONDS * RATE_HZ, 0.1 + 0.2 * seed),
    "last bit": lambda seed: np.random.default_rng(seed).integers(-1, 2, SECONDS * RATE_HZ) / 32768,
    "clipped noise": lambda seed: sounds.clipped_noise(SECONDS, seed=seed),
    "hum 50": lambda seed: sounds.hum(50, SECONDS, level_dbfs=-40.0 + 10 * seed),
    "hum 60": lambda seed: sounds.hum(60, SECONDS, level_dbfs=-40.0 + 10 * seed),
    "DTMF": digits,
    "low tone": lambda seed: sounds.tone(110.0 * (1 + seed), SECONDS),
    "high tone": lambda seed: sounds.tone(1000.0 + 700 * seed, SECONDS),
    "ring back": lambda seed: sounds.tone(425.0, SECONDS) * (np.arange(SECONDS * RATE_HZ) % 40000 < 8000 + 4000 * seed),
    "busy": lambda seed: sounds.tone(440.0, SECONDS) * (np.arange(SECONDS * RATE_HZ) % 8000 < 4000 - 800 * seed),
    "comfort noise": lambda seed: sounds.comfort_noise(SECONDS, level_dbfs=-60.0 + 10 * seed, seed=seed),
    "white noise, soft": lambda seed: white(seed, -60.0),
    "white noise": lambda seed: white(seed, -35.0),
    "white noise, loud": lambda seed: white(seed, -12.0),
    "clicks": clicks,
    "drums": lambda seed: sounds.drums(SECONDS, seed=seed),
    "hold music": lambda seed: sounds.hold_music(SECONDS, seed=seed),
}


@pytest.fixture(scope="module")
def shipped() -> Triage:
    """The model that ships, under the balanced policy: what tells music from a voice is trained."""
    return Triage.load()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NOT_SPEECH)
def test_what_is_not_speech_is_not_scored(shipped: Triage, name: str, seed: int) -> None:
    """Half a minute of anything but speech, straight or through mu-law, makes no Affect and counts no speech."""
    samples = np.clip(NOT_SPEECH[name](seed), -1.0, 1.0).astype(np.float32)
    packets = encode_mulaw(samples)
    assert np.abs(decode_mulaw(np.frombuffer(packets, np.uint8)) - samples).max() < 0.04
    for encoding, audio in (("float32", samples), ("mulaw", packets)):
        call = shipped.call("call", encoding=encoding)
        events = call.push(audio) + call.flush()
        passed = len(affects(events)) / (2 * SECONDS)
        assert events == [], f"{name} over {encoding}: {passed:.0%} of windows were scored"
        assert call.speech_s == 0.0


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_bytes_are_a_call(data: st.DataObject, triage: Triage) -> None:
    """No packets of random bytes, whatever their encoding and length, break a call that takes their encoding."""
    call = triage.call("call", encoding=data.draw(st.sampled_from(["mulaw", "alaw", "pcm16"])))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    for size in data.draw(st.lists(st.integers(0, 5000), max_size=12)):
        call.push(draw.bytes(size))
    for event in call.flush():
        assert 0.0 <= event.time_s <= call.position_s


def test_a_noisy_line_is_not_judged_by() -> None:
    """Under noise 6 dB below the voice the call abstains and says for how long; over the clean line it never does."""
    shipped = Triage.load()
    voice = synthetic_speech(8.0, mood="angry", seed=3)
    noise = np.random.default_rng(0).standard_normal(len(voice)).astype(np.float32) * voice.std() / 2
    clean, noisy = (shipped.call(name, encoding="float32") for name in ("clean", "noisy"))
    assert affects(clean.push(voice))
    assert (clean.abstained_s, clean.abstaining) == (0.0, False)
    assert not affects(noisy.push(voice + noise))
    assert (noisy.speech_s, noisy.abstaining) == (0.0, True)
    assert noisy.abstained_s > 0.2
