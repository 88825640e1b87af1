"""Recordings in, records out. Scoring a recording *is* a call: push all its blocks, then flush."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from emotion_triage.arguments import number, of_type, path_name, shown, whole_number
from emotion_triage.audio.decoding import is_of_this_process
from emotion_triage.audio.g711 import Samples
from emotion_triage.audio.recordings import to_its_end
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.batch.append_log import lines_of
from emotion_triage.batch.inputs import CallerSpans, as_text, find_recordings
from emotion_triage.batch.options import ScoringOptions
from emotion_triage.batch.process_pool import GivenUp, Limits, in_order
from emotion_triage.batch.record import DECIMALS, Record, Status, Summary
from emotion_triage.batch.timeline import Timeline
from emotion_triage.call.triage import Call, Event, Triage
from emotion_triage.errors import ArgumentError, AudioError, PolicyError, TriageError, TruncatedError
from emotion_triage.routing.policy import Policy
from emotion_triage.texts import Language

__all__ = [
    "Record",
    "Scored",
    "ScoringOptions",
    "Status",
    "call_of_recording",
    "events_of",
    "give_up",
    "refuse_unknown_notice",
    "run_locally",
    "run_one",
    "score",
    "score_recording",
]

MOST_MEMORY_MIB = 1 << 40
"""More than the system's limits can say."""


def call_of_recording(triage: Triage) -> Call:
    """Open the call that a recording is.

    Raises
    ------
    PolicyError
        If the policy wants the notice played first: a recording cannot tell when it was.
    """
    of_type(Triage, triage=triage)
    refuse_unknown_notice(triage.policy)
    return triage.call("recording", encoding="float32")


def events_of(call: Call, blocks: Iterable[tuple[int, Samples]], *, end_s: float) -> Iterator[list[Event]]:
    """Push all blocks, then flush.

    Parameters
    ----------
    call : Call
        From `call_of_recording`.
    blocks : iterable of (int, ndarray of float32)
        As `Recording.blocks` yields them, at 8 kHz.
    end_s : float
        Length of the recording; what the blocks leave out before it is lost.

    Yields
    ------
    list of Event
        What each block told.
    """
    of_type(Call, call=call)
    of_type(Iterable, "give Recording.blocks()", blocks=blocks)
    end_s = number("end_s", end_s, "the recording's length, seconds from 0", least=0.0)
    for block in blocks:
        if not isinstance(block, tuple) or len(block) != 2:
            raise ArgumentError(f"blocks: got {shown(block)}, expected pairs of an index and samples")
        at, samples = block
        yield call.push(samples, at=at)
    yield call.advance(round(end_s * SAMPLE_RATE_HZ)) + call.flush()


class Scored(NamedTuple):
    """What one recording gave.

    Attributes
    ----------
    record : Record
    timeline : bytes
        Lines of `TimelineRow`, where `ScoringOptions.timeline` asks for them and the recording could be read.
    """

    record: Record
    timeline: bytes = b""


def run_one(triage: Triage, options: ScoringOptions, source: str) -> Scored:
    """Score one recording; without a timeline, memory does not grow with its length.

    Returns
    -------
    Scored
        A recording that cannot be read, or takes too long, makes a record with its `error`.

    Raises
    ------
    PolicyError
        If the policy wants the notice played first: a recording cannot tell when it was.
    """
    of_type(ScoringOptions, options=options)
    of_type(str, source=source)
    call = call_of_recording(triage)
    summary = Summary(call.route, angry_start=triage.policy.report.angry_start)
    timeline = None if options.timeline is None else Timeline(as_text(source), call.route, options.language)
    try:
        recording = options.open(source)
        warnings: list[TruncatedError] = []
        blocks = _in_time(to_its_end(recording.blocks(), warnings), source, options.max_seconds)
        end_s = recording.duration_s if recording.caller_spans else 0.0
        for events in events_of(call, timeline.gaps(blocks) if timeline else blocks, end_s=end_s):
            for event in events:
                summary.add(event)
                if timeline is not None:
                    timeline.add(event)
    except (TriageError, OSError, UnicodeError, MemoryError) as error:  # one bad file, not a bad run
        return Scored(broken(triage, options.channel_of(source), str(error) or "more memory than it may take", source))
    summary.end(call.position_s)
    record = Record(
        source=as_text(source),
        status="scored" if summary.scored else "no_speech",
        warning=as_text(str(warnings[0])) if warnings else None,
        caller_channel=recording.caller_channel,
        duration_s=round(call.position_s if warnings else recording.duration_s, DECIMALS),
        speech_s=round(call.speech_s, DECIMALS),
        lost_s=round(call.lost_s, DECIMALS),
        abstained_s=round(call.abstained_s, DECIMALS),
        route=summary.route.queue,
        rule=summary.route.rule,
        model_digest=triage.classifier.digest,
        policy_digest=triage.policy.digest,
        **(summary.as_fields(options.language) if summary.scored else {}),  # type: ignore[arg-type]
    )
    if timeline is None or options.timeline is None:
        return Scored(record)
    return Scored(record, lines_of(timeline.end(end_s), options.timeline))


def _in_time(
    blocks: Iterator[tuple[int, Samples]], source: str, max_seconds: float | None
) -> Iterator[tuple[int, Samples]]:
    """Pass blocks through for so long."""
    began_s = time.monotonic()
    for block in blocks:
        yield block
        if max_seconds is not None and time.monotonic() - began_s > max_seconds:
            raise AudioError(late(source, max_seconds))


def late(source: str, max_seconds: float) -> str:
    """Return the error of a recording that takes too long."""
    return f"{source}: took more than {max_seconds:g} s; give it more (--max-seconds), or look at the file"


