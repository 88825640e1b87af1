"""How a command reaches the ledger and shows what it found: URL, keys that are no arguments, tables or JSON."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from emotion_triage.cli.options import PIPE_CELLS
from emotion_triage.errors import LedgerError, MissingExtraError
from emotion_triage.ledger import Ledger
from emotion_triage.routing.policy import Policy

if TYPE_CHECKING:
    from emotion_triage.ledger.store import Store

__all__ = ["AsJson", "KeyPath", "LedgerUrl", "caller_of", "instant", "opened", "read_keys", "show_structs", "stored"]

KEY_VARIABLE = "EMOTION_TRIAGE_LEDGER_KEY"
KEYS_EXPECTED = "expected one key a line in 64 hex digits or more, the oldest first; make one: openssl rand -hex 32"

LedgerUrl = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        envvar="EMOTION_TRIAGE_LEDGER",
        help="sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME.",
    ),
]
KeyPath = Annotated[
    Path | None,
    typer.Option(
        "--key-file", help=f"The keys in hex digits, one a line, the newest last; {KEY_VARIABLE} without a file."
    ),
]
AsJson = Annotated[
    bool | None, typer.Option("--json/--table", help="JSON lines; by default in a pipe, tables on a terminal.")
]


@contextmanager
def opened(
    url: str | None, key_path: Path | None, policy_path: Path | None, *, may_make: bool = False
) -> Iterator[Ledger]:
    """Open the ledger that the options name; only a command that brings its first facts may make one, and says so.

    Raises
    ------
    LedgerError
        If it does not exist or cannot be used, or no URL or key was given.
    """
    policy = Policy.load(policy_path)
    *previous, key = read_keys(key_path)
    with stored(url, may_make=may_make) as store:
        if store.made:
            typer.echo(f"emotion-triage: made a new ledger, {store.name}", err=True)
    with Ledger.open(_named(url), policy=policy, key=key, previous_keys=previous) as ledger:
        yield ledger


@contextmanager
def stored(url: str | None, *, may_make: bool = False) -> Iterator[Store]:
    """Open the database alone, for what needs no key.

    Raises
    ------
    LedgerError
        If it does not exist or cannot be used, or no URL was given.
    """
    try:
        from emotion_triage.ledger.store import Store
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the ledger needs {error.name}, which is not installed; install the extra 'ledger', see docs/install.md"
        ) from None
    store = Store(_named(url), must_exist=not may_make)
    try:
        yield store
    finally:
        store.close()


def _named(url: str | None) -> str:
    if url is None:
        raise LedgerError("got no ledger, expected --ledger sqlite:///FILE, or EMOTION_TRIAGE_LEDGER")
    return url


def read_keys(path: Path | None) -> list[bytes]:
    """Return the keys of a file, or of the environment; the last one is in use.

    Raises
    ------
    LedgerError
        If there is none, or what is no key; no message shows a key.
    """
    if path is None:
        source, text = KEY_VARIABLE, os.environ.get(KEY_VARIABLE, "")
    else:
        try:
            source, text = str(path), path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise LedgerError(f"{path}: cannot be read as keys ({reason}); {KEYS_EXPECTED}") from None
    words = text.split()
    if not words:
        raise LedgerError(f"{source}: got no key; name a file (--key-file) or set {KEY_VARIABLE}; {KEYS_EXPECTED}")
    if not all(re.fullmatch(r"(?:[0-9a-fA-F]{2}){32,}", word) for word in words):
        raise LedgerError(f"{source}: got what is no key; {KEYS_EXPECTED}")
    return [bytes.fromhex(word) for word in words]


def caller_of(caller: str) -> str:
    """Return the caller of an argument; of ``-``, the first line of stdin, where no list of processes shows it."""
    return sys.stdin.readline().strip() if caller == "-" else caller


def instant(name: str, text: str) -> datetime:
    """Return a moment written as ISO 8601, in the local time zone where it names none.

    Raises
    ------
    LedgerError
        If it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise LedgerError(f"{name}: got {text!r}, expected a date as 2026-05-31 or 2026-05-31T18:00+02:00") from None
    return moment if moment.tzinfo else moment.astimezone()


def show_structs(structs: Iterable[msgspec.Struct], columns: Sequence[str], as_json: bool | None) -> None:
    """Show structs: each as a line of JSON, or all as a table of some of their fields."""
    if as_json or (as_json is None and not sys.stdout.isatty()):
        for struct in structs:
            typer.echo(msgspec.json.encode(struct))  # bytes: JSON is UTF-8, whatever the terminal's code page
        return
    table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
    for struct in structs:
        table.add_row(*(Text(_cell(getattr(struct, column))) for column in columns))
    Console(width=None if sys.stdout.isatty() else PIPE_CELLS).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    if isinstance(value, tuple | list):
        return ", ".join(map(_cell, value))
    # an escape sequence in what a database holds must not reach the terminal
    return "".join(each if each.isprintable() else "\ufffd" for each in str(value))
