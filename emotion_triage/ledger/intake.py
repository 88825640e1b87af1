"""What comes into the ledger, checked before anything is written: names, texts, and records of the right types."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import numpy as np
from msgspec.structs import asdict

from emotion_triage.errors import CallIdError, LedgerError
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.contacts import Contact, Restriction
from emotion_triage.settings import explained

__all__ = ["call_name", "of_its_types", "require"]

Record = TypeVar("Record", Contact, Restriction)


def call_name(call_id: str, what: str) -> str:
    """Return a call's name as it is kept, or refuse what cannot be one."""
    try:
        return safe_call_id(call_id, what)
    except CallIdError as error:
        raise LedgerError(str(error)) from None


def of_its_types(record: Record) -> Record:
    """Return a record whose fields are of the types that it declares: numbers as Python has them, texts as members."""
    fields = {name: each.item() if isinstance(each, np.generic) else each for name, each in asdict(record).items()}
    try:
        return msgspec.convert(fields, type(record))
    except (msgspec.ValidationError, TypeError) as fault:
        what, _, where = str(fault).partition(" - at `$.")
        if isinstance(fault, msgspec.ValidationError) and what.startswith("Invalid"):
            what, where = explained(fault, type(record)), ""
        name = where.rstrip("`") or type(record).__name__.lower()
        raise LedgerError(f"{name}: {what[:1].lower()}{what[1:]}; nothing was kept") from None


def require(**named: str | None) -> None:
    """Refuse texts that are empty, or none: who decided, and why."""
    for name, value in named.items():
        if not isinstance(value, str) or not value.strip():
            raise LedgerError(f"{name}: got {value!r}, expected a text that is not empty; name who and why")
