"""What the detection benchmark keeps, what it holds against what was asked, and what it writes into a card."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.detection import __main__ as command
from benchmarks.detection.asked import asked
from benchmarks.detection.card import BEGIN, END, fill, fronted, part
from benchmarks.detection.plots import draw
from benchmarks.detection.results import Found, read, write
from benchmarks.detection.table import Table
from emotion_triage.affect.classifier import Classifier
from emotion_triage.errors import TriageError
from emotion_triage.training.card import MEASURED, before_measured, measured
from emotion_triage.training.corpora import COLUMNS
from emotion_triage.training.figures import Figure

ROOT = Path(__file__).resolve().parents[1]
OF: dict[str, str | int | float] = {
    "model": "ab" * 32, "corpora": "c", "policy": "balanced 1", "passes": 2, "calls": 1, "seed": 0
}  # fmt: skip


def of_peers(mean: float, lowest: float) -> Table:
    """Ours less a peer, of two corpora."""
    gains = {"a": lowest, "b": 2 * mean - lowest, "mean of corpora": mean}
    rows = [(name, Figure(0.8, 0.7, 0.9), Figure(gain, gain - 0.1, gain + 0.1)) for name, gain in gains.items()]
    return Table("Peers, known, anger against all else", ("corpus", "ours", "ours, these clips, less LR"), rows, "AUC")


def of_calibration(error: float) -> Table:
    rows = [("a", Figure(error, 0.0, 1.0), None), ("all corpora together", Figure(0.05, 0.0, 0.1), None)]
    return Table("Expected calibration error of anger", ("corpus", "alone", "known"), rows)


CURVE = Table(
    "Predicted and seen anger, all corpora",
    ("label", "predicted", "seen", "share"),
    [("anger", 0.1, 0.2, 0.5), ("anger", 0.6, 0.5, 0.5)],
)
FOUND = {"peers": Found(OF, [of_peers(0.05, -0.02)]), "calibration": Found(OF, [of_calibration(0.1), CURVE])}


# Kept


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Tables, intervals, what was not measured and what they are of come back from the file as they were."""
    write(tmp_path / "results.json", FOUND)
    assert read(tmp_path / "results.json") == FOUND
    assert read(tmp_path / "none.json") == {}


@pytest.mark.parametrize("text", ["", "[]", '{"peers": [{"title": "Peers"}]}', '{"peers": {"of": {}}}'])
def test_a_file_of_something_else(text: str, tmp_path: Path) -> None:
    """A file that the benchmark did not write is refused with its name, never overwritten."""
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(TriageError, match=r"results\.json: got no results of this benchmark"):
        read(tmp_path / "results.json")


def run(monkeypatch: pytest.MonkeyPatch, corpora: Path, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["detection", str(corpora), *options])
    return command.main()


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose clips nobody opens, and protocols that measure nothing."""
    folder = tmp_path / "corpora"
    folder.mkdir()
    (folder / "manifest.csv").write_text(f"{','.join(COLUMNS)}\na.wav,a,en,a_1,female,angry,1.0,CC0\n")
    monkeypatch.setitem(command.PROTOCOLS, "peers", lambda study: [of_peers(0.05, 0.0)])
    monkeypatch.setitem(command.PROTOCOLS, "calibration", lambda study: [of_calibration(0.1), CURVE])
    monkeypatch.setitem(command.PROTOCOLS, "calls", lambda study: [of_calibration(study.size.calls)])
    return folder


def test_a_run_adds_to_the_file(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of other protocols keeps those in the file, takes the place of its like, and leaves out other corpora's."""
    kept = tmp_path / "results.json"
    for options in (("peers",), ("calls",), ("calls", "--calls", "3"), ("calibration", "--policy", "eager")):
        assert run(monkeypatch, corpora, "--json", str(kept), "--only", *options) == 0
    results = read(kept)
    assert list(results) == ["peers", "calls", "calibration"]
    assert (results["calls"].of["calls"], results["calls"].tables) == (3, [of_calibration(3)])
    assert str(results["calibration"].of["policy"]).startswith("eager ")
    with (corpora / "manifest.csv").open("a") as manifest:
        manifest.write("b.wav,a,en,a_1,female,neutral,1.0,CC0\n")
    assert run(monkeypatch, corpora, "--json", str(kept), "--only", "calls") == 0
    assert list(read(kept)) == ["calls"]


