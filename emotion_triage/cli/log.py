"""Commands on what was decided: the decision log, checked, exported and shown; the audit of hits and false alarms."""

from __future__ import annotations

import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from emotion_triage.affect.classifier import Classifier
from emotion_triage.batch.feature_table import check_table_path, write_table
from emotion_triage.batch.measurements import WINDOW_UNITS
from emotion_triage.cli.ledger_access import AsJson, KeyPath, LedgerUrl, opened, read_keys, show_structs, stored
from emotion_triage.cli.options import ModelPath, PolicyPath, ending
from emotion_triage.errors import LedgerError, MissingExtraError
from emotion_triage.ledger.fairness import GroupAudit
from emotion_triage.ledger.labelled import LABELLED_COLUMNS
from emotion_triage.ledger.log_events import KINDS
from emotion_triage.ledger.projection import moment_or_none
from emotion_triage.proportions import Rate
from emotion_triage.routing.call_ids import safe_call_id

if TYPE_CHECKING:
    from emotion_triage.ledger.verification import Anchor

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
    head: Annotated[list[str] | None, typer.Option(help="A digest that was kept elsewhere; more than once.")] = None,
    heads: Annotated[Path | None, typer.Option(help="A file of lines of `log head`, all kept elsewhere.")] = None,
    chain_only: Annotated[bool, typer.Option("--chain-only", help="Without the key: whether lines follow.")] = False,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    as_json: AsJson = None,
) -> None:
    """Find any line or row altered, missing, moved or added; ends with 1 if there is one.

    The key shows that the log's end was written by whoever has it; of the ledger's own, every row is checked too. Keep
    what `log head` writes somewhere else, and give it as --heads: a whole older database put back has no other trace.
    """
    problems: list[str] = []
    with ending():
        try:
            from emotion_triage.ledger import verification
            from emotion_triage.ledger.coverage import uncovered
            from emotion_triage.ledger.identity import Identity
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"the log needs {error.name}, which is not installed; install the extra 'ledger', see docs/install.md"
            ) from None
        anchors = [verification.Anchor(digest=each) for each in head or ()]
        if heads is not None:
            anchors += _anchors(heads)
        if path is not None:
            seals = () if chain_only else Identity(read_keys(key_path), "FR").seals
            found = verification.verify_lines(path, seals=seals, anchors=anchors)
        elif chain_only:
            with stored(url) as store, store.scan() as connection:
                found = verification.verify(connection, anchors=anchors)
        else:
            with opened(url, key_path, None) as ledger, ledger.store.scan() as connection:
                seal = ledger.seal
                found = verification.verify(connection, seals=[seal], anchors=anchors)
                problems += uncovered(connection, verification.entries(connection), seal)
    show_structs([found], ("entries", "erased", "first_seq", "last_seq", "head", "signed"), as_json)
    if found.bad_seq is not None:
        problems.insert(0, f"line {found.bad_seq} {found.problem}")
    for problem in problems[:SHOWN]:
        typer.echo(f"emotion-triage: {problem}", err=True)
    if len(problems) > SHOWN:
        typer.echo(f"emotion-triage: and {len(problems) - SHOWN} more", err=True)
    if problems:
        raise typer.Exit(UNSOUND)


def _anchors(path: Path) -> list[Anchor]:
    from emotion_triage.ledger.verification import Anchor

    try:
        return [msgspec.json.decode(line, type=Anchor) for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror}); expected lines of `log head`") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise LedgerError(f"{path}: got a line that is no head ({error}); expected lines of `log head`") from None


class _HeadLine(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    seq: int
    digest: str
    seal: str | None


@log_app.command("head")
def head_command(url: LedgerUrl = None) -> None:
    """Write where the log ends now, as one line of JSON, to be kept elsewhere: mailed, posted or printed each day."""
    with ending(), stored(url) as store, store.scan() as connection:
        from emotion_triage.ledger.verification import head_of

        head = head_of(connection)
    line = _HeadLine(at=datetime.now(UTC), seq=head.seq, digest=head.digest, seal=head.seal)
    typer.echo(msgspec.json.encode(line).decode())


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
                with store.scan() as connection:
                    for line in lines(connection):
                        typer.echo(line.encode())  # bytes: JSON is UTF-8, whatever the terminal's code page
                return
            with open(out, "x", encoding="utf-8") as file, store.scan() as connection:
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
    at: datetime | None
    kind: str
    call_id: str | None
    told: msgspec.Raw | None

    @property
    def what(self) -> str:
        """What was decided, or that it is erased."""
        if self.told is None:
            return "(erased)"
        try:
            body = msgspec.json.decode(self.told, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError):
            return f"(no body of this library: {bytes(self.told).decode(errors='replace')})"
        return ", ".join(
            f"{name} {value}" for name, value in body.items() if name != "kind" and value not in (None, [])
        )


def _raw(body: Any) -> msgspec.Raw | None:
    """Return a body as JSON, whatever the database holds in its place."""
    if body is None:
        return None
    try:
        msgspec.json.decode(str(body))
    except (msgspec.MsgspecError, UnicodeError):
        body = msgspec.json.encode(repr(body)).decode()
    return msgspec.Raw(str(body).encode())


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
        if kind not in (None, *KINDS):
            raise LedgerError(f"--kind: got {kind!r}, expected {', '.join(KINDS)}")
        from emotion_triage.ledger.verification import entries

        call = None if call is None else safe_call_id(call)
        with store.scan() as connection:
            kept = deque(
                (
                    entry
                    for entry in entries(connection)
                    if call in (None, entry.call_id) and kind in (None, entry.kind)
                ),
                maxlen=last,
            )
        if call is not None and not kept:
            raise LedgerError(
                f"--call: got {call!r}, of which the log tells nothing{f' of kind {kind}' if kind else ''}; expected a "
                "call's name as log show writes it"
            )
    shown = [
        Line(
            seq=entry.seq,
            at=moment_or_none(entry.at_us),
            kind=entry.kind,
            call_id=entry.call_id,
            told=_raw(entry.body),
        )
        for entry in kept
    ]
    show_structs(shown, ("seq", "at", "kind", "call_id", "what"), as_json)


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
        found = ledger.audit()
    if as_json or (as_json is None and not sys.stdout.isatty()):
        show_structs(found, (), True)
    else:
        show_structs(map(_Shown.of, found), _Shown.__struct_fields__, False)


def _words(rate: Rate) -> str:
    """Return a rate to be read: its share, interval and cases."""
    if rate.value is None:
        return "none known"
    return f"{100 * rate.value:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}] of {rate.of}"
