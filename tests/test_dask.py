"""The same records from a Dask cluster, whatever dies there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotion_triage.batch import dask as cluster
from emotion_triage.batch.scoring import Scored, ScoringOptions, run_locally
from emotion_triage.call.triage import Triage
from emotion_triage.errors import MissingExtraError, TriageError
from emotion_triage.routing.policy import Policy

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own, of sockets that a killed worker leaves

ROOT = Path(__file__).resolve().parents[1]
HOW = ScoringOptions(caller_channel="mono", timeline=".jsonl")


@pytest.fixture(scope="module")
def triage(write_model: Callable[..., Path]) -> Triage:
    settings = "baseline_s = 4.0\nrelative_shift = -1.0\nsmoothing_s = 1.0"
    model = write_model({"level_dbfs_change": 3.0}, bias=-4.0)
    return Triage.load(model=model, policy=Policy.parse(f"[escalation]\n{settings}"))


@pytest.fixture(scope="module")
def sources(temper: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eight recordings of 6 to 13 s, one of them broken."""
    folder = tmp_path_factory.mktemp("recordings")
    for i in range(8):
        soundfile.write(folder / f"{i}.wav", temper[: (6 + i) * 8000], 8000, subtype="ULAW")
    (folder / "5.wav").write_text("no audio")
    return [str(folder / f"{i}.wav") for i in range(8)]


@pytest.fixture(scope="module")
def local(triage: Triage, sources: list[str]) -> list[Scored]:
    return list(run_locally(triage, HOW, sources))


class Workers:
    """A scheduler and two workers of one thread, each a process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self.processes = [self._process(*scheduler, "--scheduler-file", str(self.file))]
        worker = ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        self.worker = [*worker, "--local-directory", str(folder), "--scheduler-file", str(self.file)]
        while not self.file.exists():
            time.sleep(0.05)
        for _ in range(2):
            self.add()

        self.engine = json.loads(self.file.read_text())["address"].replace("tcp://", "dask://")

    def add(self) -> None:
        self.processes.append(self._process(*self.worker))

    def end(self) -> None:
        for process in self.processes[::-1]:
            process.kill()
            process.wait()

    def _process(self, *arguments: str) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, stdout=quiet, stderr=quiet)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    started = Workers(tmp_path)
    yield started
    started.end()


def test_the_records_of_a_cluster(
    workers: Workers, triage: Triage, sources: list[str], local: list[Scored], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records and timelines are those of this machine, in order, however they are cut into chunks."""
    assert list(cluster.run_on_cluster(triage, HOW, sources, engine=workers.engine)) == local
    monkeypatch.setattr(cluster, "CHUNK_S", 15.0)
    assert list(cluster.run_on_cluster(triage, HOW, sources, engine=workers.engine)) == local


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_worker_that_is_killed(
    workers: Workers, triage: Triage, sources: list[str], local: list[Scored], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker killed in the middle loses nothing, not even the model that it held."""
    monkeypatch.setattr(cluster, "CHUNK_S", 15.0)
    many = sources * 6
    results = cluster.run_on_cluster(triage, HOW, many, engine=workers.engine)
    got = [next(results)]
    workers.processes[1].send_signal(signal.SIGKILL)
    assert got + list(results) == local * 6


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_recording_that_kills(
    triage: Triage, sources: list[str], local: list[Scored], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chunk that ends its workers, only the recording that does is given up."""

    class Chunk:
        def __init__(self, chunk: tuple[str, ...]) -> None:
            self.chunk = chunk

        def result(self) -> list[Scored]:
            if sources[2] in self.chunk:
                raise distributed.KilledWorker("task", "worker", 3)
            return [local[sources.index(source)] for source in self.chunk]

    class Client:
        def submit(self, function: object, scorer: object, chunk: tuple[str, ...], *, pure: bool) -> Chunk:
            return Chunk(chunk)

    got = cluster._result(Client(), triage, HOW, None, tuple(sources), Chunk(tuple(sources)))
    assert [scored.record.status for scored in got][2] == "error"
    assert "ended twice" in (got[2].record.error or "")
    assert got[:2] + got[3:] == local[:2] + local[3:]


def test_chunks_are_of_like_duration(sources: list[str]) -> None:
    """A chunk holds so many seconds of audio, in order; one longer recording is a chunk of its own."""
    chunks = list(cluster.chunks_of(sources, HOW, chunk_s=14.0))
    assert [source for chunk in chunks for source in chunk] == sources
    # 6 + 7, 8, 9, 10 with the broken one, 12, 13 seconds
    assert [len(chunk) for chunk in chunks] == [2, 1, 1, 2, 1, 1]
    assert [len(chunk) for chunk in cluster.chunks_of(sources, HOW, chunk_s=1.0)] == [1] * 8
    assert len(list(cluster.chunks_of(["gone.wav"] * 1200, HOW, chunk_s=1.0))) == 3


@pytest.mark.parametrize("engine", ["dask://", "dask://host", "ray://host:1", "dask://host:port"])
def test_engines_of_no_kind(engine: str) -> None:
    """An engine that is neither local nor a Dask address is refused."""
    with pytest.raises(TriageError, match="expected local or dask://HOST:PORT"):
        cluster.cluster_address(engine)


def test_a_cluster_that_is_not_there(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that does not answer, or Dask that is not installed, is told in a message."""
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with pytest.raises(TriageError, match="cannot be reached"):
        list(cluster.run_on_cluster(triage, HOW, [], engine="dask://127.0.0.1:9"))
    with pytest.raises(TriageError, match="cannot be reached"):
        cluster.check_cluster("dask://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match="install the extra 'cluster'"):
        list(cluster.run_on_cluster(triage, HOW, [], engine="dask://127.0.0.1:9"))
