"""A month of recordings, end to end: from files on disk to Parquet, killed and gone on with, and on a cluster.

Recordings of 1 to 10 minutes in G.711 are composed of a corpora folder's clips (of the synthetic caller without one),
some of them broken. Then, each through the command line:

    undisturbed   manifest to Parquet: cost for an hour of audio, memory of a worker over the files
    killed        kill -9 at five random moments, each gone on with: the same bytes once sorted
    cluster       a Dask cluster of 1, 2 and 3 worker processes on loopback; of the three, one is killed on the way

Beside it, openSMILE's eGeMAPS descriptors and plain decoding of some of the same files, as processor time.

    python -m benchmarks.archive [CORPORA] [--recordings 200] [--only PART] [--json FILE] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.archive.recordings import compose
from benchmarks.recordings import cost

PARTS = ("parquet", "killed", "cluster")
PEER_FILES = 4
MULAW = b"\x07\x00"
"""The format in a WAV file's header; what is broken has another, or no header."""
KILLS = 5
SAMPLE_EVERY_S = 0.25
CLUSTER_WORKERS = (1, 2, 3)
WORKERS_ON_PAPER = 100


def command(manifest: Path, out: Path, *more: str) -> list[str]:
    score = [sys.executable, "-m", "emotion_triage", "score", str(manifest), "--caller-channel", "mono"]
    return [*score, "--out", str(out), *more]


