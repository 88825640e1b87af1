"""Tables as people have them, CSV of any spreadsheet or Parquet, to rows of text under the names that are known."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import IO, Any, NamedTuple

from emotion_triage.audio.remote import is_remote, open_remote
from emotion_triage.errors import AudioError, MissingExtraError

__all__ = ["Table", "decimal", "pyarrow_modules", "read_table"]

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]+', re.IGNORECASE)
"""With which Excel is told how a CSV is delimited."""
_MAGIC = {b"PK\x03\x04": "a workbook (.xlsx or .ods)", b"\xd0\xcf\x11\xe0": "a workbook (.xls)", b"PAR1": "Parquet"}


class Table(NamedTuple):
    """A table that was read.

    Attributes
    ----------
    rows : iterator of (int, dict of str to str)
        Where a row is (a CSV's header is row 1), and what it says: known columns alone, nothing that is empty.
    notes : list of str
        What to tell of how it was read.
    columns : list of str
        The wanted columns that it has.
    """

    rows: Iterator[tuple[int, dict[str, str]]]
    notes: list[str]
    columns: list[str]


def read_table(path: str, *, wanted: Sequence[str], dropped: Sequence[str] = ()) -> Table:
    """Read a table of text.

    Columns may be in capitals, and have spaces or hyphens for underscores. A CSV may be delimited by commas,
    semicolons, tabs or bars, begin with ``sep=;``, and be UTF-8, UTF-16 or Windows-1252.

    Parameters
    ----------
    path : str
        ``.parquet``, or CSV under any other name, here or at an address for fsspec.
    wanted : sequence of str
        Names of the columns to read.
    dropped : sequence of str
        Names of columns that are known and never read.

    Raises
    ------
    AudioError
        If it cannot be read, has none of the wanted columns or one twice; while rows are read, if one is longer than
        the header or holds what is no text.
    """
    known = [*wanted, *dropped]
    try:
        if path.lower().endswith(".parquet"):
            return _parquet(path, wanted, known)
        with _opened(path) as file:
            data = file.read()
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be read ({error.strerror or error}); expected a CSV or Parquet table"
        ) from None
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise AudioError(f"{path}: got {what} under the name of a CSV, expected text; save it as CSV, or rename it")
    return _csv(path, data, wanted, known)


def decimal(text: str) -> float:
    """Return a number, with a point or a comma before its decimals.

    Examples
    --------
    >>> decimal("12.5"), decimal("12,5")
    (12.5, 12.5)
    """
    return float(text.replace(",", ".", 1))


def pyarrow_modules() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet half.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            "Parquet needs pyarrow, which is not installed; install the extra 'parquet', see docs/install.md, "
            "or write .csv or "
            ".jsonl"
        ) from None
    return pyarrow, pyarrow.parquet


def _opened(path: str) -> IO[bytes]:
    return open_remote(path) if is_remote(path) else open(path, "rb")


def _csv(path: str, data: bytes, wanted: Sequence[str], known: Sequence[str]) -> Table:
    text, notes = _text(path, data)
    delimiter = None
    if separated := _SEPARATOR_LINE.match(text):
        text, delimiter = text[separated.end() :], separated[1]
    head = text.split("\n", 1)[0]
    if delimiter is None:
        names = {each: {_name(cell) for cell in head.split(each)} & set(known) for each in _DELIMITERS}
        delimiter = max(_DELIMITERS, key=lambda each: (len(names[each]), head.count(each)))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)

    def cells() -> Iterator[list[str]]:
        try:
            yield from ([cell.strip() for cell in line] for line in lines)
        except csv.Error as error:
            raise AudioError(f"{path}, line {lines.line_num}: {error}; write the CSV again") from None

    every = cells()
    columns = _columns(path, next(every, []), wanted, known, notes)

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        for number, row in enumerate(every, 2):
            if not any(row):
                continue
            if any(row[len(columns) :]):
                raise AudioError(
                    f"{path}, row {number}: got {len(row)} cells under {len(columns)} columns, expected as many; put "
                    "quotes around what holds the delimiter, a decimal comma too"
                )
            yield number, {name: cell for name, cell in zip(columns, row, strict=False) if name in wanted and cell}

    return Table(rows(), notes, [name for name in columns if name in wanted])


def _text(path: str, data: bytes) -> tuple[str, list[str]]:
    """Decode a CSV as what wrote it encodes: UTF-8, UTF-16, or Windows-1252 as Excel does in French."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:64]:
        encodings = ["utf-16" if data[:1] in (b"\xff", b"\xfe") else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text, [f"{path}: read as Windows-1252, as it is not UTF-8"] if encoding == "cp1252" else []
    raise AudioError(f"{path}: got text that is not UTF-8, UTF-16 or Windows-1252; save it as CSV UTF-8")


def _name(cell: str) -> str:
    return re.sub(r"[\s-]+", "_", cell.strip().strip('"').strip().casefold())


def _columns(
    path: str, header: Iterable[str], wanted: Sequence[str], known: Sequence[str], notes: list[str]
) -> list[str]:
    """Return the names of the columns as they are known; tell of those that are not."""
    given = list(header)
    names = [_name(cell) for cell in given]
    if not set(names) & set(wanted):
        shown = ", ".join(given[:8]) or "nothing"
        raise AudioError(f"{path}: got the columns {shown}, expected some of {', '.join(wanted)} in the first row")
    for name in known:
        if names.count(name) > 1:
            raise AudioError(
                f"{path}: got {names.count(name)} columns {name}, expected one; rename or remove the others"
            )
    unknown = []
    for cell, name in zip(given, names, strict=True):
        if name not in known and name:
            guess = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            unknown.append(f"{cell.strip()} (did you mean {guess[0]}?)" if guess else cell.strip())
    if unknown:
        notes.append(f"{path}: left out columns that are not known: {', '.join(unknown)}; known are {', '.join(known)}")
    return names


def _parquet(path: str, wanted: Sequence[str], known: Sequence[str]) -> Table:
    arrow, parquet = pyarrow_modules()
    broken = (arrow.lib.ArrowException, OSError, ValueError)
    notes: list[str] = []
    try:
        with _opened(path) as file, parquet.ParquetFile(file) as table:
            given = table.schema_arrow.names
    except broken as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise AudioError(f"{path}: got what is not Parquet ({error}), expected a table; write it again") from None
    names = _columns(path, given, wanted, known, notes)
    read = {column: name for column, name in zip(given, names, strict=True) if name in wanted}

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        number = 0
        try:
            with _opened(path) as file, parquet.ParquetFile(file) as table:
                for block in table.iter_batches(columns=list(read)):
                    columns = {
                        read[field.name]: _whole_microseconds(arrow, block.column(field.name)) for field in block.schema
                    }
                    lists = {name: column.to_pylist() for name, column in columns.items()}
                    for i in range(block.num_rows):
                        number += 1
                        said = {name: _word(path, number, name, values[i]) for name, values in lists.items()}
                        yield number, {name: word for name, word in said.items() if word}
        except broken as error:
            if isinstance(error, AudioError):
                raise
            raise AudioError(f"{path}: cannot be read to its end ({error}); write it again") from None

    return Table(rows(), notes, list(read.values()))


def _whole_microseconds(arrow: Any, column: Any) -> Any:
    """Return a column whose times Python can hold."""
    if arrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(arrow.timestamp("us", tz=column.type.tz), safe=False)
    return column


def _word(path: str, number: int, name: str, value: object) -> str | None:
    """Return a value as text: a whole number without a fraction, as a column that misses some turns 17 into 17.0."""
    match value:
        case None:
            return None
        case bytes():
            try:
                return value.decode("utf-8").strip()
            except UnicodeDecodeError:
                pass
        case bool():
            return str(value).lower()
        case float() | Decimal():
            return None if value != value else str(int(value)) if value == value // 1 else str(value)
        case str():
            return value.strip()
        case int():
            return str(value)
        case date():
            return value.isoformat()
    raise AudioError(f"{path}, row {number}: got {type(value).__name__} in {name}, expected text; write it as text")
