"""What an hour of recording costs: time and memory of scoring it, beside what others take for less.

The recording is synthetic: one caller leg at 8 kHz, 16 bits. Each task runs alone in a fresh interpreter, one after the
other, round by round, so that all share whatever else the machine is doing. Time is processor time of the task, its
imports and loading aside; memory is the peak beyond what the process held after imports and loading (from /proc, and so
on Linux only).

    score      emotion_triage: prosody, classifier and levels, to a record
    decode     soundfile: the same file read in blocks of 10 s, nothing else
    opensmile  openSMILE's eGeMAPSv02 low-level descriptors, the nearest set of features
    praat      Praat's pitch (ac) and harmonicity (cc), two of our descriptors

    python -m benchmarks.recordings [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.synthesis.demo import synthetic_caller

HOUR_S, QUICK_S = 3600, 300
ROUNDS, QUICK_ROUNDS = 5, 1
BUDGET_S, BUDGET_MIB = 10.0, 150.0
TASKS = {
    "score": (
        "from emotion_triage.batch.scoring import score_recording\nfrom emotion_triage.call.triage import Triage\n"
        "import soundfile\n"
        "triage = Triage.load()",
        "assert score_recording(triage, path, caller_channel='mono').status == 'scored'",
    ),
    "decode": ("import soundfile", "for block in soundfile.blocks(path, 80000, dtype='float32'): pass"),
    "opensmile": (
        "import opensmile\n"
        "smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)",
        "smile.process_file(path)",
    ),
    "praat": (
        "import parselmouth",
        "sound = parselmouth.Sound(path)\n"
        "sound.to_pitch_ac(time_step=0.02, pitch_floor=60.0, pitch_ceiling=500.0)\n"
        "sound.to_harmonicity_cc(time_step=0.02, minimum_pitch=60.0)",
    ),
}
PROBE = """
import re, sys, time
def held_mib(what):
    with open("/proc/self/status") as file:
        return int(re.search(what + r":\\s+(\\d+) kB", file.read())[1]) / 1024
path = sys.argv[1]
{prepare}
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forget the peak of the imports
before_mib, began_s = held_mib("VmRSS"), time.process_time()
{work}
print(time.process_time() - began_s, held_mib("VmHWM") - before_mib)
"""


def recording(path: Path, duration_s: int) -> None:
    """Write the synthetic caller, over and over, until the recording is long enough."""
    samples = np.concatenate([block for _, block in synthetic_caller(block_s=10.0)])
    soundfile.write(path, np.resize(samples, duration_s * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, subtype="PCM_16")


def cost(task: str, path: Path) -> tuple[float, float]:
    """Processor time in seconds and peak memory in MiB beyond the imports of one task, in a process of its own."""
    prepare, work = TASKS[task]
    code = PROBE.format(prepare=prepare, work=work)
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    time_s, memory_mib = map(float, out.split()[-2:])
    return time_s, memory_mib


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 1 if the hour costs more than its budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 minutes of audio, one round")
    quick = parser.parse_args(arguments).quick
    duration_s, rounds = (QUICK_S, QUICK_ROUNDS) if quick else (HOUR_S, ROUNDS)
    costs: dict[str, list[tuple[float, float]]] = {task: [] for task in TASKS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caller.wav"
        recording(path, duration_s)
        for _ in range(rounds):
            for task, each in costs.items():
                each.append(cost(task, path))
    print(f"{duration_s} s of one caller leg at 8 kHz, {rounds} round{'s' if rounds > 1 else ''}; median (range)")
    print(f"{'':10} {'s per hour of audio':>24} {'times real time':>16} {'score / this':>18} {'MiB':>6}")
    for task, each in costs.items():
        per_hour_s = [time_s * HOUR_S / duration_s for time_s, _ in each]
        ratios = [ours / theirs for (ours, _), (theirs, _) in zip(costs["score"], each, strict=True)]
        memory_mib = max(memory for _, memory in each)
        real_time = HOUR_S / statistics.median(per_hour_s)
        print(f"{task:10} {_told(per_hour_s):>24} {real_time:>16.0f} {_told(ratios):>18} {memory_mib:>6.0f}")
    time_s = statistics.median(time_s * HOUR_S / duration_s for time_s, _ in costs["score"])
    memory_mib = max(memory for _, memory in costs["score"])
    within = time_s <= BUDGET_S and memory_mib <= BUDGET_MIB
    print(
        f"{'within' if within else 'beyond'} the budget: {time_s:.1f} of {BUDGET_S:.0f} s, "
        f"{memory_mib:.0f} of {BUDGET_MIB:.0f} MiB"
    )
    return 0 if within or quick else 1  # a few minutes on a busy machine prove nothing


def _told(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    sys.exit(main())
