"""Contacts over time: a caller's standing, an agent's exposure, and what people decided. Extra ``[ledger]``."""

from emotion_triage.ledger.ledger import Ledger

__all__ = ["Ledger"]
