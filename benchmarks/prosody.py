"""Prosody against its oracles: F0, HNR, jitter and shimmer against Praat, mel spectra against librosa.

``python -m benchmarks.prosody CORPORA`` draws clips evenly over eight corpora (seeded) and measures them twice: as
they are (8 kHz, rounded to 13 bits, the fundamental still there) and through a line (300-3400 Hz and G.711 mu-law, the
fundamental of most voices gone). Both sides always see the same samples, at the same frame centres, and look for F0
from 60 to 500 Hz. Ours are raw rows: each frame by itself. Praat's are its defaults: a path through the whole clip, and
silence relative to its loudest moment. Frames of digital zeros count, and are unvoiced on both sides.

HNR, jitter and shimmer are one value a clip: ours the mean over its voiced rows, Praat's "To Harmonicity (cc)" (mean),
"Get jitter (local)" and "Get shimmer (local_dB)". HNR by "To Harmonicity (ac)" is shown too and has no target: its
window of 4.5 periods of 60 Hz, 75 ms, takes any glide of F0 for noise. A clip with fewer than 5 voiced frames (0.1 s)
on either side has no such value: one clip of two voiced frames can outweigh 299 others in a Pearson correlation.

Intervals are 95 %, by bootstrap over speakers. The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import parselmouth
import scipy.signal
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from parselmouth.praat import call

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_mulaw, encode_mulaw
from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH, HOP_S
from emotion_triage.prosody.lld import LLD_NAMES, MEL_MAX_HZ, MEL_MIN_HZ, N_MELS, lld, mel_spectrum
from emotion_triage.prosody.pitch import F0_MAX_HZ, F0_MIN_HZ, N_FFT, power_spectrum

__all__ = ["Clip", "Figure", "Measured", "draw", "figures", "main", "measure", "praat"]

CORPORA = ("ravdess", "savee", "tess", "emodb", "nemo", "ased", "ko_emotts", "turev")
SEED = 20160402
GROSS_ERROR = 0.2
MIN_VOICED_FRAMES = 5
N_BOOTSTRAP = 400
AT_MOST = {"gross_pitch_error": 0.04, "voicing_disagreement": 0.15, "mel_relative_error": 1e-4}
AT_LEAST = {"hnr_correlation": 0.9, "jitter_correlation": 0.7, "shimmer_correlation": 0.7}

Samples = NDArray[np.float32]
Array = NDArray[np.float64]


class Clip(NamedTuple):
    """A recording of one speaker, at 8 kHz."""

    corpus: str
    speaker: str
    samples: Samples


class Measured(NamedTuple):
    """What one side found in a clip: F0 of each frame (NaN where unvoiced), and one value for the clip."""

    f0_hz: Array
    hnr: float
    hnr_ac: float
    jitter: float
    shimmer: float


class Figure(NamedTuple):
    """One figure, its interval, and whether it meets its target (None where there is none)."""

    condition: str
    name: str
    value: float
    low: float
    high: float
    target: float | None
    met: bool | None


def draw(corpora: Path, n_clips: int) -> list[Clip]:
    """Draw clips, spread evenly over `CORPORA`, always the same ones."""
    rng = np.random.default_rng(SEED)
    with (corpora / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for index, corpus in enumerate(CORPORA):
        own = sorted((row["path"], row["speaker"]) for row in rows if row["corpus"] == corpus)
        share = n_clips // len(CORPORA) + (index < n_clips % len(CORPORA))
        for chosen in np.sort(rng.choice(len(own), min(share, len(own)), replace=False)):
            path, speaker = own[chosen]
            samples, _ = soundfile.read(corpora / path, dtype="float32")
            clips.append(Clip(corpus, f"{corpus}/{speaker}", whole_frames(samples)))
    return clips


def whole_frames(samples: Samples) -> Samples:
    """Cut the end that fills no frame."""
    return samples[: (len(samples) - FRAME_LENGTH) // HOP_LENGTH * HOP_LENGTH + FRAME_LENGTH]


def through_line(samples: Samples) -> Samples:
    """Send samples through 300-3400 Hz (Butterworth, 24 dB an octave each side) and G.711 mu-law."""
    band = scipy.signal.butter(4, (300.0, 3400.0), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return decode_mulaw(encode_mulaw(scipy.signal.sosfilt(band, samples).astype(np.float32)))


def framed(samples: Samples) -> Samples:
    """Cut samples into overlapping frames."""
    return sliding_window_view(samples, FRAME_LENGTH)[::HOP_LENGTH]


def measure(samples: Samples) -> Measured:
    """Measure a clip with the library: raw rows, nothing repaired."""
    column = dict(zip(LLD_NAMES, lld(framed(samples)).T.astype(np.float64), strict=True))
    hnr = nan_mean(column["hnr_db"])
    return Measured(column["f0_hz"], hnr, hnr, nan_mean(column["jitter_local"]), nan_mean(column["shimmer_local_db"]))


def nan_mean(values: Array) -> float:
    """Return the mean of what is not NaN; NaN of nothing."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def praat(samples: Samples) -> Measured:
    """Measure a clip with Praat, its F0 at the centres of our frames."""
    n_frames = (len(samples) - FRAME_LENGTH) // HOP_LENGTH + 1
    # Praat centres its frames in the sound and wants 3 periods of 60 Hz: pad 40 ms to 55 ms and the centres are ours
    pad = np.zeros(60)
    padded = parselmouth.Sound(np.concatenate((pad, samples, pad)), SAMPLE_RATE_HZ)
    track = padded.to_pitch_ac(time_step=HOP_S, pitch_floor=F0_MIN_HZ, pitch_ceiling=F0_MAX_HZ)
    f0_hz = track.selected_array["frequency"]
    if len(f0_hz) != n_frames:
        raise RuntimeError(f"Praat gave {len(f0_hz)} frames, ours are {n_frames}")
    sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE_HZ)
    hnr, hnr_ac = (
        nan_mean(np.where(harmonicity.values[0] > -200.0, harmonicity.values[0], np.nan))
        for harmonicity in (
            sound.to_harmonicity_cc(time_step=HOP_S, minimum_pitch=F0_MIN_HZ),
            sound.to_harmonicity_ac(time_step=HOP_S, minimum_pitch=F0_MIN_HZ),
        )
    )
    pulses = call(sound, "To PointProcess (periodic, cc)", F0_MIN_HZ, F0_MAX_HZ)
    jitter = call(pulses, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3)
    shimmer = call([sound, pulses], "Get shimmer (local_dB)", 0, 0, 0.0001, 0.02, 1.3, 1.6)
    return Measured(np.where(f0_hz > 0, f0_hz, np.nan), hnr, hnr_ac, jitter, shimmer)


