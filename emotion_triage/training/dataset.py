"""Clips to windows, the way a call would hear them: a speaker's clips in a row over one line, looked at every 0.5 s."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.recordings import open_recording
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.functionals import STATISTIC_NAMES, TONE_NAMES, features
from emotion_triage.prosody.measurement import MIN_NEW_SPEECH_S, RecentTones, WindowMeasurement, measure_windows
from emotion_triage.prosody.windows import WindowStream
from emotion_triage.synthesis.sounds import drums, dtmf, hold_music, hum, tone
from emotion_triage.training.corpora import CALM, Clip, Corpora
from emotion_triage.training.encoder import WIDTH, Encoder
from emotion_triage.training.lines import Line, Samples, trim

__all__ = ["NOISE", "Measured", "Refer", "WindowSet", "calm_references", "gather", "heard_steps", "measure", "read"]

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
OTHER_LINE = 0.5
"""Share of references that are of another line of the same speaker, where there is one."""


Refer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Statistics of windows to the statistics that each is compared with."""


class WindowSet(NamedTuple):
    """Windows of many speakers; row ``i`` of each array is one window.

    Attributes
    ----------
    embeddings : ndarray of float16, shape (n, 768)
        Mean of those of the seconds in each window.
    statistics : ndarray of float32, shape (n, n_statistics)
        The tone, the last of them, is 0 until `with_tone`.
    reference : ndarray of float32, shape (n, n_statistics)
        Calm speech of the same speaker over the same line; NaN where there is none.
    emotion, group, speaker, language, gender : ndarray of str, shape (n,)
    """

    embeddings: NDArray[np.float16]
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

    def without_embeddings(self) -> WindowSet:
        """Return the windows without their embeddings: by far the largest part."""
        return self._replace(embeddings=self.embeddings[:, :0])

    def with_tone(self, tone: NDArray[np.floating], refer: Refer) -> WindowSet:
        """Return the windows with the tone of each, of shape (n, n_tones), and the references that follow."""
        statistics = self.statistics.copy()
        statistics[:, -len(TONE_NAMES) :] = tone
        return self._replace(statistics=statistics, reference=refer(statistics))


class Measured(NamedTuple):
    """Windows without labels: embeddings and statistics, as in `WindowSet`."""

    embeddings: NDArray[np.float16]
    statistics: NDArray[np.float32]

    @staticmethod
    def joined(parts: list[Measured]) -> Measured:
        """Return windows one after the other."""
        return Measured._make(np.concatenate(column) for column in zip(*parts, strict=True))


