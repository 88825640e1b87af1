"""Lines of the detection benchmark: the same windows over each, told alone and against the caller's calm speech."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.detection import lines
from benchmarks.detection.impairments import CLEAN
from benchmarks.detection.study import Size
from benchmarks.detection.table import Table
from emotion_triage.affect.classifier import LABELS
from emotion_triage.prosody.functionals import STATISTIC_NAMES
from emotion_triage.training.dataset import Refer, WindowSet
from emotion_triage.training.encoder import WIDTH
from emotion_triage.training.figures import Figure

EACH, BAD = 60, "gain -20 dB"


def heard(clips: list[Any], names: list[str]) -> dict[str, WindowSet]:
    """One speaker's windows; the first statistic tells anger, but over the bad line."""
    rng = np.random.default_rng(0)
    emotion = np.repeat(["angry", "neutral"], EACH)
    labels = emotion, *(np.full(2 * EACH, value) for value in (clips[0].group, clips[0].speaker, "en", ""))
    sets = {}
    for name in names:
        statistics = rng.standard_normal((2 * EACH, len(STATISTIC_NAMES))).astype(np.float32)
        statistics[:, 0] += 4.0 * (emotion == "angry") * (name != BAD)
        embeddings = np.zeros((2 * EACH, WIDTH), np.float16)
        sets[name] = WindowSet(embeddings, statistics, np.full_like(statistics, np.nan), *labels)
    return sets


@pytest.fixture(scope="module")
def table() -> Table:
    """Two corpora of two speakers each, judged by the first statistic and by its change."""
    clips = [
        SimpleNamespace(group=group, speaker=f"{group}_{k}", emotion=emotion, path=None)
        for group in "ab"
        for k in range(2)
        for emotion in ("angry", "neutral")
    ]

    def held_out(windows: WindowSet, refer: Refer) -> np.ndarray:
        scores = np.zeros((len(windows.group), len(LABELS)))
        scores[:, lines.ALONE] = windows.statistics[:, 0]
        scores[:, lines.KNOWN] = windows.statistics[:, 0] - refer(windows.statistics)[:, 0]
        return scores

    def across(function: object, drawn: list[list[Any]], *, names: list[str], **same: object) -> list[Any]:
        return [heard(clips, names) for clips in drawn]

    same = {"size": Size(), "seed": 0, "backgrounds": [], "encoder": None}
    study = SimpleNamespace(angry_clips=clips, across=across, held_out=held_out, **same)
    (found,) = lines.run(study)
    return found


def test_a_caller_is_compared_with_himself_over_every_line(table: Table) -> None:
    """Both ways of asking have figures over every line that was heard, and nearly all anger is told by each."""
    measured = [row for row in table.rows if row[1] is not None]
    assert len(measured) > 15
    assert all(isinstance(row[3], Figure) and isinstance(row[5], Figure) for row in measured)
    clean = next(row for row in measured if row[0] == CLEAN)
    assert min(clean[2], clean[4]) > 0.95


def test_a_line_that_hides_anger_shows_a_fall(table: Table) -> None:
    """Over a line that takes anger away the AUC falls to chance, by its distance from clean G.711."""
    bad, clean = ({row[0]: row for row in table.rows}[name] for name in (BAD, CLEAN))
    for auc, fall in ((2, 3), (4, 5)):
        assert bad[auc] == pytest.approx(0.5, abs=0.12)
        assert bad[fall].value == pytest.approx(clean[auc] - bad[auc], abs=0.002)
        assert bad[fall].low > 0.25
