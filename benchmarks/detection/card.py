"""The benchmark's part of a model card: every table that a results file keeps, what was asked, two plots."""

from __future__ import annotations

from pathlib import Path

from benchmarks.detection.asked import asked, value
from benchmarks.detection.results import Found
from emotion_triage.errors import TriageError
from emotion_triage.training.card import MEASURED, before_measured
from emotion_triage.training.figures import Figure

__all__ = ["BEGIN", "END", "fill", "front", "fronted", "part", "trained"]

BEGIN = "<!-- detection figures: begin; written by `python -m benchmarks.detection` with `--readme` -->"
END = "<!-- detection figures: end -->"

HEADINGS = {
    "corpora": "Corpora and speakers never heard",
    "ears": "Prosody, tone, and both",
    "peers": "Beside peers",
    "rivals": "Beside eGeMAPS on composed calls",
    "presets": "Policies on composed calls",
    "operating_points": "Where the policies' thresholds were chosen",
    "calls": "Composed calls, corpus by corpus",
    "calibration": "Calibration",
    "lines": "Lines",
    "line_changes": "Lines and listeners that change in mid-call",
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


def fronted(text: str, results: dict[str, Found]) -> str:
    """Return a README with its figures of detection made anew.

    Raises
    ------
    TriageError
        If the README has no place for them, or the results lack what it shows.
    """
    before, begin, rest = text.partition("<!-- detection figures: begin")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TriageError(f"README: got no place for figures, expected one between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{front(results)}\n{END}{after}"


def front(results: dict[str, Found]) -> str:
    """Return what a README says of detection, in Markdown."""
    needed = {"ears": "Ears", "presets": "Presets"}
    tables = {table.title: table for each in results.values() for table in each.tables}
    if missing := [name for name, title in needed.items() if title not in tables]:
        raise TriageError(f"got no results of {', '.join(missing)}, expected them for the README: measure them first")
    ears, presets = (tables[title] for title in needed.values())
    mean = ears.rows[ears.column("ear").index("both")][-4:]
    alone, alone_calm, known, known_calm = (f"{value(cell):.2f}" for cell in mean)
    lines = [
        f"On 3 s of speech of eight corpora that the model never heard, AUC of anger against all else is {alone} by "
        f"the voice alone and {known} once calm speech of the same caller is known; against calm speech, {alone_calm} "
        f"and {known_calm}. Three policies ship, from few false escalations to few missed callers; on calls composed "
        "of actors who turn from calm to angry, each scored by a model that never heard their corpus, by thresholds "
        "chosen on other speakers:",
        "",
        "| policy | found within 10 s | median, s | angry from the first word, found within 8 s | false escalations an "
        "hour of calm speech | with joy among it |",
        "|---|---|---|---|---|---|",
    ]
    for name, found, median, at_once, _, calm, joy in presets.rows:
        assert isinstance(found, Figure) and isinstance(at_once, Figure)  # noqa: PT018
        assert isinstance(calm, Figure) and isinstance(joy, Figure)  # noqa: PT018
        shares = (f"{100 * f.value:.0f} % [{100 * f.low:.0f}, {100 * f.high:.0f}]" for f in (found, at_once))
        rates = (f"{f.value:.1f} [{f.low:.1f}, {f.high:.1f}]" for f in (calm, joy))
        in_time, first = shares
        lines.append(f"| {name} | {in_time} | {median} | {first} | {' | '.join(rates)} |")
    return "\n".join(
        [*lines, "", "What falls short stands first in the card's last part: [model card](models/triage.md)."]
    )


def circumstances(name: str, found: Found) -> str:
    """Return which run printed a protocol's tables."""
    of = found.of
    return (
        f"`--only {name} --passes {of['passes']} --calls {of['calls']} --seed {of['seed']}`, "
        f"policy {of['policy']}, manifests `{str(of['corpora'])[:12]}`."
    )
