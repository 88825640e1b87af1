"""Hears anger and distress in a caller's voice as it streams, says why, and routes the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from emotion_triage.affect.affect import Affect, Driver
    from emotion_triage.batch.record import Record
    from emotion_triage.batch.scoring import score
    from emotion_triage.call.triage import Call, Triage
    from emotion_triage.errors import LedgerError, TriageError
    from emotion_triage.ledger import Ledger
    from emotion_triage.routing.contacts import Contact, Disposition, Exposure, Restriction
    from emotion_triage.routing.escalation import Escalation, Level
    from emotion_triage.routing.policy import Policy
    from emotion_triage.routing.rules import Route, Standing

__all__ = [
    "Affect",
    "Call",
    "Contact",
    "Disposition",
    "Driver",
    "Escalation",
    "Exposure",
    "Ledger",
    "LedgerError",
    "Level",
    "Policy",
    "Record",
    "Restriction",
    "Route",
    "Standing",
    "Triage",
    "TriageError",
    "score",
]

_HOMES = {
    "Affect": "affect.affect",
    "Call": "call.triage",
    "Contact": "routing.contacts",
    "Disposition": "routing.contacts",
    "Driver": "affect.affect",
    "Escalation": "routing.escalation",
    "Exposure": "routing.contacts",
    "Ledger": "ledger",
    "LedgerError": "errors",
    "Level": "routing.escalation",
    "Policy": "routing.policy",
    "Record": "batch.record",
    "Restriction": "routing.contacts",
    "Route": "routing.rules",
    "Standing": "routing.rules",
    "Triage": "call.triage",
    "TriageError": "errors",
    "score": "batch.scoring",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the import costs next to nothing (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
