"""What prosody, tone and both tell of anger on corpora that no part of them heard."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.measures import ALONE, KNOWN, interval, mean_auc
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.prosody.functionals import FEATURE_NAMES, TONE_NAMES
from emotion_triage.training.corpora import ANGER, CALM
from emotion_triage.training.fit import UNTAUGHT, known

__all__ = ["run"]


def run(study: Study) -> list[Table]:
    """One row for each ear, alone and against the caller's own calm speech."""
    windows, both = study.spoken
    inside = np.isin(study.windows.group, np.unique(windows.group))
    prosody = study.prosody[inside]
    tone, change = (
        windows.features[:, FEATURE_NAMES.index(name)] for name in (TONE_NAMES[0], f"{TONE_NAMES[0]}_change")
    )
    angry, calm = (np.isin(windows.emotion, sorted(which)) for which in (ANGER, CALM))
    taught = ~np.isin(windows.group, sorted(UNTAUGHT))
    rows: list[tuple[Cell, ...]] = []
    for ear, alone, against in (
        ("prosody", prosody[:, ALONE], prosody[:, KNOWN]),
        ("tone", tone, tone + change),
        ("both", both[:, ALONE], both[:, KNOWN]),
    ):
        cells: list[Cell] = []
        for scores, usable in ((alone, taught), (against, taught & known(windows))):
            for at in (np.flatnonzero(usable), np.flatnonzero(usable & (angry | calm))):
                area = partial(mean_auc, angry[at], cast(NDArray[np.float64], scores[at]), windows.group[at])
                cells.append(interval(area, windows.speaker[at]))
        rows.append((ear, *cells))
    columns = ("ear", "alone, all else", "alone, calm", "known, all else", "known, calm")
    note = f"AUC of anger windows, mean of corpora held out, without {', '.join(sorted(UNTAUGHT))}"
    return [Table("Ears", columns, rows, note)]
