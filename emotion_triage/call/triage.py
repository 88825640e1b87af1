"""`Triage` (shared, immutable, thread-safe) and `Call` (one caller leg): audio in, events out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from types import TracebackType

from emotion_triage.affect.classifier import Classifier
from emotion_triage.arguments import of_type, pair_of
from emotion_triage.audio.stream import Chunk, Encoding
from emotion_triage.call import batching
from emotion_triage.call.arguments import sample_index, standing_or_clear
from emotion_triage.call.caller import CallerState, Event, typical_caller
from emotion_triage.call.pickling import STAMP, Stamp, unpickled
from emotion_triage.errors import PushError, StreamError, TriageError
from emotion_triage.prosody.frames import FRAME_S, HOP_S
from emotion_triage.prosody.measurement import MIN_ENCODED_SPEECH_S
from emotion_triage.prosody.vad import STEP_FRAMES
from emotion_triage.prosody.windows import PATIENCE, SECOND_FRAMES, WindowStream
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Route, Standing, same_destination

__all__ = ["Call", "Event", "Triage"]


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

    __slots__ = ("classifier", "policy", "typical")

    def __init__(self, classifier: Classifier, policy: Policy) -> None:
        of_type(Classifier, "Triage.load takes paths", classifier=classifier)
        of_type(Policy, "Triage.load takes paths", policy=policy)
        self.classifier = classifier
        self.policy = policy
        self.typical = typical_caller(classifier.mean, classifier.score)
        batching.keep_freed_memory()

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
        ArgumentError, ModelError, PolicyError
            If one of them cannot be used; the message says why and what to do.
        """
        return cls(Classifier.load(model), policy if isinstance(policy, Policy) else Policy.load(policy))

    @property
    def affect_latency_s(self) -> float:
        """Longest time, in seconds of audio, from a sound of speech to the `Affect` that has heard it."""
        # just too little for one second waits for the next; the frame that ends there began 20 ms before
        return SECOND_FRAMES * HOP_S + MIN_ENCODED_SPEECH_S + FRAME_S - HOP_S

    @property
    def latency_s(self) -> float:
        """Longest time, in seconds of speech without a pause, from an onset to its `Escalation`, by this policy."""
        step_s = STEP_FRAMES * HOP_S
        return self.affect_latency_s + math.ceil(self.policy.escalation.min_duration_on_s / step_s) * step_s

    def __reduce__(self) -> tuple[object, tuple[Stamp, type[Triage], Classifier, Policy]]:
        return unpickled, (STAMP, type(self), self.classifier, self.policy)

    def call(
        self,
        call_id: str,
        *,
        encoding: Encoding = "mulaw",
        sample_rate_hz: int = 8000,
        standing: Standing | None = None,
        objection: bool = False,
    ) -> Call:
        """Open a call: the caller's leg alone, never the agent's.

        Parameters
        ----------
        call_id : str
            The routing engine's name of the call; appears in every `Route`. A telephone number in it becomes an
            alias: `emotion_triage.routing.call_ids.safe_call_id`.
        encoding : {"mulaw", "alaw", "pcm16", "float32"}
            What `Call.push` will be given.
        sample_rate_hz : int
            8000 to 48000.
        standing : Standing, optional
            What the ledger knows of the caller; clear by default.
        objection : bool
            The caller objected to being scored, now or as their standing remembers: no score is computed, and the route
            is neutral.

        Raises
        ------
        ArgumentError, AudioError
            If `standing` is no Standing, or `objection` no bool; if the encoding or the rate is not supported.
        CallIdError
            If `call_id` is no name: None, empty, too long or not printable.
        """
        return Call(self, call_id, encoding, sample_rate_hz, standing=standing, objection=objection)

    def push_many(self, chunks: Sequence[tuple[Call, Chunk]]) -> list[list[Event]]:
        """Serve many calls in one tick; gives what `Call.push` gives for each, in the same order.

        Where many calls have a second to be encoded in the same tick, some wait for less than half a second more.

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
        ArgumentError, PushError
            If `chunks` is no sequence; if chunks could not be used: the others were scored, and the error has their
            events.

        Examples
        --------
        >>> triage = Triage.load()
        >>> calls = [triage.call(f"call-{i}") for i in range(3)]
        >>> triage.push_many([(call, bytes([0xFF]) * 160) for call in calls])
        [[], [], []]
        """
        of_type(Sequence, "give a list of (call, chunk)", chunks=chunks)
        events: list[list[Event]] = [[] for _ in chunks]
        errors: dict[int, TriageError] = {}
        taken: dict[Call, batching.Heard] = {}
        seconds_left = batching.seconds_in_a_tick(len(chunks))
        for i, pair in enumerate(chunks):
            try:
                call, chunk = pair_of(pair, Call, "and its chunk; pass what Triage.call returned")
                if call in taken:  # its earlier packet comes first
                    batching.process(list(taken.values()), self.classifier)
                    taken = {}
                if call.triage is not self and call.triage.classifier is not self.classifier:
                    raise StreamError(
                        f"got call {call.call_id!r} of another model, expected one of {self.classifier.digest[:12]}; "
                        "push it to the Triage that opened it"
                    )
                if hops := call._take(chunk, batching.PATIENCE_IN_A_TICK, i, seconds_left <= 0):
                    taken[call] = batching.Heard(call._stream, call._caller, events[i], hops)
                    seconds_left -= call._stream.brings_second(hops)
            except TriageError as error:
                errors[i] = error
        batching.process(list(taken.values()), self.classifier)
        if errors:
            raise PushError(events, errors)
        return events


