"""A month of recordings, end to end: from files on disk to Parquet, killed and gone on with, and on a cluster.

Recordings of 1 to 10 minutes in G.711 are composed of a corpora folder's clips (of the synthetic caller without one),
some of them broken. Then, each through the command line:

    undisturbed   manifest to Parquet: cost for an hour of audio, memory of a worker over the files
    killed        kill -9 at five random moments, each gone on with: the same bytes once sorted
    cluster       a Dask cluster of 1, 2 and 3 worker processes on loopback; of the three, one is killed on the way

Beside it, openSMILE's eGeMAPS descriptors and plain decoding of some of the same files, as processor time.

    python -m benchmarks.archive [CORPORA] [--recordings 200] [--json FILE] [--quick]
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

PEER_FILES = 4
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
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="twelve recordings of seconds, a cluster of one size")
    told = parser.parse_args(arguments)
    n = 12 if told.quick else told.recordings
    seconds = (5.0, 15.0) if told.quick else (60.0, 600.0)
    figures: dict[str, Any] = {"recordings": n}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_broken = max(2, n // 100)
        manifest, hours = compose(folder, told.corpora, n_recordings=n, n_broken=n_broken, seconds=seconds)
        figures |= {"broken": n_broken, "hours_of_audio": hours}
        print(f"{n} recordings, {n_broken} of them broken, {hours:.2f} h of audio; {told.workers} workers", flush=True)

        run = Run(command(manifest, folder / "out.parquet", "--workers", str(told.workers), "--partition-by", "day"))
        run.watch()
        run.process.communicate()
        second, last = run.flat()
        figures["parquet"] = {
            "wall_s": run.wall_s,
            "cpu_s_per_hour": run.cpu_s / hours,
            "times_real_time_per_core": 3600 * hours / run.cpu_s,
            "worker_mib_second_quarter": second,
            "worker_mib_last_quarter": last,
        }
        print(
            f"disk to Parquet: {run.wall_s:.0f} s, {run.cpu_s / hours:.2f} s of processor an hour of audio, "
            f"{3600 * hours / run.cpu_s:.0f} x real time per core; a worker holds {second:.0f} MiB in the second "
            f"quarter of the run, {last:.0f} in the last",
            flush=True,
        )
        ratios = peers(manifest, run.cpu_s / hours, figures)

        plain = folder / "plain.jsonl"
        undisturbed = Run(command(manifest, plain, "--workers", str(told.workers)))
        undisturbed.watch()
        undisturbed.process.communicate()
        expected = lines_sorted(plain)
        statuses = [json.loads(line)["status"] for line in expected]
        right = len(expected) == n and statuses.count("error") == n_broken
        print(f"records: {len(expected)}, errors: {statuses.count('error')}: {'right' if right else 'WRONG'}")

        struck = killed(manifest, folder / "killed.jsonl", undisturbed.wall_s, told.workers)
        same = lines_sorted(folder / "killed.jsonl") == expected
        print(f"killed {struck} times and gone on with: {'the same bytes' if same else 'OTHER BYTES'}", flush=True)

        for workers in CLUSTER_WORKERS[-1:] if told.quick else CLUSTER_WORKERS:
            lines, run = on_cluster(manifest, folder, workers, None)
            same &= lines == expected
            speed = 3600 * hours / run.wall_s
            figures[f"cluster_{workers}"] = {
                "wall_s": run.wall_s,
                "times_real_time": speed,
                "cpu_s_per_hour": run.cpu_s / hours,
                "same": lines == expected,
            }
            verdict = "the same records" if lines == expected else "OTHER RECORDS"
            print(
                f"cluster of {workers}: {run.wall_s:.0f} s, {speed:.0f} x real time, {run.cpu_s / hours:.2f} s of "
                f"processor an hour of audio; {verdict}",
                flush=True,
            )
        lines, run = on_cluster(manifest, folder, CLUSTER_WORKERS[-1], 0.5 * run.wall_s)
        same &= lines == expected
        verdict = "the same records" if lines == expected else "OTHER RECORDS"
        print(f"cluster of {CLUSTER_WORKERS[-1]}, one killed on the way: {run.wall_s:.0f} s; {verdict}")
        figures |= {"right": right, "kills": struck, "same": same, "peers": ratios}
        on_paper(figures["parquet"]["cpu_s_per_hour"], folder, hours, sum(map(len, expected)))
    if told.json:
        told.json.write_text(json.dumps(figures, indent=1))
    return 0 if right and same else 1


def peers(manifest: Path, ours_s: float, figures: dict[str, Any]) -> dict[str, float]:
    """Processor time of others on some of the same recordings, as ours divided by theirs."""
    files = [path for path in sorted(manifest.parent.glob("*.wav")) if path.stat().st_size > 50_000][:PEER_FILES]
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
