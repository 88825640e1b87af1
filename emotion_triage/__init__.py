"""Hears anger and distress in a caller's voice as it streams, says why, and routes the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from emotion_triage.affect.affect import Affect, Driver
    from emotion_triage.batch.record import Record
    from emotion_triage.batch.scoring import score
    from emotion_triage.call.triage import Call, Triage
    from emotion_triage.errors import (
        ArgumentError,
        AudioError,
        CallIdError,
        ConfigError,
        DestinationError,
        LedgerError,
        LedgerMissing,
        LedgerUnavailable,
        MissingExtraError,
        ModelError,
        PolicyError,
        PushError,
        StreamError,
        TriageError,
        TruncatedError,
        WireError,
    )
    from emotion_triage.ledger import Ledger
    from emotion_triage.routing.contacts import Candidates, Contact, Disposition, Exposure, Restriction, Review
    from emotion_triage.routing.escalation import Escalation, Level
    from emotion_triage.routing.policy import Policy
    from emotion_triage.routing.rules import Route
    from emotion_triage.routing.standing import Standing, StandingState

__all__ = [
    "Affect",
    "ArgumentError",
    "AudioError",
    "Call",
    "CallIdError",
    "Candidates",
    "ConfigError",
    "Contact",
    "DestinationError",
    "Disposition",
    "Driver",
    "Escalation",
    "Exposure",
    "Ledger",
    "LedgerError",
    "LedgerMissing",
    "LedgerUnavailable",
    "Level",
    "MissingExtraError",
    "ModelError",
    "Policy",
    "PolicyError",
    "PushError",
    "Record",
    "Restriction",
    "Review",
    "Route",
    "Standing",
    "StandingState",
    "StreamError",
    "Triage",
    "TriageError",
    "TruncatedError",
    "WireError",
    "score",
]

_HOMES = {
    "Affect": "affect.affect",
    "ArgumentError": "errors",
    "AudioError": "errors",
    "Call": "call.triage",
    "CallIdError": "errors",
    "Candidates": "routing.contacts",
    "ConfigError": "errors",
    "Contact": "routing.contacts",
    "DestinationError": "errors",
    "Disposition": "routing.contacts",
    "Driver": "affect.affect",
    "Escalation": "routing.escalation",
    "Exposure": "routing.contacts",
    "Ledger": "ledger",
    "LedgerError": "errors",
    "LedgerMissing": "errors",
    "LedgerUnavailable": "errors",
    "Level": "routing.escalation",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "Policy": "routing.policy",
    "PolicyError": "errors",
    "PushError": "errors",
    "Record": "batch.record",
    "Restriction": "routing.contacts",
    "Review": "routing.contacts",
    "Route": "routing.rules",
    "Standing": "routing.standing",
    "StandingState": "routing.standing",
    "StreamError": "errors",
    "Triage": "call.triage",
    "TriageError": "errors",
    "TruncatedError": "errors",
    "WireError": "errors",
    "score": "batch.scoring",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the import costs next to nothing (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Name what can be reached, so that an editor completes what was not loaded yet."""
    return sorted({*globals(), *__all__})
