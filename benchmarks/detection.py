"""Composed calls: who loses his temper is found, how soon, and how often a calm caller is taken for angry.

Each speaker makes calls out of his clips: calm and then angry, calm only, calm with joy among it, angry from the first
word; over a drawn line. Every call is scored by a model that heard neither the speaker nor his corpus.

    python -m benchmarks.detection CORPORA [--passes 2] [--calls 2] [--json F] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zlib
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emotion_triage.audio import SAMPLE_RATE_HZ
from emotion_triage.caller import Caller, Reference, Step
from emotion_triage.escalation import Escalation, Level
from emotion_triage.frames import HOP_S
from emotion_triage.functionals import features, functionals, population
from emotion_triage.policy import Policy
from emotion_triage.routing import CLEAR
from emotion_triage.training.corpora import ANGER, CALM, Clip, Corpora
from emotion_triage.training.dataset import gather, read
from emotion_triage.training.figures import bootstrap
from emotion_triage.training.fit import Linear, calibrated, fit, held_out_scores, mixing
from emotion_triage.training.lines import Line, trim
from emotion_triage.windows import WindowStream, rows_of

JOY = frozenset({"happy", "surprise"})
CALM_S, ANGRY_S, CALM_ONLY_S = 30.0, 20.0, 60.0
ENOUGH_CALM_S, ENOUGH_ANGER_S = 18.0, 6.0
FOUND_WITHIN_S = {"calm then angry": 10.0, "angry": 8.0}
"""Seconds from the onset within which an escalation counts as found."""


class ComposedCall(NamedTuple):
    """A call made of clips: its steps, and what is true of it."""

    kind: str
    group: str
    speaker: str
    onset_s: float
    duration_s: float
    steps: list[Step]


def compose(clips: list[Clip], backgrounds: list[Path], seed: int) -> list[ComposedCall]:
    """One speaker's calls, each kind once."""
    rng = np.random.default_rng([seed, zlib.crc32(clips[0].speaker.encode())])
    sounds: dict[str, list[np.ndarray]] = defaultdict(list)
    for clip in clips:
        sounds[clip.emotion].append(trim(read(clip.path)))
    level = float(np.median([np.sqrt(np.mean(x**2)) for each in sounds.values() for x in each]))
    calm, angry, joy = ([x for e in sorted(which) for x in sounds.get(e, [])] for which in (CALM, ANGER, JOY))
    if seconds(calm) < ENOUGH_CALM_S or seconds(angry) < ENOUGH_ANGER_S:
        return []
    nothing = np.zeros(0, np.float32)
    kinds = {
        "calm then angry": lambda: (strung(calm, CALM_S, rng), strung(angry, ANGRY_S, rng)),
        "calm": lambda: (strung(calm, CALM_ONLY_S, rng), nothing),
        "calm and joy": lambda: (strung(calm + joy, CALM_ONLY_S, rng), nothing),
        "angry": lambda: (nothing, strung(angry, ANGRY_S, rng)),
    }
    calls = []
    for kind, parts in kinds.items():
        before, after = parts()
        noises = [read(backgrounds[i]) for i in rng.integers(len(backgrounds), size=2)] if backgrounds else []
        heard = Line(rng, noises).carry(np.concatenate((before, after)), level)
        onset_s, duration_s = len(before) / SAMPLE_RATE_HZ, len(heard) / SAMPLE_RATE_HZ
        calls.append(ComposedCall(kind, clips[0].group, clips[0].speaker, onset_s, duration_s, steps_of(heard)))
    return calls


def seconds(clips: list[np.ndarray]) -> float:
    return sum(map(len, clips)) / SAMPLE_RATE_HZ


