"""The command line: recordings to records and reports, a recording as it would have been heard, and what is inside."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

import emotion_triage
from emotion_triage.audio.recordings import open_recording, to_its_end
from emotion_triage.batch.feature_table import check_table_path, write_table
from emotion_triage.batch.inputs import read_spans
from emotion_triage.batch.measurements import FRAME_UNITS, WINDOW_UNITS, measure
from emotion_triage.batch.scoring import call_of_recording, events_of
from emotion_triage.call.triage import Call, Triage
from emotion_triage.errors import MissingExtraError, TriageError, TruncatedError
from emotion_triage.synthesis.demo import synthetic_caller
from emotion_triage.texts import Language, Text

try:
    import typer
    from rich.console import Console

    from emotion_triage.cli.calibrate import calibrate_command
    from emotion_triage.cli.ledger import ledger_app
    from emotion_triage.cli.log import audit_command, log_app
    from emotion_triage.cli.model import model_app
    from emotion_triage.cli.options import (
        INCOMPLETE,
        INTERRUPTED,
        WRONG_USAGE,
        CallerChannel,
        Encoding,
        LanguageOption,
        ModelPath,
        PolicyPath,
        SampleRate,
        SpansPath,
        ending,
        headerless_of,
        refuse_unnamed_caller,
    )
    from emotion_triage.cli.policy import policy_app
    from emotion_triage.cli.report import report_command
    from emotion_triage.cli.score import score_command
    from emotion_triage.cli.terminal import event_line
except ImportError as error:
    if error.name is None or error.name.partition(".")[0] not in {"typer", "rich"}:
        raise
    raise MissingExtraError(
        f"the command line needs {error.name}, which is not installed; install the extra 'cli', see docs/install.md"
    ) from None

__all__ = ["app"]

BLOCK_S = 0.1
ANNOUNCEMENT = Text(
    "demo",
    "A synthetic caller, made by a formula: no real voice. Calm for 20 s, angry for 15 s, then calmer.",
)

app = typer.Typer(
    name="emotion-triage",
    help="Hears anger and distress in a caller's voice, says why, and recommends a route.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(policy_app)
app.add_typer(model_app)
app.add_typer(ledger_app)
app.add_typer(log_app)
app.command("audit")(audit_command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emotion-triage {emotion_triage.__version__}")
        raise typer.Exit


@app.callback()
def front(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hears anger and distress in a caller's voice, says why, and recommends a route."""


app.command("score")(score_command)
app.command("report")(report_command)
app.command("calibrate")(calibrate_command)


@app.command()
def watch(
    path: Annotated[Path, typer.Argument(help="A recording; - for standard input.")],
    caller_channel: CallerChannel = None,
    spans_path: SpansPath = None,
    encoding: Encoding = None,
    sample_rate_hz: SampleRate = None,
    speed: Annotated[float, typer.Option(min=0.1, help="Times real time.")] = 1.0,
    policy_path: PolicyPath = None,
    model_path: ModelPath = None,
    language: LanguageOption = "en",
) -> None:
    """Replay a recording as if it were a call: events as they come."""
    with ending(WRONG_USAGE):
        refuse_unnamed_caller(caller_channel, spans_path)
        spans = None if spans_path is None else read_spans(spans_path).of(str(path))
        recording = open_recording(
            path,
            caller_channel=caller_channel,
            caller_spans=spans,
            headerless=headerless_of(encoding, sample_rate_hz),
        )
        triage = Triage.load(model=model_path, policy=policy_path)
        call = call_of_recording(triage)
    cut_short: list[TruncatedError] = []
    with ending(INCOMPLETE):
        blocks = to_its_end(recording.blocks(BLOCK_S), cut_short)
        _play(call, blocks, recording.duration_s if spans else 0.0, language, speed)
    for error in cut_short:
        typer.echo(f"emotion-triage: {error}", err=True)


@app.command()
def demo(
    language: LanguageOption = "en",
    speed: Annotated[
        float | None, typer.Option(min=0.1, help="Times real time; as fast as it goes by default.")
    ] = None,
) -> None:
    """Hear a synthetic caller lose their temper: events, route, reasons."""
    Console().print(ANNOUNCEMENT[language], style="bold", soft_wrap=True)
    with ending(INCOMPLETE):
        triage = Triage.load()
        call = triage.call("synthetic caller", encoding="float32")
        _play(call, synthetic_caller(BLOCK_S), 0.0, language, speed)


def _play(
    call: Call,
    blocks: Iterable[tuple[int, NDArray[np.float32]]],
    end_s: float,
    language: Language,
    speed: float | None,
) -> None:
    """Show a call's events when they would have come."""
    console = Console()
    console.print(event_line(call.route, language), soft_wrap=True)
    began_s = time.monotonic()
    try:
        for events in events_of(call, blocks, end_s=end_s):
            if speed is not None:
                time.sleep(max(0.0, began_s + call.position_s / speed - time.monotonic()))
            for event in events:
                console.print(event_line(event, language), soft_wrap=True)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@app.command()
def features(
    path: Annotated[Path | None, typer.Argument(help="A recording; - for standard input.")] = None,
    caller_channel: CallerChannel = None,
    spans_path: SpansPath = None,
    encoding: Encoding = None,
    sample_rate_hz: SampleRate = None,
    out: Annotated[
        Path | None, typer.Option(help="F.csv, .jsonl or .parquet: frames; F.windows.csv beside it: functionals.")
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="List the columns with their units instead.")] = False,
) -> None:
    """Measure a recording: descriptors of each frame, functionals of each window, units in names."""
    if names:
        for table, units in (("frames", FRAME_UNITS), ("windows", WINDOW_UNITS)):
            for name, unit in units.items():
                typer.echo(f"{table}\t{name}\t{unit}")
        return
    with ending(WRONG_USAGE):
        if path is None or out is None:
            raise TriageError("features: expected a recording and --out F.csv, .jsonl or .parquet; or --names")
        refuse_unnamed_caller(caller_channel, spans_path)
        check_table_path(out)
        spans = None if spans_path is None else read_spans(spans_path).of(str(path))
        recording = open_recording(
            path,
            caller_channel=caller_channel,
            caller_spans=spans,
            headerless=headerless_of(encoding, sample_rate_hz),
        )
    windows = []

    def frames() -> Iterator[NDArray[np.float64]]:
        try:
            for measured in measure(recording):
                windows.append(measured.windows)
                yield measured.frames
        except TruncatedError as error:
            typer.echo(f"emotion-triage: {error}", err=True)

    with ending(INCOMPLETE):
        write_table(out, FRAME_UNITS, frames())
        write_table(out.with_suffix(f".windows{out.suffix}"), WINDOW_UNITS, windows)


@app.command()
def serve(
    config_path: Annotated[Path, typer.Option("--config", help="A TOML configuration; secrets stay out of it.")],
) -> None:
    """Serve every wire, the API and the supervisor's page until SIGTERM."""
    with ending(WRONG_USAGE):
        from emotion_triage.server.config import Config
        from emotion_triage.server.processes import run

        code = run(Config.load(config_path))
    raise typer.Exit(code)
