"""`Triage` (shared, immutable, thread-safe) and `Call` (one caller leg): audio in, events out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from os import PathLike
from types import TracebackType
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from emotion_triage.affect import Affect, log_odds, measure_drivers, occlusions
from emotion_triage.audio import Chunk
from emotion_triage.classifier import LABELS, Classifier
from emotion_triage.errors import PushError, StreamError, TriageError
from emotion_triage.escalation import Escalation, Escalator, Level
from emotion_triage.frames import HOP_S
from emotion_triage.functionals import DRIVER_GROUPS, Baseline, features, functionals, population
from emotion_triage.policy import Policy
from emotion_triage.routing import CLEAR, Route, Standing
from emotion_triage.windows import Rows, Window, WindowStream, rows_of

__all__ = ["Call", "Event", "Triage"]

Event: TypeAlias = Affect | Escalation | Route

SLAB_FRAMES = 500
"""Frames of one call taken at once (10 s): bounds the memory of a push of any length."""
MIN_NEW_SPEECH_S = 0.1
"""A step that brings less speech than this is no new evidence."""
_ANGER, _DISTRESS, _AROUSAL, _SPEECH = (
    LABELS.index(name) for name in ("anger", "distress", "arousal", "speech")
)
_ROWS = 1 + len(DRIVER_GROUPS)


class Triage:
    """A model and a policy: load it once a process and share it between calls and threads.

    Parameters
    ----------
    classifier : Classifier
        The model.
    policy : Policy
        Thresholds and rules.

    Examples
    --------
    >>> triage = Triage.load()
    >>> triage.call("call-1").route.queue
    'general'
    """

    __slots__ = ("_population", "classifier", "policy")

    def __init__(self, classifier: Classifier, policy: Policy) -> None:
        self.classifier = classifier
        self.policy = policy
        typical = population(classifier.mean)
        self._population = typical, features(typical, None)

    @classmethod
    def load(
        cls, *, model: str | PathLike[str] | None = None, policy: str | PathLike[str] | Policy | None = None
    ) -> Triage:
        """Load a model and a policy.

        Parameters
        ----------
        model : path, optional
            An ONNX file made by ``emotion_triage.training``; the one that ships with the library by default.
        policy : path or Policy, optional
            A TOML file; the balanced policy by default.

        Raises
        ------
        ModelError, PolicyError
            If one of them cannot be used; the message says why and what to do.
        """
        return cls(Classifier.load(model), policy if isinstance(policy, Policy) else Policy.load(policy))

    def __reduce__(self) -> tuple[type[Triage], tuple[Classifier, Policy]]:
        return type(self), (self.classifier, self.policy)

    def call(
        self,
        call_id: str,
        *,
        encoding: str = "mulaw",
        sample_rate_hz: int = 8000,
        standing: Standing | None = None,
        objection: bool = False,
    ) -> Call:
        """Open a call: the caller's leg alone, never the agent's.

        Parameters
        ----------
        call_id : str
            The routing engine's name of the call; appears in every `Route`. Never a telephone number.
        encoding : {"mulaw", "alaw", "pcm16", "float32"}
            What `Call.push` will be given.
        sample_rate_hz : int
            8000 to 48000.
        standing : Standing, optional
            What the ledger knows of the caller; clear by default.
        objection : bool
            The caller objected to being scored: no score is computed, and the route is neutral.

        Raises
        ------
        AudioError
            If the encoding or the rate is not supported.
        """
        return Call(
            self,
            call_id,
            encoding=encoding,
            sample_rate_hz=sample_rate_hz,
            standing=standing,
            objection=objection,
        )

    def push_many(self, chunks: Sequence[tuple[Call, Chunk]]) -> list[list[Event]]:
        """Serve many calls in one tick; gives what `Call.push` gives for each, in the same order.

        Parameters
        ----------
        chunks : sequence of (Call, bytes or ndarray)
            One packet of each call; a call may come more than once.

        Returns
        -------
        list of list of Event
            One list for each item of `chunks`.

        Raises
        ------
        PushError
            If chunks could not be used; the others were scored, and their events are in the error.

        Examples
        --------
        >>> triage = Triage.load()
        >>> calls = [triage.call(f"call-{i}") for i in range(3)]
        >>> triage.push_many([(call, bytes([0xFF]) * 160) for call in calls])
        [[], [], []]
        """
        events: list[list[Event]] = [[] for _ in chunks]
        errors: dict[int, TriageError] = {}
        batch: dict[Call, tuple[int, Rows]] = {}
        for i, (call, chunk) in enumerate(chunks):
            if call in batch:  # its earlier packet comes first
                self._run(batch, events)
                batch = {}
            try:
                batch[call] = i, call._take(chunk)
            except TriageError as error:
                errors[i] = error
        self._run(batch, events)
        if errors:
            raise PushError(events, errors)
        return events

    def _run(self, batch: dict[Call, tuple[int, Rows]], events: list[list[Event]]) -> None:
        """Frames of each call to events: one pass over all rows, one classifier run for each step that is due."""
        longest = max((len(frames) for _, frames in batch.values()), default=0)
        for start in range(0, longest, SLAB_FRAMES):
            rows = rows_of([frames[start : start + SLAB_FRAMES] for _, frames in batch.values()])
            due = [
                (call, i, call._stream.windows(block))
                for (call, (i, _)), block in zip(batch.items(), rows, strict=True)
            ]
            self._score(due, events)

    def _score(self, due: list[tuple[Call, int, list[Window]]], events: list[list[Event]]) -> None:
        """Windows of each call to events, a step at a time: a caller's baseline rests on his steps before."""
        windows = [window for _, _, each in due for window in each]
        if not windows:
            return
        measured = functionals(np.stack([window.rows for window in windows]))
        steps = iter(
            _Step(
                window.time_s,
                statistics,
                float(speech_s),
                float(lost_s),
                speech[-window.n_new :].sum() * HOP_S,
            )
            for window, statistics, speech, speech_s, lost_s in zip(windows, *measured, strict=True)
        )
        queues = [(call, i, list(islice(steps, len(each)))) for call, i, each in due]
        for turn in range(max(len(queue) for _, _, queue in queues)):
            ready = []
            for call, i, queue in queues:
                if turn < len(queue):
                    events[i] += call._wait(queue[turn].time_s)
                    if call._has_evidence(queue[turn]):
                        ready.append((call, i, queue[turn]))
            if ready:
                scores = self.classifier.score(
                    np.concatenate([call._inputs(step) for call, _, step in ready])
                )
                for (call, i, step), score in zip(ready, np.split(scores, len(ready)), strict=True):
                    events[i] += call._hear(step, score)


