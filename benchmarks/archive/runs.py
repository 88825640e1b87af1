"""Runs of the command line, watched: processor time, what each worker holds file by file; and runs that are killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import psutil

from emotion_triage.batch.result_file import events_path, read_records, read_timelines

__all__ = ["KILLS", "Kept", "Run", "command", "kept", "killed", "mib_per_1000_files"]

KILLS = 5
SAMPLE_EVERY_S = 0.25
WARM = 0.25
"""Of a run: what a worker allocates once is no growth."""


def command(manifest: Path, out: Path, *more: str) -> list[str]:
    score = [sys.executable, "-m", "emotion_triage", "score", str(manifest), "--caller-channel", "mono"]
    return [*score, "--out", str(out), "--events", *more]


def log_of(out: Path) -> Path:
    """Where the records are while the run goes on."""
    return out.with_name(f"{out.name}.partial.jsonl") if out.suffix == ".parquet" else out


class Sample(NamedTuple):
    """What one worker held when so many files were done."""

    worker: int
    files: int
    mib: float


class Run:
    """One run; `cpu_s` is the processor time of all its processes, once it has ended."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.began_s = time.monotonic()
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.samples: list[Sample] = []
        self.cpu_s = self.wall_s = 0.0
        self._log = log
        self._read, self.files = 0, 0

    def watch(self, *, until_files: int | None = None, until_s: float = float("inf")) -> bool:
        """Return whether the run has ended before so many files were done, or so much time had gone."""
        while True:
            # the kernel's own count, of the process and of all workers that it waited for
            pid, status, used = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = used.ru_utime + used.ru_stime
                self.wall_s = time.monotonic() - self.began_s
                return True
            self._count()
            if (until_files is not None and self.files >= until_files) or time.monotonic() - self.began_s > until_s:
                return False
            self._sample()
            time.sleep(SAMPLE_EVERY_S if until_files is None else 0.02)

    def kill(self) -> None:
        self.process.kill()
        self.watch()

    def _count(self) -> None:
        if self._log.exists():
            with self._log.open("rb") as log:
                log.seek(self._read)
                lines = log.read()
            self._read += len(lines)
            self.files += lines.count(b"\n")

    def _sample(self) -> None:
        try:
            for each in psutil.Process(self.process.pid).children(recursive=True):
                if "spawn_main" in str(each.cmdline()):
                    self.samples.append(Sample(each.pid, self.files, each.memory_info().rss / 2**20))
        except psutil.Error:
            pass


def mib_per_1000_files(samples: Iterable[Sample], n_files: int) -> dict[int, tuple[float, float, float]]:
    """Return each worker's memory once warm and at the end, in MiB, and its growth over 1,000 files of the run."""
    by_worker: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.files >= WARM * n_files:
            by_worker.setdefault(sample.worker, []).append(sample)
    told = {}
    for worker, its in by_worker.items():
        files, mib = (np.array([getattr(each, name) for each in its], float) for name in ("files", "mib"))
        if len(its) >= 8 and np.ptp(files) > 0:
            tenth = max(1, len(its) // 10)
            slope = float(np.polyfit(files, mib, 1)[0]) * 1000
            told[worker] = (float(np.median(mib[:tenth])), float(np.median(mib[-tenth:])), slope)
    return told


class Kept(NamedTuple):
    """What a run left: rows in one order, and the files."""

    rows: list[bytes]
    errors: int
    sources: int
    timeline: list[bytes]
    files: dict[str, bytes]


def kept(out: Path) -> Kept:
    records = list(read_records(out))
    there = [*(out.rglob("*.parquet") if out.is_dir() else [out]), events_path(out)]
    return Kept(
        rows=sorted(map(msgspec.json.encode, records)),
        errors=sum(record.status == "error" for record in records),
        sources=len({record.source for record in records}),
        timeline=sorted(map(msgspec.json.encode, read_timelines(events_path(out)))),
        files={str(path.relative_to(out.parent)).replace(out.stem, "F", 1): path.read_bytes() for path in there},
    )


def killed(arguments: list[str], log: Path, n_files: int, seed: int = 5) -> int:
    """Kill -9 a run, goes on with, at five random moments; let it end; return how many kills struck while it ran."""
    draw = random.Random(seed)
    struck = 0
    for files in sorted(draw.randrange(n_files * 9 // 10) for _ in range(KILLS)):
        run = Run([*arguments, "--resume"], log)
        ended = run.watch(until_files=files)
        time.sleep(draw.uniform(0.0, 1.0))
        if not ended and not run.watch(until_files=0):  # it may have ended while we waited
            struck += 1
            run.kill()
    Run([*arguments, "--resume"], log).watch()
    return struck
