"""Callers on the telephone for the benchmarks of speed: real speech with pauses where corpora are given."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_mulaw, encode_mulaw
from emotion_triage.synthesis.demo import synthetic_caller

__all__ = ["PACKET", "PACKET_S", "Callers", "callers"]

PACKET_S = 0.02
PACKET = round(PACKET_S * SAMPLE_RATE_HZ)
SEED = 19880311
N_SPEAKERS = 64
PAUSE = (0.5, 1.5)
"""Pause after each clip, as a ratio of the clip: a caller speaks half of the time, his agent the other half."""
LINE_NOISE = 1e-3
"""RMS: -60 dBFS, a quiet line."""
BAND_HZ = (300.0, 3400.0)


class Callers(NamedTuple):
    """Mu-law of each caller, uint8 of shape (n_callers, n_samples), and where it is from."""

    codes: NDArray[np.uint8]
    source: str

    def packets(self, n_packets: int) -> list[list[bytes]]:
        """Packets of 20 ms of each caller, over and over where they end."""
        whole = self.codes[:, : self.codes.shape[1] // PACKET * PACKET]
        of_each = [row.tobytes() for row in whole]
        length = whole.shape[1]
        return [
            [codes[at % length : at % length + PACKET] for at in range(0, n_packets * PACKET, PACKET)]
            for codes in of_each
        ]

    def samples(self) -> NDArray[np.float32]:
        """The same, decoded: what the peers are given."""
        return decode_mulaw(self.codes.reshape(-1)).reshape(self.codes.shape)


def callers(n_callers: int, duration_s: float) -> Callers:
    """Return callers over a telephone line: of the corpora's speakers, or the demo's synthetic one.

    Beyond `N_SPEAKERS`, a caller is one of the others heard from another moment on.
    """
    draw = np.random.default_rng(SEED)
    n_samples = round(duration_s * SAMPLE_RATE_HZ)
    folder = os.environ.get("EMOTION_TRIAGE_CORPORA")
    n_speakers = min(n_callers, N_SPEAKERS)
    if folder:
        streams = _spoken(Path(folder), n_speakers, n_samples, draw)
        source = f"{n_speakers} speakers of the corpora"
    else:
        sound = np.concatenate([block for _, block in synthetic_caller(block_s=10.0)])
        streams = [np.resize(np.roll(sound, int(draw.integers(len(sound)))), n_samples) for _ in range(n_speakers)]
        source = "the synthetic caller (no corpora given)"
    codes = np.stack([np.frombuffer(encode_mulaw(_over_a_line(each, draw)), np.uint8) for each in streams])
    shifts = draw.integers(n_samples, size=n_callers)
    shifts[:n_speakers] = 0
    return Callers(np.stack([np.roll(codes[i % n_speakers], shift) for i, shift in enumerate(shifts)]), source)


def _spoken(folder: Path, n: int, n_samples: int, draw: np.random.Generator) -> list[NDArray[np.float32]]:
    by_speaker: dict[str, list[str]] = defaultdict(list)
    with (folder / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_speaker[row["speaker"]].append(row["path"])
    speakers = sorted(name for name, clips in by_speaker.items() if len(clips) >= 10)
    streams = []
    for speaker in draw.permutation(speakers)[np.arange(n) % len(speakers)]:
        pieces: list[NDArray[np.float32]] = []
        while sum(map(len, pieces)) < n_samples:
            clip, _ = soundfile.read(
                folder / by_speaker[speaker][draw.integers(len(by_speaker[speaker]))], dtype="float32"
            )
            pieces += [clip, np.zeros(round(len(clip) * draw.uniform(*PAUSE)), np.float32)]
        streams.append(np.concatenate(pieces)[:n_samples])
    return streams


def _over_a_line(samples: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    """Cut to the telephone band, with the line's own noise."""
    spectrum = np.fft.rfft(samples)
    at_hz = np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE_HZ)
    spectrum[(at_hz < BAND_HZ[0]) | (at_hz > BAND_HZ[1])] = 0.0
    noise = LINE_NOISE * draw.standard_normal(len(samples))
    return (np.fft.irfft(spectrum, len(samples)) + noise).astype(np.float32)
