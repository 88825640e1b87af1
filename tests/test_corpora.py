"""What real speech shows; needs the corpora, whose folder is named by EMOTION_TRIAGE_CORPORA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emotion_triage.affect.affect import Affect
from emotion_triage.audio.recordings import open_recording
from emotion_triage.call.triage import Triage
from emotion_triage.training.corpora import Clip, Corpora

FOLDER = os.environ.get("EMOTION_TRIAGE_CORPORA") or None
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="set EMOTION_TRIAGE_CORPORA to a corpora folder with a manifest.csv"
)
N_CLIPS = 200


@pytest.fixture(scope="module")
def corpora() -> Corpora:
    assert FOLDER is not None
    return Corpora.read(Path(FOLDER))


@pytest.fixture(scope="module")
def shipped() -> Triage:
    return Triage.load()


def samples_of(path: Path) -> np.ndarray:
    return np.concatenate([samples for _, samples in open_recording(path, caller_channel="mono").blocks()])


def drawn(corpora: Corpora, emotions: set[str], n: int) -> list[Clip]:
    """Clips of at least 2 s drawn evenly from all corpora."""
    clips = [clip for clip in corpora.clips if clip.emotion in emotions and clip.duration_s >= 2.0]
    order = np.random.default_rng(0).permutation(len(clips))
    rank: dict[str, int] = {}
    keyed = []
    for k in order:
        rank[clips[k].corpus] = rank.get(clips[k].corpus, 0) + 1
        keyed.append((rank[clips[k].corpus], int(k)))
    return [clips[k] for _, k in sorted(keyed)[:n]]


def heard(triage: Triage, samples: np.ndarray) -> list[Affect]:
    call = triage.call("clip", encoding="float32")
    return [event for event in call.push(samples) + call.flush() if isinstance(event, Affect)]


def test_no_speaker_is_in_two_groups(corpora: Corpora) -> None:
    """What is held out together holds every clip of its speakers."""
    groups: dict[str, set[str]] = {}
    for clip in corpora.clips:
        groups.setdefault(clip.speaker, set()).add(clip.group)
    assert [speaker for speaker, each in groups.items() if len(each) > 1] == []


def test_most_clips_are_heard(corpora: Corpora, shipped: Triage) -> None:
    """Of 200 clips of at least 2 s, from all corpora, at least 80 % have an Affect, all of them in range."""
    told = [
        heard(shipped, samples_of(clip.path)) for clip in drawn(corpora, {c.emotion for c in corpora.clips}, N_CLIPS)
    ]
    for affects in told:
        for affect in affects:
            assert min(affect.anger, affect.distress, affect.arousal) >= 0
            assert max(affect.anger, affect.distress, affect.arousal) <= 1
    assert np.mean([bool(affects) for affects in told]) >= 0.8


def test_angry_clips_score_higher(corpora: Corpora, shipped: Triage) -> None:
    """Angry clips score higher in anger than calm ones, in more than 75 % of pairs."""
    calm, angry = (
        [
            max(affect.anger for affect in affects)
            for clip in drawn(corpora, emotions, N_CLIPS // 2)
            if (affects := heard(shipped, samples_of(clip.path)))
        ]
        for emotions in ({"neutral", "calm"}, {"angry"})
    )
    assert np.mean(np.array(angry)[:, None] > np.array(calm)) > 0.75


def test_background_is_no_caller(corpora: Corpora, shipped: Triage) -> None:
    """Of the background recordings at most one in ten windows is scored."""
    seconds, scored = 0.0, 0
    for noise in [noise for noise in corpora.noises if noise.kind != "laughter"][:40]:
        samples = samples_of(noise.path)
        seconds += len(samples) / 8000
        scored += len(heard(shipped, samples))
    assert scored < 0.1 * 2 * seconds
