"""How long things take before anyone knows: one push, loading, and the algorithm's own delay.

A push of 20 ms alone mostly waits for its step; every 25th describes the step's rows, measures its window and runs the
classifier. The algorithm's delay is counted in audio, not in time: a caller's calm and then his angry speech, pushed in
packets, from the first angry sample to the `Affect` that has heard it and to the first change of level.

    python -m benchmarks.latency [--quick] [--json FILE]
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Literal

import numpy as np

from benchmarks._callers import PACKET, PACKET_S, Callers, callers
from benchmarks._report import Table, calibrate_us, main, quantiles_ms
from emotion_triage.affect.affect import Affect
from emotion_triage.audio.stream import SAMPLE_RATE_HZ, encode_mulaw
from emotion_triage.call.triage import Triage
from emotion_triage.prosody.vad import STEP_FRAMES
from emotion_triage.routing.escalation import Escalation
from emotion_triage.synthesis.speech import synthetic_speech

CALM_S, ANGRY_S = 20.0, 15.0
LOAD = """
import time
import numpy
began, spent = time.perf_counter(), time.process_time()
from emotion_triage import Triage
Triage.load()
print(time.perf_counter() - began, time.process_time() - spent)
"""


def run(quick: bool) -> tuple[list[Table], Callers]:
    """Return all tables."""
    audio = callers(2 if quick else 20, 20.0)
    triage = Triage.load()
    return [pushes(triage, audio), loading(3 if quick else 15), delays(triage, 2 if quick else 12)], audio


def pushes(triage: Triage, audio: Callers) -> Table:
    """One push of 20 ms, all of them and those that complete a step."""
    spent, passed, steps = [], [], []
    for packets in audio.packets(1000):
        call = triage.call("call")
        for at, packet in enumerate(packets):
            began, began_wall = time.process_time(), time.perf_counter()
            call.push(packet)
            spent.append(time.process_time() - began)
            passed.append(time.perf_counter() - began_wall)
            if at and at % STEP_FRAMES == 0:
                steps.append(spent[-1])
    found = [
        (name, len(each), *quantiles_ms(each), quantiles_ms(each)[1] * 1e3 / calibrate_us())
        for name, each in (("all", spent), ("all, wall", passed), ("with a step", steps))
    ]
    return Table(
        "One push of 20 ms", ("which", "n", "p50 ms", "p99 ms", "p99 / FFT"), found, "processor time, but for wall"
    )


def loading(rounds: int) -> Table:
    """`Triage.load` in a fresh process, imports included and warm-up run."""
    each = []
    for _ in range(rounds):
        out = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True).stdout
        each.append(tuple(map(float, out.split())))
    wall_s, spent_s = np.median(each, axis=0)
    return Table("Triage.load, first in its process", ("wall ms", "processor ms"), [(wall_s * 1e3, spent_s * 1e3)])


VOICES: tuple[Literal["female", "male"], ...] = ("female", "male")


def delays(triage: Triage, n: int) -> Table:
    """From the first angry sample to what was told of it, in seconds of audio, at every phase of the step."""
    found: dict[str, list[float]] = {"first Affect that heard it": [], "first change of level": []}
    for k in range(n):
        voice = VOICES[k % 2]
        began_s = CALM_S + k * 0.5 / n
        calm = synthetic_speech(began_s, mood="calm", voice=voice, seed=k)
        codes = encode_mulaw(np.concatenate((calm, synthetic_speech(ANGRY_S, mood="angry", voice=voice, seed=k))))
        call = triage.call("call")
        first: dict[str, float] = {}
        for at in range(0, len(codes), PACKET):
            now_s = at / SAMPLE_RATE_HZ + PACKET_S
            for event in call.push(codes[at : at + PACKET]):
                if event.time_s > began_s + PACKET_S and isinstance(event, Affect):
                    first.setdefault("first Affect that heard it", now_s - began_s)
                if event.time_s > began_s and isinstance(event, Escalation) and event.level > event.previous:
                    first.setdefault("first change of level", now_s - began_s)
        for name, delay_s in first.items():
            found[name].append(delay_s)
    told = [
        (name, f"{len(each)} of {n}", *(np.percentile(each, (0, 50, 100)).tolist() if each else (None,) * 3))
        for name, each in found.items()
    ]
    bounds = [
        ("Triage.affect_latency_s, at most", "", None, None, triage.affect_latency_s),
        ("Triage.latency_s, at most, once the score is past the onset", "", None, None, triage.latency_s),
    ]
    note = (
        "seconds of audio; synthetic caller, calm and then angry; the voice's own evidence is smoothed before it counts"
    )
    return Table(
        "The algorithm's own delay", ("event", "callers", "least s", "median s", "most s"), told + bounds, note
    )


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