def score_recording(
    triage: Triage,
    source: str | os.PathLike[str],
    *,
    caller_channel: str | None,
    caller_spans: CallerSpans | None = None,
    language: Language = "en",
) -> Record:
    """Score one recording; memory does not grow with its length.

    Parameters
    ----------
    triage : Triage
        Model and policy.
    source : path
        WAV, FLAC, Ogg or MP3 of 8 to 48 kHz; an address for fsspec, as ``s3://calls/a.wav``, too.
    caller_channel, caller_spans, language
        See `ScoringOptions`.

    Returns
    -------
    Record
        A recording that cannot be read makes one too, with its `error`.

    Raises
    ------
    PolicyError
        If the policy wants the notice played first: a recording cannot tell when it was.
    """
    options = ScoringOptions(caller_channel=caller_channel, caller_spans=caller_spans, language=language)
    return run_one(triage, options, path_name("source", source, AudioError)).record


def run_locally(
    triage: Triage,
    options: ScoringOptions,
    sources: Iterable[str],
    *,
    workers: int = 1,
    max_memory_mib: int | None = None,
) -> Iterator[Scored]:
    """Score recordings on this machine, in their order, as they become known.

    Parameters
    ----------
    triage : Triage
        Model and policy; each worker loads the model once.
    options : ScoringOptions
        With `max_seconds`, a worker that hangs for longer is ended.
    sources : iterable of str
        See `emotion_triage.batch.inputs.find_recordings`.
    workers : int
        Processes; the records are the same for any number. More than 1, and limits, need
        ``if __name__ == "__main__":`` in the script that asks for them.
    max_memory_mib : int, optional
        What a worker may take beyond what it holds once the model is loaded, in MiB.

    Raises
    ------
    PolicyError
        If the policy wants the notice played first.
    ArgumentError
        If a setting is of another type or out of range.
    """
    of_type(Triage, triage=triage)
    of_type(ScoringOptions, options=options)
    of_type(Iterable, sources=sources)
    refuse_unknown_notice(triage.policy)
    workers = whole_number("workers", workers, "1 or more processes", least=1)
    if max_memory_mib is not None:
        whole_number("max_memory_mib", max_memory_mib, f"MiB, 1 to {MOST_MEMORY_MIB}", least=1, most=MOST_MEMORY_MIB)
    limits = Limits(options.max_seconds, max_memory_mib)
    return in_order(
        partial(run_one, triage, options),
        sources if workers == 1 and limits == Limits() else map(_shared, sources),
        workers=workers,
        limits=limits,
        given_up=partial(give_up, triage, options),
    )


def _shared(source: str) -> str:
    """Refuse what another process cannot read."""
    if is_of_this_process(source):
        raise AudioError(
            f"{source}: got what only this process can read, expected a file; leave out workers and limits"
        )
    return source


def give_up(triage: Triage, options: ScoringOptions, source: str, reason: GivenUp) -> Scored:
    """Return what stands for a recording that no worker could finish."""
    if reason == "late":
        return Scored(broken(triage, options.channel_of(source), late(source, options.max_seconds or 0.0), source))
    error = "the process that read it was ended twice, by the system or by a user; check the memory, and the file"
    return Scored(broken(triage, options.channel_of(source), error, source))


def score(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    caller_channel: str | None,
    caller_spans: CallerSpans | None = None,
    model: str | os.PathLike[str] | None = None,
    policy: str | os.PathLike[str] | Policy | None = None,
    workers: int = 1,
    language: Language = "en",
) -> Iterator[Record]:
    """Score recordings, one record each, in their order, as they become known.

    Parameters
    ----------
    paths : path or iterable of path
        Files, folders and globs.
    caller_channel : {"left", "right", "mono"} or None
        See `score_recording`.
    caller_spans : CallerSpans, optional
        See `emotion_triage.batch.inputs.read_spans`.
    model, policy : optional
        See `Triage.load`.
    workers : int
        Processes; the records are the same for any number. More than 1 needs ``if __name__ == "__main__":`` in
        the script that asks for them.
    language : {"en", "fr"}
        Of the drivers.

    Returns
    -------
    iterator of Record
        A recording that cannot be read makes a record with its `error`; the others are scored.

    Raises
    ------
    ArgumentError
        If an argument is of another type or out of range.
    AudioError
        If there is nothing to score.
    ModelError, PolicyError
        If the model or the policy cannot be used.

    Examples
    --------
    >>> for record in score(["missing.wav"], caller_channel="left"):
    ...     print(record.peak_level)
    Traceback (most recent call last):
    emotion_triage.errors.AudioError: missing.wav: got no such file or folder, expected a recording; check the path
    """
    sources = find_recordings(paths)
    options = ScoringOptions(caller_channel=caller_channel, caller_spans=caller_spans, language=language)
    scored = run_locally(Triage.load(model=model, policy=policy), options, sources, workers=workers)
    return (each.record for each in scored)


def broken(triage: Triage, caller_channel: str | None, error: str, source: str) -> Record:
    """Return the record of a recording that could not be scored."""
    return Record(
        source=as_text(source),
        status="error",
        error=as_text(error),
        caller_channel=caller_channel,
        model_digest=triage.classifier.digest,
        policy_digest=triage.policy.digest,
    )


def refuse_unknown_notice(policy: Policy) -> None:
    """Refuse to score recordings by a policy that wants the notice played first.

    Raises
    ------
    PolicyError
        If it does: a recording cannot tell when the notice was played.
    """
    of_type(Policy, policy=policy)
    if policy.notice.mode == "required":
        raise PolicyError(
            f"policy {policy.name!r}: notice.mode is 'required', and a recording cannot tell when the notice was "
            "played; for recordings of callers who were told, use a policy whose notice.mode is 'assumed'"
        )
