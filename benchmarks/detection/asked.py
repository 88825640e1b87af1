"""What is asked of detection, beside what was measured: where it falls short is told by the same tables."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.detection.peers import OURS
from benchmarks.detection.table import Cell, Table
from emotion_triage.training.figures import Figure
from emotion_triage.training.fit import UNTAUGHT

__all__ = ["PRESET", "asked"]

MEAN = "mean of corpora"
TAUGHT = f"mean without {', '.join(sorted(UNTAUGHT))}"
AREAS = {"alone, all else": 0.88, "alone, calm": 0.92, "known, all else": 0.90, "known, calm": 0.94}
GAINS = {("alone", "anger against all else"): 0.10, ("known", "anger against all else"): 0.08}
BELOW_PEER = 0.0
RAISED = 0.02
FALL = 0.04
BEYOND = ("loss 10 %", "noise at 10 dB", "noise at 5 dB")
"""Lines that may cost more."""
AN_HOUR, CALIBRATION_ERROR, WORST_CALIBRATION_ERROR, GAP = 0.2, 0.05, 0.12, 0.03
PRESET, CALM, JOY = "balanced", "false an hour, calm", "false an hour, with joy"
ASKED_OF_PRESET = {
    "calm then angry: found in 10 s": (0.6, True),
    "calm then angry: median, s": (3.5, False),
    "angry: found in 8 s": (0.6, True),
    CALM: (1.0, False),
    JOY: (2.0, False),
}
"""Figure to what is asked, and whether that is the least or the most."""
Row = tuple[Cell, ...]


def asked(tables: list[Table]) -> Table:
    """One row for each thing asked that the tables tell of."""
    by_title = {table.title: table for table in tables}
    protocols = (areas, peers, presets, changes, sounds, lines, others)
    rows = [row for protocol in protocols for row in protocol(by_title)]
    note = "reached: by the figure and all of its interval; not surely: by the figure, and the interval goes beyond"
    return Table("Asked and reached", ("figure", "asked", "measured", "where", "reached"), rows, note)


def value(cell: Cell) -> float:
    """A cell as a number; what was not measured is none."""
    if isinstance(cell, Figure):
        return cell.value
    return float(cell) if isinstance(cell, int | float) else float("nan")


def bad_end(cell: Cell, *, least: bool) -> float:
    """The end of a figure's interval that lies nearer to failing."""
    if isinstance(cell, Figure):
        return cell.low if least else cell.high
    return value(cell)


def row(figure: str, measured: Cell, limit: float, *, least: bool, where: str = "") -> Row:
    """A figure against its limit; what the interval leaves open is not surely reached."""
    good, surely = (x >= limit if least else x <= limit for x in (value(measured), bad_end(measured, least=least)))
    reached = ("yes" if surely else "not surely") if good else "no"
    return figure, f"{'at least' if least else 'at most'} {limit:g}", measured, where, reached


def worst(table: Table, column: str, *, least: bool) -> tuple[Cell, str]:
    """The cell of a column that is furthest from what is asked, and whose it is."""
    sign = 1.0 if least else -1.0
    named = [
        (cell, str(name))
        for name, cell in zip(table.column(table.columns[0]), table.column(column), strict=True)
        if value(cell) == value(cell)
    ]
    return min(
        named, key=lambda each: (sign * value(each[0]), sign * bad_end(each[0], least=least)), default=(None, "")
    )


def of_row(table: Table, name: str, column: str) -> Cell:
    """One cell."""
    return table.column(column)[table.column(table.columns[0]).index(name)]


def without(table: Table, *names: str) -> Table:
    """The table without rows whose name begins so."""
    return table._replace(rows=[row for row in table.rows if not str(row[0]).startswith(names)])


def peers(tables: dict[str, Table]) -> Iterator[Row]:
    """Ours less the best peer of the same run."""
    for (how, what), least in GAINS.items():
        if (table := tables.get(f"Peers, {how}, {what}")) is not None:
            column = table.columns[-1]
            figure = f"{how}, {what}: AUC, {column.removeprefix(f'{OURS}, ')}"
            yield row(figure, of_row(table, MEAN, column), least, least=True, where=MEAN)
            lowest, where = worst(without(table, MEAN), column, least=True)
            yield row(figure, lowest, BELOW_PEER, least=True, where=where)


def areas(tables: dict[str, Table]) -> Iterator[Row]:
    """AUC of anger of clips of corpora never heard."""
    if (table := tables.get("Corpus held out, clips (mean of their windows)")) is not None:
        for column, least in AREAS.items():
            yield row(f"AUC of anger, clips, {column}", of_row(table, TAUGHT, column), least, least=True, where=TAUGHT)


def changes(tables: dict[str, Table]) -> Iterator[Row]:
    """Calm calls raised by a change of line or listener, worst kind first."""
    if (table := tables.get("Calm calls raised by a change of line or listener")) is not None:
        raised, where = worst(table, "share", least=False)
        yield row("calm calls raised by a change of line or listener", raised, RAISED, least=False, where=where)


def presets(tables: dict[str, Table]) -> Iterator[Row]:
    """Composed calls at the middle preset."""
    if (table := tables.get("Presets")) is not None:
        for column, (limit, least) in ASKED_OF_PRESET.items():
            yield row(column, of_row(table, PRESET, column), limit, least=least, where=PRESET)


def sounds(tables: dict[str, Table]) -> Iterator[Row]:
    """What is not speech, and prompts, worst kind first."""
    for title, table in tables.items():
        if title.startswith("Not speech"):
            who = title.partition(": ")[2]
            alarms, where = worst(without(table, "laughter"), "false escalations an hour", least=False)
            yield row(f"false escalations an hour, {who}", alarms, AN_HOUR, least=False, where=where)
            affects, where = worst(without(table, "laughter", "prompts", "gcompris"), "Affects an hour", least=False)
            yield row(f"Affects an hour, {who}", affects, 0.0, least=False, where=where)


def lines(tables: dict[str, Table]) -> Iterator[Row]:
    """The line that costs most."""
    if (table := tables.get("Lines")) is not None:
        for column in ("alone, fall", "known, fall"):
            fall, where = worst(without(table, *BEYOND), column, least=False)
            yield row(f"AUC against clean G.711, {column}", fall, FALL, least=False, where=where)


def others(tables: dict[str, Table]) -> Iterator[Row]:
    """Calibration, and women against men."""
    if (table := tables.get("Expected calibration error of anger")) is not None:
        everywhere = "all corpora together"
        for column in ("alone", "known"):
            figure = f"expected calibration error, {column}"
            yield row(figure, of_row(table, everywhere, column), CALIBRATION_ERROR, least=False, where=everywhere)
            most, where = worst(without(table, everywhere), column, least=False)
            yield row(figure, most, WORST_CALIBRATION_ERROR, least=False, where=where)
    if (table := tables.get("Groups")) is not None:
        for name in ("women less men", "women less men, mean within corpora"):
            gap = of_row(table, name, "other windows past the onset")
            if isinstance(gap, Figure):
                figure = f"false alarms, {name}: gap"
                yield row(figure, gap, GAP, least=False) if gap.value >= 0 else row(figure, gap, -GAP, least=True)
