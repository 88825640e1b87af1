"""Slopes and shifts by Platt's method, a threshold by false alarms, and what both change on callers left out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.affect.affect import log_odds
from emotion_triage.arguments import number, of_type, whole_number
from emotion_triage.calibration.labelled import Labelled
from emotion_triage.errors import TriageError
from emotion_triage.routing.escalation import EscalationPolicy

__all__ = ["Calibration", "Change", "Figure", "Platt", "calibrate", "calibrated_policy", "compare", "refuse_too_little"]

Array = NDArray[np.float64]
MIN_CALLERS = 20
"""With labels of either kind: of fewer, an interval over callers says next to nothing."""
MIN_WINDOWS = 100
MIN_FALSE_ALARMS = 10
"""A rate is not known from fewer: so many must be allowed among the windows without anger."""
FOLDS = 5
DRAWS = 2000
BINS = 10
DIGITS = 6
"""Of what is written: a policy is read by people."""


class Platt(msgspec.Struct, frozen=True, kw_only=True):
    """A probability's log-odds to those of another: times `slope`, plus `shift`.

    Examples
    --------
    >>> float(Platt(slope=0.5, shift=-1.0).of(np.array([2.0]))[0])
    0.0
    """

    slope: float
    shift: float

    def of(self, odds: Array) -> Array:
        """Return the calibrated log-odds."""
        return self.slope * odds + self.shift


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What is fitted.

    Attributes
    ----------
    anger_alone, anger_against_baseline : Platt
        For the voice by itself, and for it against the caller's baseline.
    escalated_onset : float
        The score, 0 to 1, that lets as many windows without anger pass as was asked for.
    """

    anger_alone: Platt
    anger_against_baseline: Platt
    escalated_onset: float

    def evidence(self, windows: Labelled) -> Array:
        """Return the log-odds by which each window can raise a level: against the baseline, from when there is one."""
        known = ~np.isnan(windows.against)
        return np.where(known, self.anger_against_baseline.of(windows.against), self.anger_alone.of(windows.alone))

    def raised(self, windows: Labelled) -> NDArray[np.bool_]:
        """Return which windows reach the onset."""
        return self.evidence(windows) >= log_odds(self.escalated_onset)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its 95 % interval when callers are drawn with replacement."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A figure before and after, and their difference over the same draws of callers."""

    before: Figure
    after: Figure
    difference: Figure


def refuse_too_little(windows: Labelled, false_alarm_rate: float) -> None:
    """Refuse to fit to windows from which nothing can be learned.

    Raises
    ------
    TriageError
        Naming what was got and how much is needed.
    """
    _check(windows, false_alarm_rate)
    known = ~np.isnan(windows.against)
    for_onset = max(MIN_WINDOWS, math.ceil(MIN_FALSE_ALARMS / false_alarm_rate))
    needs = []
    for rows, n_windows, label in (
        (windows.angry, MIN_WINDOWS, "with anger"),
        (windows.angry & known, MIN_WINDOWS, "with anger and a baseline"),
        (~windows.angry, for_onset, "without anger"),
        (~windows.angry & known, MIN_WINDOWS, "without anger, with a baseline"),
    ):
        got, callers = int(rows.sum()), len(np.unique(windows.caller[rows]))
        if got < n_windows or callers < MIN_CALLERS:
            needs.append(f"{got} windows {label} of {callers} callers, where {n_windows} of {MIN_CALLERS} are needed")
    if needs:
        raise TriageError(f"too little to calibrate with: got {'; '.join(needs)}; label more calls")


def _check(windows: Labelled, false_alarm_rate: float) -> None:
    of_type(Labelled, "read_labelled reads them", windows=windows)
    number("false_alarm_rate", false_alarm_rate, "a share above 0, below 1", above=0.0, most=math.nextafter(1.0, 0.0))


def calibrate(windows: Labelled, *, false_alarm_rate: float) -> Calibration:
    """Fit slopes, shifts and the onset.

    Parameters
    ----------
    windows : Labelled
    false_alarm_rate : float
        Above 0, below 1: how many of the windows without anger may reach the onset, at most.

    Raises
    ------
    TriageError
        If a score is not higher where people heard anger.
    """
    _check(windows, false_alarm_rate)
    known = windows.take(~np.isnan(windows.against))
    unset = Calibration(
        anger_alone=_platt("anger_alone", windows.alone, windows.angry),
        anger_against_baseline=_platt("anger against the baseline", known.against, known.angry),
        escalated_onset=0.5,
    )
    other = np.sort(unset.evidence(windows)[~windows.angry])
    levels = np.unique(other)
    allowed = levels[(len(other) - np.searchsorted(other, levels)) / len(other) <= false_alarm_rate]
    # halfway to the level below; above all of them where none is allowed; rounded up, so that no more pass
    onset = (allowed[0] + other[np.searchsorted(other, allowed[0]) - 1]) / 2.0 if len(allowed) else other[-1] + 0.5
    score = math.ceil(10**DIGITS / (1.0 + math.exp(-float(onset)))) / 10**DIGITS
    return msgspec.structs.replace(unset, escalated_onset=score)


def calibrated_policy(policy: EscalationPolicy, fitted: Calibration) -> dict[str, float]:
    """Return the keys of ``[escalation]`` to set.

    The other thresholds keep their distances, in log-odds, from the onset of ESCALATED.
    """
    moved = log_odds(fitted.escalated_onset) - log_odds(policy.escalated_onset)
    thresholds = ("tense_onset", "tense_offset", "escalated_offset")
    odds = {name: log_odds(getattr(policy, name)) + moved for name in thresholds}
    return {
        "relative_slope": fitted.anger_against_baseline.slope,
        "absolute_slope": fitted.anger_alone.slope,
        "relative_shift": fitted.anger_against_baseline.shift,
        "absolute_shift": fitted.anger_alone.shift,
        "escalated_onset": fitted.escalated_onset,
        **{name: round(1.0 / (1.0 + math.exp(-each)), DIGITS) for name, each in odds.items()},
    }