class _Step(NamedTuple):
    """What one window told."""

    time_s: float
    statistics: Rows
    speech_s: float
    lost_s: float
    new_speech_s: float


class Call:
    """One caller leg: push his audio, get typed events. Made by `Triage.call`; one thread at a time.

    Calls pickle between two pushes, so that they can move to another process.

    Attributes
    ----------
    call_id : str
        As given.
    standing : Standing
        As given.
    triage : Triage
        The model and policy that serve it.
    route : Route
        Where the call should go now; exists before the first word, from the standing alone.
    level : Level
        The level now.
    notice_played_s : float or None
        Stream time at which the notice was said to have been played; None while it was not, or where the policy
        assumes it.
    speech_s, lost_s : float
        Scored speech and lost audio so far, in seconds.
    """

    def __init__(
        self,
        triage: Triage,
        call_id: str,
        *,
        encoding: str,
        sample_rate_hz: int,
        standing: Standing | None,
        objection: bool,
    ) -> None:
        self.triage = triage
        self.call_id = call_id
        self.standing = CLEAR if standing is None else standing
        self._format = (encoding, sample_rate_hz)
        self._objected = objection
        self.reset()

    def reset(self) -> None:
        """Give the call back as constructed."""
        self._stream = WindowStream(*self._format)
        self._flushed = False
        self._objection = self._objected
        self._baseline = Baseline(self.triage.policy.escalation.baseline_s)
        self._escalator = Escalator(self.triage.policy.escalation)
        self._unconfirmed_s = 0.0
        self.notice_played_s: float | None = None
        self.speech_s = 0.0
        self.lost_s = 0.0
        self.route = self._route(0.0)

    @property
    def level(self) -> Level:
        """The level now."""
        return self._escalator.level

    @property
    def objection(self) -> bool:
        """Whether the caller objected to being scored."""
        return self._objection

    @property
    def position_s(self) -> float:
        """Stream time up to which audio was taken or declared lost, in seconds."""
        return self._stream.position_s

    def push(self, chunk: Chunk, *, at: int | None = None) -> list[Event]:
        """Take the caller's next audio.

        Parameters
        ----------
        chunk : bytes or ndarray
            Any length, 0 included; never written to.
        at : int, optional
            Stream index of the first sample, at the call's rate. A jump forward is a gap: counted in `lost_s`,
            never filled with zeros.

        Returns
        -------
        list of Event
            `Affect`, `Escalation` and `Route` in the order of their times; none lies after the audio pushed.

        Raises
        ------
        AudioError
            If the chunk is not audio of the call's encoding; the call is as it was before.
        StreamError
            If the call was flushed, or `at` lies in the past.
        """
        events = [[] if at is None else self._skip(at)]
        self.triage._run({self: (0, self._take(chunk))}, events)
        return events[0]

    def advance(self, to: int) -> list[Event]:
        """Move stream time while no audio comes (hold, mute): lost audio, after which a level holds for `hold_s`.

        Parameters
        ----------
        to : int
            Stream index at the call's rate; nothing happens where audio has come this far already.

        Returns
        -------
        list of Event
            Steps down, and what the audio before still completes.

        Raises
        ------
        StreamError
            If the call was flushed.
        """
        return self._skip(max(to, self._stream.source_position))

    def flush(self) -> list[Event]:
        """Say that no more audio comes: score what is left. A second flush returns nothing.

        Returns
        -------
        list of Event
        """
        if self._flushed:
            return []
        events: list[list[Event]] = [[]]
        if self._scores:
            self.triage._run({self: (0, self._stream.flush())}, events)
            self.triage._score([(self, 0, self._stream.last())], events)
        self._flushed = True
        return events[0]

    def notice_played(self) -> None:
        """Record that the caller was told; with a policy that requires it, scoring begins with the next audio."""
        if self.notice_played_s is None:
            self.notice_played_s = self.position_s

    def object(self) -> list[Event]:
        """Record the caller's objection: from now on nothing is scored, what was learnt is forgotten, the route is neutral.

        Returns
        -------
        list of Event
            The neutral `Route`, if it is another than the one before.
        """
        before = self.route
        self._objection = True
        self._baseline = Baseline(self.triage.policy.escalation.baseline_s)
        self._escalator = Escalator(self.triage.policy.escalation)
        self.route = self._route(self.position_s)
        return [self.route] if self.route.rule != before.rule else []

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    @property
    def _scores(self) -> bool:
        """Whether the law lets this call be scored now."""
        told = self.triage.policy.notice.mode == "assumed" or self.notice_played_s is not None
        return told and not self._objection

    def _open(self) -> None:
        if self._flushed:
            raise StreamError("got audio after flush, expected none; reset() the call, or open another")

    def _take(self, chunk: Chunk) -> Rows:
        self._open()
        return self._stream.frames(chunk) if self._scores else self._stream.ignore(chunk)

    def _skip(self, to: int) -> list[Event]:
        self._open()
        before_s = self.position_s
        frames, lost = self._stream.jump(to)
        self.lost_s += self.position_s - before_s
        events: list[list[Event]] = [[]]
        self.triage._run({self: (0, frames)}, events)
        self.triage._score([(self, 0, self._stream.lose(lost))], events)
        return events[0] + self._wait(self.position_s)

    def _wait(self, time_s: float) -> list[Event]:
        return [event for step in self._escalator.wait(time_s) for event in self._follow(step)]

    def _has_evidence(self, step: _Step) -> bool:
        return (
            step.new_speech_s >= MIN_NEW_SPEECH_S
            and step.speech_s >= self.triage.policy.escalation.min_speech_s
        )

    def _reference(self) -> tuple[Rows, Rows, Literal["caller", "population"]]:
        """Statistics and features that this caller is compared with."""
        own = self._baseline.statistics
        if own is None:
            return *self.triage._population, "population"
        return own, features(own, own), "caller"

    def _inputs(self, step: _Step) -> Rows:
        self._unconfirmed_s += step.new_speech_s
        return occlusions(features(step.statistics, self._baseline.statistics), self._reference()[1])

    def _hear(self, step: _Step, scores: Rows) -> list[Event]:
        unconfirmed_s, self._unconfirmed_s = self._unconfirmed_s, 0.0
        if scores[0, _SPEECH] < self.triage.policy.escalation.min_speech_probability:
            return []
        self.speech_s += unconfirmed_s
        reference, _, source = self._reference()
        affect = Affect(
            time_s=step.time_s,
            anger=float(scores[0, _ANGER]),
            distress=float(scores[0, _DISTRESS]),
            arousal=float(scores[0, _AROUSAL]),
            speech_s=step.speech_s,
            lost_s=step.lost_s,
            drivers=measure_drivers(scores[:, _ANGER], step.statistics, reference, source),
        )
        change = self._escalator.push(affect, self._baseline.log_odds)
        self._baseline.add(step.statistics, float(log_odds(affect.anger)), step.new_speech_s)
        return [affect, *(self._follow(change) if change else ())]

    def _follow(self, change: Escalation) -> list[Event]:
        """Let the route follow a change of level."""
        route = self._route(change.time_s)
        if route.rule == self.route.rule:
            return [change]
        self.route = route
        return [change, route]

    def _route(self, time_s: float) -> Route:
        return self.triage.policy.router.route(
            call_id=self.call_id,
            time_s=time_s,
            level=None if self._objection else self._escalator.level,
            standing=self.standing,
            model_digest=self.triage.classifier.digest,
            policy_digest=self.triage.policy.digest,
        )
