"""What calls hold: an idle call's state, ten thousand calls in one process, a call of 24 hours.

An idle call is one that was heard and waits for its next packet: its state is what it pickles to, its model and policy
left out. The resident memory of many calls is that of a fresh process that opened them and heard some of each. The
long call is one recording over and over, faster than real time: cost and resident memory hour by hour, and whether the
last repetition was told the same as the first that had a full baseline. Resident memory is read from /proc: Linux only.

    python -m benchmarks.memory [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._callers import PACKET, Callers, callers
from benchmarks._report import Table, calibrate_us, main
from emotion_triage.affect.affect import Affect
from emotion_triage.audio.stream import Encoding
from emotion_triage.call.triage import Call, Triage

N_CALLS, QUICK_CALLS = 10_000, 500
HEARD_S = 4.0
HOURS, QUICK_HOURS = 24, 1
REPEATED_S = 60.0
PUSH = 80_000
FORMATS: tuple[tuple[Encoding, int, type[np.generic]], ...] = (
    ("mulaw", 8000, np.uint8),
    ("pcm16", 8000, np.int16),
    ("pcm16", 16000, np.int16),
    ("float32", 48000, np.float32),
)
OPEN = """
import json, sys
import numpy as np
from benchmarks.memory import held_mib, hear
from emotion_triage.call.triage import Triage
n, codes = int(sys.argv[1]), np.fromfile(sys.argv[2], np.uint8)
triage = Triage.load()
triage.call("first").push(codes.tobytes())
before = held_mib()
calls = [triage.call(f"call-{i}") for i in range(n)]
opened = held_mib()
hear(triage, calls, codes)
print(json.dumps([before, opened, held_mib()]))
"""


def held_mib() -> float:
    """Resident memory of this process."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def hear(triage: Triage, calls: list[Call], codes: NDArray[np.uint8]) -> None:
    """Push the same audio to every call, 500 calls and 20 ms a tick."""
    for first in range(0, len(calls), 500):
        some = calls[first : first + 500]
        for at in range(0, len(codes), PACKET):
            triage.push_many([(call, codes[at : at + PACKET].tobytes()) for call in some])


def run(quick: bool) -> tuple[list[Table], Callers]:
    """Return all tables."""
    audio = callers(1, REPEATED_S)
    triage = Triage.load()
    return [
        idle(triage, audio),
        opened(audio, QUICK_CALLS if quick else N_CALLS),
        long(triage, audio, QUICK_HOURS if quick else HOURS),
    ], audio


def idle(triage: Triage, audio: Callers) -> Table:
    """State of one call at its largest, in each format."""
    found = []
    shared = len(pickle.dumps(triage))
    for encoding, rate_hz, dtype in FORMATS:
        call, most = triage.call("call", encoding=encoding, sample_rate_hz=rate_hz), 0
        sound = audio.codes[0] if encoding == "mulaw" else audio.samples()[0]
        source = np.interp(np.arange(8 * rate_hz) * 8000 / rate_hz, np.arange(len(sound)), sound)
        scaled = source if encoding in ("mulaw", "float32") else source * 32767
        for packet in np.array_split(scaled.astype(dtype), 8 * 50):
            call.push(packet)
            most = max(most, len(pickle.dumps(call)) - shared)
        found.append((f"{encoding} {rate_hz} Hz", most / 1024))
    return Table("State of one call at its largest, pickled", ("format", "KiB"), found, "model and policy left out")


def opened(audio: Callers, n_calls: int) -> Table:
    """Resident memory of a process with many calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes"
        audio.codes[0, : round(HEARD_S * 8000)].tofile(path)
        run = [sys.executable, "-c", OPEN, str(n_calls), str(path)]
        before, new, heard = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    rows = [
        ("before any call", before, None),
        (f"{n_calls} calls opened", new, (new - before) / n_calls * 1024),
        (f"{HEARD_S:g} s heard of each", heard, (heard - before) / n_calls * 1024),
    ]
    return Table(f"{n_calls} calls in one process", ("when", "resident MiB", "KiB a call"), rows)


def long(triage: Triage, audio: Callers, hours: int) -> Table:
    """One call hour after hour; its cost beside the calibration loop's at that time."""
    call, codes = triage.call("call"), audio.codes[0].tobytes()
    found, third, minutes = [], None, 0
    for hour in range(hours):
        spent_s, fft_us = 0.0, [calibrate_us()]
        for _ in range(round(3600 / REPEATED_S)):
            began = time.process_time()
            events = [event for at in range(0, len(codes), PUSH) for event in call.push(codes[at : at + PUSH])]
            spent_s += time.process_time() - began
            told = [(event.anger, event.distress) for event in events if isinstance(event, Affect)]
            minutes += 1
            third = told if minutes == 3 else third
        fft_us.append(calibrate_us())
        unit_us = float(np.median(fft_us))
        found.append(
            (
                hour + 1,
                spent_s * 1e6 / 3600,
                spent_s * 1e6 / 3600 / unit_us,
                held_mib(),
                told == third,
                call.level.name,
            )
        )
    columns = ("hour", "us a second", "/ FFT", "resident MiB", "scores as in minute 3", "level")
    return Table(f"{hours} hours through one call", columns, found, "60 s of speech over and over, 10 s a push")


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
