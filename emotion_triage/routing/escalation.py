"""Scores to levels: the caller's baseline, smoothing, onset and offset with dwell times, hold.

The words are pyannote's (`onset`, `offset`, minimum durations). The caller is their own reference, because no absolute
threshold serves both a loud and a soft speaker. But a caller may arrive angry: until they have a baseline, the mean of
what their voice says by itself counts, and from then on it holds up a level that is there and raises none. Only speech
is evidence: smoothing and dwell count seconds of speech, so that a pause neither calms a caller nor escalates one.
"""

from __future__ import annotations

import enum
import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from emotion_triage.affect.affect import Affect, Driver, describe, describe_fall, log_odds
from emotion_triage.texts import Language, texts

__all__ = ["REASONS", "Cause", "Escalation", "EscalationPolicy", "Escalator", "Level"]

Cause = Literal["rise", "fall", "silence"]
REASONS = texts(
    "cause",
    {
        "rise": "the voice as a whole sounds angry",
        "fall": "the voice as a whole sounds less angry",
        "silence": "no more speech to score",
    },
)
"""What is said of a change of level that no driver explains."""

ROUNDING_S = 1e-6
"""Sums of hundredths of a second are not exact: a dwell is full from this much less."""

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
    cause : {"rise", "fall", "silence"}
        Evidence rose past an onset, it fell below an offset, or there was none for `hold_s`.
    drivers : tuple of Driver
        Of a rise, what moved the score; of a fall, what fell since the call's angriest window; strongest first. Empty
        after silence.

    Examples
    --------
    >>> softer = Driver(name="loudness", change=-5.0, unit="dB", reference="peak", weight=-1.2)
    >>> fall = Escalation(
    ...     time_s=30.0, level=Level.CALM, previous=Level.TENSE, score=0.2, held_s=9.0, cause="fall", drivers=(softer,)
    ... )
    >>> fall.reason("en"), fall.reason("fr")
    ('voice 5 dB softer', 'voix 5 dB plus faible')
    """

    time_s: float
    level: Level
    previous: Level
    score: float
    held_s: float
    cause: Cause
    drivers: tuple[Driver, ...] = ()

    def reason(self, language: Language) -> str:
        """Return why the level changed, as a sentence for a supervisor that never contradicts the level."""
        in_words = describe_fall if self.cause == "fall" else describe
        return in_words(self.drivers, language) or REASONS[self.cause][language]


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
        Seconds of the caller's own first speech that make their baseline.
    relative_slope, absolute_slope : float
        What the log-odds of anger against the caller's baseline, and of the voice by itself, are multiplied by.
    relative_shift, absolute_shift : float
        Log-odds added to them then.
    smoothing_s : float
        Time constant of the smoothing against the baseline, in seconds of speech.
    absolute_smoothing_s : float
        The same of what the voice says by itself: a plain mean until so much speech was scored.
    tense_onset, tense_offset, escalated_onset, escalated_offset : float
        Scores, 0 to 1, at which a level begins and below which it ends.
    min_duration_on_s, min_duration_off_s : float
        How much speech the score must stay past an onset or offset for before the level follows, in seconds.
    hold_s : float
        How long a level outlives the last evidence before it steps down, in seconds of the call. Routes do not fall
        with it.
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
    absolute_smoothing_s: Annotated[float, Meta(ge=0.0, le=60.0)]
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
        "_above_s",
        "_absolute",
        "_absolute_s",
        "_below_s",
        "_heard_s",
        "_policy",
        "_relative",
        "_since_s",
        "level",
        "score",
    )

    def __init__(self, policy: EscalationPolicy) -> None:
        self._policy = policy
        self._relative: float | None = None
        self._absolute = 0.0
        self._absolute_s = 0.0
        self._heard_s = 0.0
        self._since_s = 0.0
        self._above_s: dict[Level, float] = {}
        self._below_s: dict[Level, float] = {}
        self.level = Level.CALM
        self.score = 0.0

    def push(
        self, affect: Affect, *, absolute: float, relative: float | None, new_speech_s: float
    ) -> Escalation | None:
        """Take one window's evidence.

        Parameters
        ----------
        affect : Affect
            What was heard.
        absolute : float
            Probability of anger, 0 to 1, as of anyone who sounds like that.
        relative : float or None
            Probability of anger, 0 to 1, of one who has this baseline; None before the caller has one.
        new_speech_s : float
            Speech in the window since the window before, in seconds: what this evidence weighs.

        Returns
        -------
        Escalation or None
            The change of level, if there is one.
        """
        policy = self._policy
        alone = policy.absolute_slope * log_odds(absolute) + policy.absolute_shift
        self._absolute_s = min(self._absolute_s + new_speech_s, policy.absolute_smoothing_s)
        self._absolute += min(1.0, new_speech_s / max(self._absolute_s, ROUNDING_S)) * (alone - self._absolute)
        evidence = self._absolute
        if relative is not None:
            against_baseline = policy.relative_slope * log_odds(relative) + policy.relative_shift
            if self._relative is None or policy.smoothing_s == 0:
                self._relative = against_baseline
            else:
                keep = math.exp(-new_speech_s / policy.smoothing_s)
                self._relative = keep * self._relative + (1.0 - keep) * against_baseline
            # what raised a level before there was a baseline holds it up; it raises none after
            evidence = max(self._relative, evidence) if self.level else self._relative
        self._heard_s = affect.time_s
        self.score = 1.0 / (1.0 + math.exp(-evidence))
        target = self._target(new_speech_s)
        return self._change(target, affect.time_s, "rise" if target > self.level else "fall", affect.drivers)

    def wait(self, time_s: float) -> list[Escalation]:
        """Let stream time pass without evidence: the level holds for `hold_s`, then steps down, one level each.

        No evidence is not calm: what was smoothed so far stays until the level has come down.
        """
        steps = []
        while self.level and time_s >= (due_s := max(self._heard_s, self._since_s) + self._policy.hold_s):
            self._above_s.clear()
            self._below_s.clear()
            self._relative, self._absolute, self._absolute_s, self.score = None, 0.0, 0.0, 0.0
            step = self._change(Level(self.level - 1), due_s, "silence", ())
            assert step is not None
            steps.append(step)
        return steps

    def _target(self, new_speech_s: float) -> Level:
        policy = self._policy
        target = self.level
        for level, onset, offset in (
            (Level.TENSE, policy.tense_onset, policy.tense_offset),
            (Level.ESCALATED, policy.escalated_onset, policy.escalated_offset),
        ):
            if _lasts(self._above_s, level, new_speech_s, policy.min_duration_on_s, self.score >= onset):
                target = max(target, level)
            if _lasts(self._below_s, level, new_speech_s, policy.min_duration_off_s, self.score < offset):
                target = min(target, Level(level - 1))
        return target

    def _change(self, level: Level, time_s: float, cause: Cause, drivers: tuple[Driver, ...]) -> Escalation | None:
        if level == self.level:
            return None
        change = Escalation(
            time_s=time_s,
            level=level,
            previous=self.level,
            score=self.score,
            held_s=time_s - self._since_s,
            cause=cause,
            drivers=drivers,
        )
        self.level, self._since_s = level, time_s
        return change


def _lasts(lasted_s: dict[Level, float], level: Level, new_speech_s: float, dwell_s: float, holds: bool) -> bool:
    """Count the speech for which a condition has held since the window that met it; say whether it fills a dwell."""
    if not holds:
        lasted_s.pop(level, None)
        return False
    lasted_s[level] = lasted_s[level] + new_speech_s if level in lasted_s else 0.0
    return lasted_s[level] >= dwell_s - ROUNDING_S