class Run:
    """One run of the command line, watched: wall and processor time, memory of its workers over time."""

    def __init__(self, arguments: list[str]) -> None:
        self.began_s = time.monotonic()
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.rss_mib: list[float] = []

    def watch(self, until_s: float | None = None) -> bool:
        """Return whether the run has ended by then."""
        parent = psutil.Process(self.process.pid)
        self.cpu_s = 0.0
        while self.process.poll() is None:
            if until_s is not None and time.monotonic() - self.began_s > until_s:
                return False
            try:
                family = [parent, *parent.children(recursive=True)]
                workers = [each.memory_info().rss / 2**20 for each in family[1:] if "spawn_main" in str(each.cmdline())]
                self.rss_mib.append(max(workers, default=0.0))
                used_s = sum(sum(each.cpu_times()[:2]) for each in family)
                self.cpu_s = max(self.cpu_s, used_s)  # ended workers no longer count
            except psutil.NoSuchProcess:
                pass
            time.sleep(SAMPLE_EVERY_S)
        self.wall_s = time.monotonic() - self.began_s
        return True

    def flat(self) -> tuple[float, float]:
        """Return the worker's memory in the second quarter of the run and in the last, in MiB."""
        seen = [each for each in self.rss_mib if each]
        quarter = max(1, len(seen) // 4)
        return statistics.median(seen[quarter : 2 * quarter] or seen), statistics.median(seen[-quarter:])


def lines_sorted(path: Path) -> list[bytes]:
    return sorted(path.read_bytes().splitlines())


def killed(manifest: Path, out: Path, wall_s: float, workers: int) -> int:
    """Kill the run at five random moments and go on; return how many kills struck a run that was under way."""
    draw = random.Random(5)
    struck = 0
    for _ in range(KILLS):
        run = Run(command(manifest, out, "--workers", str(workers), "--resume"))
        if not run.watch(draw.uniform(0.05, 0.3) * wall_s):
            run.process.kill()
            struck += 1
        run.process.communicate()
    subprocess.run(command(manifest, out, "--workers", str(workers), "--resume"), check=False, capture_output=True)
    return struck


class Cluster:
    """A Dask scheduler and workers of one thread each, on loopback."""

    def __init__(self, n_workers: int, folder: Path) -> None:
        self.file = folder / f"scheduler-{n_workers}-{time.monotonic_ns()}.json"
        dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": os.getcwd()}
        self.processes = [subprocess.Popen([*dask, "--no-dashboard", "--scheduler-file", str(self.file)], **quiet)]
        while not self.file.exists():
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"].replace("tcp://", "dask://")
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(self.file)]
        worker += ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(folder)]
        self.processes += [subprocess.Popen(worker, **quiet) for _ in range(n_workers)]

    def cpu_s(self) -> float:
        """Processor time of the workers that live, in seconds."""
        alive = [process for process in self.processes[1:] if process.poll() is None]
        return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in alive)

    def __enter__(self) -> Cluster:
        from distributed import Client

        with Client(self.address.replace("dask://", "tcp://")) as client:
            client.wait_for_workers(len(self.processes) - 1, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes[::-1]:
            process.kill()
            process.wait()


def on_cluster(manifest: Path, folder: Path, n_workers: int, kill_after_s: float | None) -> tuple[list[bytes], Run]:
    """Score on a cluster, a worker of which may be killed; the run's `cpu_s` is that of the workers."""
    out = folder / f"cluster-{n_workers}-{kill_after_s is not None}.jsonl"
    with Cluster(n_workers, folder) as cluster:
        run = Run(command(manifest, out, "--engine", cluster.address))
        if kill_after_s is not None and not run.watch(kill_after_s):
            cluster.processes[-1].kill()
        before_s = cluster.cpu_s()
        run.watch()
        run.cpu_s = cluster.cpu_s() - before_s
        run.process.communicate()
    return lines_sorted(out), run


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 1 if a record is missing, doubled or another than undisturbed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="?", help="labelled clips; the synthetic caller without")
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--seconds", type=float, nargs=2, default=(60.0, 600.0), help="shortest and longest")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given more than once")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="twelve recordings of seconds, a cluster of one size")
    told = parser.parse_args(arguments)
    n, seconds = (12, (5.0, 15.0)) if told.quick else (told.recordings, told.seconds)
    parts = told.only or PARTS
    with tempfile.TemporaryDirectory() as name:
        n_broken = max(2, n // 100)
        manifest, hours = compose(Path(name), told.corpora, n_recordings=n, n_broken=n_broken, seconds=seconds)
        print(f"{n} recordings, {n_broken} of them broken, {hours:.2f} h of audio; {told.workers} workers", flush=True)
        figures: dict[str, Any] = {"recordings": n, "broken": n_broken, "hours_of_audio": hours}
        right = True
        if "parquet" in parts:
            figures["parquet"] = to_parquet(manifest, hours, told.workers)
        if set(parts) & {"killed", "cluster"}:
            plain = Run(command(manifest, Path(name) / "plain.jsonl", "--workers", str(told.workers)))
            plain.watch()
            plain.process.communicate()
            expected = lines_sorted(Path(name) / "plain.jsonl")
            failed = [json.loads(line)["status"] for line in expected].count("error")
            right = (len(expected), failed) == (n, n_broken)
            print(f"records: {len(expected)}, errors: {failed}: {'right' if right else 'WRONG'}", flush=True)
        if "killed" in parts:
            struck = killed(manifest, Path(name) / "killed.jsonl", plain.wall_s, told.workers)
            same = lines_sorted(Path(name) / "killed.jsonl") == expected
            figures["killed"] = {"kills": struck, "same": same}
            right &= same
            print(f"killed {struck} times and gone on with: {'the same' if same else 'OTHER'} bytes", flush=True)
        if "cluster" in parts:
            sizes = CLUSTER_WORKERS[-1:] if told.quick else CLUSTER_WORKERS
            figures["cluster"] = clusters(manifest, expected, hours, sizes)
            right &= all(each["same"] for each in figures["cluster"])
        if "parquet" in parts and "cluster" in parts:
            on_paper(figures["parquet"]["cpu_s_per_hour"], Path(name), hours, sum(map(len, expected)))
    if told.json:
        told.json.write_text(json.dumps(figures, indent=1))
    return 0 if right else 1


def to_parquet(manifest: Path, hours: float, workers: int) -> dict[str, Any]:
    """Score from disk to Parquet by day; what it costs, what a worker holds, and what others cost."""
    out = manifest.parent / "out.parquet"
    run = Run(command(manifest, out, "--workers", str(workers), "--partition-by", "day"))
    run.watch()
    run.process.communicate()
    second, last = run.flat()
    cost_s = run.cpu_s / hours
    print(
        f"disk to Parquet: {run.wall_s:.0f} s, {cost_s:.2f} s of processor an hour of audio, {3600 / cost_s:.0f} x "
        f"real time per core; a worker holds {second:.0f} MiB in the second quarter of the run, {last:.0f} in the last",
        flush=True,
    )
    return {
        "wall_s": run.wall_s,
        "cpu_s_per_hour": cost_s,
        "times_real_time_per_core": 3600 / cost_s,
        "worker_mib_second_quarter": second,
        "worker_mib_last_quarter": last,
        "ours_over": peers(manifest, cost_s),
    }


def clusters(manifest: Path, expected: list[bytes], hours: float, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Score on clusters of these sizes, then on the last with a worker killed half way."""
    figures = []
    wall_s = 0.0
    for workers, kill in [*((size, False) for size in sizes), (sizes[-1], True)]:
        lines, run = on_cluster(manifest, manifest.parent, workers, 0.5 * wall_s if kill else None)
        wall_s, speed, same = run.wall_s, 3600 * hours / run.wall_s, lines == expected
        cost = "" if kill else f", {run.cpu_s / hours:.2f} s of processor an hour of audio"
        print(
            f"cluster of {workers}{', one killed on the way' if kill else ''}: {wall_s:.0f} s, {speed:.0f} x real time"
            f"{cost}; {'the same' if same else 'OTHER'} records",
            flush=True,
        )
        figures.append({"workers": workers, "killed": kill, "wall_s": wall_s, "times_real_time": speed, "same": same})
    return figures


def peers(manifest: Path, ours_s: float) -> dict[str, float]:
    """Processor time of others on some of the same recordings, as ours divided by theirs."""
    longest = sorted(manifest.parent.glob("*.wav"), key=lambda path: path.stat().st_size)
    files = [path for path in longest if path.read_bytes()[20:22] == MULAW][-PEER_FILES:]
    hours = sum(path.stat().st_size for path in files) / 8000 / 3600
    ratios = {}
    for task in ("decode", "score", "opensmile"):
        theirs_s = sum(cost(task, path)[0] for path in files) / hours
        ratios[task] = ours_s / theirs_s
        print(
            f"  {task:10} {theirs_s:8.2f} s of processor an hour of audio; ours end to end / this: {ratios[task]:.2f}"
        )
    return ratios


def on_paper(cost_s: float, folder: Path, hours: float, record_bytes: int) -> None:
    """What a hundred workers would do, from what was measured here."""
    audio_mib = sum(path.stat().st_size for path in folder.glob("*.wav")) / 2**20 / hours
    speed = 3600 / cost_s
    print(
        f"on paper: {WORKERS_ON_PAPER} workers of a core each score {WORKERS_ON_PAPER * speed:.0f} h of audio an hour "
        f"(100,000 h in {100_000 / (WORKERS_ON_PAPER * speed):.1f} h); a worker reads "
        f"{audio_mib * speed * 8 * 1.048576 / 3600:.1f} Mbit/s and tells {record_bytes / hours * speed / 3600:.0f} B/s"
    )


if __name__ == "__main__":
    sys.exit(main())
