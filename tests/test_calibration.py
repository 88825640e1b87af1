"""Slopes, shifts and thresholds from labelled windows: found again where they are known, refused where they are not."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from emotion_triage.affect.affect import Affect, log_odds
from emotion_triage.affect.classifier import default_model_path
from emotion_triage.calibration.fit import (
    MIN_CALLERS,
    Calibration,
    Platt,
    calibrate,
    calibrated_policy,
    compare,
    refuse_too_little,
)
from emotion_triage.calibration.labelled import COLUMNS, Labelled, read_labelled
from emotion_triage.cli.app import app
from emotion_triage.errors import TriageError
from emotion_triage.routing.escalation import Escalator
from emotion_triage.routing.policy import Policy
from emotion_triage.synthesis.speech import synthetic_speech

BALANCED = Policy.load().escalation
THRESHOLDS = ("tense_onset", "tense_offset", "escalated_onset", "escalated_offset")


def site(
    n_callers: int = 60,
    per_caller: int = 40,
    *,
    slope: float = 0.6,
    shift: float = -0.8,
    caller_spread: float = 0.0,
    seed: int = 0,
) -> Labelled:
    """Windows of a site where a model's log-odds z mean a probability of anger of ``slope * z + shift``."""
    rng = np.random.default_rng(seed)
    caller = np.repeat(np.arange(n_callers), per_caller)
    alone = rng.normal(0.0, 2.0, len(caller))
    own = rng.normal(0.0, caller_spread, n_callers)[caller]
    angry = rng.random(len(caller)) < 1.0 / (1.0 + np.exp(-(slope * alone + shift + own)))
    against = np.where(np.arange(len(caller)) % per_caller < 5, np.nan, alone + rng.normal(0.0, 0.3, len(caller)))
    return Labelled(caller, angry, alone, against)


def written(path: Path, windows: Labelled) -> Path:
    """Write windows as a site would: what ``score --events`` says, and two columns more."""

    def ratio(odds: float) -> float:
        return round(1.0 / (1.0 + math.exp(-odds)), 3)

    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["source", "kind", "caller", "angry", "anger", "anger_alone"])
        for caller, angry, alone, against in zip(*windows[:4], strict=True):
            known = not math.isnan(against)
            scores = [ratio(against), ratio(alone)] if known else [ratio(alone), ""]
            table.writerow([f"{caller}.wav", "affect", f"c{caller}", "yes" if angry else "no", *scores])
        table.writerow(["1.wav", "gap", "c1", "", "", ""])
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)])
    return result.exit_code, result.output


# Fitting


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.4, -1.5), (2.0, 1.0)])
def test_what_was_put_in_is_found_again(slope: float, shift: float) -> None:
    """The slope and shift by which labels were drawn come out of the fit."""
    fitted = calibrate(site(400, slope=slope, shift=shift), false_alarm_rate=0.05)
    assert fitted.anger_alone.slope == pytest.approx(slope, abs=0.1)
    assert fitted.anger_alone.shift == pytest.approx(shift, abs=0.1)


def test_the_fit_is_the_logistic_regression_of_scikit_learn() -> None:
    """With labels enough for Platt's targets to be 0 and 1, scikit-learn's unpenalised regression agrees."""
    windows = site(300)
    fitted = calibrate(windows, false_alarm_rate=0.05).anger_alone
    peer = LogisticRegression(C=1e6, tol=1e-8).fit(windows.alone[:, None], windows.angry)
    assert fitted.slope == pytest.approx(peer.coef_[0, 0], abs=2e-3)
    assert fitted.shift == pytest.approx(peer.intercept_[0], abs=2e-3)


@settings(max_examples=30, deadline=None)
@given(rate=st.floats(0.01, 0.4), seed=st.integers(0, 99), coarse=st.booleans())
def test_the_onset_lets_no_more_pass_than_asked(rate: float, seed: int, coarse: bool) -> None:
    """As many windows without anger as asked reach the onset, or fewer, and a hair below it more would."""
    windows = site(30, seed=seed)
    if coarse:
        windows = windows._replace(alone=np.round(windows.alone), against=np.round(windows.against))
    fitted = calibrate(windows, false_alarm_rate=rate)
    other = ~windows.angry
    assert fitted.raised(windows)[other].mean() <= rate
    evidence = fitted.evidence(windows)
    below = float(log_odds(fitted.escalated_onset - 2e-6))
    next_level = evidence[other & (evidence < below)].max()
    assert (evidence[other] >= next_level).mean() > rate


