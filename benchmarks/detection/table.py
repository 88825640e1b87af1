"""Tables: what a protocol found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from emotion_triage.training.figures import Figure

__all__ = ["Cell", "Table"]

Cell = str | int | float | Figure | None


class Table(NamedTuple):
    """Figures under named columns; an interval is a `Figure`."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""

    def __str__(self) -> str:
        cells = [self.columns, *(tuple(map(shown, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        return "\n".join((self.title, *([self.note] if self.note else []), lines[0], rule, *lines[1:]))

    def as_json(self) -> dict[str, object]:
        """Rows as objects; a figure as value, low and high."""
        rows = [
            {
                name: cell._asdict() if isinstance(cell, Figure) else cell
                for name, cell in zip(self.columns, row, strict=True)
            }
            for row in self.rows
        ]
        return {"title": self.title, "note": self.note, "rows": rows}

    @staticmethod
    def from_json(table: dict[str, Any]) -> Table:
        """Return what `as_json` gave."""
        rows = [
            tuple(Figure(**cell) if isinstance(cell, dict) else cell for cell in row.values()) for row in table["rows"]
        ]
        return Table(table["title"], tuple(table["rows"][0]) if rows else (), rows, table["note"])

    def as_markdown(self) -> str:
        """A pipe table under the title and the note."""
        lines = [self.columns, ("---",) * len(self.columns), *(tuple(map(shown, row)) for row in self.rows)]
        note = [f"{self.note[0].upper()}{self.note[1:]}.", ""] if self.note else []
        return "\n".join((f"**{self.title}**", "", *note, *(f"| {' | '.join(cells)} |" for cells in lines)))

    def column(self, name: str) -> list[Cell]:
        """Return one column."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


def shown(cell: Cell) -> str:
    """A cell as text; what could not be measured is a dash."""
    if cell is None or cell != cell or (isinstance(cell, Figure) and cell.value != cell.value):
        return "-"
    if isinstance(cell, Figure) and abs(cell.value) >= 10:
        return f"{cell.value:.1f} [{cell.low:.1f}, {cell.high:.1f}]"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
