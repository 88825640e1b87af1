"""What lines do to a voice: codecs, bands, lost packets, noise, gain, clipping, a loudspeaker's room.

Each impairment takes float32 samples at 8 kHz and gives float32 samples at 8 kHz; None in `LINES` where a tool is
missing.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from emotion_triage.audio.stream import SAMPLE_RATE_HZ, decode_alaw, decode_mulaw, encode_alaw, encode_mulaw
from emotion_triage.training.lines import Samples

__all__ = ["CLEAN", "LINES", "Impairment", "amr_available"]

Impairment = Callable[[Samples, np.random.Generator, Samples], Samples]
PACKET = SAMPLE_RATE_HZ // 50
"""20 ms."""
FADE = 0.6
"""Gain of each repetition of the last packet heard (in the manner of ITU-T G.711 Appendix I, without its pitch)."""
AMR_MODE = 4
"""7.4 kbit/s."""


def mulaw(x: Samples, rng: np.random.Generator, noise: Samples) -> Samples:
    """G.711 mu-law."""
    return decode_mulaw(np.frombuffer(encode_mulaw(x.astype(np.float32)), np.uint8))


def alaw(x: Samples, rng: np.random.Generator, noise: Samples) -> Samples:
    """G.711 A-law."""
    return decode_alaw(np.frombuffer(encode_alaw(x.astype(np.float32)), np.uint8))


def coded(x: Samples, rng: np.random.Generator, noise: Samples, *, container: str, codec: str) -> Samples:
    """Write and read by libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(x, -1, 1), SAMPLE_RATE_HZ, format=container, subtype=codec)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def amr_available() -> bool:
    """Whether SoX is here and writes AMR-NB."""
    if shutil.which("sox") is None:
        return False
    return "amr-nb" in subprocess.run(["sox", "--help"], capture_output=True, text=True, check=False).stdout.split()


def amr(x: Samples, rng: np.random.Generator, noise: Samples) -> Samples:
    """AMR-NB there and back by SoX."""
    with tempfile.TemporaryDirectory() as folder:
        before, between, after = (str(Path(folder, name)) for name in ("in.wav", "x.amr-nb", "out.wav"))
        soundfile.write(before, np.clip(x, -1, 1), SAMPLE_RATE_HZ)
        subprocess.run(["sox", before, "-C", str(AMR_MODE), between], check=True, capture_output=True)
        subprocess.run(["sox", between, after], check=True, capture_output=True)
        return np.asarray(soundfile.read(after, dtype="float32")[0])


def band(x: Samples, rng: np.random.Generator, noise: Samples) -> Samples:
    """300 to 3400 Hz, then mu-law."""
    sos = butter(4, (300.0, 3400.0), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return mulaw(sosfilt(sos, x), rng, noise)


def lossy(x: Samples, rng: np.random.Generator, noise: Samples, *, share: float, concealed: bool) -> Samples:
    """Lose packets at random; conceal them by the last one heard, fading, or leave zeros."""
    packets = np.resize(mulaw(x, rng, noise), -(-len(x) // PACKET) * PACKET).reshape(-1, PACKET).copy()
    for i in np.flatnonzero(rng.random(len(packets)) < share):
        packets[i] = FADE * packets[i - 1] if concealed and i else 0.0
    return packets.ravel()[: len(x)]


def noisy(x: Samples, rng: np.random.Generator, noise: Samples, *, ratio_db: float) -> Samples:
    """A background `ratio_db` below the speech, then mu-law."""
    piece = np.resize(np.roll(noise, -rng.integers(len(noise))), len(x)).astype(np.float64)
    mixed = x + piece * (rms(x) / max(rms(piece), 1e-9) * 10 ** (-ratio_db / 20))
    return mulaw(mixed.astype(np.float32), rng, noise)


def louder(x: Samples, rng: np.random.Generator, noise: Samples, *, gain_db: float) -> Samples:
    """More or less gain, then mu-law, which clips."""
    return mulaw(np.clip(x * 10 ** (gain_db / 20), -1, 1), rng, noise)


def clipped(x: Samples, rng: np.random.Generator, noise: Samples, *, share: float) -> Samples:
    """Clip at a share of the peak, then mu-law."""
    limit = share * float(np.abs(x).max(initial=1e-6))
    return mulaw(np.clip(x, -limit, limit), rng, noise)


def reverberant(x: Samples, rng: np.random.Generator, noise: Samples, *, decay_s: float) -> Samples:
    """A loudspeaker telephone: the direct sound and as much again of noise that falls by 60 dB in `decay_s`."""
    time_s = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    room = np.random.default_rng(0).standard_normal(len(time_s)) * 10 ** (-3.0 * time_s / decay_s)
    room[: SAMPLE_RATE_HZ // 400] = 0.0
    room /= np.sqrt(np.sum(room**2))
    room[0] = 1.0
    heard = fftconvolve(x, room)[: len(x)]
    return mulaw(np.clip(heard * (rms(x) / max(rms(heard), 1e-9)), -1, 1), rng, noise)


def rms(x: NDArray[np.floating]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


CLEAN = "G.711 mu-law"
LINES: dict[str, Impairment] = {
    CLEAN: mulaw,
    "G.711 A-law": alaw,
    "GSM 06.10": partial(coded, container="WAV", codec="GSM610"),
    "AMR-NB 7.4 kbit/s": amr,
    "Opus 8 kHz": partial(coded, container="OGG", codec="OPUS"),
    "300 to 3400 Hz": band,
    **{
        f"loss {100 * share:.0f} %, {'concealed' if concealed else 'zeros'}": partial(
            lossy, share=share, concealed=concealed
        )
        for concealed in (True, False)
        for share in (0.01, 0.03, 0.05, 0.10)
    },
    **{f"noise at {db} dB": partial(noisy, ratio_db=db) for db in (30, 25, 20, 15, 10, 5)},
    **{f"gain {db:+d} dB": partial(louder, gain_db=db) for db in (-20, 20)},
    "clipped at 0.3 of the peak": partial(clipped, share=0.3),
    **{f"speakerphone, RT60 {s} s": partial(reverberant, decay_s=s) for s in (0.3, 0.6)},
}
"""Every line of the benchmark; all but the codecs end in G.711 mu-law."""