def test_labels_that_separate_still_fit() -> None:
    """Where every angry window scores above every other, the slope stays finite."""
    windows = site()
    windows = windows._replace(angry=windows.alone > 0.5)
    assert 0.0 < calibrate(windows, false_alarm_rate=0.05).anger_alone.slope < 100.0


def test_scores_against_the_labels_are_refused() -> None:
    """A model that scores anger lower than calm is not turned around in secret."""
    windows = site()
    with pytest.raises(TriageError, match="no higher where people heard anger"):
        calibrate(windows._replace(angry=~windows.angry), false_alarm_rate=0.05)


# The policy


def test_the_escalator_scores_as_fitted() -> None:
    """A policy with the fitted keys gives each window the score that the calibration does."""
    fitted = calibrate(site(), false_alarm_rate=0.05)
    keys = calibrated_policy(BALANCED, fitted)
    policy = msgspec.structs.replace(BALANCED, smoothing_s=0.0, **keys)
    for alone, against in ((-1.0, np.nan), (0.5, 2.0), (2.0, -3.0)):
        window = Labelled(np.zeros(1, np.intp), np.zeros(1, bool), np.array([alone]), np.array([against]))
        ratios = [1.0 / (1.0 + math.exp(-odds)) for odds in (alone, against)]
        escalator = Escalator(policy)
        affect = Affect(time_s=1.0, anger=0.5, distress=0.0, arousal=0.0, speech_s=2.0, lost_s=0.0)
        relative = None if math.isnan(against) else ratios[1]
        escalator.push(affect, absolute=ratios[0], relative=relative, new_speech_s=0.5)
        assert math.log(escalator.score / (1 - escalator.score)) == pytest.approx(fitted.evidence(window)[0])


@pytest.mark.parametrize("onset", [0.03, 0.5, 0.97])
def test_the_other_thresholds_move_along(onset: float) -> None:
    """All thresholds keep their order and their distances in log-odds, wherever the onset goes."""
    platt = Platt(slope=1.0, shift=0.0)
    keys = calibrated_policy(
        BALANCED, Calibration(anger_alone=platt, anger_against_baseline=platt, escalated_onset=onset)
    )
    moved = [float(log_odds(keys[name]) - log_odds(getattr(BALANCED, name))) for name in THRESHOLDS]
    assert max(moved) - min(moved) < 1e-3
    Policy.parse("[escalation]\n" + "\n".join(f"{name} = {value}" for name, value in keys.items()))


# Before and after


def test_a_wrong_model_is_put_right_on_callers_left_out() -> None:
    """Where the model is far too sure, calibration errors and false alarms fall, surely, on callers left out."""
    figures = compare(site(120, slope=0.3, shift=-1.5), BALANCED, false_alarm_rate=0.05)
    for name in ("calibration error, anger alone", "Brier score, anger against baseline", "false-alarm rate"):
        assert figures[name].difference.high < 0.0
    assert figures["false-alarm rate"].after.value == pytest.approx(0.05, abs=0.02)


def test_a_right_model_is_left_as_it_is() -> None:
    """Where the model's probabilities are right, the Brier score does not change beyond what chance does."""
    difference = compare(site(120, slope=1.0, shift=0.0), BALANCED, false_alarm_rate=0.05)["Brier score, anger alone"]
    assert abs(difference.difference.value) < 0.005


def test_intervals_are_over_callers() -> None:
    """Windows that repeat within their callers narrow no interval; callers that differ widen it."""
    few = site(60, 10, caller_spread=2.0)
    repeated = Labelled(*(np.repeat(column, 9) for column in few[:4]))
    alike = site(60, 10)
    name = "Brier score, anger alone"

    def width(windows: Labelled) -> float:
        figure = compare(windows, BALANCED, false_alarm_rate=0.1)[name].before
        return figure.high - figure.low

    assert width(repeated) == pytest.approx(width(few), rel=0.05)
    assert width(few) > width(alike)


