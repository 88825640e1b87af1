"""Clips to windows, the way a call would hear them: a speaker's clips in a row over one line, looked at every 0.5 s."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio import SAMPLE_RATE_HZ
from emotion_triage.caller import MIN_NEW_SPEECH_S, steps_of
from emotion_triage.functionals import STATISTIC_NAMES, features
from emotion_triage.recordings import open_recording
from emotion_triage.sounds import drums, dtmf, hold_music, hum, tone
from emotion_triage.training.corpora import CALM, Clip, Corpora
from emotion_triage.training.lines import Line, Samples, trim
from emotion_triage.windows import WindowStream, rows_of

__all__ = ["NOISE", "WindowSet", "calm_references", "gather", "measure", "read"]

NOISE = "noise"
"""The emotion of a window without a caller."""
STREAM_S = 20.0
"""Clips are strung together up to this length."""
PAUSE_S = (0.15, 0.9)
NOISE_S = 6
"""Short noises are repeated up to this length."""
MIN_SPEECH_S = 0.8
REFERENCE_WINDOWS = 16
"""Windows in a row that make a reference: about what a caller's first ten seconds of speech hold."""


class WindowSet(NamedTuple):
    """Windows of many speakers; row ``i`` of each array is one window.

    Attributes
    ----------
    statistics : ndarray of float32, shape (n, n_statistics)
    reference : ndarray of float32, shape (n, n_statistics)
        Calm speech of the same speaker over the same line; NaN where there is none.
    emotion, group, speaker, language, gender : ndarray of str, shape (n,)
    """

    statistics: NDArray[np.float32]
    reference: NDArray[np.float32]
    emotion: NDArray[np.str_]
    group: NDArray[np.str_]
    speaker: NDArray[np.str_]
    language: NDArray[np.str_]
    gender: NDArray[np.str_]

    @property
    def features(self) -> NDArray[np.float32]:
        """The classifier's input, float32 of shape (n, n_features)."""
        has = np.isfinite(self.reference[:, :1])
        return features(self.statistics, np.where(has, self.reference, self.statistics))

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> WindowSet:
        """Return some of the windows."""
        return WindowSet._make(column[which] for column in self)


def gather(corpora: Corpora, *, passes: int, seed: int, workers: int = 2) -> WindowSet:
    """Hear every speaker over `passes` lines drawn at random, and every noise once a pass.

    Parameters
    ----------
    corpora : Corpora
    passes : int
        How many lines each speaker calls over.
    seed : int
        The same seed gives the same windows, whatever the number of workers.
    workers : int
        Processes.

    Returns
    -------
    WindowSet
    """
    speakers: dict[str, list[Clip]] = defaultdict(list)
    for clip in corpora.clips:
        speakers[clip.speaker].append(clip)
    backgrounds = [noise.path for noise in corpora.noises if noise.kind not in ("laughter", "hold music")]
    jobs = [partial(_speaker, clips, backgrounds) for clips in speakers.values()]
    jobs += [
        partial(_noise, kind, [n.path for n in corpora.noises if n.kind == kind])
        for kind in sorted({n.kind for n in corpora.noises})
    ]
    jobs.append(partial(_synthetic))
    seeds = [(seed, turn, index) for turn in range(passes) for index in range(len(jobs))]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        sets = list(pool.map(_run, jobs * passes, seeds, chunksize=4))
    return WindowSet._make(np.concatenate(column) for column in zip(*sets, strict=True))


def _run(job: partial[WindowSet], seed: tuple[int, int, int]) -> WindowSet:
    return job(rng=np.random.default_rng(seed))


def _speaker(clips: list[Clip], backgrounds: list[Path], *, rng: np.random.Generator) -> WindowSet:
    noises = [read(backgrounds[i]) for i in rng.integers(len(backgrounds), size=2)] if backgrounds else []
    line = Line(rng, noises)
    sounds = {clip.path: trim(read(clip.path)) for clip in clips}
    level = float(np.median([np.sqrt(np.mean(x**2)) for x in sounds.values()]))
    emotions: dict[str, NDArray[np.float32]] = {}
    for emotion in sorted({clip.emotion for clip in clips}):
        chosen = [sounds[clip.path] for clip in clips if clip.emotion == emotion]
        heard = [
            measure(line.carry(stream, level))
            for stream in _strung([chosen[i] for i in rng.permutation(len(chosen))], rng)
        ]
        emotions[emotion] = np.concatenate(heard)
    statistics = np.concatenate(list(emotions.values()))
    emotion_of = np.repeat(list(emotions), [len(windows) for windows in emotions.values()])
    first = clips[0]
    found = _labelled(statistics, emotion_of, first.group, first.speaker, first.language, first.gender)
    return found._replace(reference=calm_references(found, rng))


