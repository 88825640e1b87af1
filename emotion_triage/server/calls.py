"""What is known of each call now: what the API tells and the page shows. Kept in memory, never longer than asked."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.adapters.protocol import Hidden
from emotion_triage.affect.affect import Affect, Driver, describe
from emotion_triage.call.triage import Call, Event
from emotion_triage.ledger.labelled import SCORE_COLUMNS
from emotion_triage.ledger.projection import Evidence
from emotion_triage.routing.contacts import Contact, Disposition, Doubt, Restriction
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.rules import Route, Target
from emotion_triage.routing.supervision import Mode
from emotion_triage.server.batcher import Heard
from emotion_triage.server.config import Kind
from emotion_triage.texts import Language

__all__ = ["Attention", "Calls", "Gap", "LevelBand", "LiveCall", "Message", "Monitored", "Override", "Point", "Told"]

MAX_POINTS = 1200
"""Scores kept of one call: 10 minutes at one each half second."""
RECENT_S = 120.0
"""How much of a call's way is shown at a glance."""
MAX_CHANGES = 200
MAX_ENDED = 1000
MAX_MESSAGES = 5
"""Lines from supervisors that the agent still sees."""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A score on the way: stream time in seconds, anger from 0 to 1."""

    time_s: float
    anger: float


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A span without audio, in seconds of the stream."""

    from_s: float
    to_s: float


class LevelBand(msgspec.Struct, frozen=True, kw_only=True):
    """A level from a time on, and the change that led to it; none where the call began."""

    from_s: float
    level: Level
    change: Escalation | None = None

    def reason(self, language: Language) -> str:
        """Return why the level is what it is; empty where nothing changed it."""
        return "" if self.change is None else self.change.reason(language)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A route and what became of it at its destination: ``waiting``, ``taken``, ``replaced`` or the error's words."""

    route: Route
    outcome: str


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A person's choice in place of the recommendation."""

    by: str
    reason: str
    queue: str
    target: Target = Target.QUEUE
    priority: Annotated[int, msgspec.Meta(ge=0, le=100)]
    at: datetime


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's line to the agent of a call."""

    by: str
    text: str
    at: datetime


