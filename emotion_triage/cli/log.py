"""Commands on what was decided: the decision log, checked, exported and shown; the audit of hits and false alarms."""

from __future__ import annotations

import sys
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from emotion_triage.affect.classifier import Classifier
from emotion_triage.batch.feature_table import check_table_path, write_table
from emotion_triage.batch.measurements import WINDOW_UNITS
from emotion_triage.cli.ledger_access import AsJson, KeyPath, LedgerUrl, opened, stored, tell
from emotion_triage.cli.options import ModelPath, PolicyPath, ending
from emotion_triage.errors import LedgerError, MissingExtraError
from emotion_triage.ledger.fairness import GroupAudit
from emotion_triage.ledger.labelled import LABELLED_COLUMNS
from emotion_triage.ledger.projection import moment
from emotion_triage.proportions import Rate

__all__ = ["audit_command", "log_app"]

UNSOUND = 1
"""Exit code: the log is not as it was written."""
SHOWN = 20
SCORE_UNIT = "0 to 1"
LABELLED_UNITS = {
    "contact": "number",
    "caller": "number",
    "angry": "0 or 1",
    "escalated": "0 or 1",
    "anger": SCORE_UNIT,
    "anger_alone": SCORE_UNIT,
    **WINDOW_UNITS,
}

log_app = typer.Typer(name="log", help="The decision log: check, export, show.", no_args_is_help=True)


@log_app.command()
def verify(
    path: Annotated[Path | None, typer.Argument(help="An exported log; the ledger's own without it.")] = None,
    head: Annotated[str | None, typer.Option(help="A digest that was kept elsewhere.")] = None,
    url: LedgerUrl = None,
    as_json: AsJson = None,
) -> None:
    """Find any line altered, missing, moved or added; ends with 1 if there is one.

    Keep the digest that it shows somewhere else, and give it as --head the next time.
    """
    with ending():
        try:
            from emotion_triage.ledger import verification
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"the log needs {error.name}, which is not installed; install the extra 'ledger', see docs/install.md"
            ) from None
        if path is not None:
            told = verification.verify_lines(path, head=head)
        else:
            with stored(url) as store, store.read() as connection:
                told = verification.verify(connection, head=head)
    tell([told], ("entries", "erased", "first_seq", "last_seq", "head"), as_json)
    if not told.sound:
        typer.echo(f"emotion-triage: line {told.bad_seq} {told.problem}", err=True)
        raise typer.Exit(UNSOUND)


@log_app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="A file that is not there yet; without it, stdout.")] = None,
    url: LedgerUrl = None,
) -> None:
    """Write the log as JSON lines, which `log verify` checks."""
    with ending(), stored(url) as store:
        from emotion_triage.ledger.verification import lines

        try:
            if out is None:
                with store.read() as connection:
                    for line in lines(connection):
                        typer.echo(line.encode())  # bytes: JSON is UTF-8, whatever the terminal's code page
                return
            with open(out, "x", encoding="utf-8") as file, store.read() as connection:
                file.writelines(f"{line}\n" for line in lines(connection))
        except FileExistsError:
            raise LedgerError(f"{out}: exists already; name another file, or remove it first") from None
        except OSError as error:
            if out is None:  # standard output: `emotion_triage.cli.output` says so
                raise
            raise LedgerError(f"{out}: cannot be written ({error.strerror}); check its folder and disk") from None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log, to be read."""

    seq: int
    at: datetime
    kind: str
    call_id: str | None
    told: msgspec.Raw | None

    @property
    def what(self) -> str:
        """What was decided, or that it is erased."""
        if self.told is None:
            return "(erased)"
        body: dict[str, object] = msgspec.json.decode(self.told)
        del body["kind"]
        return ", ".join(f"{name} {value}" for name, value in body.items() if value not in (None, []))


@log_app.command()
def show(
    call: Annotated[str | None, typer.Option(help="Only this call.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, as route or restrict.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many, the latest.")] = SHOWN,
    url: LedgerUrl = None,
    as_json: AsJson = None,
) -> None:
    """Show what was decided, the latest last."""
    with ending(), stored(url) as store:
        from emotion_triage.ledger.verification import entries

        with store.read() as connection:
            kept = deque(
                (
                    entry
                    for entry in entries(connection)
                    if call in (None, entry.call_id) and kind in (None, entry.kind)
                ),
                maxlen=last,
            )
    shown = [
        Line(
            seq=entry.seq,
            at=moment(entry.at_us),
            kind=entry.kind,
            call_id=entry.call_id,
            told=None if entry.body is None else msgspec.Raw(entry.body.encode()),
        )
        for entry in kept
    ]
    tell(shown, ("seq", "at", "kind", "call_id", "what"), as_json)


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    dimension: str
    group: str
    contacts: int
    hits: str
    false_alarms: str
    routes: str
    survey: str

    @classmethod
    def of(cls, group: GroupAudit) -> _Shown:
        return cls(
            dimension=group.dimension,
            group=group.group,
            contacts=group.contacts,
            hits=_words(group.hits),
            false_alarms=_words(group.false_alarms),
            routes="; ".join(f"{queue} {_words(rate)}" for queue, rate in group.routes.items()),
            survey="" if group.survey is None else f"{group.survey:.2g}",
        )


def audit_command(
    windows_path: Annotated[
        Path | None,
        typer.Option("--windows", help="Write the judged windows too, for calibrate: .csv, .jsonl or .parquet."),
    ] = None,
    model_path: ModelPath = None,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
    as_json: AsJson = None,
) -> None:
    """Show hits, false alarms and routes by language, line and gender, with intervals of 95 %."""
    with ending(), opened(url, key_path, policy_path) as ledger:
        if windows_path is not None:
            check_table_path(windows_path)
            units = {name: LABELLED_UNITS[name] for name in LABELLED_COLUMNS}
            write_table(windows_path, units, ledger.labelled_windows(Classifier.load(model_path).digest))
        told = ledger.audit()
    if as_json or (as_json is None and not sys.stdout.isatty()):
        tell(told, (), True)
    else:
        tell(map(_Shown.of, told), _Shown.__struct_fields__, False)


def _words(rate: Rate) -> str:
    """Return a rate to be read: its share, interval and cases."""
    if rate.value is None:
        return "none known"
    return f"{100 * rate.value:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}] of {rate.of}"
