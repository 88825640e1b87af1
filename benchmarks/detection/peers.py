"""Peers on the same clips and folds: openSMILE's eGeMAPS with two models, plain thresholds (extra [bench]).

All learn from the same clips over the same lines, with the same weights: every corpus counts alike, and within it every
emotion. The penalty of the peers' linear model is the best of a grid on the very folds shown, as ours was chosen on
folds of the same corpora. Known: a peer's score less its mean over other calm clips of the same speaker, which has
served eGeMAPS better than a model of differences.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.detection.clips import Clips, others_calm, over_a_line
from benchmarks.detection.corpora import alone_and_known
from benchmarks.detection.measures import interval, mean_auc
from benchmarks.detection.study import Study, without
from benchmarks.detection.table import Cell, Table
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.functionals import STATISTIC_NAMES
from emotion_triage.training.corpora import ANGER, CALM, Clip
from emotion_triage.training.dataset import WindowSet
from emotion_triage.training.fit import CLIP, MAX_ITERATIONS, balanced, held_out_scores, held_out_tone, taught

__all__ = ["OURS", "egemaps", "held_out_models", "regression", "run"]

PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03)
OURS, OURS_TRAINED = "ours, these clips", "ours, all clips and lines"
Array = NDArray[np.float64]
Figured = Callable[[NDArray[np.intp]], float]
Model = Callable[[Array, NDArray[np.bool_], Array], Callable[[Array], Array]]


def run(study: Study) -> list[Table]:
    """One table for each way to ask; one row a corpus."""
    if find_spec("opensmile") is None:
        return [Table("Peers", ("skipped",), [("opensmile is missing: pip install '.[bench]'",)])]
    clips = study.clips
    functionals = np.concatenate(study.across(egemaps, study.drawn, seed=study.seed, backgrounds=study.backgrounds))
    linear = [held_out(clips, functionals, regression(c)) for c in PENALTIES]
    angry, group = np.isin(clips.column("emotion"), sorted(ANGER)), clips.column("group")
    best = max(range(len(PENALTIES)), key=lambda i: mean_auc(angry, linear[i], group))
    alone = {
        "eGeMAPS + LR": linear[best],
        "eGeMAPS + boosting": held_out(clips, functionals, boosting),
        "loudness": statistic(clips, "level_dbfs"),
        "F0": statistic(clips, "f0_mean_semitone"),
    }
    against = {name: scores - own_calm(clips, scores) for name, scores in alone.items()}
    ours = {OURS: same_clips(clips, study), OURS_TRAINED: study.held_out(clips.windows, clips.refer)}
    parted = {
        name: [clips.means(each) for each in alone_and_known(clips.windows, scores)] for name, scores in ours.items()
    }
    note = f"AUC of anger; {len(clips.clips)} clips; eGeMAPS + LR with C = {PENALTIES[best]}"
    return [
        table(f"Peers, {how}, {against_what}", clips, scores, rows, note)
        for how, scores in (
            ("alone", {name: each[0] for name, each in parted.items()} | alone),
            ("known", {name: each[1] for name, each in parted.items()} | against),
        )
        for against_what, rows in (
            ("anger against all else", np.ones(len(angry), np.bool_)),
            ("anger against calm", angry | np.isin(clips.column("emotion"), sorted(CALM))),
        )
    ]


def egemaps(clips: list[Clip], *, seed: int, backgrounds: list[Path]) -> NDArray[np.float32]:
    """Functionals of eGeMAPSv02 of one speaker's clips."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    heard = over_a_line(clips, seed=seed, backgrounds=backgrounds)
    return np.concatenate([smile.process_signal(each, SAMPLE_RATE_HZ).to_numpy(np.float32) for each in heard])


def regression(inverse_penalty: float) -> Model:
    """A logistic regression over standardised features, clipped as ours are."""

    def train(x: Array, angry: NDArray[np.bool_], weights: Array) -> Callable[[Array], Array]:
        scaler = StandardScaler().fit(x)
        model = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS)
        model.fit(np.clip(scaler.transform(x), -CLIP, CLIP), angry, sample_weight=weights)
        return lambda other: model.decision_function(np.clip(scaler.transform(other), -CLIP, CLIP))

    return train


