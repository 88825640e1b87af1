"""Commands that look inside: ``policy check|explain|init`` and ``model show``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from emotion_triage.affect.classifier import Classifier
from emotion_triage.cli.terminal import LEVELS, destination_words, words
from emotion_triage.errors import PolicyError, TriageError
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy, policy_text
from emotion_triage.routing.reasons import explain
from emotion_triage.routing.rules import CASES, StandingState

__all__ = ["Lang", "ModelPath", "PolicyPath", "ending", "model_app", "policy_app"]

Lang = Annotated[Literal["en", "fr"], typer.Option(help="Language of levels and reasons.")]
PolicyPath = Annotated[
    Path | None, typer.Option("--policy", help="A TOML policy, or cautious, balanced or eager; balanced by default.")
]
ModelPath = Annotated[Path | None, typer.Option("--model", help="An ONNX model; the one that ships by default.")]

WRONG_USAGE = 2
"""Exit code: nothing was begun."""
PIPE_CELLS = 200
"""Width of a table where no terminal says how wide it is."""

policy_app = typer.Typer(name="policy", help="Check, explain or write a policy.", no_args_is_help=True)
model_app = typer.Typer(name="model", help="Show what a model is.", no_args_is_help=True)


@contextmanager
def ending(code: int = WRONG_USAGE) -> Iterator[None]:
    """End with a message and an exit code instead of a traceback."""
    try:
        yield
    except TriageError as error:
        typer.echo(f"emotion-triage: {error}", err=True)
        raise typer.Exit(code) from None


@policy_app.command()
def check(path: Annotated[Path, typer.Argument(help="A TOML policy.")]) -> None:
    """Check that a policy is sound: every key known, every rule reachable, every case routed."""
    with ending():
        policy = Policy.load(path)
    typer.echo(f"{path}: sound; policy {policy.name!r}, {len(policy.rules)} rules, digest {policy.digest}")


@policy_app.command("explain")
def explain_command(
    policy_path: PolicyPath = None,
    level: Annotated[Literal["calm", "tense", "escalated"] | None, typer.Option(help="Only this level.")] = None,
    standing: Annotated[
        Literal["clear", "watch", "protected", "restricted"] | None, typer.Option(help="Only this standing.")
    ] = None,
    lang: Lang = "en",
) -> None:
    """Show where each level and standing leads; with both given, why each rule takes or leaves the case."""
    with ending():
        policy = Policy.load(policy_path)
    console = Console(width=None if sys.stdout.isatty() else PIPE_CELLS)
    if level is not None and standing is not None:
        case = Level[level.upper()], StandingState(standing)
        for verdict in explain(policy.router, *case, lang):
            mark = "→" if verdict.chosen else " "
            console.print(
                f"{mark} {verdict.rule}: {verdict.reason}", style="bold" if verdict.chosen else None, soft_wrap=True
            )
        console.print(f"  {destination_words(policy.router.table[case].route, lang)}", soft_wrap=True)
        return
    heads = (words(key, lang) for key in ("level", "standing", "rule", "queue", "priority", "skills"))
    table = Table(*heads, box=None, pad_edge=False)
    for each, state in CASES:
        if level in (None, each.name.lower()) and standing in (None, state.value):
            rule = policy.router.table[each, state]
            route = rule.route
            told = (
                LEVELS[lang][each],
                state.value,
                rule.name,
                route.queue,
                str(route.priority),
                ", ".join(route.skills),
            )
            table.add_row(*told)
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


@model_app.command()
def show(model_path: ModelPath = None) -> None:
    """Show a model's contract: what it hears, what it tells, what it was trained on."""
    with ending():
        classifier = Classifier.load(model_path)
    contract = classifier.contract
    facts = {
        "name": contract.name,
        "file": str(classifier.path),
        "size": f"{classifier.path.stat().st_size} bytes",
        "digest": classifier.digest,
        "schema": str(contract.schema),
        "labels": ", ".join(contract.labels),
        "sample rate": f"{contract.sample_rate_hz} Hz",
        "frame, hop": f"{contract.frame_length}, {contract.hop_length} samples",
        "window, step": f"{contract.window_frames}, {contract.step_frames} frames",
    }
    for name, value in contract.training.items():
        facts[f"training: {name}"] = ", ".join(value) if isinstance(value, list) else str(value)
    facts[f"features ({len(contract.features)})"] = ", ".join(contract.features)
    for name, value in facts.items():
        typer.echo(f"{name}: {value}")