def with_librosa(samples: Samples) -> None:
    """Describe a clip with librosa as nearly as it can: no HNR, jitter or shimmer."""
    librosa.yin(samples, fmin=F0_MIN_HZ, fmax=F0_MAX_HZ, sr=SAMPLE_RATE_HZ, frame_length=N_FFT, hop_length=HOP_LENGTH)
    librosa.feature.zero_crossing_rate(samples, frame_length=N_FFT, hop_length=HOP_LENGTH)
    power = np.abs(librosa.stft(samples, n_fft=N_FFT, hop_length=HOP_LENGTH, win_length=FRAME_LENGTH)) ** 2
    librosa.feature.spectral_centroid(S=power, sr=SAMPLE_RATE_HZ)
    librosa.feature.spectral_flatness(S=power)
    mel = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE_HZ, n_mels=N_MELS, fmin=MEL_MIN_HZ, fmax=MEL_MAX_HZ)
    librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=13)


def mel_relative_error(samples: Samples) -> float:
    """Return the largest relative difference of our mel spectra to librosa's on the same frames."""
    ours = mel_spectrum(power_spectrum(framed(samples)))
    margin = (N_FFT - FRAME_LENGTH) // 2
    theirs = librosa.feature.melspectrogram(
        y=np.pad(samples.astype(np.float64), margin),
        sr=SAMPLE_RATE_HZ,
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        win_length=FRAME_LENGTH,
        center=False,
        n_mels=N_MELS,
        fmin=MEL_MIN_HZ,
        fmax=MEL_MAX_HZ,
        htk=True,
    ).T
    audible = theirs > 0.0
    return float(np.max(np.abs(ours[audible] / theirs[audible] - 1.0), initial=np.max(ours[~audible], initial=0.0)))


