"""Schemas of the ledger, from the first to the one this library reads; alembic applies them in order."""
