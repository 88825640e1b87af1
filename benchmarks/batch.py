"""What recordings cost by their length: times real time, cost of a second, and peak memory, from a minute to hours.

The recording is the callers of the other benchmarks one after another, over and over. Each length runs alone in a fresh
process, as in `benchmarks.recordings`, which also has the peers: openSMILE, Praat and the decoding alone.

    python -m benchmarks.batch [--quick] [--json FILE]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._callers import callers
from benchmarks._report import Table, calibrate_us, main
from benchmarks.recordings import cost
from emotion_triage.audio.stream import SAMPLE_RATE_HZ

N_CALLERS, CALLER_S = 16, 60.0
MINUTES, QUICK_MINUTES = (1, 5, 20, 60, 240), (1, 5)
ROUNDS = 3


def run(quick: bool) -> tuple[list[Table], None]:
    """Return the table of lengths."""
    rows = []
    heard = callers(N_CALLERS, CALLER_S)
    samples = heard.samples().reshape(-1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caller.wav"
        for minutes in QUICK_MINUTES if quick else MINUTES:
            spoken = np.resize(samples, minutes * 60 * SAMPLE_RATE_HZ)
            soundfile.write(path, spoken, SAMPLE_RATE_HZ, subtype="PCM_16")
            rounds = 1 if quick or minutes > 60 else ROUNDS
            fft_us = calibrate_us()
            each = [cost("score", path) for _ in range(rounds)]
            fft_us = (fft_us + calibrate_us()) / 2
            spent_s = float(np.median([time_s for time_s, _ in each]))
            second_us = spent_s / minutes / 60 * 1e6
            rows.append((minutes, minutes * 60 / spent_s, second_us, second_us / fft_us, max(mib for _, mib in each)))
    columns = ("minutes", "times real time", "us a second", "/ FFT", "peak MiB")
    return [
        Table("score, by length", columns, rows, f"processor time of the scoring; a minute each of {heard.source}")
    ], None


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
