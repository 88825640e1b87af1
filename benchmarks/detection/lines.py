"""The same clips over every line: AUC of anger, and how far it falls against clean G.711."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.clips import chosen
from benchmarks.detection.composed import strung
from benchmarks.detection.impairments import CLEAN, LINES, amr_available
from benchmarks.detection.measures import ALONE, KNOWN, interval, mean_auc
from benchmarks.detection.study import Study, by_speaker
from benchmarks.detection.table import Cell, Table
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.training.corpora import ANGER, Clip
from emotion_triage.training.dataset import Measured, WindowSet, calm_references, measure, read
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.fit import known
from emotion_triage.training.lines import trim

__all__ = ["run"]

LEVEL_DBFS, FLOOR_DB = -26.0, 45.0
"""Where speech lies, and how far below it the noise floor that every line has."""
DRAWS = 60
SPEAKERS = 6
"""Of each corpus, those with the most clips: a few clips each of many would leave no calm speech to compare with."""
LEAST = 10
"""Windows of anger and of all else that a corpus needs on both sides; one window must not move a mean of corpora."""


def run(study: Study) -> list[Table]:
    """One row a line."""
    drawn = by_speaker(chosen(talkative(study.angry_clips), study.size.line_clips, study.seed))
    names = [name for name in LINES if not name.startswith("AMR") or amr_available()]
    heard = study.across(
        over_lines, drawn, names=names, encoder=study.encoder, seed=study.seed, backgrounds=study.backgrounds
    )
    sets = {
        name: WindowSet._make(np.concatenate(column) for column in zip(*(each[name] for each in heard), strict=True))
        for name in names
    }
    scores = {}
    for name, windows in sets.items():
        refer = calm_references(windows, study.seed)
        scores[name] = study.held_out(windows, refer)
        sets[name] = windows._replace(reference=refer(windows.statistics))
    rows: list[tuple[Cell, ...]] = []
    for name in LINES:
        if name not in sets:
            rows.append((f"{name}: skipped, needs SoX with AMR-NB", *[None] * 5))
            continue
        cells: list[Cell] = []
        for label in (ALONE, KNOWN):
            clean, here = ((sets[each], scores[each][:, label]) for each in (CLEAN, name))
            cells += auc_and_fall(*clean, *here, compared=label == KNOWN)
        rows.append((name, round(len(sets[name].emotion) / len(sets[CLEAN].emotion), 3), *cells))
    columns = ("line", "windows against clean", "alone, AUC", "alone, fall", "known, AUC", "known, fall")
    note = f"AUC of anger against all else, mean of corpora held out; the same clips over each line; {DRAWS} draws"
    return [Table("Lines", columns, rows, note)]


def talkative(clips: list[Clip]) -> list[Clip]:
    """Return the clips of the speakers of each group of corpora who have the most."""
    of_group: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        of_group[clip.group][clip.speaker] += 1
    kept = {speaker for counts in of_group.values() for speaker, _ in counts.most_common(SPEAKERS)}
    return [clip for clip in clips if clip.speaker in kept]


def over_lines(
    clips: list[Clip], *, names: list[str], encoder: Encoder, seed: int, backgrounds: list[Path]
) -> dict[str, WindowSet]:
    """One speaker's clips, emotion by emotion, over every line."""
    entropy = [seed, zlib.crc32(clips[0].speaker.encode())]
    rng = np.random.default_rng(entropy)
    sounds = {clip.path: trim(read(clip.path)) for clip in clips}
    level = float(np.median([np.sqrt(np.mean(x**2)) for x in sounds.values()]))
    streams = {}
    for emotion in sorted({clip.emotion for clip in clips}):
        said = strung([sounds[clip.path] for clip in clips if clip.emotion == emotion], np.inf, rng)
        level_said = said / max(level, 1e-6) + rng.standard_normal(len(said)) * 10 ** (-FLOOR_DB / 20)
        streams[emotion] = np.clip(level_said * 10 ** (LEVEL_DBFS / 20), -1, 1).astype(np.float32)
    noises = [read(backgrounds[i]) for i in rng.integers(len(backgrounds), size=4)] if backgrounds else []
    noise = np.concatenate(noises or [rng.standard_normal(SAMPLE_RATE_HZ).astype(np.float32)])
    first, sets = clips[0], {}
    for name in names:
        drawn = np.random.default_rng(entropy)
        found = [measure(LINES[name](stream, drawn, noise), encoder) for stream in streams.values()]
        embeddings, statistics = Measured.joined(found)
        emotion_of = np.repeat(list(streams), [len(each.embeddings) for each in found])
        labels = (
            np.full(len(embeddings), value) for value in (first.group, first.speaker, first.language, first.gender)
        )
        sets[name] = WindowSet(embeddings, statistics, np.full_like(statistics, np.nan), emotion_of, *labels)
    return sets


def auc_and_fall(
    clean: WindowSet, clean_scores: np.ndarray, here: WindowSet, here_scores: np.ndarray, *, compared: bool
) -> list[Cell]:
    """AUC over a line, and how far it lies below clean G.711, with speakers drawn alike on both sides."""
    columns, sides = [], []
    for at, (windows, windows_scores) in enumerate(((clean, clean_scores), (here, here_scores))):
        use = known(windows) if compared else np.ones(len(windows_scores), np.bool_)
        is_angry = np.isin(windows.emotion[use], sorted(ANGER))
        columns.append((is_angry, windows_scores[use], windows.group[use], windows.speaker[use]))
        sides.append(np.full(use.sum(), at))
    each_column: Iterator[NDArray[Any]] = (np.concatenate(pair) for pair in zip(*columns, strict=True))
    angry, scores, group, speaker = each_column
    side = np.concatenate(sides)
    enough = [
        name
        for name in np.unique(group)
        if all(((group == name) & (angry == truth) & (side == k)).sum() >= LEAST for truth in (0, 1) for k in (0, 1))
    ]
    rows = np.isin(group, enough)
    if not rows.any():
        return [None, None]
    angry, scores, group, speaker, side = (each[rows] for each in (angry, scores, group, speaker, side))

    def fall(rows: np.ndarray) -> float:
        before, after = (mean_auc(angry, scores, group, rows[side[rows] == k]) for k in (0, 1))
        return before - after

    value = mean_auc(angry, scores, group, np.flatnonzero(side == 1))
    return [round(value, 3), interval(fall, speaker, draws=DRAWS)]
