"""Single clips: a stratified draw of them, each heard by itself over its speaker's line."""

from __future__ import annotations

import zlib
from collections import defaultdict
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.prosody.measurement import MIN_NEW_SPEECH_S
from emotion_triage.training.corpora import CALM, Clip
from emotion_triage.training.dataset import Measured, WindowSet, heard_steps, measure, read
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.lines import Line, Samples, trim

__all__ = ["Clips", "chosen", "hear", "over_a_line"]

Array = NDArray[np.float64]


class Clips(NamedTuple):
    """Clips and their windows; `clip` says for each window which clip it is of."""

    clips: list[Clip]
    windows: WindowSet
    clip: NDArray[np.intp]

    @staticmethod
    def joined(parts: list[Clips]) -> Clips:
        """Return several speakers' clips as one."""
        starts = np.cumsum([0, *(len(part.clips) for part in parts)])
        return Clips(
            [clip for part in parts for clip in part.clips],
            WindowSet._make(np.concatenate(column) for column in zip(*(part.windows for part in parts), strict=True)),
            np.concatenate([part.clip + start for part, start in zip(parts, starts, strict=False)]),
        )

    def refer(self, statistics: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return for each window the mean of its speaker's calm windows of other clips."""
        reference = np.full(statistics.shape, np.nan, np.float32)
        calm = np.isin(self.windows.emotion, sorted(CALM))
        for name in np.unique(self.windows.speaker):
            own = self.windows.speaker == name
            reference[own] = others_calm(statistics[own], calm[own], self.clip[own])
        return reference

    def column(self, name: str) -> NDArray[np.str_]:
        """Return one label of each clip."""
        return np.array([getattr(clip, name) for clip in self.clips])

    def means(self, scores: Array) -> Array:
        """Return the mean over each clip's windows, float64 of shape (n_clips,); NaN where none is a number."""
        use = np.isfinite(scores)
        count = np.bincount(self.clip[use], minlength=len(self.clips))
        total = np.bincount(self.clip[use], scores[use], minlength=len(self.clips))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def chosen(clips: list[Clip], per_group: int, seed: int) -> list[Clip]:
    """Draw clips of each group of corpora, evenly over speakers and emotions."""
    rng = np.random.default_rng(seed)
    cells: dict[str, dict[tuple[str, str], list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for i in rng.permutation(len(clips)):
        cells[clips[i].group][clips[i].emotion, clips[i].speaker].append(clips[i])
    drawn = []
    for group in sorted(cells):
        turns = zip_longest(*(cells[group][key] for key in sorted(cells[group], key=lambda key: rng.random())))
        # one of each cell a turn, so that no speaker and no emotion is drawn more than the others
        drawn += [clip for clip in chain.from_iterable(turns) if clip is not None][:per_group]
    return drawn


def over_a_line(clips: list[Clip], *, seed: int, backgrounds: list[Path]) -> list[Samples]:
    """One speaker's clips, each by itself, over one drawn line; the same each time."""
    rng = np.random.default_rng([seed, zlib.crc32(clips[0].speaker.encode())])
    line = Line(rng, [read(backgrounds[i]) for i in rng.integers(len(backgrounds), size=2)] if backgrounds else [])
    sounds = [trim(read(clip.path)) for clip in clips]
    level = float(np.median([np.sqrt(np.mean(x**2)) for x in sounds]))
    return [line.carry(sound, level) for sound in sounds]


def hear(clips: list[Clip], *, encoder: Encoder, seed: int, backgrounds: list[Path]) -> Clips:
    """Windows of one speaker's clips; a clip too short for one that a call would score gives its fullest window."""
    found = []
    for samples in over_a_line(clips, seed=seed, backgrounds=backgrounds):
        measured = measure(samples, encoder)
        if not len(measured.embeddings):
            steps, embeddings = heard_steps(samples, encoder)
            fullest = max(
                range(len(steps)), key=lambda i: (steps[i].new_speech_s >= MIN_NEW_SPEECH_S, steps[i].speech_s)
            )
            measured = Measured(embeddings[fullest][None], steps[fullest].statistics[None])
        found.append(measured)
    of = np.repeat(np.arange(len(clips)), [len(each.embeddings) for each in found])
    emotion, group, speaker, language, gender = (
        np.array([getattr(clip, name) for clip in clips])[of]
        for name in ("emotion", "group", "speaker", "language", "gender")
    )
    embeddings, statistics = Measured.joined(found)
    unknown = np.full_like(statistics, np.nan)
    clips_of_one = Clips(
        clips, WindowSet(embeddings, statistics, unknown, emotion, group, speaker, language, gender), of
    )
    return clips_of_one._replace(windows=clips_of_one.windows._replace(reference=clips_of_one.refer(statistics)))


def others_calm(values: NDArray[np.floating], calm: NDArray[np.bool_], clip: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return for each row the mean of one speaker's calm rows of other clips; NaN where he has none."""
    reference = np.full(values.shape, np.nan, np.float32)
    for each in np.unique(clip):
        others = calm & (clip != each)
        if others.any():
            reference[clip == each] = values[others].mean(axis=0)
    return reference
