"""What a tick costs, in counts: passes over rows, classifier runs, bytes of state. No clock is asked."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest

from emotion_triage.affect.affect import Affect
from emotion_triage.affect.classifier import Classifier
from emotion_triage.audio.stream import encode_mulaw
from emotion_triage.call.triage import Triage
from emotion_triage.prosody import windows
from emotion_triage.prosody.frames import powers_of
from emotion_triage.prosody.vad import STEP_FRAMES
from emotion_triage.routing.policy import Policy

PACKET = 160
N_CALLS = 40


class Counted(NamedTuple):
    """Rows of each pass, and rows of each classifier run."""

    passes: list[int]
    runs: list[int]


@pytest.fixture
def counted() -> Iterator[Counted]:
    found = Counted([], [])

    def measure(samples: np.ndarray, starts: np.ndarray) -> np.ndarray:
        powers = powers_of(samples, starts)
        found.passes.append(len(powers))
        return powers

    score = Classifier.score

    def run(self: Classifier, features: np.ndarray) -> np.ndarray:
        found.runs.append(len(features))
        return score(self, features)

    with patch.object(windows, "powers_of", measure), patch.object(Classifier, "score", run):
        yield found


def packets(samples: np.ndarray) -> list[bytes]:
    codes = encode_mulaw(samples)
    return [codes[at : at + PACKET] for at in range(0, len(codes) - PACKET + 1, PACKET)]


def test_a_tick_is_one_pass_and_at_most_one_run(triage: Triage, temper: np.ndarray, counted: Counted) -> None:
    """Each tick of 40 calls is one pass over rows and at most one classifier run, and every frame is described once."""
    spoken = packets(temper[: 6 * 8000])
    calls = [triage.call(f"call-{n}") for n in range(N_CALLS)]
    for n, call in enumerate(calls):
        call.push(b"".join(spoken[: n % STEP_FRAMES]))
    before = len(counted.passes)
    n_ticks = 4 * STEP_FRAMES
    for tick in range(n_ticks):
        runs = len(counted.runs)
        triage.push_many([(call, spoken[(n + tick) % len(spoken)]) for n, call in enumerate(calls)])
        assert len(counted.runs) - runs <= 1
    assert len(counted.passes) - before == n_ticks
    assert sum(counted.passes) == sum(call._stream._framer.frame_index for call in calls)
    assert max(counted.passes[before + 1 :]) < 2 * N_CALLS  # the first brings what waited before


def test_calls_that_began_together_share_the_ticks(triage: Triage, temper: np.ndarray, counted: Counted) -> None:
    """Of 40 calls opened at the same moment as many come at each tick, but for the tick in which all steps are due."""
    calls = [triage.call(f"call-{n}") for n in range(N_CALLS)]
    for packet in packets(temper[: 2 * 8000])[: 2 * STEP_FRAMES - 1]:
        triage.push_many([(call, packet) for call in calls])
    assert max(counted.passes[: STEP_FRAMES - 2]) <= N_CALLS
    assert max(counted.passes) <= 3 * N_CALLS


@pytest.mark.parametrize(("encoding", "a_step"), [("mulaw", [25]), ("pcm16", [13, 12])])
def test_a_call_alone_waits_for_its_step(
    encoding: str, a_step: list[int], triage: Triage, temper: np.ndarray, counted: Counted
) -> None:
    """Pushed alone, the 25 rows of a step are one pass from G.711 and two from anything decoded."""
    call = triage.call("call", encoding=encoding)
    sound = packets(temper) if encoding == "mulaw" else np.split((temper * 32767).astype("<i2"), len(temper) // PACKET)
    for packet in sound[: 1 + 6 * STEP_FRAMES]:
        call.push(packet)
    assert counted.passes == 6 * a_step
    assert len(counted.runs) <= 6


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "dtype"),
    [
        ("mulaw", 8000, np.uint8),
        ("alaw", 8000, np.uint8),
        ("pcm16", 8000, np.int16),
        ("pcm16", 16000, np.int16),
        ("float32", 48000, np.float32),
    ],
)
def test_an_idle_call_is_small(encoding: str, rate_hz: int, dtype: type, triage: Triage) -> None:
    """Whenever a call waits for its next packet, its state pickles to 32 KiB of G.711 at most, 37 KiB decoded."""
    call, shared = triage.call("call", encoding=encoding, sample_rate_hz=rate_hz), len(pickle.dumps(triage))
    noise = np.random.default_rng(1).integers(0, 100, rate_hz * 5).astype(dtype)
    if dtype is np.float32:
        noise /= np.float32(1000.0)
    for packet in np.array_split(noise, 5 * 50):
        call.push(packet)
        assert len(pickle.dumps(call)) - shared < (37 if call._stream.coding == "float32" else 32) * 1024


def test_a_call_that_heard_nothing_shares_its_silence(triage: Triage) -> None:
    """Calls that were only opened hold one window of silence between them."""
    first, second = triage.call("a"), triage.call("b")
    assert first._stream._shown is second._stream._shown


def test_an_objection_forgets_what_waits(triage: Triage, temper: np.ndarray) -> None:
    """Audio that waits to be described is gone with the objection, and time goes on."""
    call, sound = triage.call("call"), packets(temper)
    for packet in sound[:80]:
        call.push(packet)
    call.object()
    assert call._stream._framer._tail == b""
    assert call.push(sound[80]) == []
    assert call.position_s == pytest.approx(81 * 0.02)


def test_only_speech_is_encoded(triage: Triage, temper: np.ndarray) -> None:
    """Each second of speech is encoded once, and a second of silence never."""
    with patch.object(Classifier, "tone", autospec=True, side_effect=Classifier.tone) as encoder:
        triage.call("silent", encoding="float32").push(np.zeros(8 * 8000, np.float32))
        assert encoder.call_count == 0
        triage.call("call", encoding="float32").push(temper[: 8 * 8000])
        assert 4 <= encoder.call_count <= 8


@pytest.mark.parametrize("phase", range(0, 4000, 500))
def test_the_delay_of_an_affect_is_bounded(triage: Triage, temper: np.ndarray, phase: int) -> None:
    """Wherever in a step speech begins, the first Affect with enough of it comes within `affect_latency_s`."""
    silence = np.zeros(2 * 8000 + phase, np.float32)
    call, enough_s = triage.call("call"), triage.policy.escalation.min_speech_s
    onset_s = len(silence) / 8000
    for number, packet in enumerate(packets(np.concatenate((silence, temper[: 6 * 8000])))):
        for event in call.push(packet):
            if isinstance(event, Affect):
                assert (number + 1) * 0.02 - event.time_s < 0.02 + 1e-9
                assert event.time_s - onset_s > enough_s
                return
    pytest.fail("no Affect")


def test_the_published_delay_follows_the_policy(triage: Triage) -> None:
    """`latency_s` is a second, the least speech of one, a hop, and the dwell rounded up to whole steps."""
    slow = Triage(triage.classifier, Policy.parse("[escalation]\nmin_duration_on_s = 1.2"))
    assert triage.affect_latency_s == pytest.approx(1.0 + 0.2 + 0.02)
    assert slow.latency_s == pytest.approx(slow.affect_latency_s + 1.5)
