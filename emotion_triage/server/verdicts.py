"""Calls that wait for a person's verdict and that the ledger does not know yet."""

from __future__ import annotations

from collections.abc import Iterable

from emotion_triage.ledger.projection import Evidence
from emotion_triage.routing.contacts import Disposition, Review
from emotion_triage.routing.escalation import Level
from emotion_triage.server.schemas import CallView

__all__ = ["unrecorded"]


def unrecorded(ended: Iterable[CallView], warn_escalated_s: float) -> list[Review]:
    """Return what asks for a verdict among calls that are over: those that no desktop has wrapped up.

    Contacts that are recorded, and calls that were flagged, wait in the ledger itself.
    """
    waiting = []
    for call in ended:
        if call.doubt is None or call.flagged or call.disposition is not None:
            continue
        assert call.peak is not None
        assert call.ended_at is not None
        evidence = Evidence(peak=Level[call.peak.upper()], escalated_s=call.escalated_s, drivers=call.drivers)
        waiting.append(
            Review(
                kind="verdict",
                at=call.ended_at,
                reason=evidence.question(Disposition.NONE, warn_escalated_s) or "",
                contact_id=call.call_id,
                agent_id=call.agent_id,
                doubt=call.doubt,
                peak=evidence.peak,
                escalated_s=evidence.escalated_s,
                drivers=evidence.drivers,
            )
        )
    return waiting
