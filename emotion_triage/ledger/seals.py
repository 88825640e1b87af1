"""Signs what the ledger keeps: whoever can write to the database but has no key cannot add or change a row unseen."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

__all__ = ["Seal"]


class Seal:
    """HMAC-SHA256 under a key that is derived from the ledger's.

    Parameters
    ----------
    key : bytes
        32 bytes.

    Examples
    --------
    >>> seal = Seal(b"k" * 32)
    >>> signed = seal.of("head", 7, "ab")
    >>> seal.holds(signed, "head", 7, "ab"), seal.holds(signed, "head", 8, "ab")
    (True, False)
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, what: str, *values: str | int | bool | None) -> str:
        """Return the signature of values, 64 hex digits; `what` keeps rows of different tables apart."""
        return hmac.new(self._key, msgspec.json.encode([what, *values]), hashlib.sha256).hexdigest()

    def holds(self, signature: Any, what: str, *values: Any) -> bool:
        """Return whether a signature is that of values, whatever a database holds in their places."""
        try:
            return isinstance(signature, str) and hmac.compare_digest(signature, self.of(what, *values))
        except (TypeError, ValueError):  # no text, or none that can be written
            return False
