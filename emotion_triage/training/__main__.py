"""One command from a corpora folder to an ONNX model and its card."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from emotion_triage.affect.classifier import Classifier
from emotion_triage.errors import TriageError
from emotion_triage.training.card import card, measured, training_facts
from emotion_triage.training.corpora import Corpora
from emotion_triage.training.dataset import calm_references, gather
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.export import check_parity, export
from emotion_triage.training.fit import (
    Model,
    calibrated,
    calibrated_log_odds,
    fit,
    held_out_scores,
    held_out_tone,
    mixing,
    taught,
    tone_of,
)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Corpora folder with a manifest.csv.", metavar="CORPORA")],
    out: Annotated[Path, typer.Option(help="ONNX file to write; the card goes beside it.")] = Path(
        "models/triage.onnx"
    ),
    name: Annotated[str, typer.Option(help="Name of the model.")] = "triage",
    passes: Annotated[int, typer.Option(min=1, help="Lines that each speaker calls over.")] = 2,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="File with the pretrained encoder (make encoder), or a model; the shipped model's by default."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Train a model on labelled clips, check the ONNX file against the trainer, write its card."""
    started = time.monotonic()

    def say(what: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.0f} s  {what}", err=True)

    try:
        corpora = Corpora.read(folder)
        say(f"{len(corpora.clips)} clips, {len(corpora.noises)} noises")
        ear = Encoder(encoder)
        windows = gather(corpora, ear, passes=passes, seed=seed, workers=workers)
        say(f"{len(windows.emotion)} windows encoded")
        tones, _ = held_out_tone(windows)
        windows = windows.with_tone(tones, calm_references(windows, seed))
        say("the tone of every corpus judged by a discriminant that never heard it")
        scores = held_out_scores(windows)
        mixed = mixing(windows, scores)
        say("every corpus scored by a model that never heard it")
        model = Model(tone_of(windows), calibrated(fit(windows.take(taught(windows))), mixed))
        export(out, model, ear, name=name, training=training_facts(corpora, seed=seed, passes=passes))
        some = slice(None, None, max(1, len(windows.emotion) // 10_000))
        parity = check_parity(out, model, windows.features[some])
        beside = out.with_suffix(".md")
        before = beside.read_text(encoding="utf-8") if beside.exists() else ""
        text = card(out, corpora, windows, calibrated_log_odds(windows, scores, mixed), parity)
        beside.write_text(text + measured(before, Classifier.load(out).digest), encoding="utf-8")
        say(f"{out} and {beside} written")
    except TriageError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    app()
