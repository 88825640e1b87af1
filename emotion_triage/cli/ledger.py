"""Commands on the ledger: what is held of a caller, what people decide about them, what is kept and for how long.

A caller is an argument or, as ``-``, the first line of stdin; no command shows one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from emotion_triage.batch.result_file import events_path, read_records, read_timelines
from emotion_triage.cli.ledger_access import (
    AsJson,
    KeyPath,
    LedgerUrl,
    caller_of,
    instant,
    opened,
    read_keys,
    show_structs,
    stored,
)
from emotion_triage.cli.options import INCOMPLETE, LanguageOption, PolicyPath, ending
from emotion_triage.errors import LedgerError, TriageError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.labelled import SCORE_COLUMNS
from emotion_triage.ledger.ledger import MOST_IDLE_DAYS
from emotion_triage.routing.contacts import Contact, Restriction, RestrictionKind
from emotion_triage.settings import explained

__all__ = ["ledger_app"]

CallerArgument = Annotated[str, typer.Argument(metavar="CALLER", help="Number, SIP URI or crm:ID; - reads stdin.")]
ContactArgument = Annotated[str, typer.Argument(metavar="CONTACT", help="The contact's name.")]
By = Annotated[str, typer.Option(help="The person who answers for it.")]
Reason = Annotated[str, typer.Option(help="Why.")]

ledger_app = typer.Typer(name="ledger", help="Standing, restrictions and rights of callers.", no_args_is_help=True)


@contextmanager
def _ledger(
    url: str | None, key_path: Path | None, policy_path: Path | None, *, may_make: bool = False
) -> Iterator[Ledger]:
    with ending(), opened(url, key_path, policy_path, may_make=may_make) as ledger:
        yield ledger


@ledger_app.command()
def standing(
    caller: CallerArgument,
    queue: Annotated[str | None, typer.Option(help="Where they want to go.")] = None,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
    as_json: AsJson = None,
) -> None:
    """Show a caller's standing now."""
    with _ledger(url, key_path, policy_path) as ledger:
        found = ledger.standing(caller_of(caller), queue=queue)
        if not found.known:
            raise LedgerError(found.problem)
        if found.problem is not None:
            typer.echo(f"emotion-triage: {found.problem}", err=True)
    show_structs([found], ("state", "abusive_contacts", "since", "expires_at", "avoid_agents", "objection"), as_json)