def compare(
    windows: Labelled, policy: EscalationPolicy, *, false_alarm_rate: float, seed: int = 0
) -> dict[str, Change]:
    """Return what a calibration changes on callers it was not fitted to.

    Callers are dealt into five folds; each fold is judged by what was fitted to the other four. Rates are of windows
    that reach the onset, under the policy as it was and as fitted; calibration errors and Brier scores compare the
    model's own probabilities with the fitted ones.

    Parameters
    ----------
    windows : Labelled
    policy : EscalationPolicy
        In force before.
    false_alarm_rate : float
        As for `calibrate`.
    seed : int
        Of the folds and draws.
    """
    _check(windows, false_alarm_rate)
    of_type(EscalationPolicy, policy=policy)
    rng = np.random.default_rng(whole_number("seed", seed, "a whole number from 0", most=math.inf))
    n_callers = int(windows.caller.max()) + 1
    fold = rng.permutation(n_callers)[windows.caller] % FOLDS
    old = Calibration(
        anger_alone=Platt(slope=policy.absolute_slope, shift=policy.absolute_shift),
        anger_against_baseline=Platt(slope=policy.relative_slope, shift=policy.relative_shift),
        escalated_onset=policy.escalated_onset,
    )
    alone, against, raised = windows.alone.copy(), windows.against.copy(), np.zeros(len(fold), bool)
    for k in range(FOLDS):
        held_out = fold == k
        fitted = calibrate(windows.take(~held_out), false_alarm_rate=false_alarm_rate)
        alone[held_out] = fitted.anger_alone.of(alone[held_out])
        against[held_out] = fitted.anger_against_baseline.of(against[held_out])
        raised[held_out] = fitted.raised(windows.take(held_out))
    draws = rng.multinomial(n_callers, np.full(n_callers, 1.0 / n_callers), DRAWS).astype(np.float64)
    weights = np.vstack([np.ones(n_callers), draws])
    before = _figures(windows, windows.alone, windows.against, old.raised(windows), weights)
    after = _figures(windows, alone, against, raised, weights)
    return {
        name: Change(
            before=_figure(before[name]), after=_figure(after[name]), difference=_figure(after[name] - before[name])
        )
        for name in before
    }


def _platt(name: str, odds: Array, angry: NDArray[np.bool_]) -> Platt:
    """Fit a logistic regression of one input by Newton's method, to Platt's targets, finite where labels separate.

    J. Platt, "Probabilistic outputs for support vector machines", 1999; H.-T. Lin, C.-J. Lin, R. C. Weng, "A note on
    Platt's probabilistic outputs", Machine Learning 68, 2007, whose halved steps make it converge.
    """
    n = np.array([np.sum(~angry), np.sum(angry)])
    target = np.where(angry, (n[1] + 1.0) / (n[1] + 2.0), 1.0 / (n[0] + 2.0))
    inputs = np.column_stack([odds, np.ones(len(odds))])

    def loss(at: Array) -> float:
        z = inputs @ at
        return float(np.sum(np.logaddexp(0.0, z) - target * z))

    at = np.array([1.0, math.log((n[1] + 1.0) / (n[0] + 1.0))])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-(inputs @ at)))
        slope = inputs.T @ (p - target)
        step = np.linalg.solve(inputs.T @ (inputs * (p * (1.0 - p))[:, None]) + 1e-9 * np.eye(2), slope)
        while loss(at - step) > loss(at) and np.abs(step).max() > 1e-9:
            step /= 2.0
        at = at - step
        if np.abs(step).max() < 1e-9:
            break
    if at[0] <= 0.0:
        raise TriageError(
            f"{name}: got scores no higher where people heard anger (slope {at[0]:.2f}), expected higher ones; "
            "check the labels, or train the model on these calls (python -m emotion_triage.training)"
        )
    return Platt(slope=round(float(at[0]), DIGITS), shift=round(float(at[1]), DIGITS))


def _figures(
    windows: Labelled, alone: Array, against: Array, raised: NDArray[np.bool_], weights: Array
) -> Mapping[str, Array]:
    """Return each figure under each row of callers' weights: counts per caller add up, so a draw is a product."""
    angry, caller, n_callers = windows.angry, windows.caller, weights.shape[1]

    def total(values: NDArray[np.generic], of: NDArray[np.intp] = caller) -> Array:
        return weights @ np.bincount(of, values.astype(np.float64), minlength=n_callers)

    with np.errstate(invalid="ignore"):  # a draw may hold no window of a kind
        figures = {
            "hit rate": total(raised & angry) / total(angry),
            "false-alarm rate": total(raised & ~angry) / total(~angry),
        }
        for name, odds in (("anger alone", alone), ("anger against baseline", against)):
            known = ~np.isnan(odds)
            p, y, who = 1.0 / (1.0 + np.exp(-odds[known])), angry[known].astype(np.float64), caller[known]
            n = total(np.ones(len(p)), who)
            bins = np.minimum((p * BINS).astype(int), BINS - 1)
            gaps = [np.abs(total((p - y) * (bins == k), who)) for k in range(BINS)]
            figures[f"calibration error, {name}"] = np.sum(gaps, axis=0) / n
            figures[f"Brier score, {name}"] = total((p - y) ** 2, who) / n
    return figures


def _figure(values: Array) -> Figure:
    low, high = np.nanpercentile(values[1:], (2.5, 97.5))
    return Figure(value=float(values[0]), low=float(low), high=float(high))
