"""What eGeMAPS would make of the same composed calls, held against the caller himself (extra [bench]).

The pipeline that did best before this library: functionals of eGeMAPSv02 over 3 s every second, a logistic regression
that never heard the corpus (that of `benchmarks.detection.peers`), less its mean over the caller's own first 10 s,
smoothed over 3 s. Its threshold is the lowest that gives no more false escalations on these very calls than each of our
policies does: a choice that favours it.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.calls import FOUND_WITHIN_S, calm_spans, delays, of_kind, speakers
from benchmarks.detection.composed import sounds
from benchmarks.detection.measures import fraction, interval, rate
from benchmarks.detection.peers import egemaps, held_out_models, regression
from benchmarks.detection.study import Study, by_speaker, chooses
from benchmarks.detection.table import Cell, Table
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.routing.policy import PRESETS, Policy
from emotion_triage.training.corpora import Clip

__all__ = ["run"]

WINDOW_S, OWN_S, SMOOTHING_S, HOLD_S = 3, 10, 3.0, 20.0
"""Windows every second; what counts as the caller's own voice; an alarm that outlives the last by less is the same."""
INVERSE_PENALTY = 0.003
"""scikit-learn's C: the best of the grid of `benchmarks.detection.peers`."""
KINDS = ("calm then angry", "calm")
Array = NDArray[np.float64]


class Course(NamedTuple):
    """A call of one speaker, second by second: eGeMAPS, float32 of shape (n, 88), of the 3 s up to `3 + k` seconds."""

    kind: str
    group: str
    speaker: str
    turn_s: float
    duration_s: float
    functionals: NDArray[np.float32]


def run(study: Study) -> list[Table]:
    """One row a policy: ours, and the rival at as few false escalations."""
    if find_spec("opensmile") is None:
        return [Table("Rival on calls", ("skipped",), [("opensmile is missing: pip install '.[bench]'",)])]
    functionals = np.concatenate(study.across(egemaps, study.drawn, seed=study.seed, backgrounds=study.backgrounds))
    models = held_out_models(study.clips, functionals, regression(INVERSE_PENALTY))
    reported = [clips for clips in by_speaker(study.angry_clips) if not chooses(clips[0].speaker)]
    heard = study.across(courses, reported, seed=study.seed, backgrounds=study.backgrounds)
    calls = [call for each in heard for call in each]
    scores = [smoothed(models[call.group](cast(Array, call.functionals))) for call in calls]
    who = np.array([call.speaker for call in calls])
    turning = np.array([call.kind == "calm then angry" for call in calls])
    hours = np.array([call.turn_s if turns else call.duration_s for call, turns in zip(calls, turning, strict=True)])
    hours /= 3600.0
    rows: list[tuple[Cell, ...]] = []
    for name in PRESETS:
        ours = study.calls_under(Policy.load(name), first_draw=True)
        ours_turning = of_kind(ours, "calm then angry")
        ours_found = np.isfinite(delays(ours_turning, FOUND_WITHIN_S["calm then angry"]))
        alarms, _, of_ours, calm_speakers = calm_spans(ours, "calm")
        allowed = alarms.sum() / of_ours.sum()
        threshold = lowest(calls, scores, float(hours.sum() * allowed))
        false, seen = told(calls, scores, threshold)
        theirs = np.isfinite(seen[turning])
        order = np.argsort(who[turning], kind="stable")
        names = speakers(ours_turning)
        mine = np.argsort(names, kind="stable")
        gain = ours_found[mine].astype(float) - theirs[order]
        rows.append(
            (
                name,
                rate(alarms, of_ours, calm_speakers),
                fraction(ours_found, names),
                rate(false, hours, who),
                fraction(theirs, who[turning]),
                round(float(np.median(seen[turning][theirs])), 1) if theirs.any() else None,
                interval(partial(mean_of, gain), who[turning][order]),
            )
        )
    columns = ("policy", "ours: false an hour", "found in 10 s", "rival: false an hour", "found in 10 s", "median, s")
    note = f"{len(calls)} composed calls, the first draw; calm speech: neutral, calm, sad, boredom"
    return [Table("Rival on calls", (*columns, "ours less rival, found"), rows, note)]


def courses(clips: list[Clip], *, seed: int, backgrounds: list[Path]) -> list[Course]:
    """Functionals of eGeMAPSv02 of one speaker's calls."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    found = []
    for call in sounds(clips, backgrounds, seed):
        if call.kind in KINDS:
            duration_s = len(call.samples) / SAMPLE_RATE_HZ
            windows = [
                call.samples[(end_s - WINDOW_S) * SAMPLE_RATE_HZ : end_s * SAMPLE_RATE_HZ]
                for end_s in range(WINDOW_S, int(duration_s) + 1)
            ]
            measured = np.concatenate(
                [smile.process_signal(each, SAMPLE_RATE_HZ).to_numpy(np.float32) for each in windows]
            )
            found.append(Course(call.kind, clips[0].group, clips[0].speaker, call.turn_s, duration_s, measured))
    return found


def mean_of(values: Array, drawn: NDArray[np.intp]) -> float:
    """The mean of some."""
    return float(values[drawn].mean())


def smoothed(scores: Array) -> Array:
    """Scores less those of the caller's own first seconds, smoothed as ours are."""
    apart = scores - scores[: OWN_S - WINDOW_S + 1].mean()
    out: Array = np.empty_like(apart)
    kept = 0.0
    share = 1.0 - np.exp(-1.0 / SMOOTHING_S)
    for i, each in enumerate(apart):
        kept += share * (each - kept)
        out[i] = kept
    return out


def alarms_s(scores: Array, threshold: float) -> list[float]:
    """Seconds at which an alarm begins: where the threshold is reached, unless an alarm was on shortly before."""
    begun, last_s = [], -np.inf
    for i in np.flatnonzero(scores >= threshold):
        time_s = float(i + WINDOW_S)
        if time_s - last_s > HOLD_S:
            begun.append(time_s)
        last_s = time_s
    return begun


def told(calls: list[Course], scores: list[Array], threshold: float) -> tuple[Array, Array]:
    """Return false alarms of each call's calm speech, and the delay of the first in time; NaN where there is none."""
    within_s = FOUND_WITHIN_S["calm then angry"]
    false, delay_s = np.zeros(len(calls)), np.full(len(calls), np.nan)
    for i, (call, each) in enumerate(zip(calls, scores, strict=True)):
        turns = call.kind == "calm then angry"
        times = np.array(alarms_s(each, threshold))
        false[i] = (times <= (call.turn_s if turns else call.duration_s)).sum()
        after = times[(times > call.turn_s) & (times <= call.turn_s + within_s)] if turns else times[:0]
        delay_s[i] = after.min(initial=np.inf) - call.turn_s if len(after) else np.nan
    return false, delay_s


def lowest(calls: list[Course], scores: list[Array], allowed: float) -> float:
    """Return the lowest threshold that gives no more false alarms than allowed."""
    candidates = np.quantile(np.concatenate(scores), np.linspace(0.5, 1.0, 4000))
    for threshold in candidates:
        if told(calls, scores, threshold)[0].sum() <= allowed:
            return float(threshold)
    return float(candidates[-1])
