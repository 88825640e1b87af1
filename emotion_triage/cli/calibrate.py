"""The command ``calibrate``: labelled windows to a policy and the figures behind it; the model is never touched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from emotion_triage.affect.classifier import Classifier
from emotion_triage.calibration.fit import (
    Calibration,
    Change,
    calibrate,
    calibrated_policy,
    compare,
    refuse_too_little,
)
from emotion_triage.calibration.labelled import read_labelled
from emotion_triage.cli.options import WRONG_USAGE, ModelPath, PolicyPath, ending
from emotion_triage.errors import MissingExtraError, TriageError
from emotion_triage.routing.policy import PRESETS, Policy, policy_text

__all__ = ["Report", "calibrate_command"]

PIPE_CELLS = 120
"""Width of the table where no terminal says how wide it is."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``calibration.json`` holds.

    Attributes
    ----------
    schema : int
        Version of the format.
    model_digest : str
        The model whose scores were labelled: SHA-256.
    policy_digest_before, policy_digest_after : str
        The policy it started from and the one it wrote.
    callers, windows, angry_windows : int
        What it was fitted to.
    false_alarm_rate : float
        As asked for.
    fitted : Calibration
    figures : dict of str to Change
        On callers left out.
    """

    schema: int = 1
    model_digest: str
    policy_digest_before: str
    policy_digest_after: str
    callers: int
    windows: int
    angry_windows: int
    false_alarm_rate: float
    fitted: Calibration
    figures: dict[str, Change]


def calibrate_command(
    labelled: Annotated[
        Path,
        typer.Argument(
            help=".csv, .jsonl or .parquet: rows of score --events, with columns caller and angry (yes, no)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder for policy.toml and calibration.json.")],
    policy_path: PolicyPath = None,
    model_path: ModelPath = None,
    false_alarm_rate: Annotated[
        float,
        typer.Option(min=0.001, max=0.5, help="Of windows without anger: how many may reach ESCALATED's onset."),
    ] = 0.01,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the folder has.")] = False,
) -> None:
    """Fit a policy's slopes, shifts and thresholds to calls that people labelled."""
    with ending(WRONG_USAGE):
        files = [out / "policy.toml", out / "calibration.json"]
        if not overwrite and (there := [file for file in files if file.exists()]):
            raise TriageError(f"{there[0]}: exists already; replace it (--overwrite) or name another folder")
        before = Policy.load(policy_path)
        model_digest = Classifier.load(model_path).digest
        windows = read_labelled(labelled)
        refuse_too_little(windows, false_alarm_rate)
        fitted = calibrate(windows, false_alarm_rate=false_alarm_rate)
        text = _policy_text(policy_path, calibrated_policy(before.escalation, fitted), model_digest)
        after = Policy.parse(text, source=str(files[0]))
        figures = compare(windows, before.escalation, false_alarm_rate=false_alarm_rate)
        report = Report(
            model_digest=model_digest,
            policy_digest_before=before.digest,
            policy_digest_after=after.digest,
            callers=int(windows.caller.max()) + 1,
            windows=len(windows.angry),
            angry_windows=int(windows.angry.sum()),
            false_alarm_rate=false_alarm_rate,
            fitted=fitted,
            figures=figures,
        )
        try:
            out.mkdir(parents=True, exist_ok=True)
            files[0].write_text(text, encoding="utf-8")
            files[1].write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        except OSError as error:
            raise TriageError(f"{out}: cannot be written ({error.strerror}); check the folder") from None
    _show(report, windows.unlabelled)
    typer.echo(f"{files[0]}: written, for the model {model_digest[:12]} alone; figures in {files[1].name} beside it")


def _policy_text(path: Path | None, settings: dict[str, float], model_digest: str) -> str:
    """Return a policy as it was written, comments and all, with other settings; without one, the settings alone."""
    try:
        import tomlkit
    except ImportError:
        raise MissingExtraError(
            "calibrate needs tomlkit, which is not installed; install the extra 'cli', see docs/install.md"
        ) from None
    if path is None:
        document = tomlkit.document()
        document["name"] = "calibrated"
    else:
        preset = str(path) in PRESETS and not path.exists()
        document = tomlkit.parse(policy_text(str(path)) if preset else path.read_text(encoding="utf-8-sig"))
    table = document.setdefault("escalation", tomlkit.table())
    table.comment(f"fitted by emotion-triage calibrate, for the model {model_digest[:12]} alone")
    for name, value in settings.items():
        table[name] = value
    return document.as_string()


def _show(report: Report, unlabelled: int) -> None:
    typer.echo(
        f"{report.windows} windows of {report.callers} callers, {report.angry_windows} of them angry; "
        f"{unlabelled} rows without a label or score left out"
    )
    table = Table("on callers left out", "before", "after", "difference", box=None, pad_edge=False)
    for name, change in report.figures.items():
        table.add_row(name, str(change.before), str(change.after), str(change.difference))
    Console(width=None if sys.stdout.isatty() else PIPE_CELLS, highlight=False, markup=False).print(table)