def gather(corpora: Corpora, encoder: Encoder, *, passes: int, seed: int, workers: int = 2) -> WindowSet:
    """Hear every speaker over `passes` lines drawn at random, and every noise once a pass.

    Parameters
    ----------
    corpora : Corpora
    encoder : Encoder
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
    jobs = [partial(_speaker, clips, backgrounds, encoder) for clips in speakers.values()]
    jobs += [
        partial(_noise, kind, [n.path for n in corpora.noises if n.kind == kind], encoder)
        for kind in sorted({n.kind for n in corpora.noises})
    ]
    jobs.append(partial(_synthetic, encoder))
    seeds = [(seed, turn, index) for turn in range(passes) for index in range(len(jobs))]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        sets = list(pool.map(_run, jobs * passes, seeds, chunksize=4))
    windows = WindowSet._make(np.concatenate(column) for column in zip(*sets, strict=True))
    return windows._replace(reference=calm_references(windows, seed)(windows.statistics))


def _run(job: partial[WindowSet], seed: tuple[int, int, int]) -> WindowSet:
    return job(rng=np.random.default_rng(seed))


def _speaker(clips: list[Clip], backgrounds: list[Path], encoder: Encoder, *, rng: np.random.Generator) -> WindowSet:
    noises = [read(backgrounds[i]) for i in rng.integers(len(backgrounds), size=2)] if backgrounds else []
    line = Line(rng, noises)
    sounds = {clip.path: trim(read(clip.path)) for clip in clips}
    level = float(np.median([np.sqrt(np.mean(x**2)) for x in sounds.values()]))
    emotions: dict[str, Measured] = {}
    for emotion in sorted({clip.emotion for clip in clips}):
        chosen = [sounds[clip.path] for clip in clips if clip.emotion == emotion]
        heard = [
            measure(line.carry(stream, level), encoder)
            for stream in _strung([chosen[i] for i in rng.permutation(len(chosen))], rng)
        ]
        emotions[emotion] = Measured.joined(heard)
    emotion_of = np.repeat(list(emotions), [len(windows.embeddings) for windows in emotions.values()])
    first = clips[0]
    every = Measured.joined(list(emotions.values()))
    return _labelled(every, emotion_of, first.group, first.speaker, first.language, first.gender)


def calm_references(windows: WindowSet, seed: int) -> Refer:
    """Return what compares each window with a run of the same speaker's calm speech; NaN where they have none.

    Where a speaker was heard over several lines, half of the references are of another line: a telephone is handed
    over, a loudspeaker is switched on, and none of it is anger (docs/decisions/0014-pretrained-encoder.md). The windows
    of a speaker over one line stand together.
    """
    starts = np.flatnonzero(windows.speaker[1:] != windows.speaker[:-1]) + 1
    lines = np.split(np.arange(len(windows.speaker)), starts)
    is_calm = np.isin(windows.emotion, sorted(CALM))
    calm_of: dict[str, list[NDArray[np.intp]]] = defaultdict(list)
    for line in lines:
        calm_of[str(windows.speaker[line[0]])].append(line[is_calm[line]])

    def refer(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        reference = np.full_like(statistics, np.nan)
        for line in lines:
            own = line[is_calm[line]]
            every = calm_of[str(windows.speaker[line[0]])]
            others = [calm for calm in every if len(calm) and not np.array_equal(calm, own)]
            for at, elsewhere in zip(line, rng.random(len(line)) < OTHER_LINE, strict=True):
                calm = others[rng.integers(len(others))] if others and elsewhere else own
                if len(calm):
                    first = rng.integers(max(1, len(calm) - REFERENCE_WINDOWS + 1))
                    reference[at] = statistics[calm[first : first + REFERENCE_WINDOWS]].mean(axis=0)
        return reference

    return refer


def _noise(kind: str, paths: list[Path], encoder: Encoder, *, rng: np.random.Generator) -> WindowSet:
    sounds = (read(path) for path in paths)
    repeated = [np.resize(sound, max(len(sound), NOISE_S * SAMPLE_RATE_HZ)) for sound in sounds]
    return _unvoiced(kind, repeated, encoder, rng)


def _synthetic(encoder: Encoder, *, rng: np.random.Generator) -> WindowSet:
    digits = "".join(map(str, rng.integers(10, size=20)))
    sounds = [hold_music(20.0, seed=int(seed)) for seed in rng.integers(1 << 30, size=20)]
    sounds += [drums(10.0, seed=int(seed)) for seed in rng.integers(1 << 30, size=4)]
    sounds += [dtmf(digits), hum(50, NOISE_S), hum(60, NOISE_S), tone(float(rng.uniform(300, 1200)), NOISE_S)]
    return _unvoiced("synthetic", sounds, encoder, rng)


def _unvoiced(kind: str, sounds: list[Samples], encoder: Encoder, rng: np.random.Generator) -> WindowSet:
    """Sounds without a caller, each as it is and over a line."""
    heard = [measure(heard, encoder) for sound in sounds for heard in (sound, Line(rng, []).carry(sound, _rms(sound)))]
    return _labelled(Measured.joined(heard), NOISE, NOISE, f"noise_{kind}", "", "")


def _labelled(
    measured: Measured,
    emotion: str | NDArray[np.str_],
    group: str,
    speaker: str,
    language: str,
    gender: str,
) -> WindowSet:
    n = len(measured.embeddings)
    labels = (np.resize(np.asarray(value, np.str_), n) for value in (group, speaker, language, gender))
    reference = np.full_like(measured.statistics, np.nan)
    return WindowSet(*measured, reference, np.resize(np.asarray(emotion, np.str_), n), *labels)


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


def heard_steps(samples: NDArray[np.floating], encoder: Encoder) -> tuple[list[WindowMeasurement], NDArray[np.float16]]:
    """Return what is measured of each window of a recording, as a call does it, but for the tone; and embeddings.

    Returns
    -------
    steps : list of WindowMeasurement
        With an embedding as `tone`, the mean over the seconds in the window; None where it holds none.
    embeddings : ndarray of float16, shape (n_steps, 768)
        The same; 0 where there is none.
    """
    stream = WindowStream("float32", SAMPLE_RATE_HZ)
    windows = stream.describe(stream.frames(samples.astype(np.float32))) + stream.last()
    steps, recent = [], RecentTones()
    for step in measure_windows(windows, encoder.embed):
        recent.add(step.end, step.tone)
        steps.append(step._replace(tone=recent.mean(step.end)))
    nothing = np.zeros(WIDTH, np.float32)
    embeddings = np.array([nothing if step.tone is None else step.tone for step in steps], np.float16)
    return steps, embeddings.reshape(-1, WIDTH)


def measure(samples: Samples, encoder: Encoder) -> Measured:
    """Return the windows with new speech, as a call would score them."""
    steps, embeddings = heard_steps(samples, encoder)
    due = [s.new_speech_s >= MIN_NEW_SPEECH_S and s.speech_s >= MIN_SPEECH_S and s.tone is not None for s in steps]
    statistics = np.array([step.statistics for step in steps], np.float32).reshape(-1, len(STATISTIC_NAMES))
    return Measured(embeddings[due], statistics[due])


def read(path: Path) -> Samples:
    """Return a clip, which holds the caller alone, as float32 at 8 kHz."""
    recording = open_recording(path, caller_channel="mono")
    return np.concatenate([samples for _, samples in recording.blocks()])


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)) + 1e-12))
