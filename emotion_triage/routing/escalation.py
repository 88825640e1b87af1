"""Scores to levels: the caller's baseline, smoothing, onset and offset with dwell times, hold.

The words are pyannote's (`onset`, `offset`, minimum durations). The caller is his own reference, because no absolute
threshold serves both a loud and a soft speaker; but a caller may arrive angry, so what the voice says by itself counts
beside it, and the stronger of the two wins.
"""

from __future__ import annotations

import enum
import math
from typing import Annotated

import msgspec
from msgspec import Meta

from emotion_triage.affect.affect import Affect, Driver, log_odds

__all__ = ["Escalation", "EscalationPolicy", "Escalator", "Level"]

Seconds = Annotated[float, Meta(gt=0.0, le=3600.0)]
Ratio = Annotated[float, Meta(ge=0.0, le=1.0)]
LogOdds = Annotated[float, Meta(ge=-20.0, le=20.0)]
Slope = Annotated[float, Meta(gt=0.0, le=20.0)]


class Level(enum.IntEnum):
    """How escalated a caller is.

    Examples
    --------
    >>> Level.ESCALATED > Level.TENSE > Level.CALM
    True
    """

    CALM = 0
    TENSE = 1
    ESCALATED = 2


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """A change of level.

    Attributes
    ----------
    time_s : float
        Stream time of the change, in seconds from the call's first sample.
    level, previous : Level
        The level from now on and the one before.
    score : float
        The smoothed evidence of escalation, 0 to 1, at that time.
    held_s : float
        How long `previous` had lasted, in seconds.
    drivers : tuple of Driver
        What moved the score, strongest first; empty where the level stepped down for want of evidence.
    """

    time_s: float
    level: Level
    previous: Level
    score: float
    held_s: float
    drivers: tuple[Driver, ...] = ()


class EscalationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When evidence makes a level. Defaults live in ``policies/balanced.toml``, which explains each key.

    Attributes
    ----------
    min_speech_s : float
        Speech that a window of 3 s must hold to be scored, in seconds.
    min_speech_probability : float
        A window whose speech probability is lower (music, noise) is not scored.
    min_snr_db : float
        A window whose voice stands out of the line's noise by less is not scored: the call abstains, in dB.
    baseline_s : float
        Seconds of the caller's own first speech that make his baseline.
    relative_slope, absolute_slope : float
        What the log-odds of anger against the caller's baseline, and of the voice by itself, are multiplied by.
    relative_shift, absolute_shift : float
        Log-odds added to them then.
    smoothing_s : float
        Time constant of the smoothing, in seconds of stream time.
    tense_onset, tense_offset, escalated_onset, escalated_offset : float
        Scores, 0 to 1, at which a level begins and below which it ends.
    min_duration_on_s, min_duration_off_s : float
        How long the score must stay past an onset or offset before the level follows, in seconds.
    hold_s : float
        How long a level outlives the last evidence before it steps down, in seconds.
    """

    min_speech_s: Annotated[float, Meta(gt=0.0, le=3.0)]
    min_speech_probability: Ratio
    min_snr_db: Annotated[float, Meta(ge=0.0, le=60.0)]
    baseline_s: Seconds
    relative_slope: Slope
    absolute_slope: Slope
    relative_shift: LogOdds
    absolute_shift: LogOdds
    smoothing_s: Annotated[float, Meta(ge=0.0, le=60.0)]
    tense_onset: Ratio
    tense_offset: Ratio
    escalated_onset: Ratio
    escalated_offset: Ratio
    min_duration_on_s: Annotated[float, Meta(ge=0.0, le=60.0)]
    min_duration_off_s: Annotated[float, Meta(ge=0.0, le=600.0)]
    hold_s: Seconds


class Escalator:
    """One caller's level: evidence in, changes of level out.

    Attributes
    ----------
    level : Level
        The level now.
    score : float
        The smoothed evidence, 0 to 1; 0 before any.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> escalator = Escalator(Policy.load().escalation)
    >>> escalator.level
    <Level.CALM: 0>
    """

    __slots__ = (
        "_above_since",
        "_below_since",
        "_evidence",
        "_heard_s",
        "_policy",
        "_since_s",
        "level",
        "score",
    )

    def __init__(self, policy: EscalationPolicy) -> None:
        self._policy = policy
        self._evidence: float | None = None
        self._heard_s = 0.0
        self._since_s = 0.0
        self._above_since: dict[Level, float] = {}
        self._below_since: dict[Level, float] = {}
        self.level = Level.CALM
        self.score = 0.0

    def push(self, affect: Affect, *, absolute: float, relative: float | None) -> Escalation | None:
        """Take one window's evidence.

        Parameters
        ----------
        affect : Affect
            What was heard.
        absolute : float
            Probability of anger, 0 to 1, as of anyone who sounds like that.
        relative : float or None
            Probability of anger, 0 to 1, of one who has this baseline; None before he has one.

        Returns
        -------
        Escalation or None
            The change of level, if there is one.
        """
        policy = self._policy
        evidence = policy.absolute_slope * log_odds(absolute) + policy.absolute_shift
        if relative is not None:
            evidence = max(evidence, policy.relative_slope * log_odds(relative) + policy.relative_shift)
        if self._evidence is None or policy.smoothing_s == 0:
            self._evidence = evidence
        else:
            keep = math.exp((self._heard_s - affect.time_s) / policy.smoothing_s)
            self._evidence = keep * self._evidence + (1.0 - keep) * evidence
        self._heard_s = affect.time_s
        self.score = 1.0 / (1.0 + math.exp(-self._evidence))
        return self._change(self._target(affect.time_s), affect.time_s, affect.drivers)

    def wait(self, time_s: float) -> list[Escalation]:
        """Let stream time pass without evidence: the level holds for `hold_s`, then steps down, one level each.

        No evidence is not calm: what was smoothed so far stays until the level has come down.
        """
        steps = []
        while self.level and time_s >= (due_s := max(self._heard_s, self._since_s) + self._policy.hold_s):
            self._above_since.clear()
            self._below_since.clear()
            self._evidence, self.score = None, 0.0
            step = self._change(Level(self.level - 1), due_s, ())
            assert step is not None
            steps.append(step)
        return steps

    def _target(self, time_s: float) -> Level:
        policy = self._policy
        target = self.level
        for level, onset, offset in (
            (Level.TENSE, policy.tense_onset, policy.tense_offset),
            (Level.ESCALATED, policy.escalated_onset, policy.escalated_offset),
        ):
            above = _since(self._above_since, level, time_s, self.score >= onset)
            below = _since(self._below_since, level, time_s, self.score < offset)
            if above is not None and time_s - above >= policy.min_duration_on_s:
                target = max(target, level)
            if below is not None and time_s - below >= policy.min_duration_off_s:
                target = min(target, Level(level - 1))
        return target

    def _change(self, level: Level, time_s: float, drivers: tuple[Driver, ...]) -> Escalation | None:
        if level == self.level:
            return None
        change = Escalation(
            time_s=time_s,
            level=level,
            previous=self.level,
            score=self.score,
            held_s=time_s - self._since_s,
            drivers=drivers,
        )
        self.level, self._since_s = level, time_s
        return change


def _since(times: dict[Level, float], level: Level, time_s: float, holds: bool) -> float | None:
    """Remember since when a condition holds; forget it when it does not."""
    if not holds:
        times.pop(level, None)
        return None
    return times.setdefault(level, time_s)
