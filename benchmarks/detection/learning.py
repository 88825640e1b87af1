"""Learning curves: AUC of anger on corpora never heard, against how much was learned from, and what more would bring.

The regressions are fitted anew to each draw of corpora or of speakers, the tone to a few of them. Scores are log-odds
added up, before calibration, which would need corpora held out within the drawn ones: the voice alone (regression and
tone), and known (the changes as well). Corpora without anger are left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.detection.measures import ALONE, AUC_COLUMNS, KNOWN, area, interval
from benchmarks.detection.study import Study
from benchmarks.detection.table import Cell, Table
from emotion_triage.prosody.functionals import FEATURE_NAMES, TONE_NAMES
from emotion_triage.training.corpora import ANGER, CALM
from emotion_triage.training.dataset import WindowSet, calm_references
from emotion_triage.training.figures import Figure
from emotion_triage.training.fit import UNTAUGHT, fit, known, tone_of

__all__ = ["BY_CORPORA", "BY_SPEAKERS", "WITH_TONE", "run"]

BY_CORPORA, BY_SPEAKERS = "Learning curve, corpora", "Learning curve, speakers"
WITH_TONE = "Learning curve, corpora, tone included"
CORPORA, TONE_CORPORA = (1, 2, 4), (1, 2, 4)
"""How many of the others are learned from, before all of them."""
SHARES = (0.125, 0.25, 0.5)
TIMES = (2, 4, 8)
"""What is extrapolated to, times what there is."""
GAINED = AUC_COLUMNS.index("known, all else")
EXPONENTS = np.linspace(0.1, 2.0, 20)
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Point(NamedTuple):
    """One draw: what was learned from, and how well a corpus that was not is told by it; `auc` as `AUC_COLUMNS`."""

    target: str
    size: str
    corpora: float
    speakers: float
    hours: float
    auc: tuple[float, ...]


def run(study: Study) -> list[Table]:
    """Three curves, then what more of the same would bring."""
    spoken = Spoken(study)
    corpora, speakers = list(by_corpora(spoken, study)), list(by_speakers(spoken, study))
    tone = list(with_tone(spoken, study))
    note = (
        f"AUC of anger, mean of corpora held out and of up to {study.size.draws} draws; before calibration; 95 % "
        "intervals over the corpora held out"
    )
    without = note + "; regressions of prosody alone, without the tone"
    return [
        curve(BY_CORPORA, "others learned from", corpora, without),
        curve(BY_SPEAKERS, "share of their speakers", speakers, without + "; at least one speaker of each corpus"),
        curve(WITH_TONE, "others learned from", tone, note + "; the sum of both"),
        Table(
            "What more would bring",
            ("times as much", "as", *AUC_COLUMNS),
            [*forecasts("corpora", corpora), *forecasts("speakers", speakers)],
            "an extrapolation, no measurement: 1 - AUC = a + b n^-c fitted to the regressions' curves; "
            "95 % intervals over the corpora held out; it takes what comes to be like what there is",
        ),
    ]


class Spoken:
    """Speech of corpora with anger, and how long each speaker's clips are."""

    def __init__(self, study: Study) -> None:
        self.seed = study.seed
        self.inside = np.isin(study.windows.group, sorted({clip.group for clip in study.angry_clips}))
        self.targets = np.unique(study.windows.group[self.inside]).tolist()
        self.windows = study.windows.without_embeddings().take(self.inside)
        self.seconds: dict[str, float] = {}
        for clip in study.angry_clips:
            self.seconds[clip.speaker] = self.seconds.get(clip.speaker, 0.0) + clip.duration_s

    def others(self, *targets: str) -> list[str]:
        """Corpora that may be learned from when some are held out."""
        return [name for name in self.targets if name not in targets and name not in UNTAUGHT]

    def draws(self, target: str) -> np.random.Generator:
        """A source of draws for a corpus held out."""
        return np.random.default_rng([self.seed, zlib.crc32(target.encode())])

    def point(self, target: str, size: str, learned: Mask, said: NDArray[np.float32] | None = None) -> Point:
        """Fit to some windows, and ask about a corpus; `said` is its tone, and the change of it."""
        out = self.windows.group == target
        held_out = self.windows.take(out)
        scores = fit(self.windows.take(learned)).log_odds(held_out.features)
        alone = scores[:, ALONE] + (0.0 if said is None else said[:, 0])
        against = alone + scores[:, KNOWN] + (0.0 if said is None else said[:, 1])
        who = np.unique(self.windows.speaker[learned])
        hours = sum(self.seconds[name] for name in who) / 3600.0
        return Point(
            target, size, len(np.unique(self.windows.group[learned])), len(who), hours, areas(held_out, alone, against)
        )


def areas(windows: WindowSet, alone: Array, against: Array) -> tuple[float, ...]:
    """AUC as `AUC_COLUMNS` names them."""
    angry, calm = (np.isin(windows.emotion, sorted(which)) for which in (ANGER, CALM))
    return tuple(
        area(angry[rows], scores[rows])
        for scores, usable in ((alone, np.ones(len(angry), np.bool_)), (against, known(windows)))
        for rows in (usable, usable & (angry | calm))
    )