class Call:
    """One caller leg: push its audio, get typed events. Made by `Triage.call`; one thread at a time.

    Calls pickle between two pushes, so that they can move to another process of the same version. Unpickling runs what
    a pickle says: only read those that you trust.

    Attributes
    ----------
    call_id : str
        As given, an alias in place of each telephone number.
    standing : Standing
        As given.
    triage : Triage
        The model and policy that serve it.
    notice_played_s : float or None
        Stream time at which the notice was said to have been played; None while it was not, or where the policy
        assumes it.
    lost_s : float
        Audio lost so far, in seconds.
    """

    def __init__(
        self,
        triage: Triage,
        call_id: str,
        encoding: Encoding,
        sample_rate_hz: int,
        *,
        standing: Standing | None,
        objection: bool,
    ) -> None:
        of_type(Triage, "open calls by Triage.call", triage=triage)
        self.triage = triage
        self.call_id = safe_call_id(call_id)
        self.standing = standing_or_clear(standing)
        self._format = (encoding, sample_rate_hz)
        of_type(bool, objection=objection)
        self._objection = objection or self.standing.objection
        self.reset()

    def __reduce__(self) -> tuple[object, tuple[Stamp, type[Call]], dict[str, object]]:
        return unpickled, (STAMP, type(self)), self.__dict__

    def reset(self) -> None:
        """Give the call back as constructed, for another call of the same leg."""
        self._stream = WindowStream(*self._format)
        self._flushed = False
        self._caller = self._new_caller(objection=self._objection)
        self.notice_played_s: float | None = None
        self.lost_s = 0.0
        self._scores = self._may_score()

    @property
    def route(self) -> Route:
        """Where the call should go now; exists before the first word, from the standing alone, and never falls."""
        return self._caller.route

    @property
    def level(self) -> Level:
        """The level now."""
        return self._caller.level

    @property
    def objection(self) -> bool:
        """Whether the caller objected to being scored, or their standing cannot say that they did not."""
        return self._caller.objection

    @property
    def speech_s(self) -> float:
        """Speech scored so far, in seconds."""
        return self._caller.speech_s

    @property
    def abstaining(self) -> bool:
        """Whether the caller's latest speech was left unscored, because the line was too noisy to judge a voice by."""
        return self._caller.abstaining

    @property
    def abstained_s(self) -> float:
        """Speech left unscored for that reason so far, in seconds."""
        return self._caller.abstained_s

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
        ArgumentError, AudioError
            If `at` is no whole number, or the chunk no audio of the call's encoding; the call is as it was before.
        StreamError
            If the call was flushed, or `at` lies in the past.
        """
        at = None if at is None else sample_index("at", at)
        if at is not None and at > self._stream.source_position:
            self._stream.check(chunk)  # bad audio must not move the call
        events = [] if at is None else self._skip(at)
        self._serve(self._take(chunk, PATIENCE[self._stream.coding], 0), events)
        return events

    def advance(self, to: int) -> list[Event]:
        """Move stream time while no audio comes (hold, mute): a level holds for `hold_s`, the route for the call.

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
        ArgumentError, StreamError
            If `to` is no whole number; if the call was flushed.
        """
        return self._skip(max(sample_index("to", to), self._stream.source_position))

    def flush(self) -> list[Event]:
        """Say that no more audio comes; return the events of what is left. A second flush returns none."""
        if self._flushed:
            return []
        events: list[Event] = []
        if self._scores:
            self._serve(self._stream.flush(), events)
            batching.score_windows([batching.Due(self._caller, events, self._stream.last())], self.triage.classifier)
        self._flushed = True
        return events

    def notice_played(self) -> None:
        """Record that the caller was told; with a policy that requires it, scoring begins with the next audio."""
        if self.notice_played_s is None:
            self.notice_played_s = self.position_s
            self._scores = self._may_score()

    def object(self) -> list[Event]:
        """Record the caller's objection: nothing more is scored, what was learnt is forgotten, the route is neutral.

        Who objects loses no place: a granted destination that the neutral one does not improve stays the route's.

        Returns
        -------
        list of Event
            The neutral `Route`, if it leads elsewhere than the one before.
        """
        before = self.route
        self._caller = self._new_caller(objection=True, time_s=self.position_s, granted=before)
        self._scores = False
        self._stream.forget()
        return [] if same_destination(before, self.route) else [self.route]

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def _may_score(self) -> bool:
        """Whether the law lets this call be scored now."""
        told = self.triage.policy.notice.mode == "assumed" or self.notice_played_s is not None
        return told and not self.objection

    def _open(self) -> None:
        if self._flushed:
            raise StreamError("got audio after flush, expected none; reset() the call, or open another")

    def _take(self, chunk: Chunk, every: int, turn: int, hold: bool = False) -> bytes:
        if self._flushed:
            self._open()
        return self._stream.frames(chunk, every, turn, hold) if self._scores else self._stream.ignore(chunk)

    def _skip(self, to: int) -> list[Event]:
        self._open()
        before_s = self.position_s
        hops, lost = self._stream.jump(to)
        self.lost_s += self.position_s - before_s
        events: list[Event] = []
        self._serve(hops, events)
        batching.score_windows([batching.Due(self._caller, events, self._stream.lose(lost))], self.triage.classifier)
        return events + self._caller.wait(self.position_s)

    def _serve(self, hops: bytes, events: list[Event]) -> None:
        if hops:
            batching.process([batching.Heard(self._stream, self._caller, events, hops)], self.triage.classifier)

    def _new_caller(self, *, objection: bool, time_s: float = 0.0, granted: Route | None = None) -> CallerState:
        return CallerState(
            call_id=self.call_id,
            policy=self.triage.policy,
            model_digest=self.triage.classifier.digest,
            standing=self.standing,
            typical=self.triage.typical,
            objection=objection,
            time_s=time_s,
            granted=granted,
        )
