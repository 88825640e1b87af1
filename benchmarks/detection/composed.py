"""Calls composed of one speaker's clips over a drawn line, and what the library says of them with a given model."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.call.caller import CallerState, Event, typical_caller
from emotion_triage.prosody.functionals import TONE_NAMES
from emotion_triage.prosody.measurement import WindowMeasurement
from emotion_triage.routing.escalation import Escalation, Escalator, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR
from emotion_triage.training.corpora import ANGER, CALM, Clip
from emotion_triage.training.dataset import heard_steps, read
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.fit import Model
from emotion_triage.training.lines import Line, Samples, trim

__all__ = ["ComposedCall", "Sound", "changes", "compose", "events", "reached", "sounds", "strung"]

JOY = frozenset({"happy", "surprise"})
CALM_S, ANGRY_S, CALM_ONLY_S = 30.0, 20.0, 60.0
ENOUGH_CALM_S, ENOUGH_ANGER_S = 18.0, 6.0


class ComposedCall(NamedTuple):
    """A call made of clips: its steps, and what is true of it; `turn_s` is where its second part begins."""

    kind: str
    group: str
    speaker: str
    language: str
    gender: str
    turn_s: float
    duration_s: float
    steps: list[WindowMeasurement]
    embeddings: NDArray[np.float16]


class Sound(NamedTuple):
    """What a call sounds like at 8 kHz, and where its second part begins."""

    kind: str
    turn_s: float
    samples: Samples


def sounds(clips: list[Clip], backgrounds: list[Path], seed: int) -> list[Sound]:
    """One speaker's calls, each kind once; none where they have too little calm or angry speech."""
    rng = np.random.default_rng([seed, zlib.crc32(clips[0].speaker.encode())])
    spoken: dict[str, list[Samples]] = defaultdict(list)
    for clip in clips:
        spoken[clip.emotion].append(trim(read(clip.path)))
    level = float(np.median([np.sqrt(np.mean(x**2)) for each in spoken.values() for x in each]))
    calm, angry, joy = ([x for e in sorted(which) for x in spoken.get(e, [])] for which in (CALM, ANGER, JOY))
    if seconds(calm) < ENOUGH_CALM_S or seconds(angry) < ENOUGH_ANGER_S:
        return []
    nothing = np.zeros(0, np.float32)
    kinds: dict[str, Callable[[], tuple[Samples, Samples]]] = {
        "calm then angry": lambda: (strung(calm, CALM_S, rng), strung(angry, ANGRY_S, rng)),
        "calm": lambda: (nothing, strung(calm, CALM_ONLY_S, rng)),
        "calm and joy": lambda: (nothing, strung(calm + joy, CALM_ONLY_S, rng)),
        "angry": lambda: (nothing, strung(angry, ANGRY_S, rng)),
        "calming down": lambda: (
            np.concatenate((strung(calm, CALM_S, rng), strung(angry, ANGRY_S, rng))),
            strung(calm, CALM_ONLY_S, rng),  # what they said before they say again: few have calm clips for both
        ),
    }
    calls = []
    for kind, parts in kinds.items():
        before, after = parts()
        noises = [read(backgrounds[i]) for i in rng.integers(len(backgrounds), size=2)] if backgrounds else []
        heard = Line(rng, noises).carry(np.concatenate((before, after)), level)
        calls.append(Sound(kind, len(before) / SAMPLE_RATE_HZ, heard))
    return calls


def compose(clips: list[Clip], backgrounds: list[Path], encoder: Encoder, seed: int) -> list[ComposedCall]:
    """One speaker's calls as the library hears them."""
    first = clips[0]
    who = (first.group, first.speaker, first.language, first.gender)
    return [
        ComposedCall(call.kind, *who, call.turn_s, seconds([call.samples]), *heard_steps(call.samples, encoder))
        for call in sounds(clips, backgrounds, seed)
    ]


def seconds(clips: list[Samples]) -> float:
    """Length of clips together."""
    return sum(map(len, clips)) / SAMPLE_RATE_HZ


def strung(clips: list[Samples], duration_s: float, rng: np.random.Generator) -> Samples:
    """Clips in drawn order with pauses, none twice, up to a duration."""
    pieces: list[Samples] = []
    for i in rng.permutation(len(clips)):
        if seconds(pieces) >= duration_s:
            break
        pieces += [np.zeros(round(rng.uniform(0.2, 0.9) * SAMPLE_RATE_HZ), np.float32), clips[i]]
    return np.concatenate(pieces)


def events(
    steps: list[WindowMeasurement],
    embeddings: NDArray[np.float16],
    model: Model,
    policy: Policy,
    escalator: Escalator | None = None,
) -> list[Event]:
    """What the library would have said of a call, with this model; with another escalator, if one is given."""

    def score(features: NDArray[np.float32]) -> NDArray[np.float32]:
        return (1.0 / (1.0 + np.exp(-model.linear.log_odds(features)))).astype(np.float32)

    tones = model.tone.of(embeddings).astype(np.float32)
    steps = [
        step._replace(statistics=np.concatenate((step.statistics[: -len(TONE_NAMES)], tone)))
        for step, tone in zip(steps, tones, strict=True)
    ]
    caller = CallerState(
        call_id="composed",
        policy=policy,
        model_digest="",
        standing=CLEAR,
        typical=typical_caller(model.linear.mean.astype(np.float32), score),
        objection=False,
        time_s=0.0,
    )
    if escalator is not None:
        caller._escalator = escalator
    said: list[Event] = []
    for step in steps:
        said += caller.wait(step.time_s)
        inputs = caller.inputs(step)
        said += caller.hear(step, None if inputs is None else score(inputs))
    return said


def changes(said: list[Event]) -> list[Escalation]:
    """The changes of level among events."""
    return [event for event in said if isinstance(event, Escalation)]


def reached(said: list[Event], start_s: float, end_s: float) -> list[float]:
    """Times at which ESCALATED was entered from below, within a span."""
    return [
        change.time_s
        for change in changes(said)
        if change.level is Level.ESCALATED and change.previous < change.level and start_s <= change.time_s <= end_s
    ]
