"""What is known of one caller while they speak: their baseline, their level, the route that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.affect.affect import Affect, driver_weights, log_odds, measure_drivers, measure_fall, occlusions
from emotion_triage.affect.classifier import LABELS
from emotion_triage.prosody.functionals import TONE_NAMES, Baseline, features, population
from emotion_triage.prosody.measurement import MIN_NEW_SPEECH_S, RecentTones, WindowMeasurement
from emotion_triage.routing.escalation import Escalation, Escalator, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Route, Standing, improves, same_destination

__all__ = ["CallerState", "Event", "Reference", "Typical", "typical_caller"]

Event: TypeAlias = Affect | Escalation | Route

TYPICAL_SPREAD, TYPICAL_WEIGHT = 0.6, 100
"""How far windows of calm speech lie from their speaker's baseline, in log-odds; the windows that this counts as."""
_ANGER, _ANGER_AGAINST_BASELINE = LABELS.index("anger"), LABELS.index("anger_against_baseline")


class Reference(NamedTuple):
    """Whom a window is compared with: statistics, the same as features, and whose they are."""

    statistics: NDArray[np.float32]
    features: NDArray[np.float32]
    source: Literal["caller", "population"]


class Typical(NamedTuple):
    """The typical caller of a model: to be compared with, and their log-odds of anger against their own baseline."""

    reference: Reference
    odds: float


