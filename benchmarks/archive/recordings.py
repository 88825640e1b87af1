"""Recordings as an archive holds them, composed of labelled clips or of the synthetic caller; some are broken."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.synthesis.demo import synthetic_caller
from emotion_triage.training.corpora import Corpora

NOISE = 3e-4
"""RMS of what lies under everything, as on a line."""
BREAKS = ("empty", "text", "header", "riff", "nan")
DAYS = 28


def compose(
    folder: Path, corpora: Path | None, *, n_recordings: int, n_broken: int, seconds: tuple[float, float], seed: int = 7
) -> tuple[Path, float]:
    """Write recordings in mu-law WAV and their manifest; return the manifest and the hours of audio that are whole."""
    random = np.random.default_rng(seed)
    voices = _synthetic() if corpora is None else _speakers(corpora, random)
    broken = set(random.choice(n_recordings, n_broken, replace=False).tolist())
    total_s = 0.0
    with open(folder / "manifest.csv", "w", encoding="utf-8", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(("source", "call", "caller", "agent", "disposition", "queue", "started_at", "group", "label"))
        for i in range(n_recordings):
            path = folder / f"{i:05}.wav"
            group, clips = next(voices)
            angry = False
            if i in broken:
                _break(path, BREAKS[i % len(BREAKS)])
            else:
                samples, angry = _call(clips, random.uniform(*seconds), random)
                soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="ULAW")
                total_s += len(samples) / SAMPLE_RATE_HZ
            started = datetime(2026, 3, 1, 8) + timedelta(days=i % DAYS, minutes=float(random.integers(0, 600)))
            queue = ("billing", "support", "sales")[i % 3]
            row = (path.name, f"C{i:05}", f"+3360000{i:04}", f"a-{i % 17}", "done", queue, started.isoformat(), group)
            manifest.writerow((*row, "angry" if angry else "other"))
    return folder / "manifest.csv", total_s / 3600


def _speakers(corpora: Path, random: np.random.Generator) -> Iterator[tuple[str, list[tuple[bool, Path | np.ndarray]]]]:
    """Yield, without end, a speaker's corpus and his clips, each with whether it is angry."""
    by_speaker: dict[str, list[tuple[bool, Path | np.ndarray]]] = {}
    corpus_of = {}
    for clip in Corpora.read(corpora).clips:
        by_speaker.setdefault(clip.speaker, []).append((clip.emotion == "angry", clip.path))
        corpus_of[clip.speaker] = clip.corpus
    names = sorted(by_speaker)
    while True:
        name = names[int(random.integers(len(names)))]
        yield corpus_of[name], by_speaker[name]


def _synthetic() -> Iterator[tuple[str, list[tuple[bool, Path | np.ndarray]]]]:
    calm = [(False, samples) for _, samples in synthetic_caller(block_s=5.0)]
    while True:
        yield "synthetic", [*calm]


def _call(
    clips: list[tuple[bool, Path | np.ndarray]], duration_s: float, random: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """A call of one speaker: calm clips, in some calls angry ones for a while, pauses, and the line's noise."""
    calm = [clip for angry, clip in clips if not angry] or [clip for _, clip in clips]
    furious = [clip for angry, clip in clips if angry]
    angry = bool(furious) and bool(random.random() < 0.15)
    line = NOISE * random.standard_normal(round(duration_s * SAMPLE_RATE_HZ)).astype(np.float32)
    at = 0
    while at < len(line):
        cross = angry and 0.4 < at / len(line) < 0.7
        clip = (furious if cross else calm)[int(random.integers(len(furious if cross else calm)))]
        samples = clip if isinstance(clip, np.ndarray) else soundfile.read(clip, dtype="float32")[0]
        samples = samples[: len(line) - at]
        line[at : at + len(samples)] += samples
        at += len(samples) + int(random.uniform(0.3, 2.0) * SAMPLE_RATE_HZ)
    return line, angry


def _break(path: Path, how: str) -> None:
    if how == "nan":
        soundfile.write(path, np.full(80_000, np.nan, np.float32), SAMPLE_RATE_HZ, subtype="FLOAT")
        return
    content = {"empty": b"", "text": b"Bonjour.\n" * 50, "header": b"RIFF", "riff": b"RIFF\x24\x00\x00\x00WAVEfmt "}
    path.write_bytes(content[how])
