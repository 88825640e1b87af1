"""What all protocols share, each part made when it is first asked for: windows, models held out, calls, clips."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.clips import Clips, chosen, hear
from benchmarks.detection.composed import ComposedCall, compose, events
from emotion_triage.affect.classifier import LABELS
from emotion_triage.call.caller import Event
from emotion_triage.prosody.functionals import TONE_NAMES
from emotion_triage.routing.policy import Policy
from emotion_triage.training.corpora import ANGER, Clip, Corpora
from emotion_triage.training.dataset import Refer, WindowSet, calm_references, gather
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.fit import (
    UNTAUGHT,
    Linear,
    Model,
    calibrated,
    fit,
    folds,
    held_out_scores,
    held_out_tone,
    mixing,
    taught,
    units,
)
from emotion_triage.training.tone import Tone

__all__ = ["Size", "Study", "by_speaker", "chooses", "without"]

T = TypeVar("T")


class Size(NamedTuple):
    """How much is measured."""

    passes: int = 2
    """Lines that each speaker is trained over."""
    calls: int = 2
    """Calls of each kind a speaker."""
    clips: int = 450
    """Clips a corpus that are scored one by one, by us and by the peers."""
    line_clips: int = 60
    """Clips a corpus that are sent over every impaired line."""
    music_s: float = 600.0
    """Synthetic music, tones, noise and silence, of each."""
    draws: int = 5
    """Draws of what a learning curve learns from."""


class Study:
    """Corpora and what models that never heard them say of them.

    Every score, calibration included, comes from models that heard neither the corpus nor any other of its speakers;
    of what is not speech, from models that never heard its kind.

    Parameters
    ----------
    corpora : Corpora
    policy : Policy
    size : Size
    seed, workers : int
    model : Path, optional
        The model whose card is filled; the one that ships by default.
    cache : Path, optional
        Folder in which windows are kept between runs of the same code and corpora.
    """

    def __init__(
        self,
        corpora: Corpora,
        policy: Policy,
        size: Size,
        *,
        seed: int,
        workers: int,
        model: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self.corpora, self.policy, self.size, self.seed, self.workers = corpora, policy, size, seed, workers
        self.model, self.encoder = model, Encoder(model)
        self._memory = joblib.Memory(cache, verbose=0)
        self._models: dict[str, Model] = {}

    @property
    def backgrounds(self) -> list[Path]:
        """Recordings that may lie under speech."""
        return [noise.path for noise in self.corpora.noises if noise.kind not in ("laughter", "hold music")]

    @cached_property
    def angry_clips(self) -> list[Clip]:
        """The clips of corpora with anger."""
        groups = {clip.group for clip in self.corpora.clips if clip.emotion in ANGER}
        return [clip for clip in self.corpora.clips if clip.group in groups]

    @cached_property
    def _gathered(self) -> tuple[WindowSet, list[Tone]]:
        gathered: tuple[WindowSet, list[Tone]] = self._memory.cache(heard, ignore=["workers"])(
            self.corpora, self.encoder, passes=self.size.passes, seed=self.seed, workers=self.workers
        )
        return gathered

    @property
    def windows(self) -> WindowSet:
        """All speech and noise over drawn lines, as the trainer hears it; tones by discriminants that never did."""
        return self._gathered[0]

    @cached_property
    def units(self) -> NDArray[np.str_]:
        """What each window is held out with."""
        return units(self.windows)

    def tone_without(self, unit: str) -> Tone:
        """Return a tone that never heard a unit."""
        return self._gathered[1][folds(self.windows).get(unit, 0)]

    @cached_property
    def prosody(self) -> NDArray[np.float64]:
        """Log-odds of each window by its prosody alone, before calibration, from models that never heard its unit."""
        return held_out_scores(self.windows)

    def model_without(self, unit: str) -> Model:
        """Return a calibrated model that never heard a unit."""
        if unit not in self._models:
            linear = without(self.windows, self.prosody, self.units == unit)
            self._models[unit] = Model(self.tone_without(unit), linear)
        return self._models[unit]

    def held_out(self, windows: WindowSet, refer: Refer) -> NDArray[np.float64]:
        """Return calibrated log-odds of speech by models that never heard its corpus."""
        tones = np.zeros((len(windows.group), len(TONE_NAMES)))
        for group in np.unique(windows.group):
            inside = windows.group == group
            tones[inside] = self.tone_without(str(group)).of(windows.embeddings[inside])
        return self._judged(windows.with_tone(tones, refer))

    def _judged(self, windows: WindowSet) -> NDArray[np.float64]:
        scores = np.full((len(windows.group), len(LABELS)), np.nan)
        for group in np.unique(windows.group):
            inside = windows.group == group
            scores[inside] = self.model_without(str(group)).linear.log_odds(windows.features[inside])
        return scores

    @cached_property
    def spoken(self) -> tuple[WindowSet, NDArray[np.float64]]:
        """Windows of corpora with anger, and their held-out log-odds."""
        windows = self.windows.without_embeddings().take(
            np.isin(self.windows.group, sorted({clip.group for clip in self.angry_clips}))
        )
        return windows, self._judged(windows)

    @cached_property
    def drawn(self) -> list[list[Clip]]:
        """A stratified draw of clips, speaker by speaker."""
        return by_speaker(chosen(self.angry_clips, self.size.clips, self.seed))

    @cached_property
    def clips(self) -> Clips:
        """The drawn clips, heard one by one."""
        return Clips.joined(
            self.across(hear, self.drawn, encoder=self.encoder, seed=self.seed, backgrounds=self.backgrounds)
        )

    @cached_property
    def calls(self) -> list[tuple[ComposedCall, list[Event]]]:
        """Composed calls of every speaker with enough speech, and what was said of them by held-out models."""
        return self.calls_under(self.policy)

    def calls_under(self, policy: Policy, *, first_draw: bool = False) -> list[tuple[ComposedCall, list[Event]]]:
        """Return the calls that figures are reported on, or one of each kind a speaker, under a policy."""
        calls = self._composed[: len(self._composed) // self.size.calls] if first_draw else self._composed
        return [
            (call, events(call.steps, call.embeddings, self.model_without(call.group), policy))
            for call in calls
            if not chooses(call.speaker)
        ]

    @property
    def choosing_calls(self) -> list[ComposedCall]:
        """The calls that operating points are chosen on: of other speakers than figures are reported on."""
        return [call for call in self._composed if chooses(call.speaker) and call.group not in UNTAUGHT]

    @cached_property
    def _composed(self) -> list[ComposedCall]:
        speakers = by_speaker(self.angry_clips)
        return [
            call
            for turn in range(self.size.calls)
            for calls in self.across(
                compose, speakers, encoder=self.encoder, backgrounds=self.backgrounds, seed=self.seed + turn
            )
            for call in calls
        ]

    def across(self, function: Callable[..., T], speakers: list[list[Clip]], **same: Any) -> list[T]:
        """Apply a function to every speaker's clips, in processes; kept where there is a cache."""
        with ProcessPoolExecutor(self.workers, mp_context=get_context("spawn")) as pool:
            return list(pool.map(partial(self._memory.cache(function), **same), speakers, chunksize=2))


def heard(corpora: Corpora, encoder: Encoder, *, passes: int, seed: int, workers: int) -> tuple[WindowSet, list[Tone]]:
    """Hear everything, and fit the tones that never heard a fold of it."""
    windows = gather(corpora, encoder, passes=passes, seed=seed, workers=workers)
    scores, tones = held_out_tone(windows)
    return windows.with_tone(scores, calm_references(windows, seed)), tones


def without(windows: WindowSet, scores: NDArray[np.float64], out: NDArray[np.bool_]) -> Linear:
    """Return a model fitted and calibrated without some windows; `scores` are held out and not calibrated."""
    rest = windows.without_embeddings().take(~out)
    return calibrated(fit(rest.take(taught(rest))), mixing(rest, scores[~out]))


def chooses(speaker: str) -> bool:
    """Return whether a speaker's calls choose operating points; those of the others report what they give."""
    return zlib.crc32(speaker.encode()) % 2 == 0


def by_speaker(clips: Iterable[Clip]) -> list[list[Clip]]:
    """Return each speaker's clips."""
    speakers: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        speakers[clip.speaker].append(clip)
    return list(speakers.values())
