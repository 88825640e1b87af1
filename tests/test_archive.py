"""Recordings by the hundred thousand: what is scored, by whom, within which limits, and where it is written."""

from __future__ import annotations

import csv
import json
import os
import random
import re
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

from emotion_triage.batch.inputs import find_recordings, read_spans
from emotion_triage.batch.manifests import COLUMNS, read_manifest
from emotion_triage.batch.parquet import schema_of
from emotion_triage.batch.process_pool import Limits, in_order
from emotion_triage.batch.record import Record
from emotion_triage.batch.result_file import read_records, read_timelines
from emotion_triage.batch.scoring import ScoringOptions, run_locally, run_one, score_recording
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.call.triage import Triage
from emotion_triage.routing.policy import Policy

pytest.importorskip("typer")
from typer.testing import CliRunner

from emotion_triage.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
CALLER = "+33612345678"
KILLS = 5


@pytest.fixture(scope="module")
def model(write_model: Callable[..., Path]) -> Path:
    return write_model({"level_dbfs_change": 3.0}, bias=-4.0)


@pytest.fixture(scope="module")
def calls(temper: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings, one of them broken, and a manifest that knows when they were and who rang."""
    folder = tmp_path_factory.mktemp("calls")
    (folder / "quick.toml").write_text("[escalation]\nbaseline_s = 4.0\nrelative_shift = -1.0\nsmoothing_s = 1.0\n")
    rows = [("source", "call", "caller", "agent", "disposition", "queue", "started_at", "group", "label", "mood")]
    for i in range(6):
        name = f"{i}.wav"
        soundfile.write(folder / name, temper[: (18 if i % 2 else 9) * 8000], 8000, subtype="ULAW")
        label = "angry" if i % 2 else "other"
        rows.append((name, f"C{i}", CALLER, "a-7", "sold", "sales", f"2026-03-0{i // 3 + 1}T09:30", "fr", label, "?"))
    (folder / "3.wav").write_text("no audio")
    with open(folder / "calls.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def quick(calls: Path, model: Path) -> list[str]:
    return ["--caller-channel", "mono", "--policy", str(calls / "quick.toml"), "--model", str(model)]


@pytest.fixture(scope="module")
def triage(calls: Path, model: Path) -> Triage:
    return Triage.load(model=model, policy=Policy.load(calls / "quick.toml"))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


# Manifests


def test_a_manifest_goes_into_the_records(calls: Path, quick: list[str], tmp_path: Path) -> None:
    """What a manifest says of a call is in its record, in the manifest's order, the broken one included."""
    assert run("score", calls / "calls.csv", "--out", tmp_path / "out.jsonl", *quick).exit_code == 1
    records = list(read_records(tmp_path / "out.jsonl"))
    assert [record.call for record in records] == [f"C{i}" for i in range(6)]
    assert {(record.agent, record.disposition, record.queue, record.group) for record in records} == {
        ("a-7", "sold", "sales", "fr")
    }
    assert [record.status for record in records] == ["scored"] * 3 + ["error"] + ["scored"] * 2
    assert (records[5].started_at, records[5].label, records[4].label) == ("2026-03-02T09:30:00", "angry", "other")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_no_caller_is_written(calls: Path, quick: list[str], tmp_path: Path, suffix: str) -> None:
    """The caller's number of a manifest is in no file that a run writes, whole or in part."""
    pytest.importorskip("pyarrow")
    run("score", calls / "calls.csv", "--events", "--out", tmp_path / f"out{suffix}", *quick)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        assert CALLER[4:].encode() not in path.read_bytes()


def test_a_parquet_manifest(calls: Path, tmp_path: Path) -> None:
    """A Parquet manifest says what the same CSV says."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with open(calls / "calls.csv", newline="") as file:
        rows = [{**row, "source": str(calls / row["source"])} for row in csv.DictReader(file)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "calls.parquet")
    here, there = (read_manifest(str(path)) for path in (tmp_path / "calls.parquet", calls / "calls.csv"))
    assert msgspec.structs.replace(here, notes=()) == msgspec.structs.replace(there, notes=())
    assert ["mood" in "".join(each.notes) for each in (here, there)] == [True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("call,label\na.wav,furious\n", r"row 2: Invalid enum value 'furious'"),
        ("call,started_at\na.wav,yesterday\n", "row 2: Invalid isoformat string: 'yesterday'"),
        ("call,queue\na.wav,sales\na.wav,help\n", "row 3: got a.wav twice and not alike"),
        ("name\na.wav\n", "got the columns name, expected some of source, call"),
        ("call,queue\n,sales\n", "row 2: got no recording"),
        ("call\n", "got a manifest without rows"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, message: str) -> None:
    """A manifest that names no recording, one twice, or a value of no meaning, is refused with its row."""
    (tmp_path / "m.csv").write_text(text)
    result = run("score", tmp_path / "m.csv", "--caller-channel", "mono")
    assert result.exit_code == 2
    assert re.search(message, result.stderr)


# Elsewhere


@pytest.fixture
def elsewhere(calls: Path) -> Iterator[str]:
    """The same recordings in fsspec's memory, which is an address like any other."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    for path in calls.glob("*.wav"):
        files.pipe(f"/bucket/{path.name}", path.read_bytes())
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def test_an_address_is_a_folder(elsewhere: str, calls: Path, triage: Triage) -> None:
    """Folders and globs elsewhere are expanded, and their recordings give what they give here."""
    found = find_recordings([elsewhere])
    assert [name.rpartition("/")[2] for name in found] == [f"{i}.wav" for i in range(6)]
    assert find_recordings([f"{elsewhere}/[45].wav"]) == found[4:]
    for there, here in zip(found, sorted(calls.glob("*.wav")), strict=True):
        records = [score_recording(triage, source, caller_channel="mono") for source in (there, here)]
        plain = [msgspec.structs.replace(record, source="", error=None) for record in records]
        assert plain[0] == plain[1]


@pytest.mark.parametrize("address", ["memory://bucket/none/*.wav", "gopher://old/", "memory://bucket/none.wav"])
def test_an_address_of_nothing(elsewhere: str, address: str) -> None:
    """An address that leads nowhere ends with a message or is a record with its error, never a traceback."""
    result = run("score", address, "--caller-channel", "mono")
    assert result.exit_code in (1, 2)
    assert address in result.output
    assert isinstance(result.exception, SystemExit)


# Timelines


def test_a_timeline_is_the_calls_events(calls: Path, triage: Triage, tmp_path: Path) -> None:
    """A timeline has every event of the call, in order, with the level from then on, and the gaps between spans."""
    spans = tmp_path / "spans.csv"
    spans.write_text(f"source,start_s,end_s\n{calls / '1.wav'},1,6\n{calls / '1.wav'},7.5,17\n")
    how = ScoringOptions(caller_channel=None, caller_spans=read_spans(spans), timeline=".jsonl")
    scored = run_one(triage, how, str(calls / "1.wav"))
    rows = msgspec.json.Decoder(TimelineRow).decode_lines(scored.timeline)
    gaps = [(row.time_s, row.lost_s) for row in rows if row.kind == "gap"]
    assert gaps == [(0.0, 1.0), (6.0, 1.5), (17.0, 1.0)]
    assert [row.time_s for row in rows] == sorted(row.time_s for row in rows)
    affects = [row for row in rows if row.kind == "affect"]
    assert max(row.anger or 0 for row in affects) == scored.record.anger_max
    rises = [row for row in rows if row.kind == "escalation" and row.level == "escalated"]
    assert rises[0].time_s == scored.record.first_escalation_s
    after = [row for row in rows if row.time_s > rises[-1].time_s and row.kind == "affect"]
    assert {row.level for row in after} == {"escalated"}
    assert rows[0].kind in ("route", "gap")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_timelines_in_every_format(calls: Path, quick: list[str], tmp_path: Path, suffix: str) -> None:
    """Timelines read back the same from every format, and only from recordings that could be read."""
    pytest.importorskip("pyarrow")
    for out in ("one.jsonl", f"two{suffix}"):
        run("score", calls / "calls.csv", "--events", "--out", tmp_path / out, *quick)
    rows = [list(read_timelines(tmp_path / name)) for name in ("one.events.jsonl", f"two.events{suffix}")]
    assert rows[0] == rows[1]
    assert {Path(row.source).name for row in rows[0]} == {f"{i}.wav" for i in (0, 1, 2, 4, 5)}


# Where it is written


def test_a_folder_for_each_day(calls: Path, quick: list[str], tmp_path: Path) -> None:
    """Partitioned Parquet has a folder for each day, holds every record once, and is gone on with."""
    pytest.importorskip("pyarrow")
    out = tmp_path / "out.parquet"
    command = ("score", calls / "calls.csv", "--partition-by", "day", "--out", out, *quick)
    assert run(*command).exit_code == 1
    parts = sorted(str(path.relative_to(out)) for path in out.rglob("*.parquet"))
    assert parts == ["day=2026-03-01/part-0.parquet", "day=2026-03-02/part-0.parquet"]
    first = list(read_records(out))
    assert [record.call for record in first] == [f"C{i}" for i in range(6)]
    assert run(*command).exit_code == 2
    assert run(*command, "--resume").exit_code == 1
    assert list(read_records(out)) == first
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_one_process_writes_a_file(calls: Path, quick: list[str], tmp_path: Path, triage: Triage) -> None:
    """While a process writes a file, another on the same file is refused: no recording is scored twice."""
    from emotion_triage.batch.result_file import RecordFile

    made_by = {"model_digest": triage.classifier.digest, "policy_digest": triage.policy.digest}
    out = tmp_path / "out.jsonl"
    with RecordFile(out, mode="new", caller_channel="mono", **made_by):
        for mode in ("--resume", "--overwrite"):
            refused = run("score", calls, "--out", out, mode, *quick)
            assert refused.exit_code == 2
            assert "another process is writing" in refused.stderr
    assert run("score", calls, "--out", out, "--resume", *quick).exit_code == 1
    assert len(list(read_records(out))) == 6


def test_the_schema_is_documented() -> None:
    """docs/records.md names every column of records and timelines, with its type, in order, and no other."""
    pytest.importorskip("pyarrow")
    text = (ROOT / "docs" / "records.md").read_text()
    words = {"string": "string", "double": "double", "int64": "integer", "bool": "boolean"}
    for heading, kind in (("A record", Record), ("A timeline row", TimelineRow)):
        section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| (`.*?`) \| (\w+) \|", section, re.MULTILINE)
        told = [(name, word) for names, word in rows for name in re.findall(r"`(\w+)`", names)]
        assert told == [(field.name, words[str(field.type)]) for field in schema_of(kind)]
    section = text.split("## Inputs\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(COLUMNS)


# Limits


def test_a_file_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that takes too long is given up, and the items after it have their results, in order."""
    monkeypatch.setattr("emotion_triage.batch.process_pool.GRACE_S", 3.0)
    items = ["1", "__import__('time').sleep(3600)", "3", "4"]
    results = in_order(eval, items, workers=1, limits=Limits(seconds=0.2), given_up=lambda item, reason: reason)
    assert list(results) == [1, "late", 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_file_that_takes_all_memory() -> None:
    """An item that wants more memory than it may have fails by itself; the others have their results."""
    code = "(lambda: [bytearray(2**20 * {}), {}])()[1]"
    items = [code.format(16, 1), "'no room' if {} else 0".format("__import__('builtins')"), code.format(16, 3)]
    assert list(in_order(eval, items, workers=1, limits=Limits(memory_mib=128), given_up=max)) == [1, "no room", 3]
    with pytest.raises(MemoryError):
        list(in_order(eval, [code.format(512, 1)], workers=1, limits=Limits(memory_mib=128), given_up=max))


def test_a_recording_that_takes_too_long(calls: Path, triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording past its time makes a record that says so; without a limit it is scored."""
    clock = iter(range(1000))
    monkeypatch.setattr("emotion_triage.batch.scoring.time.monotonic", lambda: float(next(clock)))
    source = str(calls / "1.wav")
    late = run_one(triage, ScoringOptions(caller_channel="mono", max_seconds=0.5), source).record
    assert late.status == "error"
    assert late.error == f"{source}: took more than 0.5 s; give it more (--max-seconds), or look at the file"
    assert run_one(triage, ScoringOptions(caller_channel="mono"), source).record.status == "scored"


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_recording_that_never_answers(calls: Path, triage: Triage, tmp_path: Path, monkeypatch: Any) -> None:
    """A file that hangs when it is opened, as on a dead share, holds up nothing."""
    os.mkfifo(tmp_path / "dead.wav")
    monkeypatch.setattr("emotion_triage.batch.process_pool.GRACE_S", 4.0)
    sources = [str(calls / "0.wav"), str(tmp_path / "dead.wav"), str(calls / "1.wav")]
    how = ScoringOptions(caller_channel="mono", max_seconds=1.0)
    records = [scored.record for scored in run_locally(triage, how, sources, workers=2)]
    assert [record.status for record in records] == ["scored", "error", "scored"]
    assert "took more than 1 s" in (records[1].error or "")


def test_limits_of_the_command(calls: Path, quick: list[str]) -> None:
    """Limits on the command line leave the records of sound files as they are."""
    plain = run("score", calls, *quick)
    limited = run("score", calls, "--max-seconds", "60", "--max-memory", "1024", *quick)
    assert (limited.exit_code, limited.stdout) == (plain.exit_code, plain.stdout)


# Kills


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_five_kills(calls: Path, quick: list[str], tmp_path: Path) -> None:
    """Killed at five random moments and gone on with, a run writes records and timelines as if undisturbed."""
    many = tmp_path / "many"
    many.mkdir()
    for i in range(30):
        os.link(calls / f"{i % 6}.wav", many / f"{i:02}.wav")
    command = ("score", many, "--events", *quick, "--out")
    assert run(*command, tmp_path / "undisturbed.jsonl").exit_code == 1
    draw = random.Random(3)
    out = tmp_path / "out.jsonl"
    for _ in range(KILLS):
        arguments = [sys.executable, "-m", "emotion_triage", *map(str, (*command, out, "--resume"))]
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = out.stat().st_size if out.exists() else 0
        while process.poll() is None and (out.stat().st_size if out.exists() else 0) == before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.1))
        process.kill()
        process.wait()
    assert run(*command, out, "--resume").exit_code == 1
    for name in ("jsonl", "events.jsonl"):
        assert (tmp_path / f"out.{name}").read_bytes() == (tmp_path / f"undisturbed.{name}").read_bytes()


# Progress


def test_a_line_a_minute(calls: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no terminal is, a line says how many are done and failed, how fast, and what is left."""
    monkeypatch.setattr("emotion_triage.cli.progress.LINE_EVERY_S", 0.0)
    result = run("score", calls, *quick)
    told = result.stderr.splitlines()[:6]
    pattern = r"emotion-triage: {}/6, {} failed, \d+ x real time, \d:\d\d:\d\d left"
    for i, line in enumerate(told, 1):
        assert re.fullmatch(pattern.format(i, int(i > 3)), line)
    assert all(json.loads(line)["source"] for line in result.stdout.splitlines())
