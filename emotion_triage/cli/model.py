"""Commands on models: ``model show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotion_triage.affect.classifier import Classifier
from emotion_triage.cli.options import ending

__all__ = ["model_app"]

model_app = typer.Typer(name="model", help="Show what a model is.", no_args_is_help=True)


@model_app.command()
def show(
    model_path: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="An ONNX model; the one that ships by default.")
    ] = None,
) -> None:
    """Show a model's contract: its input, its labels, its training data."""
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
