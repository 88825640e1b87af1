"""The command line: recordings to records, a recording as it would have been heard, and what is inside."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

import emotion_triage
from emotion_triage.affect import Language
from emotion_triage.batch import Record, call_of_recording, events_of, refuse_unknown_notice, score_recordings
from emotion_triage.demo import synthetic_caller
from emotion_triage.errors import AudioError, MissingExtraError, TriageError
from emotion_triage.policy import Policy
from emotion_triage.prosody import FRAME_UNITS, WINDOW_UNITS, measure
from emotion_triage.recordings import open_recording
from emotion_triage.records import RecordFile
from emotion_triage.sources import as_text, find_recordings, read_spans
from emotion_triage.tables import check_table_path, write_table
from emotion_triage.triage import Call, Triage

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from emotion_triage.inspection import Lang, ModelPath, PolicyPath, ending, model_app, policy_app
    from emotion_triage.terminal import event_line, record_line
except ImportError as error:
    if error.name is None or error.name.partition(".")[0] not in {"typer", "rich"}:
        raise
    raise MissingExtraError(
        f"the command line needs {error.name}, which is not installed; pip install 'emotion-triage[cli]'"
    ) from None

__all__ = ["app"]

INCOMPLETE, WRONG_USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes: something could not be scored or written; nothing was begun; Ctrl-C."""
BLOCK_S = 0.1
ANNOUNCEMENT = {
    "en": "A synthetic caller, made by a formula: no real voice. Calm for 20 s, angry for 15 s, then calmer.",
    "fr": "Un appelant synthétique, fait d'une formule : aucune voix réelle. Calme 20 s, en colère 15 s, puis apaisé.",
}

CallerChannel = Annotated[
    Literal["left", "right", "mono"] | None,
    typer.Option(help="The caller's side; mono: a file of the caller alone. The agent is never scored."),
]
SpansPath = Annotated[
    Path | None,
    typer.Option(
        "--caller-spans", help="CSV or JSON of source,start_s,end_s: when the caller speaks in a mono file of both."
    ),
]