def strung(clips: list[np.ndarray], duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Clips in drawn order with pauses, none twice, up to a duration."""
    pieces: list[np.ndarray] = []
    for i in rng.permutation(len(clips)):
        if seconds(pieces) >= duration_s:
            break
        pieces += [np.zeros(round(rng.uniform(0.2, 0.9) * SAMPLE_RATE_HZ), np.float32), clips[i]]
    return np.concatenate(pieces)


def steps_of(samples: np.ndarray) -> list[Step]:
    stream = WindowStream("float32", SAMPLE_RATE_HZ)
    windows = stream.windows(*rows_of([stream.frames(samples.astype(np.float32))])) + stream.last()
    measured = functionals(np.stack([window.rows for window in windows]))
    return [
        Step(window.time_s, statistics, float(speech_s), float(lost_s), float(speech[-window.n_new :].sum() * HOP_S))
        for window, statistics, speech, speech_s, lost_s in zip(windows, *measured, strict=True)
    ]


def escalations(call: ComposedCall, model: Linear, policy: Policy) -> list[Escalation]:
    """What the library would have said of a call, with this model."""
    typical = population(model.mean.astype(np.float32))
    caller = Caller(
        call_id=call.speaker,
        policy=policy,
        model_digest="",
        standing=CLEAR,
        typical=Reference(typical, features(typical, None), "population"),
        objection=False,
        time_s=0.0,
    )
    events = []
    for step in call.steps:
        events += caller.wait(step.time_s)
        if (inputs := caller.inputs(step)) is not None:
            probabilities = 1.0 / (1.0 + np.exp(-model.log_odds(inputs)))
            events += caller.hear(step, probabilities.astype(np.float32))
    return [event for event in events if isinstance(event, Escalation)]


def reached(events: list[Escalation], start_s: float, end_s: float) -> list[float]:
    """Times at which ESCALATED was entered from below, within a span."""
    return [
        e.time_s for e in events if e.level is Level.ESCALATED and e.previous < e.level and start_s <= e.time_s <= end_s
    ]


def evaluate(calls: list[ComposedCall], models: dict[str, Linear], policy: Policy) -> dict[str, dict[str, object]]:
    """Figures of all calls under one policy, each with its interval over speakers."""
    said = [escalations(call, models[call.group], policy) for call in calls]
    figures: dict[str, dict[str, object]] = {}
    for kind, within_s in FOUND_WITHIN_S.items():
        of_kind = [(call, events) for call, events in zip(calls, said, strict=True) if call.kind == kind]
        delays = [
            min(reached(events, call.onset_s, call.onset_s + within_s), default=np.nan) - call.onset_s
            for call, events in of_kind
        ]
        hits = np.isfinite(delays)
        found = bootstrap(partial(_mean_of, hits), np.array([call.speaker for call, _ in of_kind]))
        figures[kind] = {
            "calls": len(of_kind),
            f"found within {within_s:.0f} s": found,
            "median delay, s": round(float(np.nanmedian(delays)), 1) if hits.any() else None,
        }
    for kind in ("calm", "calm and joy"):
        spans = [
            (call, events, call.duration_s if call.kind == kind else call.onset_s)
            for call, events in zip(calls, said, strict=True)
            if call.kind == kind or (kind == "calm" and call.kind == "calm then angry")
        ]
        alarms = np.array([len(reached(events, 0.0, end_s)) for _, events, end_s in spans])
        hours = np.array([end_s for *_, end_s in spans]) / 3600.0
        rate = bootstrap(partial(_rate_of, alarms, hours), np.array([call.speaker for call, *_ in spans]))
        figures[kind] = {"hours": round(float(hours.sum()), 2), "false escalations an hour": rate}
    return figures


def _mean_of(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean())


def _rate_of(counts: np.ndarray, hours: np.ndarray, rows: np.ndarray) -> float:
    return float(counts[rows].sum() / hours[rows].sum())


def prepare(corpora: Corpora, *, passes: int, calls: int, seed: int) -> tuple[list[ComposedCall], dict[str, Linear]]:
    """Calls of every speaker with enough speech, and for each corpus a model that never heard it."""
    speakers: dict[str, list[Clip]] = defaultdict(list)
    for clip in corpora.clips:
        speakers[clip.speaker].append(clip)
    backgrounds = [noise.path for noise in corpora.noises if noise.kind not in ("laughter", "hold music")]
    windows = gather(corpora, passes=passes, seed=seed)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(compose, clips, backgrounds, seed + turn)
            for turn in range(calls)
            for clips in speakers.values()
        ]
        composed = [call for job in jobs for call in job.result()]
    matrix, offset = mixing(windows, held_out_scores(windows))
    models = {
        group: calibrated(fit(windows.take(windows.group != group)), matrix, offset)
        for group in sorted({call.group for call in composed})
    }
    return composed, models


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="?", default=os.environ.get("EMOTION_TRIAGE_CORPORA"), type=Path)
    parser.add_argument("--passes", type=int, default=2, help="lines that each speaker is trained over")
    parser.add_argument("--calls", type=int, default=2, help="calls of each kind a speaker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", help="a TOML policy; the balanced one by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="two corpora, one pass: shows that it runs, no more")
    options = parser.parse_args()
    if options.corpora is None:
        print("skipped: give a corpora folder, or set EMOTION_TRIAGE_CORPORA")
        return 0
    corpora = Corpora.read(Path(options.corpora))
    if options.quick:
        few = [clip for clip in corpora.clips if clip.corpus in ("emodb", "savee")]
        corpora = corpora._replace(clips=few, noises=corpora.noises[:40])
        options.passes = options.calls = 1
    composed, models = prepare(corpora, passes=options.passes, calls=options.calls, seed=options.seed)
    results = {"all corpora": evaluate(composed, models, Policy.load(options.policy))}
    for group in models:
        of_group = [call for call in composed if call.group == group]
        results[group] = evaluate(of_group, models, Policy.load(options.policy))
    for group, figures in results.items():
        print(f"\n{group}")
        for kind, values in figures.items():
            print(f"  {kind:16s} " + "   ".join(f"{name}: {value}" for name, value in values.items()))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
