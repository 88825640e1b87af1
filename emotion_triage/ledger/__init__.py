"""Contacts over time: a caller's standing, an agent's exposure, and what people decided. Extra ``[ledger]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotion_triage.ledger.ledger import Ledger

__all__ = ["Ledger"]


def __getattr__(name: str) -> Any:
    """Load the ledger, and with it the database library, when it is first used (PEP 562)."""
    if name != "Ledger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from emotion_triage.errors import MissingExtraError

    try:
        from emotion_triage.ledger.ledger import Ledger
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the ledger needs {error.name}, which is not installed; pip install 'emotion-triage[ledger]'"
        ) from None
    return Ledger
