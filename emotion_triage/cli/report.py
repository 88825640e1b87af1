"""The command ``report``: records to pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from emotion_triage.cli.options import INCOMPLETE, WRONG_USAGE, LanguageOption, ending
from emotion_triage.errors import TriageError
from emotion_triage.report.pages import write_report

__all__ = ["report_command"]


def report_command(
    scores: Annotated[Path, typer.Argument(help="Records that score wrote: .jsonl, .csv or .parquet.")],
    out: Annotated[Path, typer.Option(help="A folder for the pages; index.html is the batch's.")],
    language: LanguageOption = "en",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write into a folder that has a report.")] = False,
) -> None:
    """Write a page for each call and one for all of them; they open in a browser without a network."""
    with ending(WRONG_USAGE):
        if not scores.exists():
            raise TriageError(f"{scores}: got no such file, expected records; check the path")
        if (out / "index.html").exists() and not overwrite:
            raise TriageError(f"{out}: has a report already; replace it (--overwrite) or name another folder")
    console = Console(stderr=True)
    with ending(INCOMPLETE), Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        pages = 0
        for _ in write_report(scores, out, language=language):
            pages += 1
            bar.update(task, description=f"{pages}", advance=1)
    typer.echo(f"{out / 'index.html'}: written, and {pages - 1} pages of calls beside it")
