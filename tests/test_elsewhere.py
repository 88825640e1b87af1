"""Recordings and records at ``s3://`` and ``gs://``: real clients over loopback to servers that speak the real APIs."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

pytest.importorskip("fsspec")
pytest.importorskip("typer")
pytest.importorskip("pyarrow")
import fsspec
from typer.testing import CliRunner

from emotion_triage.audio.remote import fetch, find_remote, is_there, send
from emotion_triage.batch.inputs import find_recordings
from emotion_triage.batch.record import Record
from emotion_triage.batch.result_file import read_records, read_timelines
from emotion_triage.batch.scoring import ScoringOptions, run_locally
from emotion_triage.call.triage import Triage
from emotion_triage.cli.app import app
from emotion_triage.errors import AudioError, TriageError

pytestmark = pytest.mark.filterwarnings("ignore")  # the clients' and servers' own

ROOT = Path(__file__).resolve().parents[1]
N_RECORDINGS, BROKEN = 6, 3
KILLS = 5


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """Moto's S3 on loopback; the variables by which every client finds it."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[s3]' flask flask-cors")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}
    yield {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_CONFIG_FILE": os.devnull}
    started.stop()


@pytest.fixture(scope="module")
def gs() -> Iterator[dict[str, str]]:
    """An emulator of Google Cloud Storage on loopback, and the variable by which gcsfs finds it."""
    pytest.importorskip("gcsfs", reason="gcsfs is not installed: pip install gcsfs")
    server = pytest.importorskip("gcp_storage_emulator.server", reason="pip install gcp-storage-emulator")
    started = server.create_server("127.0.0.1", 0, in_memory=True)
    started.start()
    yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{started._api._httpd.server_port}"}
    started.stop()


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket of each kind in turn, as an address."""
    for name, value in request.getfixturevalue(request.param).items():
        monkeypatch.setenv(name, value)
    files = fsspec.filesystem(request.param, skip_instance_cache=True)
    name = f"calls-{time.monotonic_ns()}"
    files.mkdir(name)
    fsspec.filesystem(request.param).invalidate_cache()
    return f"{request.param}://{name}"


@pytest.fixture
def archive(bucket: str, temper: np.ndarray, tmp_path: Path) -> str:
    """Recordings in folders of a bucket, one of them broken, a hidden one and a text beside them; and a manifest."""
    files, inner = fsspec.core.url_to_fs(bucket)
    with open(tmp_path / "calls.csv", "w", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(("source", "call", "started_at"))
        for i in range(N_RECORDINGS):
            path = tmp_path / f"{i:02}.wav"
            soundfile.write(path, temper[: (18 if i % 2 else 9) * 8000], 8000, subtype="ULAW")
            if i == BROKEN:
                path.write_text("no audio")
            name = f"{inner}/2026-11/{i % 2 + 1:02}/{i:02}.wav"
            files.put_file(str(path), name)
            manifest.writerow((f"{bucket}/2026-11/{i % 2 + 1:02}/{i:02}.wav", f"C{i}", f"2026-11-{i % 2 + 1:02}T09:00"))
    files.pipe_file(f"{inner}/2026-11/01/.hidden.wav", b"RIFF")
    files.pipe_file(f"{inner}/2026-11/01/notes.txt", b"Bonjour.")
    return bucket


@pytest.fixture(scope="module")
def model(write_model: Callable[..., Path]) -> Path:
    return write_model({"level_dbfs_change": 3.0}, bias=-4.0)


def plain(records: Any) -> list[Record]:
    return [msgspec.structs.replace(record, source="", error=None, call=None, started_at=None) for record in records]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_folders_and_globs_are_listed(archive: str) -> None:
    """A bucket, a folder of it and globs are expanded to their recordings, sorted, and to nothing else."""
    everything = find_recordings([archive])
    assert everything == [f"{archive}/2026-11/{i % 2 + 1:02}/{i:02}.wav" for i in (0, 2, 4, 1, 3, 5)]
    assert find_recordings([f"{archive}/2026-11/02/"]) == everything[3:]
    assert find_recordings([f"{archive}/2026-11/*/0[01].wav"]) == [everything[0], everything[3]]
    assert find_recordings([f"{archive}/**/?4.wav"]) == [everything[2]]
    assert find_recordings([everything[3]]) == [everything[3]]
    for nowhere in (f"{archive}/2027/*.wav", f"{archive}-of-nobody/*.wav"):
        with pytest.raises(AudioError, match=r"without recordings|cannot be listed"):
            find_recordings([nowhere])


def test_a_recording_elsewhere_is_the_same_recording(archive: str, model: Path, tmp_path: Path) -> None:
    """Read through the API in other processes, each recording gives the record that its file here does."""
    triage = Triage.load(model=model)
    how = ScoringOptions(caller_channel="mono")
    there = find_recordings([archive])
    here = [str(tmp_path / name.rpartition("/")[2]) for name in there]
    expected = plain(scored.record for scored in run_locally(triage, how, here))
    assert [record.status for record in expected].count("error") == 1
    assert plain(scored.record for scored in run_locally(triage, how, there, workers=2)) == expected


def test_an_object_that_is_not_there_is_a_record(archive: str, model: Path) -> None:
    """A manifest's recording that is not at its address costs itself alone."""
    triage, how = Triage.load(model=model), ScoringOptions(caller_channel="mono")
    sources = [f"{archive}/2026-11/01/00.wav", f"{archive}/2026-11/01/none.wav"]
    good, missing = (scored.record for scored in run_locally(triage, how, sources))
    assert good.error is None
    assert missing.status == "error"
    assert "none.wav" in (missing.error or "")


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv"])
def test_records_go_to_a_bucket(archive: str, model: Path, tmp_path: Path, monkeypatch: Any, name: str) -> None:
    """Records and timelines at an address are those of a run here; there they are gone on with, replaced or refused."""
    monkeypatch.chdir(tmp_path)
    command = ("score", "calls.csv", "--events", "--caller-channel", "mono", "--model", model)
    assert run(*command, "--out", f"here-{name}").exit_code == 1
    out, before = f"{archive}/out/{name}", sorted(os.listdir(tmp_path))
    assert run(*command, "--out", out).exit_code == 1
    assert sorted(os.listdir(tmp_path)) == before
    refused = run(*command, "--out", out)
    assert (refused.exit_code, f"{out}: exists already" in refused.stderr) == (2, True)
    for mode in ("--resume", "--overwrite"):
        assert run(*command, "--out", out, mode).exit_code == 1
        events = name.replace("scores", "scores.events")
        for here, there in ((f"here-{name}", name), (events.replace("scores", "here-scores"), events)):
            fetch(f"{archive}/out/{there}", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == (tmp_path / here).read_bytes()
            os.unlink(tmp_path / "back")
    assert len(list(read_records(tmp_path / f"here-{name}"))) == N_RECORDINGS
    assert next(read_timelines(tmp_path / events.replace("scores", "here-scores"))).kind


def test_a_bucket_that_refuses_is_told_first(archive: str, model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Records that cannot be sent stay here, whole, and --resume sends them once they can be."""
    monkeypatch.chdir(tmp_path)
    command = ("score", "calls.csv", "--caller-channel", "mono", "--model", model, "--out", f"{archive}/a/scores.csv")

    def gone(*_: object) -> None:
        raise TriageError("s3: is away")

    with monkeypatch.context() as patched:
        patched.setattr("emotion_triage.batch.result_file.send", gone)
        result = run(*command)
    assert (result.exit_code, "--resume goes on from there" in result.stderr) == (1, True)
    assert not is_there(f"{archive}/a/scores.csv")
    assert run(*command, "--resume").exit_code == 1
    assert is_there(f"{archive}/a/scores.csv")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_five_kills_of_a_run_between_buckets(archive: str, model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """From recordings in a bucket to a folder for each day in it, killed five times: the bytes of a calm run."""
    monkeypatch.chdir(tmp_path)
    command = ("score", "calls.csv", "--events", "--caller-channel", "mono", "--model", model, "--partition-by", "day")
    assert run(*command, "--out", f"{archive}/calm/scores.parquet").exit_code == 1
    draw = random.Random(3)
    out = (*command, "--out", f"{archive}/killed/scores.parquet", "--resume")
    waiting, struck = tmp_path / "scores.parquet.partial.jsonl", 0
    for _ in range(KILLS):
        arguments = [sys.executable, "-m", "emotion_triage", *map(str, out)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, **quiet)
        before = waiting.stat().st_size if waiting.exists() else 0
        while process.poll() is None and (waiting.stat().st_size if waiting.exists() else 0) == before:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.1))
        struck += process.poll() is None
        process.kill()
        process.wait()
    assert struck
    assert run(*out).exit_code == 1
    found = {}
    for kind in ("calm", "killed"):
        fetch(f"{archive}/{kind}", tmp_path / kind)
        found[kind] = {
            str(path.relative_to(tmp_path / kind)): path.read_bytes()
            for path in (tmp_path / kind).rglob("*")
            if path.is_file()
        }
    days = [f"scores.parquet/day=2026-11-0{day}/part-0.parquet" for day in (1, 2)]
    assert sorted(found["calm"]) == ["scores.events.parquet", *days]
    assert found["killed"] == found["calm"]


def test_what_a_send_leaves(bucket: str, tmp_path: Path) -> None:
    """A folder that is sent again has at its address what it has here, and nothing from before; its neighbours stay."""
    folder = tmp_path / "out"
    for name in ("a/1.txt", "b/2.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    send(folder, f"{bucket}/out")
    send(folder / "a" / "1.txt", f"{bucket}/out-of-town")
    os.unlink(folder / "b" / "2.txt")
    send(folder, f"{bucket}/out")
    assert find_remote(bucket) == [f"{bucket}/out-of-town", f"{bucket}/out/a/1.txt"]
    with pytest.raises(TriageError, match="cannot be written"):
        send(folder, f"{bucket}-of-nobody/out")
