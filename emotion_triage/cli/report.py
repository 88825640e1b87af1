"""The command ``report``: records to pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from emotion_triage.cli.options import (
    INCOMPLETE,
    WRONG_USAGE,
    Encoding,
    LanguageOption,
    PolicyPath,
    SampleRate,
    ending,
    headerless_of,
)
from emotion_triage.errors import TriageError
from emotion_triage.report.pages import write_report
from emotion_triage.routing.policy import Policy

__all__ = ["report_command"]


def report_command(
    scores: Annotated[Path, typer.Argument(help="Records that score wrote: .jsonl, .csv or .parquet.")],
    out: Annotated[Path, typer.Option(help="A folder for the pages; index.html is the batch's.")],
    language: LanguageOption = "en",
    policy_path: PolicyPath = None,
    encoding: Encoding = None,
    sample_rate_hz: SampleRate = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write into a folder that has a report.")] = False,
) -> None:
    """Write a page for each call and one for all of them; they open in a browser without a network."""
    with ending(WRONG_USAGE):
        headerless = headerless_of(encoding, sample_rate_hz)
        link = Policy.load(policy_path).report.recording_link
        if not scores.exists():
            raise TriageError(f"{scores}: got no such file, expected records; check the path")
        if (out / "index.html").exists() and not overwrite:
            raise TriageError(f"{out}: has a report already; replace it (--overwrite) or name another folder")
    console = Console(stderr=True)
    with ending(INCOMPLETE), Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        pages = 0
        for _ in write_report(scores, out, language=language, recording_link=link, headerless=headerless):
            pages += 1
            bar.update(task, description=f"{pages}", advance=1)
    typer.echo(f"{out / 'index.html'}: written, and {pages - 1} pages beside it")