def correlation(ours: Array, theirs: Array) -> float:
    """Return Pearson's correlation over the clips where both have a value."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    return float(np.corrcoef(ours[both], theirs[both])[0, 1])


def figures(condition: str, clips: list[Clip], ours: list[Measured], theirs: list[Measured]) -> list[Figure]:
    """Compare the two sides clip by clip."""
    pairs = list(zip(ours, theirs, strict=True))
    counts = np.array([_counts(a.f0_hz, b.f0_hz) for a, b in pairs])
    enough = [min(np.isfinite(a.f0_hz).sum(), np.isfinite(b.f0_hz).sum()) >= MIN_VOICED_FRAMES for a, b in pairs]
    values = {
        name: np.array([(getattr(a, name), getattr(b, name)) for a, b in pairs])
        + np.where(enough, 0.0, np.nan)[:, None]
        for name in ("hnr", "jitter", "shimmer", "hnr_ac")
    }

    def evaluate(chosen: NDArray[np.intp]) -> dict[str, float]:
        n_frames, n_both, n_gross, n_disagree = counts[chosen].sum(axis=0).tolist()
        found = {"gross_pitch_error": n_gross / n_both, "voicing_disagreement": n_disagree / n_frames}
        return found | {f"{name}_correlation": correlation(*pair[chosen].T) for name, pair in values.items()}

    rng = np.random.default_rng(SEED)
    speakers, of_clip = np.unique([clip.speaker for clip in clips], return_inverse=True)
    by_speaker = [np.flatnonzero(of_clip == speaker) for speaker in range(len(speakers))]
    draws = [
        evaluate(np.concatenate([by_speaker[s] for s in rng.integers(0, len(speakers), len(speakers))]))
        for _ in range(N_BOOTSTRAP)
    ]
    return [
        figure(condition, name, value, *np.percentile([drawn[name] for drawn in draws], (2.5, 97.5)).tolist())
        for name, value in evaluate(np.arange(len(clips))).items()
    ]


def figure(condition: str, name: str, value: float, low: float, high: float) -> Figure:
    """Hold a figure against its target."""
    target = AT_MOST.get(name, AT_LEAST.get(name))
    met = None if target is None else value <= target if name in AT_MOST else value >= target
    return Figure(condition, name, value, low, high, target, met)


def _counts(ours: Array, theirs: Array) -> tuple[int, int, int, int]:
    voiced, voiced_there = ~np.isnan(ours), ~np.isnan(theirs)
    both = voiced & voiced_there
    gross = np.abs(ours[both] / theirs[both] - 1.0) > GROSS_ERROR
    return len(ours), int(both.sum()), int(gross.sum()), int((voiced != voiced_there).sum())


def _timed(function: Callable[[Samples], object], audio: list[Samples]) -> float:
    function(audio[0])
    start = time.perf_counter()
    for samples in audio:
        function(samples)
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; return 1 if a target is missed on all the clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("EMOTION_TRIAGE_CORPORA") or None
    parser.add_argument("corpora", nargs="?", default=folder, type=Path, help="folder with manifest.csv and clips")
    parser.add_argument("--clips", type=int, default=300, help="how many clips (default 300)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the clips")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    if options.corpora is None:
        print("skipped: give a corpora folder, or set EMOTION_TRIAGE_CORPORA")
        return 0

    clips = draw(options.corpora, options.clips // 10 if options.quick else options.clips)
    found: list[Figure] = []
    for condition, change in (("as they are", np.asarray), ("300-3400 Hz, mu-law", through_line)):
        audio = [change(clip.samples) for clip in clips]
        found += figures(condition, clips, [measure(a) for a in audio], [praat(a) for a in audio])
        errors = [mel_relative_error(samples) for samples in audio]
        found.append(figure(condition, "mel_relative_error", max(errors), min(errors), max(errors)))

    audio = [clip.samples for clip in clips]
    sides = (("ours", measure), ("praat", praat), ("librosa", with_librosa))
    seconds = {name: _timed(side, audio) for name, side in sides}
    n_rows = sum(len(framed(samples)) for samples in audio)
    n_speakers = len({clip.speaker for clip in clips})
    print(f"{len(clips)} clips, {n_rows} frames, {n_speakers} speakers of {len(CORPORA)} corpora\n")
    for row in found:
        verdict = "" if row.met is None else "met" if row.met else "MISSED"
        target = "" if row.target is None else f"{'<=' if row.name in AT_MOST else '>='} {row.target:g}"
        interval = f"[{row.low:.3g}, {row.high:.3g}]"
        print(f"{row.condition:20} {row.name:22} {row.value:9.3g}  {interval:20} {target:9} {verdict}")
    print(f"\nours {seconds['ours'] / n_rows * 1e6:.1f} us a frame", end="")
    print("".join(f"; {name} {seconds[name] / seconds['ours']:.1f} times as long" for name in ("praat", "librosa")))
    if options.json:
        report = {"clips": len(clips), "figures": [row._asdict() for row in found], "seconds": seconds}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    missed = any(row.met is False for row in found)
    return int(missed and not options.quick)  # a tenth of the clips proves nothing


if __name__ == "__main__":
    sys.exit(main())