def test_a_card_is_filled_from_the_file(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to measure the card is filled from the file; a card of another model ends the command with 2."""
    kept, card = tmp_path / "results.json", tmp_path / "mine.md"
    card.write_text(f"# Model card\n\n`{Classifier.load().digest}`\n")
    assert run(monkeypatch, corpora, "--json", str(kept), "--only", "peers,calibration") == 0
    assert run(monkeypatch, corpora, "--json", str(kept), "--only", "", "--card", str(card)) == 0
    assert "| mean of corpora | 0.800 [0.700, 0.900] | 0.050 [-0.050, 0.150] |" in card.read_text()
    card.write_text("# Model card\n\n`of another`\n")
    assert run(monkeypatch, corpora, "--json", str(kept), "--only", "peers", "--card", str(card)) == 2
    assert card.read_text() == "# Model card\n\n`of another`\n"


def test_a_quick_run_fills_no_card(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of a little of everything are refused for a card."""
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, corpora, "--quick", "--card", str(tmp_path / "card.md"))


# Asked


def reached(*tables: Table) -> dict[tuple[str, str], str]:
    return {(str(row[0]), str(row[3])): str(row[4]) for row in asked(list(tables)).rows}


def test_what_was_asked_is_held_against_the_tables() -> None:
    """The mean gain, the lowest corpus and the calibration error are each told from the right side of their limit."""
    figure = "known, anger against all else: AUC, less LR"
    assert reached(of_peers(0.25, -0.02)) == {(figure, "mean of corpora"): "yes", (figure, "a"): "no"}
    assert reached(of_peers(0.03, 0.0)) == {(figure, "mean of corpora"): "no", (figure, "a"): "not surely"}
    error = "expected calibration error, alone"
    assert reached(of_calibration(0.13))[error, "a"] == "no"
    assert reached(of_calibration(0.12))[error, "a"] == "not surely"
    assert reached(of_calibration(0.1))[error, "all corpora together"] == "not surely"


def test_the_least_known_of_equals_is_shown() -> None:
    """Where nothing was heard the kind that was listened to least stands for all, and it is not surely quiet."""
    columns = ("kind", "Affects an hour", "false escalations an hour")
    rows = [(kind, Figure(0.0, 0.0, high), Figure(0.0, 0.0, high)) for kind, high in (("DTMF", 0.1), ("music", 9.0))]
    found = asked([Table("Not speech, and prompts: held out", columns, rows)]).rows
    assert [(row[3], row[4]) for row in found] == [("music", "not surely")] * 2


def test_what_was_not_measured_is_not_reached() -> None:
    """A figure that is missing counts as not reached."""
    assert reached(of_calibration(0.1))["expected calibration error, known", "all corpora together"] == "no"
    assert asked([]).rows == []


def test_lines_that_may_cost_more_are_left_out() -> None:
    """A line beyond the limits asked for is not held against them; the worst of the rest is named."""
    falls = {"noise at 15 dB": 0.03, "noise at 5 dB": 0.3, "loss 10 %, zeros": 0.2, "gain -20 dB": 0.01}
    rows = [(line, Figure(fall, 0.0, 0.5), Figure(2 * fall, 0.0, 0.5)) for line, fall in falls.items()]
    found = asked([Table("Lines", ("line", "alone, fall", "known, fall"), rows)])
    assert [(row[3], row[4]) for row in found.rows] == [("noise at 15 dB", "not surely"), ("noise at 15 dB", "no")]


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(0.06, "no"), (0.02, "not surely"), (0.0, "yes"), (-0.02, "not surely"), (-0.06, "no")],
)
def test_a_gap_counts_both_ways(gap: float, verdict: str) -> None:
    """Men falsely raised more often than women count as much as women more often than men."""
    columns = ("group", "other windows past the onset")
    rows = [
        (name, Figure(gap, gap - 0.03, gap + 0.03))
        for name in ("women less men", "women less men, mean within corpora")
    ]
    assert [row[4] for row in asked([Table("Groups", columns, rows)]).rows] == [verdict, verdict]


# README


