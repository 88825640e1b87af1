"""Recordings in, records out. Scoring a recording *is* a call: push all its blocks, then flush."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal

import msgspec

from emotion_triage.affect import LANGUAGES, Affect, Driver, Language, describe
from emotion_triage.audio import SAMPLE_RATE_HZ
from emotion_triage.errors import PolicyError, TriageError
from emotion_triage.escalation import Escalation, Level
from emotion_triage.g711 import Samples
from emotion_triage.policy import Policy
from emotion_triage.recordings import open_recording
from emotion_triage.routing import Route
from emotion_triage.sources import CallerSpans, as_text, find_recordings
from emotion_triage.triage import Call, Event, Triage
from emotion_triage.workers import in_order

__all__ = [
    "Record",
    "Status",
    "call_of_recording",
    "events_of",
    "refuse_unknown_notice",
    "score",
    "score_recording",
    "score_recordings",
]

Status = Literal["scored", "no_speech", "error"]
DECIMALS = 3
"""Of what a record tells: milliseconds, and thousandths of a score; more would be false precision."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What one recording told; None where it is not known.

    Attributes
    ----------
    source : str
        The recording's path, as found.
    status : {"scored", "no_speech", "error"}
        ``no_speech``: nothing in it could be scored, so that no score exists; that does not mean calm.
    error : str or None
        Why it could not be read.
    caller_channel : str or None
        The side that was scored.
    duration_s, speech_s, lost_s : float or None
        Length of the recording; the caller's speech that was scored; what lay outside the caller's spans.
    anger_mean, anger_max, distress_mean, distress_max, arousal_mean, arousal_max : float or None
        Mean and maximum of the scores, 0 to 1, over all steps with enough speech.
    peak_level : {"calm", "tense", "escalated"} or None
        The highest level reached.
    peak_s : float or None
        Where to listen: when `peak_level` was reached with the most evidence; in a calm call, when anger was highest.
    escalated_s : float or None
        Time spent at ESCALATED, in seconds.
    first_escalation_s : float or None
        When ESCALATED was first reached; None if never.
    route, rule : str or None
        The queue recommended at the peak level, for a caller of whom nothing is known, and the rule that chose it.
    drivers : str or None
        The prosodic reasons at `peak_s`, in words.
    model_digest, policy_digest : str
        What decided.
    """

    source: str
    status: Status
    error: str | None = None
    caller_channel: str | None
    duration_s: float | None = None
    speech_s: float | None = None
    lost_s: float | None = None
    anger_mean: float | None = None
    anger_max: float | None = None
    distress_mean: float | None = None
    distress_max: float | None = None
    arousal_mean: float | None = None
    arousal_max: float | None = None
    peak_level: Literal["calm", "tense", "escalated"] | None = None
    peak_s: float | None = None
    escalated_s: float | None = None
    first_escalation_s: float | None = None
    route: str | None = None
    rule: str | None = None
    drivers: str | None = None
    model_digest: str
    policy_digest: str


class _Summary:
    """What a record keeps of the events, so that an hour of them takes no more memory than a minute."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.scored = 0
        self.first_escalation_s: float | None = None
        self._sums = {"anger": 0.0, "distress": 0.0, "arousal": 0.0}
        self._peaks = dict.fromkeys(self._sums, 0.0)
        self._peak: tuple[Level, float] = (Level.CALM, -1.0)
        self._peak_s: float | None = None
        self._drivers: tuple[Driver, ...] = ()
        self._escalated_since_s: float | None = None
        self._escalated_s = 0.0

    def add(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Affect():
                self.scored += 1
                for name in self._sums:
                    value = getattr(event, name)
                    self._sums[name] += value
                    self._peaks[name] = max(self._peaks[name], value)
                self._consider(Level.CALM, event.anger, event.time_s, event.drivers)
            case Escalation():
                if event.level > event.previous:
                    self._consider(event.level, event.score, event.time_s, event.drivers)
                if event.level is Level.ESCALATED:
                    self._escalated_since_s = event.time_s
                    if self.first_escalation_s is None:
                        self.first_escalation_s = event.time_s
                else:
                    self.end(event.time_s)
            case Route():
                self.route = max(self.route, event, key=lambda route: route.level or Level.CALM)

    def end(self, time_s: float) -> None:
        """Say that ESCALATED, if it lasts, lasts no longer than this."""
        if self._escalated_since_s is not None:
            self._escalated_s += time_s - self._escalated_since_s
            self._escalated_since_s = None

    def _consider(self, level: Level, score: float, time_s: float, drivers: tuple[Driver, ...]) -> None:
        if (level, score) > self._peak:
            self._peak, self._peak_s, self._drivers = (level, score), time_s, drivers

    def told(self, language: Language) -> dict[str, str | float | None]:
        """Return the fields of a record that only scored speech can fill."""
        means = {f"{name}_mean": round(total / self.scored, DECIMALS) for name, total in self._sums.items()}
        peaks = {f"{name}_max": round(value, DECIMALS) for name, value in self._peaks.items()}
        return {
            **means,
            **peaks,
            "peak_level": self._peak[0].name.lower(),
            "peak_s": self._peak_s and round(self._peak_s, DECIMALS),
            "escalated_s": round(self._escalated_s, DECIMALS),
            "first_escalation_s": self.first_escalation_s and round(self.first_escalation_s, DECIMALS),
            "drivers": describe(self._drivers, language) or None,
        }


def call_of_recording(triage: Triage, name: str) -> Call:
    """Open the call that a recording is.

    Raises
    ------
    PolicyError
        If the policy wants the notice played first: a recording cannot tell when it was.
    """
    refuse_unknown_notice(triage.policy)
    return triage.call(as_text(name), encoding="float32")


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
    for at, samples in blocks:
        yield call.push(samples, at=at)
    yield call.advance(round(end_s * SAMPLE_RATE_HZ)) + call.flush()


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
        WAV, FLAC, Ogg or MP3 of 8 to 48 kHz.
    caller_channel : {"left", "right", "mono"} or None
        The caller's channel of a stereo file; ``"mono"`` for a file of the caller alone; None for a mono file of
        both sides, with `caller_spans`.
    caller_spans : CallerSpans, optional
        When the caller speaks; only that is scored.
    language : {"en", "fr"}
        Of the drivers.

    Returns
    -------
    Record
        A recording that cannot be read makes one too, with its `error`.

    Raises
    ------
    PolicyError
        If the policy wants the notice played first: a recording cannot tell when it was.
    """
    name = os.fspath(source)
    call = call_of_recording(triage, name)
    summary = _Summary(call.route)
    try:
        spans = None if caller_spans is None else caller_spans.of(name)
        recording = open_recording(name, caller_channel=caller_channel, caller_spans=spans)
        for events in events_of(call, recording.blocks(), end_s=recording.duration_s if spans else 0.0):
            for event in events:
                summary.add(event)
    except (TriageError, OSError, UnicodeError, MemoryError) as error:  # one bad file, not a bad run
        return _broken(triage, caller_channel, str(error) or type(error).__name__, name)
    summary.end(call.position_s)
    return Record(
        source=call.call_id,
        status="scored" if summary.scored else "no_speech",
        caller_channel=caller_channel,
        duration_s=round(recording.duration_s, DECIMALS),
        speech_s=round(call.speech_s, DECIMALS),
        lost_s=round(call.lost_s, DECIMALS),
        route=summary.route.queue,
        rule=summary.route.rule,
        model_digest=triage.classifier.digest,
        policy_digest=triage.policy.digest,
        **(summary.told(language) if summary.scored else {}),  # type: ignore[arg-type]
    )


def score_recordings(
    triage: Triage,
    sources: Iterable[str],
    *,
    caller_channel: str | None,
    caller_spans: CallerSpans | None = None,
    workers: int = 1,
    language: Language = "en",
) -> Iterator[Record]:
    """Score recordings with a model and policy that are loaded; see `score`."""
    refuse_unknown_notice(triage.policy)
    if workers < 1:
        raise ValueError(f"workers: got {workers}, expected 1 or more processes")
    if language not in LANGUAGES:
        raise ValueError(f"language: got {language!r}, expected {' or '.join(map(repr, LANGUAGES))}")
    return in_order(
        partial(
            score_recording,
            triage,
            caller_channel=caller_channel,
            caller_spans=caller_spans,
            language=language,
        ),
        sources,
        workers=workers,
        given_up=partial(
            _broken,
            triage,
            caller_channel,
            "the process that read it was ended twice, by the system or by a user; check the memory, and the file",
        ),
    )


def score(
    paths: Iterable[str | os.PathLike[str]],
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
    paths : iterable of path
        Files, folders and globs.
    caller_channel : {"left", "right", "mono"} or None
        See `score_recording`.
    caller_spans : CallerSpans, optional
        See `emotion_triage.sources.read_spans`.
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
    return score_recordings(
        Triage.load(model=model, policy=policy),
        sources,
        caller_channel=caller_channel,
        caller_spans=caller_spans,
        workers=workers,
        language=language,
    )


def _broken(triage: Triage, caller_channel: str | None, error: str, source: str) -> Record:
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
    if policy.notice.mode == "required":
        raise PolicyError(
            f"policy {policy.name!r}: notice.mode is 'required', and a recording cannot tell when the notice was "
            "played; for recordings of callers who were told, use a policy whose notice.mode is 'assumed'"
        )