@pytest.mark.parametrize("lacking", ["callers", "angry", "baseline", "other"])
def test_too_little_is_refused_with_the_number_needed(lacking: str) -> None:
    """Too few callers or windows of either kind, or with a baseline, are refused, with how many it takes."""
    windows = site(MIN_CALLERS - 1) if lacking == "callers" else site()
    if lacking == "angry":
        windows = windows._replace(angry=windows.angry & (windows.caller < 3))
    if lacking == "baseline":
        windows = windows._replace(against=np.full(len(windows.alone), np.nan))
    refuse_too_little(site(), 0.05)
    with pytest.raises(TriageError, match=f"of {MIN_CALLERS} are needed|where 100000 of"):
        refuse_too_little(windows, 0.0001 if lacking == "other" else 0.05)


# Tables


def test_every_format_reads_alike(tmp_path: Path) -> None:
    """CSV, JSON lines and Parquet give the same windows; rows without a label are counted and left out."""
    windows = site(30)
    path = written(tmp_path / "labelled.csv", windows)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    typed = [
        {"caller": row["caller"], "angry": {"yes": True, "no": False}.get(row["angry"])}
        | {name: float(row[name]) for name in ("anger", "anger_alone") if row[name]}
        for row in rows
    ]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in typed))
    kinds = ("string", "bool_", "float64", "float64")
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in zip(COLUMNS, kinds, strict=True)])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(typed, schema), tmp_path / "labelled.parquet")
    read = read_labelled(path)
    assert read.unlabelled == 1
    np.testing.assert_array_equal(read.angry, windows.angry)
    np.testing.assert_array_equal(np.isnan(read.against), np.isnan(windows.against))
    near = np.abs(windows.alone) < 4
    np.testing.assert_allclose(read.alone[near], windows.alone[near], atol=0.03)
    for suffix in (".jsonl", ".parquet"):
        for mine, other in zip(read_labelled(path.with_suffix(suffix)), read, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("caller,angry,anger\nc1,yes,0.5\n", "no column anger_alone"),
        ("caller,angry,anger,anger_alone\nc1,perhaps,0.5,\n", "row 2: got angry 'perhaps', expected yes or no"),
        ("caller,angry,anger,anger_alone\nc1,yes,1.5,\n", "got anger 1.5, expected a score from 0 to 1"),
        (
            "caller,angry,anger,anger_alone\nc1,yes,much,\n",
            "row 2: could not convert string to float: 'much'; expected scores",
        ),
        ("caller,angry,anger,anger_alone\n,yes,0.5,\n", "got no caller"),
        ("", "got the columns nothing, expected some of caller, angry"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """What cannot be meant is refused, with the row and what was expected."""
    path = tmp_path / "labelled.csv"
    path.write_text(text)
    with pytest.raises(TriageError, match=re.escape(told)):
        read_labelled(path)


TABLE = "caller,angry,anger,anger_alone\nc1,yes,0.75,0.5\nc2,no,0.25,\n"


@pytest.mark.parametrize(
    "written",
    [
        TABLE.encode(),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.replace(",", ", ").encode(),
        TABLE.replace("caller,angry,anger,anger_alone", "Caller,ANGRY,Anger,Anger Alone").encode(),
        TABLE.replace(",", ";").replace("0.", "0,").encode(),
        b"sep=;\r\n" + TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode("utf-16"),
    ],
    ids=["plain", "BOM", "spaces", "capitals", "decimal commas", "sep=", "tabs in UTF-16"],
)
def test_a_table_as_spreadsheets_write_it(tmp_path: Path, written: bytes) -> None:
    """Labels read as manifests do: the same windows, whatever wrote the table."""
    path = tmp_path / "labelled.csv"
    path.write_bytes(written)
    read = read_labelled(path)
    assert (read.caller.tolist(), read.angry.tolist()) == ([0, 1], [True, False])
    np.testing.assert_allclose(read.alone, [0.0, -np.log(3.0)], atol=1e-12)
    np.testing.assert_allclose(read.against, [np.log(3.0), np.nan], atol=1e-12)


# The command


def test_the_command_writes_a_policy_and_its_figures(tmp_path: Path) -> None:
    """A sound policy and its figures are written, the model is untouched, and no caller is named anywhere."""
    table = written(tmp_path / "labelled.csv", site(60, slope=0.4))
    model = hashlib.sha256(default_model_path().read_bytes()).hexdigest()
    code, told = run(table, "--out", tmp_path / "mine")
    assert code == 0, told
    policy = Policy.load(tmp_path / "mine" / "policy.toml")
    report = json.loads((tmp_path / "mine" / "calibration.json").read_text())
    assert report["policy_digest_after"] == policy.digest != report["policy_digest_before"] == Policy.load().digest
    assert report["fitted"]["anger_alone"]["slope"] == policy.escalation.absolute_slope == pytest.approx(0.4, abs=0.1)
    assert report["model_digest"] == model == hashlib.sha256(default_model_path().read_bytes()).hexdigest()
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["calibration.json", "policy.toml"]
    assert "hit rate" in told
    for text in (told, *(path.read_text() for path in (tmp_path / "mine").iterdir())):
        assert not re.search(r"\bc\d+\b", text)
    code, told = run(table, "--out", tmp_path / "mine")
    assert code == 2
    assert "--overwrite" in told


def test_a_policy_of_ones_own_keeps_its_words(tmp_path: Path) -> None:
    """What the site's policy says besides stays, comments included."""
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "night shift"\n\n[escalation]\n# longer music here\nhold_s = 30\nrelative_shift = 2.0\n')
    table = written(tmp_path / "labelled.csv", site())
    code, told = run(table, "--out", tmp_path / "out", "--policy", mine)
    assert code == 0, told
    text = (tmp_path / "out" / "policy.toml").read_text()
    assert "# longer music here" in text
    policy = Policy.load(tmp_path / "out" / "policy.toml")
    assert (policy.name, policy.escalation.hold_s) == ("night shift", 30)
    assert policy.escalation.relative_shift != 2.0


def test_a_preset_can_be_calibrated(tmp_path: Path) -> None:
    """A preset's name stands for its policy, as everywhere."""
    table = written(tmp_path / "labelled.csv", site())
    code, told = run(table, "--out", tmp_path / "out", "--policy", "cautious")
    assert code == 0, told
    assert Policy.load(tmp_path / "out" / "policy.toml").name == "cautious"


def test_the_command_refuses_too_little(tmp_path: Path) -> None:
    """Too little data ends with 2, and nothing is written."""
    code, told = run(written(tmp_path / "labelled.csv", site(5)), "--out", tmp_path / "mine")
    assert code == 2
    assert "label more calls" in told
    assert not (tmp_path / "mine").exists()


def test_a_scored_recording_can_be_labelled(tmp_path: Path) -> None:
    """What ``score --events`` writes reads as it is: both angers once the caller has a baseline, one before."""
    caller = np.concatenate([synthetic_speech(18.0, mood="calm", seed=1), synthetic_speech(6.0, mood="angry", seed=1)])
    soundfile.write(tmp_path / "caller.wav", caller, 8000)
    out = tmp_path / "scores.csv"
    command = ["score", str(tmp_path / "caller.wav"), "--caller-channel", "mono", "--out", str(out), "--events"]
    assert CliRunner().invoke(app, command).exit_code == 0
    with out.with_suffix(".events.csv").open(newline="") as file:
        rows = [row | {"caller": "c1", "angry": "no"} for row in csv.DictReader(file)]
    with (tmp_path / "labelled.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    read = read_labelled(tmp_path / "labelled.csv")
    known = ~np.isnan(read.against)
    assert len(known) == sum(row["kind"] == "affect" for row in rows)
    assert not known[:10].any()
    assert known[-5:].all()
    assert (read.alone[-5:] != read.against[-5:]).all()