def some(names: list[str], n: int, draws: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Draw sets of names, no set twice."""
    every = list(combinations(names, min(n, len(names))))
    return [every[i] for i in rng.permutation(len(every))[:draws]]


def by_corpora(spoken: Spoken, study: Study) -> Iterator[Point]:
    """All speakers of a few other corpora."""
    for target in spoken.targets:
        others, rng = spoken.others(target), spoken.draws(target)
        for n in (*(n for n in CORPORA if n < len(others)), len(others)):
            for names in some(others, n, study.size.draws, rng):
                size = "all" if n == len(others) else str(n)
                yield spoken.point(target, size, np.isin(spoken.windows.group, names))


def by_speakers(spoken: Spoken, study: Study) -> Iterator[Point]:
    """A few speakers of every other corpus."""
    group, speaker = spoken.windows.group, spoken.windows.speaker
    for target in spoken.targets:
        rng = spoken.draws(target)
        of_corpus = [np.unique(speaker[group == name]) for name in spoken.others(target)]
        for share in SHARES:
            for _ in range(study.size.draws):
                drawn = [rng.permutation(names)[: int(np.ceil(share * len(names)))] for names in of_corpus]
                yield spoken.point(target, f"{share:g}", np.isin(speaker, np.concatenate(drawn)))
        yield spoken.point(target, "1", np.isin(speaker, np.concatenate(of_corpus)))


def with_tone(spoken: Spoken, study: Study) -> Iterator[Point]:
    """All speakers of a few other corpora, a tone fitted to them as well; all have theirs."""
    refer = calm_references(study.windows, study.seed)
    two = [FEATURE_NAMES.index(name) for name in (TONE_NAMES[0], f"{TONE_NAMES[0]}_change")]
    for target in spoken.targets:
        others, rng = spoken.others(target), spoken.draws(target)
        asked = study.windows.group == target
        for n in (*(n for n in TONE_CORPORA if n < len(others)), len(others)):
            names = some(others, n, 1, rng)[0]
            learned = np.isin(study.windows.group, names)
            tone = tone_of(study.windows.take(learned)) if n < len(others) else study.tone_without(target)
            tones = np.zeros((len(asked), len(TONE_NAMES)))
            tones[asked] = tone.of(study.windows.embeddings[asked])
            heard = study.windows.without_embeddings().with_tone(tones, refer).take(asked)
            size = "all" if n == len(others) else str(n)
            yield spoken.point(target, size, np.isin(spoken.windows.group, names), heard.features[:, two])


def curve(title: str, what: str, points: list[Point], note: str) -> Table:
    """One row a size."""
    sizes = dict.fromkeys(point.size for point in points)
    first, rows = [point for point in points if point.size == next(iter(sizes))], []
    for size in sizes:
        these = [point for point in points if point.size == size]
        learned = (round(float(np.mean([getattr(p, name) for p in these])), 1) for name in ("corpora", "speakers"))
        hours = round(float(np.mean([p.hours for p in these])), 2)
        figures = (mean_of(these, column) for column in range(len(AUC_COLUMNS)))
        rows.append((size, *learned, hours, *figures, None if these == first else gain(first, these)))
    columns = (what, "corpora", "speakers", "hours", *AUC_COLUMNS, f"{AUC_COLUMNS[GAINED]}, gain")
    return Table(title, columns, rows, note + "; gain: over the first row, the same corpora held out")


def mean_of(points: list[Point], column: int) -> Figure | None:
    """Mean AUC of the draws, with its interval over the corpora held out."""
    auc = np.array([point.auc[column] for point in points])
    return interval(lambda drawn: float(np.nanmean(auc[drawn])), np.array([point.target for point in points]))


def gain(before: list[Point], after: list[Point]) -> Figure | None:
    """How far the AUC of each corpus rose, in the mean."""
    target = np.array([point.target for point in before + after])
    auc = np.array([point.auc[GAINED] for point in before + after])
    late = np.arange(len(target)) >= len(before)
    return interval(lambda d: float(np.nanmean(auc[d[late[d]]]) - np.nanmean(auc[d[~late[d]]])), target)


def forecasts(what: str, points: list[Point]) -> list[tuple[Cell, ...]]:
    """What times as many corpora or speakers would bring."""
    size = np.array([point.size for point in points])
    amount = np.array([getattr(point, what) for point in points], float)
    most = amount[size == size[-1]].mean()
    target, auc = np.array([point.target for point in points]), np.array([point.auc for point in points])
    rows: list[tuple[Cell, ...]] = []
    for times in TIMES:
        cells = (
            interval(partial(drawn_forecast, size, amount, auc[:, k], most * times), target)
            for k in range(auc.shape[1])
        )
        rows.append((times, f"{most:.0f} {what}", *cells))
    return rows


def drawn_forecast(size: NDArray[np.str_], amount: Array, auc: Array, n: float, drawn: NDArray[np.intp]) -> float:
    """The forecast of some points."""
    return forecast(size[drawn], amount[drawn], auc[drawn], n)


def forecast(size: NDArray[np.str_], amount: Array, auc: Array, n: float) -> float:
    """The AUC at an amount, by a fit to the mean of each size; NaN where no draw could be told."""
    told = np.isfinite(auc)
    size, amount, auc = size[told], amount[told], auc[told]
    means = [(amount[size == each].mean(), 1.0 - auc[size == each].mean()) for each in np.unique(size)]
    if not means:
        return float("nan")
    limit, slope, exponent = power_law(*np.array(means).T)
    return float(1.0 - limit - slope * n**-exponent)


def power_law(n: Array, error: Array) -> tuple[float, float, float]:
    """Return a, b (neither below 0) and c of error = a + b n^-c, by least squares over a grid of c."""
    fits = [(*nnls(np.stack((np.ones(len(n)), n**-c), axis=1), error), c) for c in EXPONENTS]
    (limit, slope), _, exponent = min(fits, key=lambda each: each[1])
    return float(limit), float(slope), float(exponent)
