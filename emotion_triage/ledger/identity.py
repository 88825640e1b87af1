"""Who calls: a keyed hash of the caller's one spelling. Nothing here keeps or shows a number."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from emotion_triage.errors import LedgerError
from emotion_triage.ledger.seals import Seal
from emotion_triage.ledger.spelling import spelled

__all__ = ["MIN_KEY_BYTES", "Identity", "spelled"]

MIN_KEY_BYTES = 32
"""As many as SHA-256 gives: numbers are few enough to be tried one by one, so the key alone protects them."""
FINGERPRINTED, UNSEALED, SEALING = "sealed fingerprint", "fingerprint", "seal"
"""Hashed in a caller's place, to tell keys apart (now, and in the first schema) and to sign; nobody is spelled so."""


class Identity:
    """Callers to pseudonyms, under a chain of keys: HMAC-SHA256 by the first key, of that by the second, and so on.

    So a new key only wraps what is stored: no number has to be known again.

    Parameters
    ----------
    keys : sequence of bytes
        From the oldest to the one in use, 32 bytes or more each.
    region : str
        As in `spelled`.

    Raises
    ------
    LedgerError
        If a key is too short or two are the same.

    Examples
    --------
    >>> one, two = b"1" * 32, b"2" * 32
    >>> before, after = Identity([one], "FR"), Identity([one, two], "FR")
    >>> before.rewrapped(before.pseudonym("+33123456789"), two) == after.pseudonym("01 23 45 67 89")
    True
    """

    def __init__(self, keys: Sequence[bytes], region: str) -> None:
        for key in keys:
            if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
                got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
                raise LedgerError(f"key: got {got}, expected {MIN_KEY_BYTES} bytes or more; make one: os.urandom(32)")
        if len(set(keys)) < len(keys):
            raise LedgerError(
                "key: got one key twice, expected a new key after each rotation; make one: os.urandom(32)"
            )
        self._keys = tuple(keys)
        self._region = region

    @property
    def fingerprint(self) -> str:
        """64 hex digits that tell this chain of keys from any other and give none of them away."""
        return self._wrapped(FINGERPRINTED)

    @property
    def unsealed_fingerprint(self) -> str:
        """The fingerprint that ledgers had before their rows were signed."""
        return self._wrapped(UNSEALED)

    @property
    def seals(self) -> tuple[Seal, ...]:
        """What signs rows under this chain, then what did under each shorter one, the longest first."""
        chains = (self._keys[:held] for held in range(len(self._keys), 0, -1))
        return tuple(Seal(bytes.fromhex(_wrapped(SEALING, chain))) for chain in chains)

    @property
    def seal(self) -> Seal:
        """What signs rows under this chain."""
        return Seal(bytes.fromhex(self._wrapped(SEALING)))

    def pseudonym(self, caller: str | None) -> str | None:
        """Return a caller's pseudonym, 64 hex digits; None where their number is withheld.

        Raises
        ------
        LedgerError
            If it cannot be read as a caller.
        """
        spelling = spelled(caller, self._region)
        return None if spelling is None else self._wrapped(spelling)

    def rewrapped(self, pseudonym: str, key: bytes) -> str:
        """Return a pseudonym of this chain as it is once `key` follows."""
        return hmac.new(key, pseudonym.encode(), hashlib.sha256).hexdigest()

    def followed_by(self, key: bytes) -> Identity:
        """Return the chain with one more key.

        Raises
        ------
        LedgerError
            If the key is too short or one of the chain.
        """
        return Identity((*self._keys, key), self._region)

    def _wrapped(self, text: str) -> str:
        return _wrapped(text, self._keys)


def _wrapped(text: str, keys: Sequence[bytes]) -> str:
    for key in keys:
        text = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return text
