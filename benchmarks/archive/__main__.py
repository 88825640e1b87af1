"""A month of recordings, end to end: from files on disk to Parquet, killed and gone on with, and on a cluster.

Recordings of 1 to 10 minutes in G.711 are composed of a corpora folder's clips (of the synthetic caller without one),
one in a hundred of them broken. Then, each through the command line, timelines (--events) included:

    undisturbed   manifest to Parquet by day: cost of an hour of audio, what each worker holds over the files
    killed        kill -9 at five random moments, each gone on with: the same rows, and the same bytes
    cluster       a Dask cluster of 1, 2 and 3 worker processes on loopback; of three, one is killed on the way: time,
                  bytes to and from each worker, and what follows for a hundred workers
    peers         openSMILE's eGeMAPS descriptors and plain decoding of some of the files, as processor time

What the defaults take: about 6 GB on disk, and some hours of two cores.

    python -m benchmarks.archive [CORPORA] [--recordings 2000] [--seconds 60 600] [--only PART] [--json FILE] [--quick]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.archive.clusters import Figures, on_cluster
from benchmarks.archive.paper import projection
from benchmarks.archive.recordings import compose
from benchmarks.archive.runs import Kept, Run, command, kept, killed, log_of, mib_per_1000_files
from benchmarks.detection.table import Table
from benchmarks.recordings import cost

PARTS = ("undisturbed", "killed", "cluster", "peers")
FORMATS = {"parquet": ("--partition-by", "day"), "jsonl": (), "csv": ()}
PEER_FILES = 4
MULAW = b"\x07\x00"
"""The format in a WAV file's header; what is broken has another, or no header."""
CLUSTER_WORKERS = (1, 2, 3)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; 1 if a record is missing, doubled or another than undisturbed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="?", help="labelled clips; the synthetic caller without")
    parser.add_argument("--recordings", type=int, default=2000)
    parser.add_argument("--seconds", type=float, nargs=2, default=(60.0, 600.0), help="shortest and longest")
    parser.add_argument("--workers", type=int, default=2, help="local processes")
    parser.add_argument("--formats", nargs="+", choices=tuple(FORMATS), default=["parquet"], help="to be killed in")
    parser.add_argument("--cluster-recordings", type=int, default=400, help="the first of them, on clusters")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given more than once")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="twelve recordings of seconds, a cluster of one size")
    told = parser.parse_args(arguments)
    n, seconds = (12, (5.0, 15.0)) if told.quick else (told.recordings, told.seconds)
    parts = told.only or PARTS
    tables: list[Table] = []
    right = True
    with tempfile.TemporaryDirectory() as name:
        n_broken = max(2, n // 100)
        manifest, hours = compose(Path(name), told.corpora, n_recordings=n, n_broken=n_broken, seconds=seconds)
        print(f"{n} recordings, {n_broken} of them broken, {hours:.2f} h of audio; {told.workers} workers", flush=True)
        for table, good in measured(told, parts, manifest, hours, n, n_broken):
            print(f"\n{table}", flush=True)
            tables.append(table)
            right &= good
    if told.json:
        told.json.write_text(json.dumps([table.as_json() for table in tables], indent=1))
    return 0 if right else 1


def measured(
    told: argparse.Namespace, parts: tuple[str, ...], manifest: Path, hours: float, n: int, n_broken: int
) -> Iterator[tuple[Table, bool]]:
    """Yield each table, and whether what it tells is right."""
    cost_s = None
    if {"undisturbed", "killed"} & set(parts):
        for suffix in FORMATS if told.quick else told.formats:
            arguments, out = asked(manifest, suffix, "calm", told.workers)
            run = Run(arguments, log_of(out))
            run.watch()
            calm = kept(out)
            good = (len(calm.rows), calm.sources, calm.errors) == (n, n, n_broken)
            if suffix == "parquet" and "undisturbed" in parts:
                cost_s = run.cpu_s / hours
                yield costs(run, hours, cost_s), good
                yield memory(run, n), good
            if "killed" in parts:
                arguments, out = asked(manifest, suffix, "killed", told.workers)
                struck = killed(arguments, log_of(out), n)
                again = kept(out)
                same = (again.rows, again.timeline) == (calm.rows, calm.timeline)
                yield kills(suffix, struck, calm, same, again.files == calm.files), good and same
    if "cluster" in parts:
        yield from clusters(manifest, min(n, told.cluster_recordings), told.workers, quick=told.quick)
    if "peers" in parts:
        yield peers(manifest, cost_s), True


def asked(manifest: Path, suffix: str, name: str, workers: int) -> tuple[list[str], Path]:
    out = manifest.parent / f"{name}.{suffix}"
    return command(manifest, out, "--workers", str(workers), *FORMATS[suffix]), out


def costs(run: Run, hours: float, cost_s: float) -> Table:
    return Table(
        "from disk to Parquet by day, with timelines",
        ("wall s", "processor s, all processes", "s an hour of audio", "x real time per core"),
        [(round(run.wall_s, 1), round(run.cpu_s, 1), round(cost_s, 2), round(3600 / cost_s))],
        "processor time, so that what else runs on the machine counts little; start and imports included",
    )


def memory(run: Run, n_files: int) -> Table:
    """What each worker held, once it was warm."""
    held = mib_per_1000_files(run.samples, n_files).values()
    rows: list[tuple[str | float, ...]] = [
        (f"{i}", *(round(value, 1) for value in each)) for i, each in enumerate(held, 1)
    ]
    return Table(
        "resident memory of each worker, from a quarter of the files on",
        ("worker", "MiB then", "MiB at the end", "MiB more for 1,000 files"),
        rows,
    )


def kills(suffix: str, struck: int, calm: Kept, same: bool, same_bytes: bool) -> Table:
    row = (suffix, struck, len(calm.rows), calm.errors, len(calm.timeline), same, same_bytes)
    columns = ("out", "kills", "records", "errors", "timeline", "same once sorted", "same files, byte for byte")
    return Table("kill -9 at random moments, each gone on with", columns, [tuple(map(str, row))])


def clusters(manifest: Path, n: int, workers: int, *, quick: bool) -> Iterator[tuple[Table, bool]]:
    """Score some of the recordings here, then on clusters, then with a worker killed half way."""
    some, hours = first(manifest, n)
    out = some.parent / "local.jsonl"
    Run(command(some, out, "--workers", str(workers)), log_of(out)).watch()
    local = kept(out)
    sizes = CLUSTER_WORKERS[-1:] if quick else CLUSTER_WORKERS
    figures = [on_cluster(some, size) for size in sizes]
    figures.append(on_cluster(some, sizes[-1], len(local.rows) // 2))
    same = [(each.left.rows, each.left.timeline) == (local.rows, local.timeline) for each in figures]
    cores = os.cpu_count()
    yield (
        Table(
            f"Dask clusters on loopback: {len(local.rows)} recordings, {hours:.2f} h of audio, {cores} cores",
            ("workers", "wall s", "x real time", "workers' s an hour", "KiB to a worker", "KiB from one", "as local"),
            [shown(each, hours, good) for each, good in zip(figures, same, strict=True)],
            f"workers, scheduler and client share the {cores} cores: past them, time on the wall cannot shrink",
        ),
        all(same),
    )
    few, few_hours = first(manifest, max(1, n // 4))
    yield projection(on_cluster(few, 1), few_hours, on_cluster(some, 1) if quick else figures[0], hours), True


def shown(each: Figures, hours: float, same: bool) -> tuple[str | float | int, ...]:
    workers = f"{each.workers}{', one killed' if each.killed else ''}"
    cost = "-" if each.killed else round(each.workers_s / hours, 2)
    kib = (round(count / each.workers / 1024) for count in (each.to_bytes, each.from_bytes))
    return (workers, round(each.wall_s, 1), round(3600 * hours / each.wall_s), cost, *kib, str(same))


def first(manifest: Path, n: int) -> tuple[Path, float]:
    """Return a manifest of the first recordings, and their hours of audio."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[: n + 1]
    some = manifest.with_name(f"first-{n}.csv")
    with some.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    whole = [path for row in rows[1:] if is_whole(path := manifest.parent / row[0])]
    return some, sum(path.stat().st_size for path in whole) / 8000 / 3600


def is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(22)[20:] == MULAW


def peers(manifest: Path, ours_s: float | None) -> Table:
    """Processor time of others on some of the same recordings, as ours divided by theirs."""
    longest = sorted(manifest.parent.glob("*.wav"), key=lambda path: path.stat().st_size)
    files = [path for path in longest[-2 * PEER_FILES :] if is_whole(path)][-PEER_FILES:]
    hours = sum(path.stat().st_size for path in files) / 8000 / 3600
    rows = []
    for task in ("decode", "score", "opensmile"):
        theirs_s = sum(cost(task, path)[0] for path in files) / hours
        rows.append((task, round(theirs_s, 2), None if ours_s is None else round(ours_s / theirs_s, 2)))
    columns = ("task", "s an hour of audio", "ours end to end / this")
    return Table(f"others, on {PEER_FILES} of the recordings, one by one", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
