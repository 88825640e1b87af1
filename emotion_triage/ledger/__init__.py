"""Contacts over time: a caller's standing, an agent's exposure, and what people decided. Extra ``[ledger]``."""
