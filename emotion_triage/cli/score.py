"""The command ``score``: recordings to records, few or many, on this machine or on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from emotion_triage.audio.decoding import is_of_this_process
from emotion_triage.batch.dask import check_cluster, cluster_address, run_on_cluster
from emotion_triage.batch.inputs import as_text, find, read_spans
from emotion_triage.batch.manifests import find_manifest, read_manifest
from emotion_triage.batch.record import Record
from emotion_triage.batch.result_file import RecordFile
from emotion_triage.batch.scoring import ScoringOptions, refuse_unknown_notice, run_locally
from emotion_triage.call.triage import Triage
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
from emotion_triage.cli.progress import with_progress
from emotion_triage.cli.terminal import record_line
from emotion_triage.errors import AudioError, TriageError
from emotion_triage.routing.policy import Policy
from emotion_triage.texts import Language

__all__ = ["score_command"]


def score_command(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Recordings, folders, quoted globs, here or at s3://, gs://...; - is standard input; or one manifest.",
        ),
    ],
    caller_channel: CallerChannel = None,
    spans_path: SpansPath = None,
    encoding: Encoding = None,
    sample_rate_hz: SampleRate = None,
    policy_path: PolicyPath = None,
    model_path: ModelPath = None,
    out: Annotated[
        str | None,
        typer.Option(help="A .jsonl, .csv or .parquet file, here or at s3://...; without it, JSON lines on stdout."),
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="Timelines too, in F.events.jsonl beside --out.")] = False,
    partition_by: Annotated[
        Literal["day", "month"] | None, typer.Option(help="Write .parquet as a folder with one for each.")
    ] = None,
    min_speech_s: Annotated[
        float | None,
        typer.Option(
            help="The policy's escalation.min_speech_s, for this run: speech in a window of 3 s to be scored."
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or dask://HOST:PORT of a scheduler.")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Local processes; records are the same for any number.")] = 1,
    max_seconds: Annotated[float | None, typer.Option(min=0.001, help="Longest time one recording may take.")] = None,
    max_memory: Annotated[
        int | None, typer.Option(min=1, help="MiB that one recording may take; local, on Linux.")
    ] = None,
    language: LanguageOption = "en",
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
        if out is None and (events or partition_by):
            raise TriageError(f"{'--events' if events else '--partition-by'}: got no --out, expected a file to write")
        if engine != "local":
            cluster_address(engine)
            if workers > 1 or max_memory is not None:
                raise TriageError(
                    f"--engine {engine}: got --workers or --max-memory, which are of this machine; set them where the "
                    "cluster's workers are started"
                )
        listed = find_manifest(paths)
        if listed is None:
            refuse_unnamed_caller(caller_channel, spans_path)
        manifest = None if listed is None else read_manifest(listed)
        spans = None if spans_path is None else read_spans(spans_path)
        channels: Mapping[str, str] = {}
        if manifest is not None:
            if spans is not None and manifest.spans is not None:
                raise AudioError(
                    f"{spans_path}: got caller spans here and in {listed}, expected one of both; leave one out"
                )
            spans, channels = spans or manifest.spans, manifest.channels
            if spans is None and not channels:
                refuse_unnamed_caller(caller_channel, spans_path)
        headerless = headerless_of(encoding, sample_rate_hz)
        found = None
        if manifest is None:
            found = find(paths, headerless=headerless is not None)
        sources = list(manifest.sources) if manifest is not None else found.recordings if found is not None else []
        if (workers > 1 or max_seconds is not None or max_memory is not None or engine != "local") and (
            only_here := [source for source in sources if is_of_this_process(source)]
        ):
            raise AudioError(
                f"{only_here[0]}: got what only this process can read, expected a file; leave out --workers, --engine "
                "and limits"
            )
        triage = Triage.load(model=model_path, policy=_policy(policy_path, min_speech_s))
        refuse_unknown_notice(triage.policy)
        if engine != "local":
            check_cluster(engine)
        records = None
        if out is not None:
            records = RecordFile(
                out,
                mode="resume" if resume else "overwrite" if overwrite else "new",
                model_digest=triage.classifier.digest,
                policy_digest=triage.policy.digest,
                caller_channel=caller_channel,
                channels={as_text(source): channel for source, channel in channels.items()},
                events=events,
                partition_by=partition_by,
            )
        left = [source for source in sources if records is None or as_text(source) not in records.done]
        options = ScoringOptions(
            caller_channel=caller_channel,
            caller_spans=spans,
            channels=channels,
            headerless=headerless,
            language=language,
            max_seconds=max_seconds,
            timeline=records.log_suffix if records is not None and events else None,
        )
        scored = (
            run_locally(triage, options, left, workers=workers, max_memory_mib=max_memory)
            if engine == "local"
            else run_on_cluster(triage, options, left, engine=engine)
        )
    passed_over = None if found is None else found.in_words()
    for note in (passed_over,) if passed_over else () if manifest is None else manifest.notes:
        typer.echo(f"emotion-triage: {note}", err=True)
    failed = cut_short = 0
    # one terminal, one console: a bar and lines from two of them would write over each other
    console = Console(stderr=out is not None or not sys.stdout.isatty())
    with ending(INCOMPLETE), records or nullcontext():
        try:
            for each in with_progress(scored, left, console):
                record = each.record if manifest is None else manifest.annotated(each.record)
                failed += record.status == "error"
                cut_short += record.warning is not None
                if records is not None:
                    records.append(record, each.timeline)
                else:
                    _show(record, language, console)
            if records is not None:
                records.finish()
                failed = records.failed
        except KeyboardInterrupt:
            kept = "" if records is None else f"; {len(records.done)} records are kept: go on with --resume"
            typer.echo(f"emotion-triage: stopped{kept}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if cut_short:
        typer.echo(
            f"emotion-triage: {cut_short} of {len(sources)} recordings are cut short; see their warning", err=True
        )
    if failed:
        typer.echo(
            f"emotion-triage: {failed} of {len(sources)} recordings could not be scored; see their error", err=True
        )
        raise typer.Exit(INCOMPLETE)


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


def _show(record: Record, language: Language, console: Console) -> None:
    if console.stderr:
        typer.echo(msgspec.json.encode(record))  # bytes: JSON is UTF-8, whatever the terminal's code page
    else:
        console.print(record_line(record, language), soft_wrap=True)
