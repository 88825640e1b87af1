"""What commands share: the options that mean the same everywhere, exit codes, and how a command ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from emotion_triage.audio.decoding import Headerless
from emotion_triage.errors import AudioError, TriageError
from emotion_triage.texts import Language

__all__ = [
    "INCOMPLETE",
    "INTERRUPTED",
    "PIPE_CELLS",
    "WRONG_USAGE",
    "CallerChannel",
    "Encoding",
    "LanguageOption",
    "ModelPath",
    "PolicyPath",
    "SampleRate",
    "SpansPath",
    "ending",
    "headerless_of",
    "refuse_unnamed_caller",
]

INCOMPLETE, WRONG_USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes: some inputs failed and the rest is written; nothing was begun; Ctrl-C."""
PIPE_CELLS = 200
"""Width of a table where no terminal says how wide it is."""

LanguageOption = Annotated[Language, typer.Option("--language", help="Language of levels and reasons.")]
PolicyPath = Annotated[
    Path | None, typer.Option("--policy", help="A TOML policy, or cautious, balanced or eager; balanced by default.")
]
ModelPath = Annotated[Path | None, typer.Option("--model", help="An ONNX model; the one that ships by default.")]
CallerChannel = Annotated[
    Literal["left", "right", "mono"] | None,
    typer.Option(help="The caller's side; mono: a file of the caller alone. The agent is never scored."),
]
SpansPath = Annotated[
    Path | None,
    typer.Option(
        "--caller-spans", help="CSV or JSON of source,start_s,end_s: when the caller speaks in a mono file of both."
    ),
]

Encoding = Annotated[
    Literal["mulaw", "alaw", "pcm16", "float32", "gsm", "vox"] | None,
    typer.Option(
        "--encoding", help="Of recordings without a header (.ulaw, .alaw, .sln, .gsm, .raw), which are one channel."
    ),
]
SampleRate = Annotated[int | None, typer.Option("--sample-rate", help="Of recordings without a header, in Hz.")]


@contextmanager
def ending(code: int = WRONG_USAGE) -> Iterator[None]:
    """End with a message and an exit code instead of a traceback."""
    try:
        yield
    except TriageError as error:
        typer.echo(f"emotion-triage: {error}", err=True)
        raise typer.Exit(code) from None


def refuse_unnamed_caller(caller_channel: str | None, spans_path: Path | None) -> None:
    """Refuse to guess which side is the caller.

    Raises
    ------
    AudioError
        If neither is given.
    """
    if caller_channel is None and spans_path is None:
        raise AudioError(
            "got no caller channel, expected --caller-channel left, right or mono: only the caller is scored, never "
            "the agent; for a mono file of both sides, give --caller-spans"
        )


def headerless_of(encoding: str | None, sample_rate_hz: int | None) -> Headerless | None:
    """Return how recordings without a header are coded, if anything says so.

    Raises
    ------
    AudioError
        If only one of both is given, or one of them cannot be used.
    """
    if encoding is None and sample_rate_hz is None:
        return None
    if encoding is None or sample_rate_hz is None:
        given, lacking = ("--sample-rate", "--encoding") if encoding is None else ("--encoding", "--sample-rate")
        raise AudioError(f"{given}: got no {lacking} with it, expected both for recordings without a header")
    return Headerless(encoding, sample_rate_hz)