app = typer.Typer(
    name="emotion-triage",
    help="Hears anger and distress in a caller's voice, says why, and recommends a route.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(policy_app)
app.add_typer(model_app)


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


@app.command()
def score(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Recordings, folders or quoted globs.")],
    caller_channel: CallerChannel = None,
    spans_path: SpansPath = None,
    policy_path: PolicyPath = None,
    model_path: ModelPath = None,
    out: Annotated[
        Path | None, typer.Option(help="A .jsonl, .csv or .parquet file; without it, JSON lines on stdout.")
    ] = None,
    min_speech_s: Annotated[
        float | None,
        typer.Option(
            help="The policy's escalation.min_speech_s, for this run: speech in a window of 3 s to be scored."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; records are the same for any number.")] = 1,
    lang: Lang = "en",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with --out where a run stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Score recordings: one record each.

    Ends with 0 if all were scored, 1 if some could not be (their records say why), 2 if nothing was begun.
    """
    with ending(WRONG_USAGE):
        if resume and (overwrite or out is None):
            raise TriageError(
                f"--resume: got {'--overwrite' if overwrite else 'no --out'}, expected a file to go on with"
            )
        _refuse_unsaid_caller(caller_channel, spans_path)
        sources = find_recordings(paths)
        spans = None if spans_path is None else read_spans(spans_path)
        triage = Triage.load(model=model_path, policy=_policy(policy_path, min_speech_s))
        refuse_unknown_notice(triage.policy)
        records = None
        if out is not None:
            records = RecordFile(
                out,
                mode="resume" if resume else "overwrite" if overwrite else "new",
                model_digest=triage.classifier.digest,
                policy_digest=triage.policy.digest,
                caller_channel=caller_channel,
            )
        left = [source for source in sources if records is None or as_text(source) not in records.done]
        scored = score_recordings(
            triage, left, caller_channel=caller_channel, caller_spans=spans, workers=workers, language=lang
        )
    failed = 0
    # one terminal, one console: a bar and lines from two of them would write over each other
    console = Console(stderr=out is not None or not sys.stdout.isatty())
    with ending(INCOMPLETE), records or nullcontext():
        try:
            for record in _with_progress(scored, left, console):
                failed += record.status == "error"
                if records is not None:
                    records.append(record)
                else:
                    _show(record, lang, console)
            if records is not None:
                records.finish()
                failed = records.failed
        except KeyboardInterrupt:
            kept = "" if records is None else f"; {len(records.done)} records are kept: go on with --resume"
            typer.echo(f"emotion-triage: stopped{kept}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if failed:
        typer.echo(
            f"emotion-triage: {failed} of {len(sources)} recordings could not be scored; see their error", err=True
        )
        raise typer.Exit(INCOMPLETE)


def _refuse_unsaid_caller(caller_channel: str | None, spans_path: Path | None) -> None:
    if caller_channel is None and spans_path is None:
        raise AudioError(
            "got no caller channel, expected --caller-channel left, right or mono: only the caller is scored, never "
            "the agent; for a mono file of both sides, give --caller-spans"
        )


def _policy(path: Path | None, min_speech_s: float | None) -> Policy:
    policy = Policy.load(path)
    if min_speech_s is None:
        return policy
    settings = msgspec.to_builtins(policy)
    settings["escalation"]["min_speech_s"] = min_speech_s
    try:
        return msgspec.convert(settings, Policy)
    except msgspec.ValidationError:
        raise TriageError(
            f"--min-speech-s: got {min_speech_s:g}, expected seconds above 0, at most the 3 s of a window"
        ) from None


def _with_progress(scored: Iterator[Record], sources: list[str], console: Console) -> Iterator[Record]:
    """Pass records through, with a bar on a terminal and nothing elsewhere; time left is told by bytes."""
    if not console.is_terminal:
        yield from scored
        return
    sizes = [os.path.getsize(source) if os.path.isfile(source) else 0 for source in sources]
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    # what is piped from stdout must not be taken for the terminal's
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=sum(sizes), done=f"0/{len(sources)}")
        for count, (record, size) in enumerate(zip(scored, sizes, strict=True), 1):
            yield record
            bar.update(task, advance=size, done=f"{count}/{len(sources)}")


def _show(record: Record, language: Language, console: Console) -> None:
    if console.stderr:
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        sys.stdout.flush()
    else:
        console.print(record_line(record, language), soft_wrap=True)


@app.command()
def watch(
    path: Annotated[Path, typer.Argument(help="A recording.")],
    caller_channel: CallerChannel = None,
    spans_path: SpansPath = None,
    speed: Annotated[float, typer.Option(min=0.1, help="Times real time.")] = 1.0,
    policy_path: PolicyPath = None,
    model_path: ModelPath = None,
    lang: Lang = "en",
) -> None:
    """Replay a recording as if it were a call: events as they come."""
    with ending(WRONG_USAGE):
        _refuse_unsaid_caller(caller_channel, spans_path)
        spans = None if spans_path is None else read_spans(spans_path).of(str(path))
        recording = open_recording(path, caller_channel=caller_channel, caller_spans=spans)
        triage = Triage.load(model=model_path, policy=policy_path)
        call = call_of_recording(triage, recording.path)
    with ending(INCOMPLETE):
        _play(call, recording.blocks(BLOCK_S), recording.duration_s if spans else 0.0, lang, speed)


@app.command()
def demo(
    lang: Lang = "en",
    speed: Annotated[
        float | None, typer.Option(min=0.1, help="Times real time; as fast as it goes by default.")
    ] = None,
) -> None:
    """Hear a synthetic caller lose his temper: events, route, reasons."""
    Console().print(ANNOUNCEMENT[lang], style="bold", soft_wrap=True)
    with ending(INCOMPLETE):
        triage = Triage.load()
        call = triage.call("synthetic caller", encoding="float32")
        _play(call, synthetic_caller(BLOCK_S), 0.0, lang, speed)


def _play(
    call: Call,
    blocks: Iterable[tuple[int, NDArray[np.float32]]],
    end_s: float,
    lang: Language,
    speed: float | None,
) -> None:
    """Show a call's events when they would have come."""
    console = Console()
    console.print(event_line(call.route, lang), soft_wrap=True)
    began_s = time.monotonic()
    try:
        for events in events_of(call, blocks, end_s=end_s):
            if speed is not None:
                time.sleep(max(0.0, began_s + call.position_s / speed - time.monotonic()))
            for event in events:
                console.print(event_line(event, lang), soft_wrap=True)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@app.command()
def features(
    path: Annotated[Path | None, typer.Argument(help="A recording.")] = None,
    caller_channel: CallerChannel = None,
    spans_path: SpansPath = None,
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
        _refuse_unsaid_caller(caller_channel, spans_path)
        check_table_path(out)
        spans = None if spans_path is None else read_spans(spans_path).of(str(path))
        recording = open_recording(path, caller_channel=caller_channel, caller_spans=spans)
    windows = []

    def frames() -> Iterator[NDArray[np.float64]]:
        for measured in measure(recording):
            windows.append(measured.windows)
            yield measured.frames

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
