"""Plots of the tables: AUC of each corpus, delays, calibration, lines, learning curves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.detection.learning import BY_CORPORA, BY_SPEAKERS
from benchmarks.detection.measures import AUC_COLUMNS
from benchmarks.detection.table import Cell, Table
from emotion_triage.training.figures import Figure

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

__all__ = ["draw"]

MARK: dict[str, Any] = {"fmt": "o", "capsize": 2, "markersize": 4}


def draw(results: dict[str, list[Table]], folder: Path, prefix: str = "", only: Collection[str] = ()) -> list[str]:
    """Write one PNG for each table that has a plot (of `only`, if any); return the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    tables, written = {table.title: table for each in results.values() for table in each}, []
    for name, (title, plot) in PLOTS.items():
        if title in tables and (not only or name in only):
            figure, axes = plt.subplots(figsize=(9.0, 5.0), layout="constrained")
            plot(axes, tables[title])
            axes.set_title(title)
            written.append(f"{prefix}{name}.png")
            # no version of the library in the file, so that the same figures are the same bytes
            figure.savefig(folder / written[-1], dpi=100, metadata={"Software": None})
            plt.close(figure)
    return written


def drawn(cells: Iterable[Cell]) -> list[Any]:
    """Cells as matplotlib takes them: texts or numbers, all of one kind."""
    return list(cells)


def auc_by_corpus(axes: Axes, table: Table) -> None:
    """Each column of figures beside the others, corpus by corpus."""
    shown = [name for name in table.columns if isinstance(table.rows[-1][table.columns.index(name)], Figure)]
    shown = [name for name in shown if "less" not in name]
    for k, name in enumerate(shown):
        at = np.arange(len(table.rows)) + (k - len(shown) / 2) * 0.12
        with_intervals(axes, at, table.column(name), name, upright=True)
    axes.set_xticks(range(len(table.rows)), drawn(table.column("corpus")), rotation=20)
    axes.axhline(0.5, color="grey", linewidth=0.8)
    axes.set_ylabel("AUC of anger, 95 % interval")
    axes.legend(fontsize="small", ncols=3)


def with_intervals(axes: Axes, at: np.ndarray, figures: list[Any], label: str, *, upright: bool) -> None:
    """Values and intervals; what was not measured has no mark."""
    at = at[[each is not None for each in figures]]
    value, low, high = np.array([tuple(each) for each in figures if each is not None]).reshape(-1, 3).T
    spread = np.abs(np.stack((value - low, high - value)))
    if upright:
        axes.errorbar(at, value, yerr=spread, label=label, **MARK)
    else:
        axes.errorbar(value, at, xerr=spread, label=label, **MARK)


def delays(axes: Axes, table: Table) -> None:
    """Calls found in each second after the onset of anger."""
    for name in table.columns[1:]:
        axes.step(drawn(table.column(table.columns[0])), drawn(table.column(name)), where="pre", label=name)
    axes.set_xlabel("seconds from the onset of anger to ESCALATED")
    axes.set_ylabel("calls")
    axes.legend()


def calibration(axes: Axes, table: Table) -> None:
    """Predicted against seen."""
    for label in dict.fromkeys(table.column("label")):
        rows = [row for row in table.rows if row[0] == label]
        axes.plot(drawn(row[1] for row in rows), drawn(row[2] for row in rows), "o-", label=label)
    axes.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("seen")
    axes.legend()


def lines(axes: Axes, table: Table) -> None:
    """How far the AUC falls over each line."""
    measured = [row for row in table.rows if row[1] is not None]
    for k, name in enumerate(("alone, fall", "known, fall")):
        figures = [row[table.columns.index(name)] for row in measured]
        with_intervals(axes, np.arange(len(measured)) + 0.25 * k, figures, name, upright=False)
    axes.set_yticks(range(len(measured)), drawn(row[0] for row in measured))
    axes.invert_yaxis()
    axes.axvline(0.0, color="grey", linewidth=0.8)
    axes.set_xlabel("AUC on clean G.711 less AUC over the line, 95 % interval")
    axes.legend()


def growth(axes: Axes, table: Table) -> None:
    """AUC against hours learned from; the size of each draw stands under it."""
    hours = np.array(table.column("hours"))
    for k, name in enumerate(AUC_COLUMNS):
        with_intervals(axes, hours * 1.03 ** (k - 1.5), table.column(name), name, upright=True)
    axes.set_xscale("log")
    axes.set_xticks(hours, [f"{h:g} h\n{size}" for h, size in zip(hours, table.column(table.columns[0]), strict=True)])
    axes.minorticks_off()
    axes.axhline(0.5, color="grey", linewidth=0.8)
    axes.set_xlabel(f"hours of speech learned from; below, {table.columns[0]}")
    axes.set_ylabel("AUC of anger, 95 % interval")
    axes.legend(fontsize="small", ncols=2)


PLOTS: dict[str, tuple[str, Callable[[Axes, Table], None]]] = {
    "peers": ("Peers, known, anger against all else", auc_by_corpus),
    "corpora": ("Corpus held out, windows of 3 s", auc_by_corpus),
    "delays": ("Delays counted", delays),
    "calibration": ("Predicted and seen anger, all corpora", calibration),
    "lines": ("Lines", lines),
    "learning": (BY_CORPORA, growth),
    "learning-speakers": (BY_SPEAKERS, growth),
}
"""Title of the table that each shows, and how."""