def of_front() -> dict[str, Found]:
    """What a README shows: clips of corpora never heard, and policies."""
    figure = Figure(0.5, 0.4, 0.6)
    ears = [(name, *[Figure(0.9, 0.8, 1.0)] * 4) for name in ("tone", "both")]
    columns = ("ear", "alone, all else", "alone, calm", "known, all else", "known, calm")
    presets = [("balanced", figure, 3.0, figure, 2.0, Figure(1.0, 0.2, 2.0), Figure(2.0, 1.0, 3.0))]
    return {
        "ears": Found(OF, [Table("Ears", columns, ears)]),
        "presets": Found(OF, [Table("Presets", tuple("abcdefg"), presets)]),
    }


def test_a_readme_shows_what_was_measured() -> None:
    """The figures between the marks are those of the results; all else stays."""
    text = fronted(f"before\n{BEGIN}\nstale\n{END}\nafter", of_front())
    assert text.startswith("before\n")
    assert text.endswith("after")
    assert "stale" not in text
    assert "| balanced | 50 % [40, 60] | 3.0 | 50 % [40, 60] | 1.0 [0.2, 2.0] | 2.0 [1.0, 3.0] |" in text
    assert fronted(text, of_front()) == text


def test_a_readme_without_a_place_or_figures() -> None:
    """What is missing is named."""
    with pytest.raises(TriageError, match="got no place for figures"):
        fronted("no marks", of_front())
    with pytest.raises(TriageError, match="got no results of presets"):
        fronted(f"{BEGIN}{END}", {"ears": of_front()["ears"]})


def test_the_readme_that_ships_shows_the_results_that_ship() -> None:
    """README's figures of detection are those of the file that the benchmark wrote."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert fronted(text, read(ROOT / "models" / "triage.json")) == text


# Plots


def test_a_plot_of_what_was_not_measured(tmp_path: Path) -> None:
    """Lines over which nobody was compared with himself are drawn without, and so is a line that was skipped."""
    columns = ("line", "windows against clean", "alone, AUC", "alone, fall", "known, AUC", "known, fall")
    rows = [("A-law", 1.0, 0.7, Figure(0.0, -0.1, 0.1), None, None), ("AMR: skipped", None, None, None, None, None)]
    assert draw({"lines": [Table("Lines", columns, rows)]}, tmp_path) == ["lines.png"]


# Card


def test_a_card_takes_one_part(tmp_path: Path) -> None:
    """Filled twice, a card holds the newer tables once, after what training wrote, and a small plot beside it."""
    card = tmp_path / "mine.md"
    trained = f"# Model card\n\n`{OF['model']}`\n"
    card.write_text(trained)
    fill(card, str(OF["model"]), {"peers": Found(OF, [of_peers(0.01, 0.0)])})
    fill(card, str(OF["model"]), FOUND)
    text = card.read_text()
    assert before_measured(text) == trained
    assert text.count("## Measured by the benchmark\n") == text.count("**Peers, known, anger against all else**") == 1
    assert "| a | 0.100 [0.000, 1.000] | - |" in text
    assert "policy balanced 1" in text
    assert "![Calibration](mine-calibration.png)" in text
    assert 1_000 < (tmp_path / "mine-calibration.png").stat().st_size < 100_000


def test_a_card_of_another_model_keeps_no_figures() -> None:
    """What the benchmark added stays with the digest that it was measured with, and with no other."""
    added = MEASURED.format(digest="ab" * 32) + "\n\nfigures\n"
    text = f"# Model card\n\n{added}"
    assert measured(text, "ab" * 32) == added
    assert measured(text, "cd" * 32) == ""
    assert measured(before_measured(text), "ab" * 32) == ""


def test_the_card_that_ships_is_what_the_commands_wrote() -> None:
    """Its last part is made of the results beside it to the letter; results of another model leave it without."""
    card, digest = (ROOT / "models" / "triage.md").read_text(), Classifier.load().digest
    kept = read(ROOT / "models" / "triage.json")
    results = {name: found for name, found in kept.items() if found.of["model"] == digest}
    plots = sorted(path.name for path in (ROOT / "models").glob("*.png"))
    assert card == before_measured(card) + (part(digest, results, plots) if results else "")