def boosting(x: Array, angry: NDArray[np.bool_], weights: Array) -> Callable[[Array], Array]:
    """Histogram gradient boosting as scikit-learn sets it, with a smaller step."""
    model = HistGradientBoostingClassifier(learning_rate=0.05, random_state=0)
    decide: Callable[[Array], Array] = model.fit(x, angry, sample_weight=weights).decision_function
    return decide


def held_out_models(clips: Clips, features: NDArray[np.float32], train: Model) -> dict[str, Callable[[Array], Array]]:
    """Models that never heard each corpus."""
    of_clips = of_each(clips)
    angry, models = np.isin(of_clips.emotion, sorted(ANGER)), {}
    for group in np.unique(of_clips.group):
        others = (of_clips.group != group) & taught(of_clips)  # as ours
        models[str(group)] = train(features[others], angry[others], balanced(of_clips.take(others)))
    return models


def held_out(clips: Clips, features: NDArray[np.float32], train: Model) -> Array:
    """Scores of each clip by a model that never heard its corpus."""
    group, scores = of_each(clips).group, np.zeros(len(features))
    for name, predict in held_out_models(clips, features, train).items():
        scores[group == name] = predict(features[group == name])
    return scores


def of_each(clips: Clips) -> WindowSet:
    """The first window of each clip, for its labels."""
    return clips.windows.take(np.unique(clips.clip, return_index=True)[1])


def statistic(clips: Clips, name: str) -> Array:
    """One statistic as the score: the higher, the angrier."""
    return clips.means(clips.windows.statistics[:, STATISTIC_NAMES.index(name)].astype(np.float64))


def own_calm(clips: Clips, scores: Array) -> Array:
    """Mean score of the same speaker's other calm clips; NaN where there is none."""
    speaker, calm = clips.column("speaker"), np.isin(clips.column("emotion"), sorted(CALM))
    reference = np.full(len(scores), np.nan)
    for name in np.unique(speaker):
        rows = np.flatnonzero(speaker == name)
        reference[rows] = others_calm(scores[rows, None], calm[rows], rows)[:, 0]
    return reference


def same_clips(clips: Clips, study: Study) -> Array:
    """Held-out log-odds of each window by our models, fitted to these clips alone."""
    tones, _ = held_out_tone(clips.windows)
    windows = clips.windows.with_tone(tones, clips.refer)
    raw = held_out_scores(windows)
    scores = np.zeros_like(raw)
    for group in np.unique(windows.group):
        out = windows.group == group
        scores[out] = without(windows, raw, out).log_odds(windows.features[out])
    return scores


def table(title: str, clips: Clips, scores: dict[str, Array], among: NDArray[np.bool_], note: str) -> Table:
    """One row a corpus; ours on the same clips less the peer that is best on average, with speakers drawn alike."""
    angry = np.isin(clips.column("emotion"), sorted(ANGER))
    group, speaker = clips.column("group"), clips.column("speaker")
    usable = among & np.all([np.isfinite(each) for each in scores.values()], axis=0)
    average = {name: mean_auc(angry[usable], each[usable], group[usable]) for name, each in scores.items()}
    best = max((name for name in scores if name not in (OURS, OURS_TRAINED)), key=average.__getitem__)
    rows: list[tuple[Cell, ...]] = []
    for name in (*np.unique(group), None):
        at = np.flatnonzero(usable & (group == name if name else True))
        auc_of = {each: partial(mean_auc, angry[at], s[at], group[at]) for each, s in scores.items()}
        gain = partial(difference, auc_of[OURS], auc_of[best])
        figures = (interval(figure, speaker[at]) for figure in (*auc_of.values(), gain))
        rows.append((str(name) if name else "mean of corpora", *figures))
    return Table(title, ("corpus", *scores, f"{OURS}, less {best}"), rows, note)


def difference(ours: Figured, theirs: Figured, rows: NDArray[np.intp]) -> float:
    """Ours less theirs of the same speakers."""
    return ours(rows) - theirs(rows)
