"""The command line: what it tells, what it refuses, and what a kill leaves."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import emotion_triage
from emotion_triage.affect.classifier import LABELS, METADATA_KEY
from emotion_triage.prosody.lld import LLD_NAMES
from emotion_triage.routing.policy import policy_text

pytest.importorskip("typer")
from typer.testing import CliRunner

from emotion_triage.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
MANY = 50


@pytest.fixture(scope="module")
def model(write_model: Callable[..., Path]) -> Path:
    """A model to which a caller is angry when he is louder than before, and for no other reason."""
    return write_model({"level_dbfs_change": 3.0}, bias=-4.0)


@pytest.fixture(scope="module")
def calls(temper: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of a caller who loses his temper after 10 s, and a policy that sees it in time."""
    folder = tmp_path_factory.mktemp("calls")
    soundfile.write(folder / "angry.wav", temper[: 18 * 8000], 8000)
    soundfile.write(folder / "calm.flac", temper[: 10 * 8000], 8000)
    settings = "baseline_s = 4.0\nrelative_shift = -1.0\nsmoothing_s = 1.0\n"
    (folder / "quick.toml").write_text(f"[escalation]\n{settings}")
    return folder


@pytest.fixture(scope="module")
def quick(calls: Path, model: Path) -> list[str]:
    return ["--policy", str(calls / "quick.toml"), "--model", str(model)]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# score


def test_score_in_a_pipe(calls: Path, quick: list[str]) -> None:
    """In a pipe, a folder's records are JSON lines on stdout and nothing is on stderr."""
    result = run("score", calls, "--caller-channel", "mono", *quick)
    assert (result.exit_code, result.stderr) == (0, "")
    angry, calm = lines(result.stdout)
    assert angry["source"] == str(calls / "angry.wav")
    assert (angry["peak_level"], angry["route"]) == ("escalated", "senior")
    assert 10 < angry["first_escalation_s"] < 18
    assert (calm["peak_level"], calm["first_escalation_s"]) == ("calm", None)


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
def test_a_terminal_beside_a_pipe(calls: Path, quick: list[str]) -> None:
    """With stderr on a terminal and stdout in a pipe, the bar is on the one and clean records are in the other."""
    terminal, side = os.openpty()
    process = subprocess.run(
        [sys.executable, "-m", "emotion_triage", "score", str(calls), "--caller-channel", "mono", *quick],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=side,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    assert [record["status"] for record in lines(process.stdout)] == ["scored", "scored"]
    assert b"2/2" in os.read(terminal, 100_000)
    os.close(side)
    os.close(terminal)


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
def test_score_on_a_terminal(calls: Path, quick: list[str]) -> None:
    """On a terminal, a record is a line to be read: the level, the route, the reason."""
    terminal, side = os.openpty()
    command = ["score", str(calls / "angry.wav"), "--caller-channel", "mono", *quick]
    subprocess.run(
        [sys.executable, "-m", "emotion_triage", *command],
        cwd=ROOT,
        stdout=side,
        stderr=side,
        check=True,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200"},
    )
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(terminal, 100_000).decode())
    assert re.search(
        r"angry\.wav +escalated +anger \d\.\d\d  → senior  escalated \d s, from 0:1\d\.\d  voice \d", shown
    )
    os.close(side)
    os.close(terminal)


def test_score_in_french(calls: Path, quick: list[str]) -> None:
    """Reasons are told in French when asked for."""
    result = run("score", calls / "angry.wav", "--caller-channel", "mono", "--language", "fr", *quick)
    assert re.fullmatch(r"voix \d+ dB plus forte", lines(result.stdout)[0]["drivers"])


