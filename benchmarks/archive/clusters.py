"""The same run on Dask clusters on loopback: processor time, and the bytes of each worker, counted by relays."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.archive.runs import Kept, Run, command, kept, log_of

__all__ = ["Cluster", "Figures", "Traffic", "on_cluster"]

HOST = "127.0.0.1"
BLOCK_BYTES = 2**16
TO, FROM = 0, 1
IDLE_S = 4.0
"""A scheduler that has nothing to do does this much of it, to be told apart from its work."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


class Traffic:
    """Relays between a cluster's processes that count bytes, to and from each worker; a thread of their own."""

    def __init__(self) -> None:
        self.bytes: dict[int, list[int]] = {}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def relay(self, worker: int, target: int, outwards: int) -> int:
        """Return a port that leads to `target`; what is said to it goes `TO` or `FROM` the worker."""
        counted = self.bytes.setdefault(worker, [0, 0])

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: int) -> None:
            try:
                while block := await reader.read(BLOCK_BYTES):
                    counted[side] += len(block)
                    writer.write(block)
                    await writer.drain()
            except OSError:
                pass  # one end was killed
            finally:
                writer.close()

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there = await asyncio.open_connection(HOST, target)
            except OSError:
                writer.close()
                return
            await asyncio.gather(pump(reader, there[1], outwards), pump(there[0], writer, 1 - outwards))

        async def listen() -> int:
            server = await asyncio.start_server(met, HOST, 0)
            return int(server.sockets[0].getsockname()[1])

        return asyncio.run_coroutine_threadsafe(listen(), self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


class Cluster:
    """A Dask scheduler and workers of one thread each, every word of theirs through a relay."""

    def __init__(self, n_workers: int, folder: Path) -> None:
        self.traffic = Traffic()
        self._quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": os.getcwd()}
        port = free_port()
        self.address = f"{HOST}:{port}"
        self.processes = [self._dask("scheduler", "--host", HOST, "--port", str(port))]
        for i in range(n_workers):
            own = free_port()
            up, down = self.traffic.relay(i, port, FROM), self.traffic.relay(i, own, TO)
            ports = ("--listen-address", f"tcp://{HOST}:{own}", "--contact-address", f"tcp://{HOST}:{down}")
            more = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
            self.processes.append(self._dask("worker", f"tcp://{HOST}:{up}", *ports, *more))

    def _dask(self, what: str, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *more], **self._quiet
        )

    def cpu_s(self) -> tuple[float, float]:
        """Processor time of the scheduler and of the workers that live, in seconds."""
        alive = [process for process in self.processes if process.poll() is None]
        spent = {process.pid: sum(psutil.Process(process.pid).cpu_times()[:2]) for process in alive}
        scheduler = spent.pop(self.processes[0].pid)
        return scheduler, sum(spent.values())

    def __enter__(self) -> Cluster:
        from distributed import Client

        with Client(f"tcp://{self.address}", timeout=60) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(len(self.processes) - 1, timeout=120)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes[::-1]:
            process.kill()
            process.wait()
        self.traffic.close()


class Figures(NamedTuple):
    """A run on a cluster: times in seconds, bytes of all its workers together; `idle` is of a scheduler's core."""

    workers: int
    killed: bool
    wall_s: float
    workers_s: float
    scheduler_s: float
    idle: float
    client_s: float
    to_bytes: int
    from_bytes: int
    left: Kept


def on_cluster(manifest: Path, n_workers: int, kill_at_files: int | None = None) -> Figures:
    """Score on a cluster, one worker of which may be killed when so many files are done."""
    out = manifest.parent / f"cluster-{n_workers}-{time.monotonic_ns()}.jsonl"
    with Cluster(n_workers, manifest.parent) as cluster:
        waited_s = cluster.cpu_s()[0]
        time.sleep(IDLE_S)
        idle = (cluster.cpu_s()[0] - waited_s) / IDLE_S
        before = cluster.cpu_s()
        said = {i: list(counted) for i, counted in cluster.traffic.bytes.items()}
        run = Run(command(manifest, out, "--engine", f"dask://{cluster.address}"), log_of(out))
        if kill_at_files is not None and not run.watch(until_files=kill_at_files):
            cluster.processes[-1].kill()
        run.watch()
        scheduler_s, workers_s = (now - then for now, then in zip(cluster.cpu_s(), before, strict=True))
        to, back = (sum(c[side] - said[i][side] for i, c in cluster.traffic.bytes.items()) for side in (TO, FROM))
    spent = (run.wall_s, workers_s, max(0.0, scheduler_s - idle * run.wall_s), idle, run.cpu_s)
    return Figures(n_workers, kill_at_files is not None, *spent, to, back, kept(out))
