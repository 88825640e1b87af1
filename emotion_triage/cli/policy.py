"""Commands on policies: ``policy check``, ``policy explain`` and ``policy init``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from emotion_triage.cli.options import PIPE_CELLS, LanguageOption, ending
from emotion_triage.cli.terminal import LEVELS, destination_words, words
from emotion_triage.errors import PolicyError
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy, policy_text
from emotion_triage.routing.reasons import explain
from emotion_triage.routing.rules import CASES, StandingState

__all__ = ["policy_app"]

PolicyArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[POLICY]", help="A TOML policy, or cautious, balanced or eager; balanced by default."),
]

policy_app = typer.Typer(name="policy", help="Check, explain or write a policy.", no_args_is_help=True)


@policy_app.command()
def check(policy_path: PolicyArgument = None) -> None:
    """Check that a policy is sound: every key known, every rule reachable, every case routed."""
    with ending():
        policy = Policy.load(policy_path)
    name = policy_path or policy.name
    typer.echo(f"{name}: sound; policy {policy.name!r}, {len(policy.rules)} rules, digest {policy.digest}")


@policy_app.command("explain")
def explain_command(
    policy_path: PolicyArgument = None,
    level: Annotated[Literal["calm", "tense", "escalated"] | None, typer.Option(help="Only this level.")] = None,
    standing: Annotated[
        Literal["clear", "watch", "protected", "restricted"] | None, typer.Option(help="Only this standing.")
    ] = None,
    language: LanguageOption = "en",
) -> None:
    """Show where each level and standing leads; with both given, why each rule takes or leaves the case."""
    with ending():
        policy = Policy.load(policy_path)
    console = Console(width=None if sys.stdout.isatty() else PIPE_CELLS)
    if level is not None and standing is not None:
        case = Level[level.upper()], StandingState(standing)
        for verdict in explain(policy.router, *case, language):
            mark = "→" if verdict.chosen else " "
            console.print(
                f"{mark} {verdict.rule}: {verdict.reason}", style="bold" if verdict.chosen else None, soft_wrap=True
            )
        console.print(f"  {destination_words(policy.router.table[case].route, language)}", soft_wrap=True)
        return
    heads = (words(key, language) for key in ("level", "standing", "rule", "queue", "priority", "skills"))
    table = Table(*heads, box=None, pad_edge=False)
    for each, state in CASES:
        if level in (None, each.name.lower()) and standing in (None, state.value):
            rule = policy.router.table[each, state]
            route = rule.route
            cells = (
                LEVELS[each][language],
                state.value,
                rule.name,
                route.queue,
                str(route.priority),
                ", ".join(route.skills),
            )
            table.add_row(*cells)
    console.print(table)


@policy_app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("policy.toml")) -> None:
    """Write the balanced policy, with the comments that explain each key, to start from."""
    with ending():
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(policy_text())
        except FileExistsError:
            raise PolicyError(f"{path}: exists already; name another file, or remove it first") from None
        except OSError as error:
            raise PolicyError(f"{path}: cannot be written ({error.strerror}); check its folder") from None
    typer.echo(f"{path}: written; edit it, then: emotion-triage policy check {path}")