def test_score_a_quoted_glob(calls: Path, quick: list[str]) -> None:
    """A glob that no shell expanded is expanded."""
    result = run("score", calls / "*.flac", "--caller-channel", "mono", *quick)
    assert [Path(record["source"]).name for record in lines(result.stdout)] == ["calm.flac"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_score_to_a_file(calls: Path, quick: list[str], tmp_path: Path, suffix: str) -> None:
    """With --out, the records are in the file and stdout is silent; done again, it is refused or gone on with."""
    out = tmp_path / f"out{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    command = ("score", calls, "--caller-channel", "mono", "--out", out, *quick)
    result = run(*command)
    assert (result.exit_code, result.output) == (0, "")
    content = out.read_bytes()
    again = run(*command)
    assert again.exit_code == 2
    assert "exists already; go on with it (--resume), replace it (--overwrite)" in again.stderr
    assert run(*command, "--resume").exit_code == 0
    assert out.read_bytes() == content
    assert run(*command, "--overwrite").exit_code == 0
    assert out.read_bytes() == content


def test_a_stereo_call(calls: Path, quick: list[str], temper: np.ndarray, tmp_path: Path) -> None:
    """Of a stereo recording, the channel named is scored and the other has no part in it."""
    caller, agent = temper[: 18 * 8000], 0.3 * np.random.default_rng(0).standard_normal(18 * 8000)
    soundfile.write(tmp_path / "both.wav", np.stack([agent, caller], axis=1), 8000)
    result = run("score", tmp_path / "both.wav", "--caller-channel", "right", *quick)
    alone = lines(run("score", calls / "angry.wav", "--caller-channel", "mono", *quick).stdout)[0]
    told = lines(result.stdout)[0]
    assert {**alone, "source": None, "caller_channel": None} == {**told, "source": None, "caller_channel": None}
    other = run("score", tmp_path / "both.wav", "--caller-channel", "left", *quick)
    assert lines(other.stdout)[0]["status"] == "no_speech"


def test_a_mono_file_of_both_sides(calls: Path, quick: list[str], tmp_path: Path) -> None:
    """With the caller's spans, a mono recording of both sides is scored, and only where the caller speaks."""
    spans = tmp_path / "spans.json"
    spans.write_text(json.dumps([{"source": str(calls / "angry.wav"), "start_s": 0, "end_s": 9.0}]))
    result = run("score", calls / "angry.wav", "--caller-spans", spans, *quick)
    told = lines(result.stdout)[0]
    assert (told["status"], told["peak_level"], told["lost_s"]) == ("scored", "calm", 9.0)


def test_min_speech(calls: Path, quick: list[str]) -> None:
    """More speech asked of a window leaves fewer windows to score, under a policy of another digest."""
    command = ("score", calls / "angry.wav", "--caller-channel", "mono", *quick)
    usual, strict = (lines(run(*command, *more).stdout)[0] for more in ([], ["--min-speech-s", "2.9"]))
    assert strict["speech_s"] < usual["speech_s"]
    assert strict["policy_digest"] != usual["policy_digest"]
    refused = run(*command, "--min-speech-s", "3.5")
    assert refused.exit_code == 2
    assert "--min-speech-s: got 3.5" in refused.stderr


# Bad recordings


@pytest.fixture(scope="module")
def bad(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    whole = (calls / "angry.wav").read_bytes()
    (folder / "text.wav").write_text("Bonjour.\n" * 50)
    (folder / "empty.wav").touch()
    (folder / "header.wav").write_bytes(whole[:30])
    samples = np.zeros(8000, np.float32)
    samples[4000] = np.nan
    soundfile.write(folder / "nan.wav", samples, 8000, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", np.zeros((8000, 2)), 8000)
    soundfile.write(folder / "slow.wav", np.zeros(8000), 4000)
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.wav", "got what cannot be decoded .*check that it is audio"),
        ("empty.wav", "got an empty file, expected WAV"),
        ("header.wav", "got what cannot be decoded .*copied whole"),
        ("nan.wav", "got nan at sample 4000"),
        ("stereo.wav", "got two channels and caller channel mono, .*--caller-channel left or right"),
        ("slow.wav", "4000.*8000"),
        ("gone.wav", "got no such file"),
    ],
)
def test_a_bad_recording(calls: Path, bad: Path, quick: list[str], name: str, message: str) -> None:
    """A bad recording is a record with its error among the others, and the exit code is 1."""
    result = run("score", bad / name, calls / "calm.flac", "--caller-channel", "mono", *quick)
    broken, calm = lines(result.stdout)
    assert result.exit_code == 1
    assert result.stderr == "emotion-triage: 1 of 2 recordings could not be scored; see their error\n"
    assert (broken["status"], calm["status"]) == ("error", "scored")
    assert re.search(message, broken["error"])
    assert broken["anger_mean"] is None


def test_every_bad_recording_at_once(calls: Path, bad: Path, quick: list[str], tmp_path: Path) -> None:
    """Many bad recordings, by several workers and gone on with later, still end with exit code 1."""
    command = ("score", bad, calls, "--caller-channel", "mono", "--out", tmp_path / "out.csv", *quick)
    assert run(*command, "--workers", 2).exit_code == 1
    again = run(*command, "--resume")
    assert again.exit_code == 1
    assert "6 of 8 recordings could not be scored" in again.stderr
    with open(tmp_path / "out.csv", encoding="utf-8") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["error"] * 6 + ["scored"] * 2


# Wrong usage: nothing is begun


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: got no such file or folder"),
        (["*.opus"], "a pattern that matches nothing"),
        (["calls", "--out", "out.xlsx"], "ends in '.xlsx', expected .jsonl, .csv, .parquet"),
        (["calls", "--out", "no/out.csv"], "cannot be written .*check that its folder exists"),
        (["calls", "--out", "calls"], "ends in ''"),
        (["calls", "--resume"], "--resume: got no --out"),
        (["calls", "--resume", "--overwrite", "--out", "out.csv"], "--resume: got --overwrite"),
        (["calls", "--policy", "typo.toml"], r"unknown key escalation.tense_onsett \(did you mean tense_onset"),
        (["calls", "--policy", "late.toml"], "'too late' can never match"),
        (["calls", "--policy", "told.toml", "--out", "out.csv"], "a recording cannot tell when the notice was played"),
        (["calls", "--policy", "gone.toml"], "gone.toml: cannot be read"),
        (
            ["calls", "--model", "half.onnx", "--out", "out.csv"],
            "half.onnx: got .* bytes that onnxruntime cannot load.*cut short",
        ),
        (["calls", "--model", "old.onnx"], "old.onnx: the model has step_frames 50, this library has 25"),
        (["calls", "--model", "gone.onnx"], "gone.onnx: got no readable model"),
        (["calls", "--caller-spans", "gone.csv"], "gone.csv: cannot be read"),
        (["calls", "--workers", "0"], "--workers"),
        (["calls", "--language", "de"], "--language"),
        (["calls", "--caller-channel", "agent"], "--caller-channel"),
    ],
)
def test_wrong_usage(
    calls: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Wrong usage ends with exit code 2 and a message, before anything is scored or written."""
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "calls").symlink_to(calls)
    (tmp_path / "typo.toml").write_text("[escalation]\ntense_onsett = 0.5\n")
    late = '\n[[rules]]\nname = "too late"\nroute = { queue = "general", priority = 90 }\n'
    rules, neutral = policy_text().split("[neutral]")
    (tmp_path / "late.toml").write_text(f"{rules}{late}[neutral]{neutral}")
    (tmp_path / "told.toml").write_text('[notice]\nmode = "required"\n')
    content = model.read_bytes()
    (tmp_path / "half.onnx").write_bytes(content[: len(content) // 2])
    old = onnx.load_from_string(content)
    contract = json.loads(old.metadata_props[0].value)
    onnx.helper.set_model_props(old, {METADATA_KEY: json.dumps({**contract, "step_frames": 50})})
    (tmp_path / "old.onnx").write_bytes(old.SerializeToString())
    before = sorted(tmp_path.iterdir())
    result = run("score", "--caller-channel", "mono", "--model", model, *arguments)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_no_caller_channel(calls: Path, quick: list[str]) -> None:
    """Without the caller's side nothing is scored: it might be the agent's."""
    for command in ("score", "watch"):
        result = run(command, calls / "angry.wav", *quick)
        assert result.exit_code == 2
        assert "expected --caller-channel left, right or mono" in result.stderr


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(calls: Path, quick: list[str], tmp_path: Path) -> None:
    """A folder that may not be written to is told before anything is scored."""
    tmp_path.chmod(0o500)
    result = run("score", calls, "--caller-channel", "mono", "--out", tmp_path / "out.csv", *quick)
    tmp_path.chmod(0o700)
    assert result.exit_code == 2
    assert "cannot be written (Permission denied)" in result.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_a_file_system_that_takes_no_file(calls: Path, quick: list[str]) -> None:
    """Where not even root may write, it is told before anything is scored."""
    result = run("score", calls, "--caller-channel", "mono", "--out", "/proc/out.csv", *quick)
    assert result.exit_code == 2
    assert "/proc/out.csv: cannot be written" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_full_disk(calls: Path, quick: list[str], tmp_path: Path, suffix: str) -> None:
    """A full disk ends the run with a message and exit code 1."""
    out = tmp_path / f"out{suffix}"
    out.symlink_to("/dev/full")
    result = run("score", calls, "--caller-channel", "mono", "--out", out, "--overwrite", *quick)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "go on with --resume" in result.stderr


# Kills


@pytest.fixture
def many(calls: Path, tmp_path: Path) -> Path:
    """Fifty recordings: enough to be stopped among them."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(MANY):
        os.link(calls / "angry.wav", folder / f"{i:03}.wav")
    return folder


def started(*arguments: object, stdin: Any = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "emotion_triage", *map(str, arguments)],
        cwd=ROOT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job is deaf to Ctrl-C, and so would be what it starts
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None,
    )


