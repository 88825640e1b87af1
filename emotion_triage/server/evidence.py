"""What a person judges a call by beside its scores: where levels begin, and where the recording is heard."""

from __future__ import annotations

import math

import msgspec

from emotion_triage.affect.affect import log_odds
from emotion_triage.routing.call_ids import ALIAS
from emotion_triage.routing.escalation import EscalationPolicy, Level
from emotion_triage.routing.policy import ReportPolicy, filled_link

__all__ = ["Threshold", "recording", "thresholds"]


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """Anger, 0 to 1, from which a level begins if it lasts: of the voice by itself, and against the caller's own."""

    level: str
    alone: float
    own: float


def thresholds(policy: EscalationPolicy) -> tuple[Threshold, ...]:
    """Return where the levels begin, on the scale of anger: a level follows from anger's log-odds, scaled and moved."""

    def anger(onset: float, slope: float, shift: float) -> float:
        return 1.0 / (1.0 + math.exp((shift - log_odds(onset)) / slope))

    onsets = {Level.TENSE: policy.tense_onset, Level.ESCALATED: policy.escalated_onset}
    return tuple(
        Threshold(
            level=level.name.lower(),
            alone=anger(onset, policy.absolute_slope, policy.absolute_shift),
            own=anger(onset, policy.relative_slope, policy.relative_shift),
        )
        for level, onset in onsets.items()
    )


def recording(call_id: str, start_s: float, report: ReportPolicy) -> str | None:
    """Return where a call is heard from a time on; None where the policy has no address under which it lies.

    A path is one seen from a report's folder, and an alias in a call's name is known to no archive.
    """
    if not report.recording_link.startswith(("http://", "https://")):
        return None
    named = "" if ALIAS in call_id else call_id
    return filled_link(report.recording_link, {"call": named, "start_s": str(int(start_s))})
