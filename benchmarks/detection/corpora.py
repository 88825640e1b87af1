"""Anger on corpora and on speakers that the model never heard: AUC of windows and of clips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from benchmarks.detection.measures import ALONE, AUC_COLUMNS, KNOWN, auc_cells
from benchmarks.detection.study import Study
from benchmarks.detection.table import Table
from emotion_triage.training.dataset import WindowSet
from emotion_triage.training.fit import UNTAUGHT, fit, known

__all__ = ["run"]

FOLDS = 5
Array = NDArray[np.float64]


def run(study: Study) -> list[Table]:
    """Leave one corpus out, by window and by clip; leave speakers out within each corpus."""
    windows, scores = study.spoken
    clips = study.clips
    by_clip = study.held_out(clips.windows, clips.refer)
    alone, against = (clips.means(column) for column in alone_and_known(clips.windows, by_clip))
    emotion, group, speaker = (clips.column(name) for name in ("emotion", "group", "speaker"))
    return [
        table(
            "Corpus held out, windows of 3 s",
            *(windows.emotion, *alone_and_known(windows, scores), windows.group, windows.speaker),
        ),
        table("Corpus held out, clips (mean of their windows)", emotion, alone, against, group, speaker),
        table(
            f"Speakers held out within the corpus ({FOLDS} folds or one a speaker), windows, functionals alone",
            *(windows.emotion, *alone_and_known(windows, within(windows)), windows.group, windows.speaker),
        ),
    ]


def alone_and_known(windows: WindowSet, scores: Array) -> tuple[Array, Array]:
    """Scores by the voice alone, and against the caller's calm speech (NaN where there is none)."""
    return scores[:, ALONE], np.where(known(windows), scores[:, KNOWN], np.nan)


def within(windows: WindowSet) -> Array:
    """Log-odds by models of functionals fitted to other speakers of the same corpus alone, before calibration."""
    scores = np.full((len(windows.group), max(ALONE, KNOWN) + 1), np.nan)
    for group in np.unique(windows.group):
        rows = np.flatnonzero(windows.group == group)
        speakers = windows.speaker[rows]
        folds = GroupKFold(min(FOLDS, len(np.unique(speakers))))
        for train, test in folds.split(rows, groups=speakers):
            model = fit(windows.take(rows[train]))
            scores[rows[test]] = model.log_odds(windows.features[rows[test]])[:, : scores.shape[1]]
    return scores


def table(
    title: str,
    emotion: NDArray[np.str_],
    alone: Array,
    against: Array,
    group: NDArray[np.str_],
    speaker: NDArray[np.str_],
) -> Table:
    """One row a corpus, then the mean of those that are learned from, then of all."""
    rows = []
    taught = ~np.isin(group, sorted(UNTAUGHT))
    which = {str(name): group == name for name in np.unique(group)}
    which |= {f"mean without {', '.join(sorted(UNTAUGHT))}": taught, "mean of corpora": np.ones(len(group), np.bool_)}
    for name, inside in which.items():
        columns = (column[inside] for column in (emotion, alone, against, group, speaker))
        figures = auc_cells(*columns)
        counts = len(np.unique(speaker[inside])), int(inside.sum())
        rows.append((name, *counts, *figures))
    return Table(title, ("corpus", "speakers", "n", *AUC_COLUMNS), rows, "AUC of anger")