def wait_for_records(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists() or path.read_bytes().count(b"\n") < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_and_resume(many: Path, quick: list[str], tmp_path: Path, workers: int) -> None:
    """Killed in the middle and gone on with, a run gives what it gives undisturbed, and no worker is left."""
    psutil = pytest.importorskip("psutil")
    out, undisturbed = tmp_path / "out.jsonl", tmp_path / "undisturbed.jsonl"
    command = ("score", many, "--caller-channel", "mono", "--workers", workers, *quick, "--out")
    process = started(*command, out)
    wait_for_records(out, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    done = out.read_bytes().count(b"\n")
    assert 3 <= done < MANY
    with open(out, "ab") as file:
        file.write(b'{"source":"torn')
    assert run(*command, out, "--resume").exit_code == 0
    assert run(*command, undisturbed).exit_code == 0
    assert out.read_bytes() == undisturbed.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c(many: Path, quick: list[str], tmp_path: Path, workers: int) -> None:
    """Ctrl-C keeps the records written, says how to go on, and ends with 130."""
    out = tmp_path / "out.jsonl"
    process = started("score", many, "--caller-channel", "mono", "--workers", workers, "--out", out, *quick)
    wait_for_records(out, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    kept = len(lines(out.read_text()))
    assert stderr == f"emotion-triage: stopped; {kept} records are kept: go on with --resume\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_worker_killed_in_the_middle(many: Path, quick: list[str], tmp_path: Path) -> None:
    """A worker that is killed loses nothing: its recording is scored by another."""
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out.jsonl"
    process = started("score", many, "--caller-channel", "mono", "--workers", 2, "--out", out, *quick)
    wait_for_records(out, process)
    workers = [each for each in psutil.Process(process.pid).children() if "spawn_main" in " ".join(each.cmdline())]
    workers[0].kill()
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, "")
    assert [record["status"] for record in lines(out.read_text())] == ["scored"] * MANY


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves(many: Path, quick: list[str]) -> None:
    """A reader that has seen enough, as `head` does, ends the run without a traceback."""
    process = started("score", many, "--caller-channel", "mono", *quick)
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["status"] == "scored"
    process.stdout.close()
    assert process.wait(timeout=60) != 0
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


# The other commands


def test_watch(calls: Path, quick: list[str]) -> None:
    """`watch` shows affects, the rise with its reason, and the routes, in the order of their times."""
    result = run("watch", calls / "angry.wav", "--caller-channel", "mono", "--speed", "1000", *quick)
    assert result.exit_code == 0
    assert re.search(r"ESCALATED  \(\w+ for \d+\.\d s before\)  voice \d+ dB louder", result.stdout)
    assert "→ queue senior, priority 80, skills de-escalation  (rule “escalated caller”)" in result.stdout
    times = [float(time) for time in re.findall(r"^ *0:(\d+\.\d)  ", result.stdout, re.MULTILINE)]
    assert len(times) > 20
    assert times == sorted(times)
    assert times[-1] <= 18.0


def test_watch_keeps_time(calls: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch --speed 2` shows an event no sooner than half its stream time after it began."""
    clock = [100.0]
    monkeypatch.setattr(cli.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(cli.time, "sleep", lambda wait_s: clock.__setitem__(0, clock[0] + wait_s))
    run("watch", calls / "angry.wav", "--caller-channel", "mono", "--speed", "2", *quick)
    assert clock[0] - 100.0 == pytest.approx(9.0)


def test_demo() -> None:
    """`demo` says that the caller is synthetic and shows every level, events and a route, in both languages."""
    pytest.importorskip("onnxruntime")
    levels = {"en": ("CALM", "TENSE", "ESCALATED"), "fr": ("CALME", "TENDU", "ESCALADE")}
    for lang, words in (("en", ("synthetic", "anger", "queue")), ("fr", ("synthétique", "colère", "file"))):
        words += levels[lang]
        result = run("demo", "--language", lang)
        assert result.exit_code == 0
        assert words[0] in result.stdout.splitlines()[0]
        assert all(word in result.stdout for word in words)


def test_features(calls: Path, tmp_path: Path) -> None:
    """`features` writes a row a frame, 50 a second, and a row a window, 2 a second, each value under its name."""
    out = tmp_path / "f.csv"
    assert run("features", calls / "calm.flac", "--caller-channel", "mono", "--out", out).exit_code == 0
    frames, windows = (
        list(csv.DictReader(io.StringIO(path.read_text()))) for path in (out, tmp_path / "f.windows.csv")
    )
    assert list(frames[0])[: len(LLD_NAMES) + 1] == ["time_s", *LLD_NAMES]
    times = np.array([float(row["time_s"]) for row in frames])
    np.testing.assert_allclose(times, 0.04 + 0.02 * np.arange(10 * 50 - 1), atol=1e-6)
    voiced = [row for row in frames if row["f0_repaired_hz"]]
    assert 0.2 < len(voiced) / len(frames) < 0.9
    assert all(row["speech"] == "1.0" and row["f0_hz"] for row in voiced)
    assert np.median([float(row["f0_repaired_hz"]) for row in voiced]) == pytest.approx(195, rel=0.2)
    assert [float(row["time_s"]) for row in windows[:3]] == [0.52, 1.02, 1.52]
    assert float(windows[-1]["time_s"]) == 10.0


def test_features_in_every_format(calls: Path, tmp_path: Path) -> None:
    """CSV, JSON lines and Parquet tell the same numbers; Parquet's fields carry their units."""
    parquet = pytest.importorskip("pyarrow.parquet")
    for suffix in (".csv", ".jsonl", ".parquet"):
        command = ("features", calls / "calm.flac", "--caller-channel", "mono", "--out", tmp_path / f"f{suffix}")
        assert run(*command).exit_code == 0
    table = parquet.read_table(tmp_path / "f.windows.parquet")
    rows = lines((tmp_path / "f.windows.jsonl").read_text())
    from_csv = list(csv.DictReader(io.StringIO((tmp_path / "f.windows.csv").read_text())))
    assert table.schema.field("f0_mean_semitone").metadata == {b"unit": b"st above 27.5 Hz"}
    for name in table.column_names:
        told = [np.nan if row[name] is None else row[name] for row in rows]
        np.testing.assert_allclose(told, np.array(table.column(name).to_pylist(), float), rtol=1e-5)
        np.testing.assert_allclose(told, [float(row[name] or "nan") for row in from_csv], rtol=1e-6)


def test_feature_names() -> None:
    """`features --names` lists every column with its unit."""
    listed = [line.split("\t") for line in run("features", "--names").stdout.splitlines()]
    assert ["frames", "energy_dbfs", "dBFS"] in listed
    assert ["windows", "hnr_db_mean", "dB"] in listed
    assert ["windows", "f0_rise_semitone_per_s", "st/s"] in listed
    assert ["windows", "pause_ratio", "ratio"] in listed
    assert all(len(each) == 3 and each[2] for each in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a recording and --out"),
        (["angry.wav", "--caller-channel", "mono", "--out", "f.txt"], "ends in '.txt'"),
        (["angry.wav", "--out", "f.csv"], "expected --caller-channel"),
        (["gone.wav", "--caller-channel", "mono", "--out", "f.csv"], "no such file"),
    ],
)
def test_features_refused(calls: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    """`features` without recording, side or a format it knows ends with exit code 2."""
    monkeypatch.chdir(calls)
    result = run("features", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_policy_init_and_check(tmp_path: Path) -> None:
    """`policy init` writes a policy that `policy check` finds sound, and never over another file."""
    path = tmp_path / "policy.toml"
    assert run("policy", "init", path).exit_code == 0
    checked = run("policy", "check", path)
    assert checked.exit_code == 0
    assert "sound; policy 'balanced'" in checked.stdout
    path.write_text(path.read_text().replace("hold_s", "hold_seconds", 1))
    content = path.read_text()
    assert run("policy", "init", path).exit_code == 2
    assert path.read_text() == content
    checked = run("policy", "check", path)
    assert checked.exit_code == 2
    assert "did you mean hold_s?" in checked.stderr


def test_policy_explain() -> None:
    """`policy explain` shows the route of every case, or why each rule takes or leaves one, in both languages."""
    table = run("policy", "explain").stdout
    assert len(table.splitlines()) == 1 + 12
    assert re.search(r"escalated +clear +escalated caller +senior +80 +de-escalation", table)
    assert len(run("policy", "explain", "--level", "tense").stdout.splitlines()) == 1 + 4
    case = ("policy", "explain", "--level", "tense", "--standing", "clear")
    assert "→ tense caller: matches, and no rule before it does" in run(*case).stdout
    assert "→ tense caller: correspond, et aucune règle avant elle" in run(*case, "--language", "fr").stdout


def test_model_show(model: Path) -> None:
    """`model show` tells the contract, the digest, the size and what the model was trained on."""
    shown = run("model", "show", model).stdout
    for told in ("by hand", f"size: {model.stat().st_size} bytes", ", ".join(LABELS), "corpora"):
        assert told in shown
    assert re.search(r"digest: [0-9a-f]{64}", shown)


def test_version() -> None:
    """`--version` tells the version."""
    assert run("--version").stdout == f"emotion-triage {emotion_triage.__version__}\n"


def test_without_the_extra() -> None:
    """Without typer, the command line names the extra to install and ends with exit code 1, without a traceback."""
    code = "import sys; sys.modules['typer'] = None; from emotion_triage.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "emotion-triage: the command line needs typer, which is not installed; "
        "install the extra 'cli', see docs/install.md\n"
    )


# As people have them


def test_a_recording_cut_short_is_scored_with_a_warning(calls: Path, quick: list[str], tmp_path: Path) -> None:
    """What is there of a truncated recording is scored, its record says that more was announced, and so does stderr."""
    whole = (calls / "angry.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: 44 + 2 * 8000 * 15])
    result = run("score", tmp_path / "cut.wav", "--caller-channel", "mono", *quick)
    assert result.exit_code == 0
    (record,) = lines(result.stdout)
    assert (record["status"], record["peak_level"], record["duration_s"]) == ("scored", "escalated", 15.0)
    assert "got 15.00 s of the 18.00 s that its header announces" in record["warning"]
    assert "1 of 1 recordings are cut short; see their warning" in result.stderr
    for command in (["watch", "--speed", "1000"], ["features", "--out", str(tmp_path / "f.csv")]):
        result = run(*command, tmp_path / "cut.wav", "--caller-channel", "mono")
        assert result.exit_code == 0
        assert "got 15.00 s of the 18.00 s" in result.stderr
    assert (tmp_path / "f.windows.csv").exists()


@pytest.mark.parametrize("more", [[], ["--workers", "2"], ["--max-seconds", "9"]])
def test_standard_input(calls: Path, quick: list[str], more: list[str]) -> None:
    """A recording may come from standard input, which other processes cannot read."""
    with (calls / "angry.wav").open("rb") as recording:
        process = started("score", "-", "--caller-channel", "mono", *quick, *more, stdin=recording)
        stdout, stderr = process.communicate(timeout=120)
    if more:
        assert (process.returncode, stdout) == (2, "")
        assert "-: got what only this process can read" in stderr
        return
    (record,) = lines(stdout)
    (expected,) = lines(run("score", calls / "angry.wav", "--caller-channel", "mono", *quick).stdout)
    assert record == {**expected, "source": "-"}


def test_recordings_without_a_header(temper: np.ndarray, quick: list[str], tmp_path: Path) -> None:
    """A folder's mu-law without a header is counted, and scored once encoding and rate are given."""
    soundfile.write(tmp_path / "b.wav", temper[: 10 * 8000], 8000)
    soundfile.write(tmp_path / "a.ulaw", temper[: 18 * 8000], 8000, format="RAW", subtype="ULAW")
    command = ("score", tmp_path, "--caller-channel", "mono", *quick)
    result = run(*command)
    assert (result.exit_code, len(lines(result.stdout))) == (0, 1)
    assert "passed over 1 file: 1 .ulaw (without a header: give --encoding and --sample-rate)" in result.stderr
    result = run(*command, "--encoding", "mulaw", "--sample-rate", "8000")
    assert [record["peak_level"] for record in lines(result.stdout)] == ["escalated", "calm"]
    assert "passed over" not in result.stderr
    for alone, lacking in ((["--encoding", "mulaw"], "--sample-rate"), (["--sample-rate", "8000"], "--encoding")):
        result = run(*command, *alone)
        assert result.exit_code == 2
        assert f"got no {lacking} with it" in result.stderr


# Where the output goes


ODD_NAMES = ("appel à Łódź.wav", "→.wav", "\udce9t\udce9.wav")


@pytest.mark.skipif(os.name != "posix", reason="code pages of POSIX")
@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_any_code_page_takes_every_record(tmp_path: Path, quick: list[str], settings: dict[str, str]) -> None:
    """Records are JSON in UTF-8 whatever the terminal's code page, one for each name, and what is shown is spelled."""
    for name in ODD_NAMES:
        with open(os.fsencode(tmp_path / "a") + os.fsencode(name), "wb") as file:
            soundfile.write(file, np.zeros(8000), 8000, format="WAV")
    environment = {**os.environ, "PYTHONUTF8": "0", **settings}
    command = [sys.executable, "-m", "emotion_triage"]
    score = [*command, "score", str(tmp_path), "--caller-channel", "mono", *quick]
    result = subprocess.run(score, env=environment, capture_output=True, cwd=ROOT, check=True)
    assert len([json.loads(line) for line in result.stdout.decode("utf-8").splitlines()]) == len(ODD_NAMES)
    explain = [*command, "policy", "explain", "--level", "calm", "--standing", "clear", "--language", "fr"]
    shown = subprocess.run(explain, env=environment, capture_output=True, cwd=ROOT, check=True).stdout.decode("cp1252")
    assert "-> " in shown
    assert "general, priorit" in shown


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_cannot_be_written(calls: Path, quick: list[str]) -> None:
    """A full disk behind standard output, or one that is closed, is one line on stderr and exit code 1."""
    score = [
        sys.executable,
        "-m",
        "emotion_triage",
        "score",
        str(calls / "calm.flac"),
        "--caller-channel",
        "mono",
        *quick,
    ]
    explain = [sys.executable, "-m", "emotion_triage", "policy", "explain"]
    for command in (score, explain):
        for shell, said in (('exec "$@" > /dev/full', "No space left on device"), ('exec "$@" >&-', "it is closed")):
            result = subprocess.run(["sh", "-c", shell, "sh", *command], capture_output=True, text=True, cwd=ROOT)
            expected = f"emotion-triage: standard output cannot be written ({said}); make room, or name a file\n"
            assert (result.returncode, result.stderr) == (1, expected)


def test_a_script_without_a_guard_is_told_so(calls: Path, tmp_path: Path, model: Path) -> None:
    """A script that asks for workers outside of `if __name__ == "__main__":` ends with an error that says so."""
    (tmp_path / "script.py").write_text(
        "import emotion_triage as et\n"
        f"list(et.score([{str(calls / 'calm.flac')!r}], caller_channel='mono', model={str(model)!r}, workers=2))\n"
    )
    result = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.count("TriageError: got workers that cannot start") == 1
    assert '`if __name__ == "__main__":`' in result.stderr
