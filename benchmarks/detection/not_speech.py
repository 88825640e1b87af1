"""What is not a caller's anger: music, background, laughter, prompts, tones, silence; events an hour of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.detection.composed import events, reached, seconds
from benchmarks.detection.measures import rate
from benchmarks.detection.study import Study, by_speaker
from benchmarks.detection.table import Cell, Table
from emotion_triage.affect.affect import Affect
from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_mulaw, encode_mulaw
from emotion_triage.call.caller import Event
from emotion_triage.call.triage import Triage
from emotion_triage.synthesis.sounds import comfort_noise, drums, dtmf, hold_music
from emotion_triage.training.dataset import heard_steps, read
from emotion_triage.training.lines import Samples, trim

__all__ = ["run"]

CALL_S = 60.0
"""Recordings of a kind are strung into calls of about this length."""
APART = {"laughter", "hold music"}


def run(study: Study) -> list[Table]:
    """One row a kind, for the shipped model through `Triage`, and for models that never heard the kind."""
    shipped = Triage.load(model=study.model, policy=study.policy)
    tally: dict[str, dict[str, list[tuple[float, float, float]]]] = defaultdict(lambda: defaultdict(list))
    for name, unit, samples in calls(study):
        payload = encode_mulaw(samples)
        heard = decode_mulaw(np.frombuffer(payload, np.uint8))
        with shipped.call(name) as call:
            said = call.push(payload) + call.flush()
        tally["shipped"][name].append(counted(said, len(samples)))
        said = events(*heard_steps(heard, study.encoder), study.model_without(unit), study.policy)
        tally["held out"][name].append(counted(said, len(samples)))
    columns = ("kind", "calls", "hours", "Affects an hour", "false escalations an hour")
    note = "intervals by bootstrap over calls; where none was seen the upper end is 3 events in the hours heard"
    digest = shipped.classifier.digest[:12]
    return [
        Table(
            "Not speech, and prompts: the shipped model through Triage and Call",
            columns,
            [row(name, each) for name, each in tally["shipped"].items()],
            f"model {digest}; it heard the folder's noise, prompts and such synthetic sounds in training; " + note,
        ),
        Table(
            "Not speech, and prompts: models that never heard the kind or the prompts' corpus",
            columns,
            [row(name, each) for name, each in tally["held out"].items()],
            note,
        ),
    ]


def calls(study: Study) -> list[tuple[str, str, Samples]]:
    """Calls of each kind: its row, the unit that its held-out model never heard, samples over G.711."""
    rng = np.random.default_rng(study.seed)
    found = []
    for kind in sorted({noise.kind for noise in study.corpora.noises}):
        sounds = [read(noise.path) for noise in study.corpora.noises if noise.kind == kind]
        name = kind if kind in APART else "background"
        found += [(name, f"noise_{kind}", samples) for samples in in_calls(sounds, rng)]
    for clips in by_speaker(clip for clip in study.corpora.clips if clip.corpus.startswith("prompts_")):
        sounds = [read(clip.path) for clip in clips]
        found += [(clips[0].corpus, clips[0].group, samples) for samples in in_calls(sounds, rng)]
    read_aloud = [clip for clip in study.corpora.clips if clip.corpus == "gcompris"]
    for language in sorted({clip.language for clip in read_aloud}):
        of_language = [clip for clip in read_aloud if clip.language == language]
        sounds = [trim(read(clip.path)) for clip in of_language]
        name = "gcompris, French" if language.startswith("fr") else "gcompris, other languages"
        found += [(name, of_language[0].group, samples) for samples in in_calls(sounds, rng)]
    made: dict[str, Callable[..., Samples]] = {
        "DTMF": digits,
        "silence": silence,
        "comfort noise": partial(comfort_noise, CALL_S),
        "synthetic music": partial(hold_music, CALL_S),
        "synthetic drums": partial(drums, CALL_S),
    }
    for name, make in made.items():
        seeds = rng.integers(1 << 30, size=max(1, round(study.size.music_s / CALL_S)))
        found += [(name, "noise_synthetic", make(seed=int(seed))) for seed in seeds]
    return found


def digits(*, seed: int) -> Samples:
    """Digits dialled for a call's length."""
    return dtmf("".join(map(str, np.random.default_rng(seed).integers(10, size=round(CALL_S * 5)))))


def silence(*, seed: int) -> Samples:
    """Digital silence for a call's length; every seed gives the same."""
    return np.zeros(round(CALL_S * SAMPLE_RATE_HZ), np.float32)


def in_calls(sounds: list[Samples], rng: np.random.Generator) -> list[Samples]:
    """Recordings in drawn order, strung into calls of about `CALL_S`."""
    made: list[list[Samples]] = [[]]
    for i in rng.permutation(len(sounds)):
        if seconds(made[-1]) >= CALL_S:
            made.append([])
        made[-1] += [sounds[i], np.zeros(round(rng.uniform(0.2, 0.9) * SAMPLE_RATE_HZ), np.float32)]
    return [np.concatenate(pieces) for pieces in made]


def counted(said: list[Event], n_samples: int) -> tuple[float, float, float]:
    """Affects, false escalations, hours."""
    affects = sum(isinstance(event, Affect) for event in said)
    return float(affects), float(len(reached(said, 0.0, np.inf))), n_samples / SAMPLE_RATE_HZ / 3600.0


def row(name: str, tallies: list[tuple[float, float, float]]) -> tuple[Cell, ...]:
    """One kind's rates."""
    affects, alarms, hours = np.array(tallies).T
    each = np.arange(len(hours)).astype(str)
    return name, len(hours), round(float(hours.sum()), 3), rate(affects, hours, each), rate(alarms, hours, each)
