"""What one recording told: its record, and the summary of its events that the record is made from."""

from __future__ import annotations

from typing import Literal

import msgspec

from emotion_triage.affect.affect import Affect, Driver, describe
from emotion_triage.call.triage import Event
from emotion_triage.routing.escalation import REASONS, Escalation, Level
from emotion_triage.routing.rules import Route
from emotion_triage.texts import Language

__all__ = ["DECIMALS", "Record", "Status", "Summary"]

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
        Why it could not be scored.
    warning : str or None
        What to know of a recording that was scored all the same: where it is cut short, all that is there was.
    caller_channel : str or None
        The side that was scored.
    call, agent, disposition, queue, started_at, group, label : str or None
        What the manifest says of the call (see `emotion_triage.batch.manifests`); never the caller's number.
        No score is of the agent.
    duration_s, speech_s, lost_s, abstained_s : float or None
        Length of the recording; the caller's speech that was scored; what lay outside the caller's spans; speech left
        unscored, the line being too noisy to judge a voice by.
    anger_mean, anger_max, distress_mean, distress_max, arousal_mean, arousal_max : float or None
        Mean and maximum of the scores, 0 to 1, over all steps with enough speech.
    baseline_anger : float or None
        Mean anger by the voice itself, 0 to 1, of the speech that the caller's usual level was taken from.
    angry_start : bool or None
        Whether that speech sounds angry already (the policy's `report.angry_start`): levels are against it.
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
        The prosodic reasons at `peak_s`, in words: of the highest level, or, in a calm call, of the highest anger.
    model_digest, policy_digest : str
        What decided.
    """

    source: str
    status: Status
    error: str | None = None
    warning: str | None = None
    caller_channel: str | None
    call: str | None = None
    agent: str | None = None
    disposition: str | None = None
    queue: str | None = None
    started_at: str | None = None
    group: str | None = None
    label: Literal["angry", "other"] | None = None
    duration_s: float | None = None
    speech_s: float | None = None
    lost_s: float | None = None
    abstained_s: float | None = None
    anger_mean: float | None = None
    anger_max: float | None = None
    distress_mean: float | None = None
    distress_max: float | None = None
    arousal_mean: float | None = None
    arousal_max: float | None = None
    baseline_anger: float | None = None
    angry_start: bool | None = None
    peak_level: Literal["calm", "tense", "escalated"] | None = None
    peak_s: float | None = None
    escalated_s: float | None = None
    first_escalation_s: float | None = None
    route: str | None = None
    rule: str | None = None
    drivers: str | None = None
    model_digest: str
    policy_digest: str


class Summary:
    """What a record keeps of the events, so that an hour of them takes no more memory than a minute."""

    def __init__(self, route: Route, *, angry_start: float) -> None:
        self.route = route
        self._angry_start = angry_start
        self._first: list[float] = []
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
                if event.anger_alone is None:  # no baseline yet: this is how the voice by itself sounds
                    self._first.append(event.anger)
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

    def as_fields(self, language: Language) -> dict[str, str | float | None]:
        """Return the fields of a record that only scored speech can fill."""
        means = {f"{name}_mean": round(total / self.scored, DECIMALS) for name, total in self._sums.items()}
        peaks = {f"{name}_max": round(value, DECIMALS) for name, value in self._peaks.items()}
        baseline_anger = sum(self._first) / len(self._first)  # what is scored begins without a baseline
        return {
            **means,
            **peaks,
            "baseline_anger": round(baseline_anger, DECIMALS),
            "angry_start": baseline_anger >= self._angry_start,
            "peak_level": self._peak[0].name.lower(),
            "peak_s": self._peak_s and round(self._peak_s, DECIMALS),
            "escalated_s": round(self._escalated_s, DECIMALS),
            "first_escalation_s": self.first_escalation_s and round(self.first_escalation_s, DECIMALS),
            "drivers": describe(self._drivers, language) or (REASONS["rise"][language] if self._peak[0] else None),
        }
