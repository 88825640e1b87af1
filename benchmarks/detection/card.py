"""The benchmark's part of a model card: every table that a results file keeps, what was asked, two plots."""

from __future__ import annotations

from pathlib import Path

from benchmarks.detection.asked import asked
from benchmarks.detection.results import Found
from emotion_triage.errors import TriageError
from emotion_triage.training.card import MEASURED, before_measured

__all__ = ["fill", "part", "trained"]

HEADINGS = {
    "corpora": "Corpora and speakers never heard",
    "peers": "Beside peers",
    "rivals": "Beside eGeMAPS on composed calls",
    "presets": "Policies on composed calls",
    "calls": "Composed calls, corpus by corpus",
    "calibration": "Calibration",
    "lines": "Lines",
    "not_speech": "What is not speech, and prompts",
    "groups": "Women, men, languages",
    "learning": "Learning curves",
}
"""Protocols in the order of the card."""
PLOTS = ("calibration", "learning")


def trained(card: Path, digest: str) -> str:
    """Return what training wrote of a card.

    Raises
    ------
    TriageError
        If there is no card, or it is of another model.
    """
    try:
        text = before_measured(card.read_text(encoding="utf-8"))
    except OSError as error:
        raise TriageError(f"{card}: {error.strerror}; expected a card that training wrote") from None
    if digest not in text:
        raise TriageError(
            f"{card}: expected the card of the model measured, {digest[:12]}, got another's; name it with --model"
        )
    return text


def fill(card: Path, digest: str, results: dict[str, Found]) -> None:
    """Write the benchmark's part into a card, and its plots beside it."""
    from benchmarks.detection.plots import draw

    text = trained(card, digest)
    plots = draw({name: each.tables for name, each in results.items()}, card.parent, f"{card.stem}-", PLOTS)
    card.write_text(text + part(digest, results, plots), encoding="utf-8")


def part(digest: str, results: dict[str, Found], plots: list[str]) -> str:
    """Return the part in Markdown."""
    found = asked([table for each in results.values() for table in each.tables])
    pieces = [
        MEASURED.format(digest=digest),
        "## Measured by the benchmark",
        "Written by `python -m benchmarks.detection CORPORA --json RESULTS --card CARD`; no figure in it was typed. "
        "Every score is of a model made by the same training that heard neither the corpus nor the speaker, "
        "unless a table says that it is of the model that ships. Figures stand with 95 % intervals.",
        "### What was asked, and where it falls short",
        found.as_markdown(),
    ]
    for name, heading in HEADINGS.items():
        if name in results:
            pieces += [f"### {heading}", circumstances(name, results[name])]
            pieces += [f"![{heading}]({plot})" for plot in plots if plot.endswith(f"-{name}.png")]
            pieces += [table.as_markdown() for table in results[name].tables]
    return "\n\n".join(pieces) + "\n"


def circumstances(name: str, found: Found) -> str:
    """Return which run printed a protocol's tables."""
    of = found.of
    return (
        f"`--only {name} --passes {of['passes']} --calls {of['calls']} --seed {of['seed']}`, "
        f"policy {of['policy']}, manifests `{str(of['corpora'])[:12]}`."
    )
