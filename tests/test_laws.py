"""The laws of the house, each a property: they hold for any audio, any cut and any mix of calls."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotion_triage.affect.affect import Affect
from emotion_triage.audio.recordings import open_recording
from emotion_triage.audio.stream import encode_alaw, encode_mulaw
from emotion_triage.call.caller import Event
from emotion_triage.call.triage import Call, Triage
from emotion_triage.prosody.lld import LLD_NAMES, lld
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Route, Standing, StandingState
from emotion_triage.synthesis.speech import synthetic_speech

modest = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
FORMATS = [("mulaw", 8000), ("alaw", 8000), ("pcm16", 16000), ("float32", 44100), ("float32", 11025)]
LONGEST_S = 10


def carried(samples: np.ndarray, encoding: str, rate_hz: int) -> np.ndarray:
    """The same sound as a line of this format brings it: an array of the encoding's dtype."""
    at = np.arange(len(samples) * rate_hz // 8000) * 8000 / rate_hz
    sound = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    if encoding == "float32":
        return sound
    if encoding == "pcm16":
        return np.rint(sound * 32767).astype("<i2")
    return np.frombuffer((encode_mulaw if encoding == "mulaw" else encode_alaw)(sound), np.uint8)


def cut(audio: np.ndarray, sizes: Iterable[int]) -> list[np.ndarray]:
    """The audio in pieces of these sizes, what is left over last."""
    at, pieces = 0, []
    for size in sizes:
        pieces.append(audio[at : at + size])
        at += size
    return [*pieces, audio[at:]]


def hear(call: Call, pieces: Iterable[np.ndarray | bytes]) -> list[Event]:
    return [event for piece in pieces for event in call.push(piece)] + call.flush()


@pytest.fixture(scope="module")
def lines(temper: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
    """The caller who loses his temper, over every line."""
    return {line: carried(temper, *line) for line in FORMATS}


def open_call(triage: Triage, line: tuple[str, int], call_id: str = "call") -> Call:
    return triage.call(call_id, encoding=line[0], sample_rate_hz=line[1])


@pytest.fixture(scope="module")
def whole(triage: Triage, lines: dict[tuple[str, int], np.ndarray]) -> dict[tuple[str, int], list[Event]]:
    """What each line tells when it is pushed in one piece."""
    return {line: hear(open_call(triage, line), [audio]) for line, audio in lines.items()}


def sizes_up_to(longest: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.one_of(st.integers(0, 3), st.integers(1, 700), st.integers(1, longest)), max_size=60)


# Cuts


@pytest.mark.parametrize("line", FORMATS, ids=str)
def test_a_caller_who_loses_his_temper_shows_every_event(
    line: tuple[str, int], whole: dict[tuple[str, int], list[Event]]
) -> None:
    """The call that the laws are tried on rises to ESCALATED and comes down to CALM; its route rises and stays."""
    levels = [event.level for event in whole[line] if isinstance(event, Escalation)]
    assert Level.ESCALATED in levels
    assert levels[-1] is Level.CALM
    assert sum(isinstance(event, Affect) for event in whole[line]) > 20
    rises = [level for i, level in enumerate(levels) if level > max(levels[:i], default=Level.CALM)]
    assert [event.level for event in whole[line] if isinstance(event, Route)] == rises


@pytest.mark.parametrize("line", FORMATS, ids=str)
@modest
@given(data=st.data())
def test_no_cut_changes_an_event(
    line: tuple[str, int],
    data: st.DataObject,
    triage: Triage,
    lines: dict[tuple[str, int], np.ndarray],
    whole: dict[tuple[str, int], list[Event]],
) -> None:
    """However a call is cut, from nothing to 10 s at a time, its events are the same to the bit."""
    sizes = data.draw(sizes_up_to(LONGEST_S * line[1]))
    assert hear(open_call(triage, line), cut(lines[line], sizes)) == whole[line]


@pytest.mark.parametrize("line", [("pcm16", 16000), ("float32", 11025)], ids=str)
@modest
@given(sizes=sizes_up_to(30_000))
def test_bytes_may_be_cut_within_a_sample(
    line: tuple[str, int],
    sizes: list[int],
    triage: Triage,
    lines: dict[tuple[str, int], np.ndarray],
    whole: dict[tuple[str, int], list[Event]],
) -> None:
    """A packet that ends within a sample loses nothing."""
    stream = np.frombuffer(lines[line].tobytes(), np.uint8)
    assert hear(open_call(triage, line), [piece.tobytes() for piece in cut(stream, sizes)]) == whole[line]


@pytest.mark.parametrize("line", [("mulaw", 8000), ("pcm16", 16000)], ids=str)
def test_single_samples_tell_what_a_whole_call_tells(line: tuple[str, int], triage: Triage) -> None:
    """A call of 8 s pushed sample by sample tells what it tells in one piece."""
    speech = np.concatenate([synthetic_speech(4.0, mood=mood, seed=5) for mood in ("calm", "angry")])
    audio = carried(speech, *line)
    assert hear(open_call(triage, line), np.split(audio, len(audio))) == hear(open_call(triage, line), [audio])


@pytest.fixture(scope="module")
def three_minutes(temper: np.ndarray) -> np.ndarray:
    """Three minutes of one caller with a second voice's moods, tones and noise between."""
    draw = np.random.default_rng(8)
    male = [synthetic_speech(10.0, mood=mood, voice="male", seed=2) for mood in ("calm", "angry")]
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < 180 * 8000:
        parts += [temper, 0.01 * draw.standard_normal(8 * 8000).astype(np.float32), *male]
    return np.concatenate(parts)[: 180 * 8000]


@pytest.mark.parametrize("line", [("mulaw", 8000), ("float32", 44100)], ids=str)
def test_three_minutes_in_any_cut(line: tuple[str, int], triage: Triage, three_minutes: np.ndarray) -> None:
    """Three minutes tell the same in one piece and in pieces of 20 ms, 0.7 s and 10 s."""
    audio = carried(three_minutes, *line)
    expected = hear(open_call(triage, line), [audio])
    assert sum(isinstance(event, Escalation) for event in expected) > 8
    for size in (line[1] // 50, 7 * line[1] // 10, 10 * line[1]):
        pieces = cut(audio, [size] * (len(audio) // size))
        assert hear(open_call(triage, line), pieces) == expected, f"pieces of {size} samples"


def test_three_minutes_sample_by_sample(triage: Triage, three_minutes: np.ndarray) -> None:
    """Three minutes tell the same in 1,440,000 pieces as in one."""
    audio = carried(three_minutes, "mulaw", 8000)
    call, one_by_one = open_call(triage, ("mulaw", 8000)), []
    for at in range(len(audio)):
        one_by_one += call.push(audio[at : at + 1])
    assert one_by_one + call.flush() == hear(open_call(triage, ("mulaw", 8000)), [audio])


def test_a_file_equals_its_stream(triage: Triage, temper: np.ndarray, tmp_path: Path) -> None:
    """A recording pushed block by block tells what its 20 ms packets told."""
    audio = carried(temper, "pcm16", 16000)
    soundfile.write(tmp_path / "call.wav", audio, 16000)
    recording = open_recording(tmp_path / "call.wav", caller_channel="mono")
    stored = hear(triage.call("call", encoding="float32"), [samples for _, samples in recording.blocks()])
    assert stored == hear(open_call(triage, ("pcm16", 16000)), np.split(audio, len(audio) // 320))


# Many calls


@modest
@given(data=st.data())
def test_push_many_equals_push(
    data: st.DataObject, triage: Triage, lines: dict[tuple[str, int], np.ndarray], anger_model: Path
) -> None:
    """Calls of any format and policy, mixed into ticks where one may come twice, tell what each tells alone."""
    strict = Triage(triage.classifier, Policy.parse("[escalation]\ntense_onset = 0.3\ntense_offset = 0.2"))
    pushed, alone = [], []
    for number in range(data.draw(st.integers(1, 5))):
        line = data.draw(st.sampled_from(FORMATS))
        starts = data.draw(st.integers(0, 8 * line[1]))
        pieces = cut(lines[line][starts : starts + 14 * line[1]], data.draw(sizes_up_to(4 * line[1])))
        owner = data.draw(st.sampled_from([triage, strict]))
        alone.append(hear(open_call(owner, line, f"call-{number}"), pieces))
        pushed.append((open_call(owner, line, f"call-{number}"), iter(pieces), []))
    order = data.draw(st.lists(st.integers(0, len(pushed) - 1), max_size=60))
    order += [number for number in range(len(pushed)) for _ in range(61)]
    tick: list[tuple[int, np.ndarray]] = []
    while order:
        for _ in range(data.draw(st.integers(1, 30)) if len(order) > 200 else len(order)):
            if order and (piece := next(pushed[number := order.pop(0)][1], None)) is not None:
                tick.append((number, piece))
        for (number, _), events in zip(tick, triage.push_many([(pushed[n][0], p) for n, p in tick]), strict=True):
            pushed[number][2].extend(events)
        tick = []
    assert [events + call.flush() for call, _, events in pushed] == alone


def test_hundreds_of_calls_in_one_tick(triage: Triage, temper: np.ndarray) -> None:
    """Two hundred calls, 0.2 s apart in the same speech, tell in common ticks what each tells alone."""
    packets = [temper[1600 * n : 1600 * n + 3 * 8000] for n in range(100)] * 2
    calls = [triage.call("call", encoding="float32") for _ in packets]
    told: list[list[Event]] = [[] for _ in calls]
    for tick in range(0, 3 * 8000, 8000):
        for events, new in zip(
            told,
            triage.push_many([(c, p[tick : tick + 8000]) for c, p in zip(calls, packets, strict=True)]),
            strict=True,
        ):
            events += new
    for packet, events in zip(packets[::4], told[::4], strict=True):
        assert events == triage.call("call", encoding="float32").push(packet)
    assert any(told)


def test_nothing_in_a_tick(triage: Triage) -> None:
    """A tick without calls, and a call without audio, tell nothing."""
    assert triage.push_many([]) == []
    assert triage.push_many([(triage.call("call"), b"")] * 2) == [[], []]


def test_interleaved_calls_do_not_hear_each_other(triage: Triage, temper: np.ndarray) -> None:
    """Two calls pushed by turns tell what they tell one after the other."""
    pieces = np.split(temper, len(temper) // 800), np.split(temper[::-1].copy(), len(temper) // 800)
    calls = [triage.call("call", encoding="float32") for _ in pieces]
    told: list[list[Event]] = [[], []]
    for pair in zip(*pieces, strict=True):
        for call, piece, events in zip(calls, pair, told, strict=True):
            events += call.push(piece)
    for call, events in zip(calls, told, strict=True):
        events += call.flush()
    assert told == [hear(triage.call("call", encoding="float32"), each) for each in pieces]
    assert told[0] != told[1]


def test_threads_share_a_triage(triage: Triage, temper: np.ndarray) -> None:
    """Four threads, each with its own calls on one Triage, tell what they tell one after the other."""

    def work(number: int) -> list[Event]:
        samples = np.roll(temper, 4000 * number)
        return hear(triage.call(str(number), encoding="float32"), np.split(samples, len(samples) // 800))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(6))) == [work(number) for number in range(6)]


# State


@modest
@given(before=st.integers(0, 200_000), flushed=st.booleans())
def test_reset_equals_new(
    before: int,
    flushed: bool,
    triage: Triage,
    lines: dict[tuple[str, int], np.ndarray],
    whole: dict[tuple[str, int], list[Event]],
) -> None:
    """After a reset, whatever came before it, a call tells what a new one tells."""
    line = ("pcm16", 16000)
    call = open_call(triage, line)
    call.push(lines[line][:before].tobytes() + b"\x01")
    call.push(b"", at=before + 5000)
    call.object()
    if flushed:
        call.flush()
    call.reset()
    new = open_call(triage, line)
    for name in ("route", "level", "objection", "speech_s", "position_s", "lost_s", "notice_played_s"):
        assert getattr(call, name) == getattr(new, name)
    assert hear(call, [lines[line]]) == whole[line]


@pytest.mark.parametrize("line", FORMATS, ids=str)
@settings(modest, max_examples=6)
@given(data=st.data())
def test_pickling_between_two_pushes_changes_nothing(
    line: tuple[str, int],
    data: st.DataObject,
    triage: Triage,
    lines: dict[tuple[str, int], np.ndarray],
    whole: dict[tuple[str, int], list[Event]],
) -> None:
    """A call that moves to another process between any two pushes tells what it would have told."""
    call, events = open_call(triage, line), []
    for piece in cut(lines[line], data.draw(sizes_up_to(3 * line[1]))):
        events += call.push(piece)
        call = pickle.loads(pickle.dumps(call))
    assert events + call.flush() == whole[line]


@pytest.mark.parametrize("line", FORMATS, ids=str)
def test_inputs_are_never_written_to(line: tuple[str, int], triage: Triage, temper: np.ndarray) -> None:
    """Read-only arrays are taken, and writable ones are left as they were."""
    audio = carried(temper, *line).copy()
    kept = audio.copy()
    writable = hear(open_call(triage, line), [audio])
    assert np.array_equal(audio, kept)
    audio.setflags(write=False)
    assert hear(open_call(triage, line), [audio]) == writable


# Time and evidence


@modest
@given(data=st.data())
def test_events_keep_to_their_time(
    data: st.DataObject, triage: Triage, lines: dict[tuple[str, int], np.ndarray]
) -> None:
    """Through gaps and pauses, event times never decrease and never lie after the audio pushed."""
    line = data.draw(st.sampled_from(FORMATS))
    call, last_s, position = open_call(triage, line), 0.0, 0
    for piece in cut(lines[line], data.draw(sizes_up_to(5 * line[1]))):
        gap = data.draw(st.sampled_from([0, 0, 0, 1, 37, line[1] // 3, 2 * line[1], 9 * line[1]]))
        if data.draw(st.booleans()):
            events = call.push(piece, at=position + gap)
        else:
            events = call.advance(position + gap) + call.push(piece)
        position += gap + len(piece)
        assert call.position_s == pytest.approx(position / line[1])
        for event in events:
            assert last_s <= event.time_s <= call.position_s
            last_s = event.time_s
    for event in call.flush():
        assert last_s <= event.time_s <= call.position_s
        last_s = event.time_s


@modest
@given(
    st.lists(
        st.tuples(st.sampled_from(["silence", "noise", "tone", "calm", "angry"]), st.floats(0.1, 6.0)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 9),
)
def test_no_speech_no_affect_no_escalation(triage: Triage, parts: list[tuple[str, float]], seed: int) -> None:
    """No Affect without speech, no step up without an Affect of that moment, no Route without an Escalation."""
    draw = np.random.default_rng(seed)
    sounds = []
    for kind, duration_s in parts:
        n = round(8000 * duration_s)
        if kind in ("calm", "angry"):
            sounds.append(synthetic_speech(duration_s, mood=kind, seed=seed))
        elif kind == "tone":
            sounds.append((0.1 * np.sin(2 * np.pi * 700 / 8000 * np.arange(n))).astype(np.float32))
        else:
            sounds.append((0.003 * (kind == "noise") * draw.standard_normal(n)).astype(np.float32))
    call = triage.call("call", encoding="float32")
    events = hear(call, sounds)
    affects = [event for event in events if isinstance(event, Affect)]
    assert all(affect.speech_s >= triage.policy.escalation.min_speech_s for affect in affects)
    assert bool(affects) == (call.speech_s > 0)
    if not any(kind in ("calm", "angry") for kind, _ in parts):
        assert events == []
    for before, event in zip([None, *events], events, strict=False):
        if isinstance(event, Escalation) and event.level > event.previous:
            assert isinstance(before, Affect)
            assert before.time_s == event.time_s
        if isinstance(event, Route):
            assert isinstance(before, Escalation)
            assert (before.time_s, before.level) == (event.time_s, event.level)


@pytest.mark.parametrize("state", StandingState)
@pytest.mark.parametrize("level", Level)
def test_every_level_and_standing_has_one_route(triage: Triage, level: Level, state: StandingState) -> None:
    """Each of the twelve cases leads to the first rule that takes it, and carries both digests."""
    standing = Standing(state=state, abusive_contacts=0, since=None, expires_at=None, avoid_agents=("a-1",))
    route = triage.policy.router.route(
        call_id="call",
        time_s=1.0,
        level=level,
        standing=standing,
        model_digest=triage.classifier.digest,
        policy_digest=triage.policy.digest,
    )
    rule = next(rule for rule in triage.policy.rules if (level, state) in rule.cases)
    assert (route.rule, route.queue, route.priority) == (rule.name, rule.route.queue, rule.route.priority)
    assert route.avoid_agents == ("a-1",)
    opened = triage.call("call", standing=standing).route
    if level is Level.CALM:
        assert (opened.rule, opened.time_s, opened.level) == (rule.name, 0.0, Level.CALM)


@pytest.mark.parametrize("gain", [0.1, 0.5, 2.0])
def test_gain_leaves_the_voice_alone(gain: float) -> None:
    """At a tenth of the level F0, jitter, shimmer and HNR are the same, and only the energy follows the gain."""
    speech = synthetic_speech(6.0, seed=4)
    frames = np.lib.stride_tricks.sliding_window_view(speech, 320)[::160]
    rows, quieter = lld(frames), lld(np.float32(gain) * frames)
    for name in LLD_NAMES:
        k = LLD_NAMES.index(name)
        shift = 20 * np.log10(gain) if name == "energy_dbfs" else 0.0
        np.testing.assert_allclose(quieter[:, k], rows[:, k] + shift, rtol=2e-3, atol=2e-3, err_msg=name)