@ledger_app.command()
def record(
    path: Annotated[str, typer.Argument(metavar="PATH", help="JSON lines, one contact each; - reads stdin.")],
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Record contacts; a contact that is there already changes nothing.

    Ends with 0 if all are there, 1 if some could not be recorded, 2 if nothing was begun.
    """
    decoder, failed, number = msgspec.json.Decoder(Contact), 0, 0
    with _ledger(url, key_path, policy_path, may_make=True) as ledger:
        try:
            with nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        ledger.record(decoder.decode(line))
                    except (TriageError, msgspec.MsgspecError) as error:
                        failed += 1
                        what = explained(error, Contact) if isinstance(error, msgspec.ValidationError) else error
                        typer.echo(f"emotion-triage: line {number}: {what}", err=True)
        except OSError as error:
            raise LedgerError(f"{path}: cannot be read ({error.strerror}); expected JSON lines") from None
    typer.echo(f"emotion-triage: {number - failed} of {number} contacts are recorded", err=True)
    if failed:
        raise typer.Exit(INCOMPLETE)


@ledger_app.command()
def keep(
    path: Annotated[
        Path, typer.Argument(metavar="SCORES", help="What score --events wrote, of a manifest with calls.")
    ],
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Keep the scores of each window with its contact, for `audit --windows` and `calibrate`.

    The same ones again change nothing. Ends with 1 if some calls are no contacts of the ledger.
    """
    failed = kept = 0
    with _ledger(url, key_path, policy_path) as ledger:
        made = {record.source: record for record in read_records(path)}
        for source, timeline in groupby(read_timelines(events_path(path)), attrgetter("source")):
            scores = [
                [math.nan if (value := getattr(row, name)) is None else value for name in SCORE_COLUMNS]
                for row in timeline
                if row.kind == "affect"
            ]
            record = made.get(source)
            if record is None or record.call is None:
                raise LedgerError(f"{path}: got no call of {source}, expected a manifest's column call: score with one")
            if not scores:
                continue
            try:
                ledger.keep_windows(record.call, scores, model_digest=record.model_digest)
                kept += 1
            except LedgerError as error:
                failed += 1
                typer.echo(f"emotion-triage: {error}", err=True)
    typer.echo(f"emotion-triage: windows of {kept} contacts are kept", err=True)
    if failed:
        raise typer.Exit(INCOMPLETE)


@ledger_app.command()
def void(
    contact_id: ContactArgument,
    by: By,
    reason: Reason,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Declare that a contact counts no more."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.require_contact(contact_id)
        ledger.void(contact_id, by=by, reason=reason)


@ledger_app.command()
def verdict(
    contact_id: ContactArgument,
    abusive: Annotated[bool, typer.Option("--abusive/--not-abusive", help="What it was.")],
    by: By,
    reason: Reason,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Say whether a contact was abusive; outweighs the agent's disposition."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.require_contact(contact_id)
        ledger.verdict(contact_id, by=by, abusive=abusive, reason=reason)


@ledger_app.command()
def outcome(
    contact_id: ContactArgument,
    survey: Annotated[
        float | None, typer.Option(help="What the caller answered, on the policy's protection.survey_scale.")
    ] = None,
    false_alarm: Annotated[
        bool | None, typer.Option("--false-alarm/--real-alarm", help="Whether an escalation was a mistake.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="The person who answers for --false-alarm or --real-alarm.")] = None,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Attach what became known afterwards: a survey's score, a false alarm."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.require_contact(contact_id)
        ledger.outcome(contact_id, survey=survey, false_alarm=false_alarm, by=by)


@ledger_app.command()
def restrict(
    caller: CallerArgument,
    kind: Annotated[RestrictionKind, typer.Argument(help="What they may still do.")],
    by: By,
    reason: Reason,
    until: Annotated[str, typer.Option(help="When it ends, as 2026-05-31.")],
    review_at: Annotated[str, typer.Option(help="When someone must look at it again.")],
    language: LanguageOption = "en",
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Restrict a caller, and show what to tell them; it ends by itself."""
    with _ledger(url, key_path, policy_path) as ledger:
        restriction = Restriction(
            kind=kind,
            decided_by=by,
            reason=reason,
            until=instant("--until", until),
            review_at=instant("--review-at", review_at),
        )
        ledger.restrict(caller_of(caller), restriction)
        typer.echo(ledger.policy.protection.notice(restriction, language))


@ledger_app.command()
def lift(
    caller: CallerArgument,
    by: By,
    reason: Reason,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """End a caller's restrictions before their dates."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.lift(caller_of(caller), by=by, reason=reason)


@ledger_app.command()
def appeal(
    caller: CallerArgument,
    by: By,
    text: Annotated[str, typer.Option(help="What they say, in the words of whoever notes it.")],
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Note a caller's appeal against their restriction."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.appeal(caller_of(caller), by=by, text=text)


@ledger_app.command("object")
def object_command(
    caller: CallerArgument,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="They object no longer.")] = False,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Remember that a caller objects to being scored."""
    with _ledger(url, key_path, policy_path, may_make=True) as ledger:
        remember = ledger.withdraw_objection if withdraw else ledger.object_to_scoring
        remember(caller_of(caller))


@ledger_app.command()
def forget(
    caller: CallerArgument,
    by: By,
    reason: Reason,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Erase a caller: contacts, restrictions, and what the decision log says of them."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.forget(caller_of(caller), by=by, reason=reason)


@ledger_app.command()
def export(
    caller: CallerArgument, url: LedgerUrl = None, key_path: KeyPath = None, policy_path: PolicyPath = None
) -> None:
    """Write everything that is kept of a caller, for them to read, as JSON."""
    with _ledger(url, key_path, policy_path) as ledger:
        copy = ledger.export(caller_of(caller))
    typer.echo(msgspec.json.format(msgspec.json.encode(copy)))


@ledger_app.command()
def purge(
    most_idle_days: Annotated[
        float, typer.Option(help="Days after the last write beyond which the clock is taken to run ahead.")
    ] = MOST_IDLE_DAYS,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Remove what the policy keeps no longer; to be run each day."""
    with _ledger(url, key_path, policy_path) as ledger:
        ledger.purge(most_idle_days=most_idle_days)


@ledger_app.command("rotate-key")
def rotate_key(
    new_key_path: Annotated[Path, typer.Option("--new-key-file", help="The new key alone, in hex digits.")],
    by: By,
    url: LedgerUrl = None,
    key_path: KeyPath = None,
    policy_path: PolicyPath = None,
) -> None:
    """Put the callers' pseudonyms under a new key."""
    with _ledger(url, key_path, policy_path) as ledger:
        keys = read_keys(new_key_path)
        if len(keys) != 1:
            raise LedgerError(f"{new_key_path}: got {len(keys)} keys, expected the new one alone")
        ledger.rotate_key(keys[0], by=by)
    typer.echo("emotion-triage: rotated; add the new key as the last line of the keys, below the ones before", err=True)


@ledger_app.command()
def stats(url: LedgerUrl = None, as_json: AsJson = None) -> None:
    """Show how much is kept of what, and since when."""
    with ending(), stored(url) as store:
        from emotion_triage.ledger.queries import holdings

        with store.scan() as connection:
            found = holdings(connection)
    show_structs(found, ("kind", "count", "first_at", "last_at"), as_json)


@ledger_app.command()
def reviews(
    url: LedgerUrl = None, key_path: KeyPath = None, policy_path: PolicyPath = None, as_json: AsJson = None
) -> None:
    """Show what waits for a person: contacts that ask for a verdict, restrictions whose review is due."""
    with _ledger(url, key_path, policy_path) as ledger:
        found = ledger.reviews()
    show_structs(found, ("kind", "at", "contact_id", "agent_id", "restriction_id", "reason"), as_json)
