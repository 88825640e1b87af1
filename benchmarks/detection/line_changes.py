"""Calm callers whose line or listener changes in mid-call: none of it is anger.

Each call is 30 s of one speaker's calm speech, then 30 s more under the change. What follows is counted after it.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, sosfilt

from benchmarks.detection.composed import ENOUGH_CALM_S, events, reached, seconds, strung
from benchmarks.detection.impairments import PACKET, reverberant
from benchmarks.detection.measures import fraction
from benchmarks.detection.study import Study, by_speaker, chooses
from benchmarks.detection.table import Cell, Table
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.measurement import WindowMeasurement
from emotion_triage.training.corpora import CALM, Clip
from emotion_triage.training.dataset import heard_steps, read
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.lines import Line, Samples, trim

__all__ = ["run"]

BEFORE_S, AFTER_S = 30.0, 30.0
LAUGH_S = 3.0
SPEAKERS = 8
"""Of each corpus, at most."""
Change = Callable[[Samples, np.random.Generator], Samples]


class ChangedCall(NamedTuple):
    """A call whose line changes at `turn_s`, as the library measures it."""

    change: str
    group: str
    speaker: str
    turn_s: float
    steps: list[WindowMeasurement]
    embeddings: np.ndarray


def low_cut(x: Samples, rng: np.random.Generator) -> Samples:
    """Nothing below 500 Hz."""
    return np.asarray(sosfilt(butter(4, 500.0, "highpass", fs=SAMPLE_RATE_HZ, output="sos"), x))


def presence(x: Samples, rng: np.random.Generator) -> Samples:
    """12 dB more around 2.5 kHz."""
    boosted = sosfilt(butter(2, (1800.0, 3300.0), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), x)
    return np.asarray(x + (10 ** (12.0 / 20) - 1.0) * boosted)


def overdriven(x: Samples, rng: np.random.Generator) -> Samples:
    """18 dB more into the same peak."""
    limit = float(np.abs(x).max(initial=1e-6))
    clipped: Samples = np.clip(x * 10 ** (18.0 / 20), -limit, limit)
    return clipped


def gaps(x: Samples, rng: np.random.Generator) -> Samples:
    """15 % of packets as silence."""
    packets = np.resize(x, -(-len(x) // PACKET) * PACKET).reshape(-1, PACKET).copy()
    packets[rng.random(len(packets)) < 0.15] = 0.0
    return packets.ravel()[: len(x)]


def hands_free(x: Samples, rng: np.random.Generator) -> Samples:
    """A loudspeaker telephone in a small room."""
    peak = float(np.abs(x).max(initial=1e-6))
    return reverberant((x / (2.0 * peak)).astype(np.float32), rng, x, decay_s=0.3) * 2.0 * peak


def louder(x: Samples, rng: np.random.Generator) -> Samples:
    """40 % more amplitude."""
    return 1.4 * x


CHANGES: dict[str, Change] = {
    "nothing": lambda x, rng: x,
    "low cut at 500 Hz": low_cut,
    "presence +12 dB": presence,
    "clipping +18 dB": overdriven,
    "15 % of packets as silence": gaps,
    "hands-free, small room": hands_free,
    "+40 % louder": louder,
}
HANDED_OVER, LAUGHTER = "the phone handed to another calm person", "laughter"


def run(study: Study) -> list[Table]:
    """One row a kind of change."""
    reported: dict[str, list[list[Clip]]] = defaultdict(list)
    for clips in by_speaker(study.angry_clips):
        if not chooses(clips[0].speaker):
            reported[clips[0].group].append(clips)
    speakers = [clips for each in reported.values() for clips in each[:SPEAKERS]]
    laughs = [noise.path for noise in study.corpora.noises if noise.kind == "laughter"]
    of_group: dict[str, list[list[Clip]]] = defaultdict(list)
    for clips in by_speaker(study.angry_clips):
        of_group[clips[0].group].append([clip for clip in clips if clip.emotion in CALM])
    pairs = [
        clips + [clip._replace(emotion=HANDED_OVER) for clip in next_of(of_group[clips[0].group], clips[0].speaker)]
        for clips in speakers
    ]
    made = study.across(
        changed, pairs, laughs=laughs, backgrounds=study.backgrounds, encoder=study.encoder, seed=study.seed
    )
    tally: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    for call in (call for each in made for call in each):
        found = events(call.steps, call.embeddings, study.model_without(call.group), study.policy)
        if not reached(found, 0.0, call.turn_s):  # raised before the change is another matter
            tally[call.change].append((bool(reached(found, call.turn_s, np.inf)), call.speaker))
    rows: list[tuple[Cell, ...]] = []
    for name in (*CHANGES, HANDED_OVER, LAUGHTER):
        if name in tally:
            raised, who = (np.array(column) for column in zip(*tally[name], strict=True))
            rows.append((name, len(raised), int(raised.sum()), fraction(raised, who)))
    note = f"policy {study.policy.name}; 30 s of calm speech, then 30 s under the change; corpora held out"
    return [
        Table("Calm calls raised by a change of line or listener", ("change", "calls", "raised", "share"), rows, note)
    ]


def next_of(speakers: list[list[Clip]], name: str) -> list[Clip]:
    """Return the calm clips of the speaker after a speaker, in the order of the corpus."""
    with_speech = [clips for clips in speakers if clips]
    at = next((i for i, clips in enumerate(with_speech) if clips[0].speaker == name), None)
    return [] if at is None or len(with_speech) < 2 else with_speech[(at + 1) % len(with_speech)]


def changed(
    clips: list[Clip], *, laughs: list[Path], backgrounds: list[Path], encoder: Encoder, seed: int
) -> list[ChangedCall]:
    """One speaker's calls, one for each change; none where they have too little calm speech."""
    first = clips[0]
    entropy = [seed, zlib.crc32(first.speaker.encode())]
    calm = [trim(read(clip.path)) for clip in clips if clip.emotion in CALM]
    other = [trim(read(clip.path)) for clip in clips if clip.emotion == HANDED_OVER]
    if seconds(calm) < ENOUGH_CALM_S:
        return []
    level = loudness(calm)
    rng = np.random.default_rng(entropy)
    before, after = strung(calm, BEFORE_S, rng), strung(calm, AFTER_S, rng)
    later: dict[str, Samples] = {name: change(after, rng) for name, change in CHANGES.items()}
    if seconds(other) >= ENOUGH_CALM_S:
        later[HANDED_OVER] = strung(other, AFTER_S, rng) * np.float32(level / loudness(other))
    if laughs:
        laugh = read(laughs[rng.integers(len(laughs))])[: round(LAUGH_S * SAMPLE_RATE_HZ)]
        later[LAUGHTER] = np.concatenate((laugh * np.float32(level / loudness([laugh])), after))
    calls = []
    for name, rest in later.items():
        drawn = np.random.default_rng(entropy)
        noises = [read(backgrounds[i]) for i in drawn.integers(len(backgrounds), size=2)] if backgrounds else []
        line = Line(drawn, noises)
        samples = line.carry(np.concatenate((before, rest)).astype(np.float32), level)
        steps, embeddings = heard_steps(samples, encoder)
        calls.append(ChangedCall(name, first.group, first.speaker, seconds([before]), steps, embeddings))
    return calls


def loudness(sounds: list[Samples]) -> float:
    """Return the median level of sounds, as root mean square."""
    return float(np.median([max(float(np.sqrt(np.mean(np.square(x)))), 1e-6) for x in sounds]))