class Monitored(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor on a call: who, for whoever may know it, what they do, and since when."""

    by: str | None
    mode: Mode
    since: datetime


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisors know of each other about a call: one of them has seen it, or takes care of it."""

    by: str
    takes: bool
    at: datetime


class LiveCall:
    """One call as the supervisor sees it.

    Parameters
    ----------
    call : Call
        Scored elsewhere; here it is only read.
    wire : str
        By which it came.
    queue : str or None
        Where the caller wants to go; `waits_in`, where the engine last took them, begins with it.
    caller : Hidden of str, optional
        Their number, kept until the call is forgotten and never shown.
    caller_name : str or None
        As the engine tells it, cleared of numbers.
    alias : str, optional
        What the caller is called instead of their number, the same in every call of theirs.
    agent_id : str, optional
        Who takes the call, where the engine tells it at its beginning; `take` says it later.
    """

    def __init__(
        self,
        call: Call,
        *,
        wire: str,
        queue: str | None,
        caller: Hidden[str] | None,
        caller_name: str | None,
        alias: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        self.call = call
        self.wire = wire
        self.queue = self.waits_in = queue
        self.caller = caller
        self.caller_name = caller_name
        self.alias = alias
        self.began_at = datetime.now(UTC)
        self.ended: str | None = None
        self.ended_at: datetime | None = None
        self.level = call.level
        self.level_since_s = 0.0
        self.level_since = self.began_at
        self.peak = call.level
        self.peak_s = 0.0
        self.anger: float | None = None
        self.baseline_anger: float | None = None
        self.baseline_from_s: float | None = None
        self.drivers: tuple[Driver, ...] = ()
        self.points: deque[Point] = deque(maxlen=MAX_POINTS)
        self.bands: deque[LevelBand] = deque([LevelBand(from_s=0.0, level=call.level)], maxlen=MAX_CHANGES)
        self.gaps: deque[Gap] = deque(maxlen=MAX_CHANGES)
        self.told: deque[Told] = deque(maxlen=MAX_CHANGES)
        self.override: Override | None = None
        self.standing = call.standing
        self.verdict: str | None = None
        self.agent_id = agent_id
        self.disposition: Disposition | None = None
        self.flagged = False
        self.help_since: datetime | None = None
        self.attention: Attention | None = None
        self.messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self.monitors: dict[str, Monitored] = {}
        self._escalated_s = 0.0
        self._calm: list[float] = []
        self._scores = array("f")

    @property
    def number(self) -> str | None:
        """The caller's number, to be given to the ledger and to nothing else."""
        return self.caller.reveal() if self.caller else None

    def monitors_for(self, kind: Kind) -> tuple[Monitored, ...]:
        """Return the supervisors on the call: by name to persons, without it to others, if the policy tells them."""
        if kind == "person":
            return tuple(self.monitors.values())
        if not self.call.triage.policy.supervision.tell_agent:
            return ()
        return tuple(msgspec.structs.replace(each, by=None) for each in self.monitors.values())

    @property
    def position_s(self) -> float:
        """Stream time now, in seconds."""
        return self.call.position_s

    @property
    def angry_start(self) -> bool:
        """Whether the speech that the caller's usual level comes from sounds angry already: levels are against it."""
        return (self.baseline_anger or 0.0) >= self.call.triage.policy.report.angry_start

    @property
    def level_s(self) -> float:
        """How long the level has lasted, in seconds."""
        return max(0.0, self.position_s - self.level_since_s)

    @property
    def escalated_s(self) -> float:
        """Time at ESCALATED so far, in seconds."""
        return self._escalated_s + (self.level_s if self.level is Level.ESCALATED else 0.0)

    @property
    def scores(self) -> NDArray[np.float32]:
        """The latest windows, in the order of `emotion_triage.ledger.labelled.SCORE_COLUMNS`."""
        return np.array(self._scores, np.float32).reshape(-1, len(SCORE_COLUMNS))

    @property
    def restriction(self) -> Restriction | None:
        """What a person decided about the caller, before the call or since."""
        return self.standing.restriction

    @property
    def exempt(self) -> bool:
        """Whether the caller is in a queue in which nobody is restricted."""
        return self.queue in self.call.triage.policy.protection.exempt_queues

    @property
    def evidence(self) -> Evidence | None:
        """What the voice tells so far; None where nothing was scored."""
        if self.call.objection or not self.call.speech_s:
            return None
        return Evidence(peak=self.peak, escalated_s=self.escalated_s, drivers=self.anger_drivers)

    @property
    def calmed(self) -> bool:
        """Whether the caller was escalated and is so no more, by the evidence of a calmer voice and not by silence."""
        left = [band.change for band in self.bands if band.change and band.change.previous is Level.ESCALATED]
        return self.level < Level.ESCALATED and bool(left) and left[-1].cause == "fall"

    @property
    def doubt(self) -> Doubt | None:
        """Why the call, which is over, waits for a person's verdict; None where it does not."""
        evidence = self.evidence
        if self.ended is None or self.verdict is not None or evidence is None:
            return None
        protection = self.call.triage.policy.protection
        return evidence.doubt(self.disposition or Disposition.NONE, protection.warn_escalated_s)

    @property
    def recent(self) -> tuple[Point, ...]:
        """The scores of the last two minutes."""
        return tuple(point for point in self.points if point.time_s >= self.position_s - RECENT_S)

    def reason(self, language: Language) -> str:
        """Return why the level is what it is: by the latest window after a rise, else by what ended it."""
        band = self.bands[-1] if self.bands else LevelBand(from_s=0.0, level=self.level)
        rose = band.change is not None and band.change.cause == "rise"
        return (describe(self.drivers, language) if rose else "") or band.reason(language)

    @property
    def anger_drivers(self) -> tuple[str, ...]:
        """Names of what raised the level, the earliest first."""
        rises = (band.change for band in self.bands if band.change is not None and band.change.cause == "rise")
        return tuple(dict.fromkeys(driver.name for change in rises for driver in change.drivers))

    def hear(self, heard: Heard) -> None:
        """Take what a tick made of the call."""
        for from_s, to_s in heard.gaps:
            if self.gaps and self.gaps[-1].to_s >= from_s:
                from_s = self.gaps.pop().from_s
            self.gaps.append(Gap(from_s=from_s, to_s=to_s))
        for event in heard.events:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Affect):
            self.anger = event.anger
            self.drivers = event.drivers
            self.points.append(Point(event.time_s, event.anger))
            told = (getattr(event, name) for name in SCORE_COLUMNS)
            self._scores.extend(math.nan if value is None else value for value in told)
            del self._scores[: -MAX_POINTS * len(SCORE_COLUMNS)]
            if event.anger_alone is not None and self.baseline_from_s is None:
                self.baseline_from_s = event.time_s
            baseline_s = self.call.triage.policy.escalation.baseline_s
            if self.call.speech_s <= baseline_s or self.baseline_anger is None:
                self._calm.append(event.anger)
                self.baseline_anger = sum(self._calm) / len(self._calm)
        elif isinstance(event, Escalation):
            if self.level is Level.ESCALATED:
                self._escalated_s += max(0.0, event.time_s - self.level_since_s)
            self.level, self.level_since_s, self.level_since = event.level, event.time_s, datetime.now(UTC)
            if event.level > event.previous:
                self._ask_anew()
            if event.level > self.peak:
                self.peak, self.peak_s = event.level, event.time_s
            self.bands.append(LevelBand(from_s=event.time_s, level=event.level, change=event))

    def forget_scores(self) -> None:
        """Let go of what was learnt of a caller who objects."""
        self.anger = self.baseline_anger = self.baseline_from_s = None
        self.drivers = ()
        self.level = self.peak = self.call.level
        self._escalated_s = self.peak_s = 0.0
        self.level_since_s, self.level_since = self.position_s, datetime.now(UTC)
        self.points.clear()
        self.bands.clear()
        del self._scores[:]

    def take(self, agent_id: str) -> None:
        """Note which agent has the call; what was said to the one before, or asked by them, is over."""
        if agent_id != self.agent_id:
            self.agent_id, self.help_since = agent_id, None
            self.messages.clear()

    def attend(self, by: str, *, takes: bool) -> None:
        """Note that a supervisor has seen the call, or takes care of it."""
        self.attention = Attention(by=by, takes=takes, at=datetime.now(UTC))

    def _ask_anew(self) -> None:
        """Forget who has seen the call: there is something new to see. Who takes care of it still does."""
        if self.attention is not None and not self.attention.takes:
            self.attention = None

    def ask_for_help(self, needed: bool) -> None:
        """Note that the agent needs help, or no longer does."""
        if needed and self.help_since is None:
            self._ask_anew()
        self.help_since = (self.help_since or datetime.now(UTC)) if needed else None

    def contact(
        self, *, agent_id: str, disposition: Disposition, language: str | None, line_type: str | None
    ) -> Contact:
        """Return the call, which is over, as it is kept: the agent's part as given, the voice's as it was heard."""
        assert self.ended_at is not None
        return Contact(
            contact_id=self.call.call_id,
            caller=self.number,
            agent_id=agent_id,
            started_at=self.began_at,
            duration_s=(self.ended_at - self.began_at).total_seconds(),
            queue=self.queue,
            peak=self.peak if self.call.speech_s > 0 else None,
            escalated_s=self.escalated_s,
            drivers=self.anger_drivers,
            disposition=disposition,
            language=language,
            line_type=line_type,
        )

    def end(self, reason: str) -> None:
        """Note that the call is over, and that nobody needs help with it any more."""
        self.ended, self.ended_at, self.help_since = reason, datetime.now(UTC), None


class Calls:
    """The calls of one process: those that go on, and those that ended a while ago.

    Parameters
    ----------
    kept_s : float
        How long calls that ended are kept.
    """

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._calls: dict[str, LiveCall] = {}

    def __iter__(self) -> Iterator[LiveCall]:
        """Iterate over the calls that go on."""
        return (call for call in list(self._calls.values()) if call.ended is None)

    def ended(self) -> list[LiveCall]:
        """Return the calls that ended and are still kept, the latest first."""
        self.forget_old()
        return [call for call in reversed(list(self._calls.values())) if call.ended is not None]

    def find(self, call_id: str) -> LiveCall | None:
        """Return a call, going on or kept."""
        return self._calls.get(call_id)

    def add(self, call: LiveCall) -> None:
        """Take a call that begins."""
        self._calls.pop(call.call.call_id, None)
        self._calls[call.call.call_id] = call

    def forget_old(self) -> None:
        """Let go of calls that ended too long ago, numbers and all; where too many are kept, of the oldest.

        Those that wait for a verdict go last.
        """
        now = datetime.now(UTC)
        over = [call for call in self._calls.values() if call.ended_at is not None]
        over.sort(key=lambda call: (call.doubt is not None, call.ended_at), reverse=True)
        for i, call in enumerate(over):
            assert call.ended_at is not None
            if i >= MAX_ENDED or (now - call.ended_at).total_seconds() > self._kept_s:
                del self._calls[call.call.call_id]
