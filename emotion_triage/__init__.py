"""Hears anger and distress in a caller's voice as it streams, says why, and routes the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from emotion_triage.affect import Affect, Driver
    from emotion_triage.batch import score
    from emotion_triage.contacts import Contact, Disposition, Exposure, Restriction
    from emotion_triage.errors import LedgerError, TriageError
    from emotion_triage.escalation import Escalation, Level
    from emotion_triage.ledger import Ledger
    from emotion_triage.policy import Policy
    from emotion_triage.routing import Route, Standing
    from emotion_triage.summary import Record
    from emotion_triage.triage import Call, Triage

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
    "Affect": "affect",
    "Call": "triage",
    "Contact": "contacts",
    "Disposition": "contacts",
    "Driver": "affect",
    "Escalation": "escalation",
    "Exposure": "contacts",
    "Ledger": "ledger",
    "LedgerError": "errors",
    "Level": "escalation",
    "Policy": "policy",
    "Record": "summary",
    "Restriction": "contacts",
    "Route": "routing",
    "Standing": "routing",
    "Triage": "triage",
    "TriageError": "errors",
    "score": "batch",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the import costs next to nothing (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