def typical_caller(mean: NDArray[np.float32], score: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Typical:
    """Return the mean of a model's training speech, for a caller who has no baseline yet.

    Parameters
    ----------
    mean : ndarray of float32, shape (n_features,)
        As `Classifier.mean`.
    score : callable
        As `Classifier.score`.
    """
    statistics = population(mean)
    reference = Reference(statistics, features(statistics, None), "population")
    return Typical(reference, log_odds(score(reference.features[None]).item(0, _ANGER_AGAINST_BASELINE)))


class _Peak(NamedTuple):
    """The angriest window since the level last fell: its smoothed score, what each driver group added, statistics."""

    score: float
    weights: tuple[float, ...]
    statistics: NDArray[np.float32]


class CallerState:
    """Scores in, events out, for one caller.

    Parameters
    ----------
    call_id : str
    policy : Policy
    model_digest : str
        For the routes.
    standing : Standing
    typical : Typical
        From `typical_caller`.
    objection : bool
        The caller objected: only `route` is ever used.
    time_s : float
        Stream time from which the first route holds, in seconds.
    granted : Route or None
        Where the call waits already: left only for a better position, unless the policy lets routes fall.

    Attributes
    ----------
    route : Route
        Where the call should go now.
    speech_s : float
        Speech that was scored, in seconds.
    abstained_s : float
        Speech that was not, because the line was too noisy to judge a voice by, in seconds.
    abstaining : bool
        Whether the latest speech was such.
    """

    def __init__(
        self,
        *,
        call_id: str,
        policy: Policy,
        model_digest: str,
        standing: Standing,
        typical: Typical,
        objection: bool,
        time_s: float,
        granted: Route | None = None,
    ) -> None:
        self._call_id = call_id
        self._policy = policy
        self._model_digest = model_digest
        self._standing = standing
        self._typical = typical
        self._reference = typical.reference
        self._tones = RecentTones()
        self._baseline = Baseline(policy.escalation.baseline_s)
        self._swings, self._squares = 0, 0.0
        self._escalator = Escalator(policy.escalation)
        self._peak: _Peak | None = None
        self._unconfirmed_s = 0.0
        self.objection = objection
        self.speech_s = 0.0
        self.abstained_s = 0.0
        self.abstaining = False
        self.route = self._route(time_s, self.level)
        if granted is not None and not self._leads_on(granted, self.route):
            self.route = msgspec.structs.replace(
                self.route,
                queue=granted.queue,
                target=granted.target,
                skills=granted.skills,
                priority=granted.priority,
            )

    @property
    def level(self) -> Level:
        """The level now."""
        return self._escalator.level

    def wait(self, time_s: float) -> list[Event]:
        """Let stream time pass without evidence; return what follows from it."""
        changes = self._escalator.wait(time_s)
        if changes:
            self._peak = None
        return [event for change in changes for event in self._follow(change)]

    @property
    def min_speech_s(self) -> float:
        """Speech in a window from which it is evidence, in seconds."""
        return self._policy.escalation.min_speech_s

    @property
    def settled(self) -> bool:
        """Whether what the caller is compared with stays: steps to come can be scored together."""
        return self._reference.source == "caller"

    def toned(self, step: WindowMeasurement) -> WindowMeasurement:
        """Return a step with the mean tone of the seconds in its window, None without any; steps come in order."""
        self._tones.add(step.end, step.tone)
        tone = self._tones.mean(step.end)
        if tone is None:
            return step._replace(tone=None)
        return step._replace(tone=tone, statistics=np.concatenate((step.statistics[: -len(TONE_NAMES)], tone)))

    def inputs(self, step: WindowMeasurement) -> NDArray[np.float32] | None:
        """Return the rows to be scored for a step: those of `occlusions`, then the baseline by itself.

        While the baseline fills up, the last two are the window and the baseline, each against what there is of it.
        None where the step is no evidence, or the line drowns it.
        """
        if not self._spoken(step) or step.snr_db < self._policy.escalation.min_snr_db:
            return None
        reference = self._reference
        if self.settled:
            window = features(step.statistics, reference.statistics)
            return np.concatenate((occlusions(window, reference.features), reference.features[None]))
        window = features(step.statistics, None)
        so_far = self._baseline.so_far
        own = step.statistics if so_far is None else so_far
        pair = features(np.stack((step.statistics, own)), own)
        return np.concatenate((occlusions(window, reference.features), pair))

    def hear(self, step: WindowMeasurement, scores: NDArray[np.float32] | None) -> list[Event]:
        """Take a step and, where it had `inputs`, their probabilities, float32 of shape (n_rows, n_labels)."""
        self._unconfirmed_s += step.new_speech_s
        if scores is None:
            if self._spoken(step):
                self.abstaining = True
                self.abstained_s, self._unconfirmed_s = self.abstained_s + self._unconfirmed_s, 0.0
            return []
        self.abstaining = False
        new_speech_s, self._unconfirmed_s = self._unconfirmed_s, 0.0
        absolute, _, distress, arousal, speech = scores[0].tolist()
        if speech < self._policy.escalation.min_speech_probability:
            return []
        self.speech_s += new_speech_s
        reference = self._reference
        known = self.settled
        anger = self._centred(scores[:, _ANGER_AGAINST_BASELINE]) if known else scores[:-2, _ANGER].tolist()
        affect = Affect(
            time_s=step.time_s,
            anger=anger[0],
            distress=distress,
            arousal=arousal,
            speech_s=step.speech_s,
            lost_s=step.lost_s,
            anger_alone=absolute if known else None,
            drivers=measure_drivers(anger, step.statistics, reference.statistics, reference.source),
        )
        change = self._escalator.push(
            affect,
            absolute=absolute,
            relative=affect.anger if known else None,
            new_speech_s=min(new_speech_s, step.speech_s),  # speech that left the window unscored is no evidence of it
        )
        change = self._explained(change, driver_weights(anger), step.statistics)
        if not known:
            if self._baseline.so_far is not None:
                window, so_far = map(log_odds, scores[-2:, _ANGER_AGAINST_BASELINE].tolist())
                self._swings, self._squares = self._swings + 1, self._squares + (window - so_far) ** 2
            self._baseline.add(step.statistics, step.new_speech_s)
            if (own := self._baseline.statistics) is not None:
                self._reference = Reference(own, features(own, own), "caller")
        return [affect, *(self._follow(change) if change else ())]

    def _spoken(self, step: WindowMeasurement) -> bool:
        enough = step.new_speech_s >= MIN_NEW_SPEECH_S and step.speech_s >= self.min_speech_s
        return enough and step.tone is not None

    def _centred(self, scores: NDArray[np.float32]) -> list[float]:
        """Return anger against a baseline, the last row, as if the caller sounded and varied as a typical one does.

        Some sound angry when they are calm, and some voices swing more than others: what counts is by how much angrier
        than usual a caller sounds, in units of how far they strayed while their baseline filled up.
        """
        *anger, own = map(log_odds, scores.tolist())
        squares = TYPICAL_WEIGHT * TYPICAL_SPREAD**2 + self._squares
        scale = TYPICAL_SPREAD / math.sqrt(squares / (TYPICAL_WEIGHT + self._swings))
        return [1.0 / (1.0 + math.exp(scale * (own - each) - self._typical.odds)) for each in anger]

    def _explained(
        self, change: Escalation | None, weights: tuple[float, ...], statistics: NDArray[np.float32]
    ) -> Escalation | None:
        """Give a fall the drivers that fell since the angriest window; remember that window until then."""
        score, peak = self._escalator.score, self._peak
        if change is not None and change.cause == "fall" and peak is not None:
            change = msgspec.structs.replace(
                change, drivers=measure_fall(weights, statistics, peak.weights, peak.statistics)
            )
            self._peak = None
        elif peak is None or score > peak.score:
            self._peak = _Peak(score, weights, statistics)
        return change

    def _follow(self, change: Escalation) -> list[Event]:
        """Let the route follow a change of level, where that worsens nothing."""
        route = self._route(change.time_s, change.level)
        if same_destination(self.route, route) or not self._leads_on(self.route, route):
            return [change]
        self.route = route
        return [change, route]

    def _leads_on(self, before: Route, after: Route) -> bool:
        return self._policy.routing.routes_may_fall or improves(before, after)

    def _route(self, time_s: float, level: Level) -> Route:
        return self._policy.router.route(
            call_id=self._call_id,
            time_s=time_s,
            level=None if self.objection else level,
            standing=self._standing,
            model_digest=self._model_digest,
            policy_digest=self._policy.digest,
        )