def calm_references(windows: WindowSet, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a baseline for each window of one speaker: a run of his calm speech; NaN where he has none."""
    calm = windows.statistics[np.isin(windows.emotion, sorted(CALM))]
    if not len(calm):
        return np.full_like(windows.statistics, np.nan)
    starts = rng.integers(max(1, len(calm) - REFERENCE_WINDOWS + 1), size=len(windows.statistics))
    means = [calm[start : start + REFERENCE_WINDOWS].mean(axis=0) for start in starts]
    return np.array(means, np.float32).reshape(windows.statistics.shape)


def _noise(kind: str, paths: list[Path], *, rng: np.random.Generator) -> WindowSet:
    sounds = (read(path) for path in paths)
    return _unvoiced(kind, [np.resize(sound, max(len(sound), NOISE_S * SAMPLE_RATE_HZ)) for sound in sounds], rng)


def _synthetic(*, rng: np.random.Generator) -> WindowSet:
    digits = "".join(map(str, rng.integers(10, size=20)))
    sounds = [hold_music(20.0, seed=int(seed)) for seed in rng.integers(1 << 30, size=20)]
    sounds += [drums(10.0, seed=int(seed)) for seed in rng.integers(1 << 30, size=4)]
    sounds += [dtmf(digits), hum(50, NOISE_S), hum(60, NOISE_S), tone(float(rng.uniform(300, 1200)), NOISE_S)]
    return _unvoiced("synthetic", sounds, rng)


def _unvoiced(kind: str, sounds: list[Samples], rng: np.random.Generator) -> WindowSet:
    """Sounds without a caller, each as it is and over a line."""
    heard = [measure(heard) for sound in sounds for heard in (sound, Line(rng, []).carry(sound, _rms(sound)))]
    return _labelled(np.concatenate(heard), NOISE, NOISE, f"noise_{kind}", "", "")


def _labelled(
    statistics: NDArray[np.float32],
    emotion: str | NDArray[np.str_],
    group: str,
    speaker: str,
    language: str,
    gender: str,
) -> WindowSet:
    n = len(statistics)
    labels = (np.resize(np.asarray(value, np.str_), n) for value in (group, speaker, language, gender))
    return WindowSet(statistics, np.full_like(statistics, np.nan), np.resize(np.asarray(emotion, np.str_), n), *labels)


def _strung(clips: list[Samples], rng: np.random.Generator) -> Iterator[Samples]:
    """Yield clips strung together with pauses, about 20 s at a time."""
    pieces: list[Samples] = []
    for clip in clips:
        pieces += [np.zeros(round(rng.uniform(*PAUSE_S) * SAMPLE_RATE_HZ), np.float32), clip]
        if sum(map(len, pieces)) > STREAM_S * SAMPLE_RATE_HZ:
            yield np.concatenate(pieces)
            pieces = []
    if pieces:
        yield np.concatenate(pieces)


def measure(samples: Samples) -> NDArray[np.float32]:
    """Return the statistics of windows with new speech, as a call sees them; float32 of shape (n, n_statistics)."""
    stream = WindowStream("float32", SAMPLE_RATE_HZ)
    steps = steps_of(stream.windows(*rows_of([stream.frames(samples.astype(np.float32))])) + stream.last())
    heard = [s.statistics for s in steps if s.new_speech_s >= MIN_NEW_SPEECH_S and s.speech_s >= MIN_SPEECH_S]
    return np.array(heard, np.float32).reshape(-1, len(STATISTIC_NAMES))


def read(path: Path) -> Samples:
    """Return a clip, which holds the caller alone, as float32 at 8 kHz."""
    recording = open_recording(path, caller_channel="mono")
    return np.concatenate([samples for _, samples in recording.blocks()])


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)) + 1e-12))
