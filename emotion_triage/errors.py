"""The error family: every message says what was got, what was expected, and the fix."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ArgumentError",
    "AudioError",
    "CallIdError",
    "ConfigError",
    "DestinationError",
    "LedgerError",
    "LedgerMissing",
    "LedgerUnavailable",
    "MissingExtraError",
    "ModelError",
    "PolicyError",
    "PushError",
    "StreamError",
    "TriageError",
    "TruncatedError",
    "WireError",
]


class TriageError(Exception):
    """Anything this library raises on purpose."""


class ArgumentError(TriageError, TypeError, ValueError):
    """An argument that the function does not take, of another type or out of range; nothing was changed."""


class AudioError(TriageError, ValueError):
    """Audio that cannot be used: codec, dtype, rate, channels, samples or file."""


class TruncatedError(AudioError):
    """A recording that ends before its header says so, or cannot be decoded to its end; what is there was read."""


class ConfigError(TriageError, ValueError):
    """A server's configuration with an unknown key, a value out of range, or a secret that is not there."""


class CallIdError(TriageError, ValueError):
    """A call's name that cannot be one: none, empty, too long or not printable."""


class StreamError(TriageError, RuntimeError):
    """A call used out of order: pushed after its flush, or audio from its past."""


class ModelError(TriageError, RuntimeError):
    """A model file that cannot be read or does not match this library's features."""


class PolicyError(TriageError, ValueError):
    """A policy with an unknown key, a value out of range or a rule that cannot match."""


class LedgerError(TriageError, RuntimeError):
    """A ledger that cannot be used: its database, its schema or its key; or an entry that it cannot take."""


class LedgerUnavailable(LedgerError):
    """A ledger that cannot be used now, unreachable, locked, full or under another key; the same may succeed later."""


class LedgerMissing(LedgerError):
    """There is no ledger at this address, and none was to be made: a mistyped address, or a first start."""


class DestinationError(TriageError, RuntimeError):
    """A route that a routing engine did not take, or cannot be told; the caller's route stands all the same."""


class MissingExtraError(TriageError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class WireError(TriageError, ValueError):
    """Bytes or messages from a routing engine that break its protocol; ends that one connection."""


class PushError(TriageError, ValueError):
    """Some chunks of a tick could not be used; every other chunk of it was scored.

    Attributes
    ----------
    events : list of list
        What `push_many` would have returned; empty for the chunks that failed.
    errors : dict of int to TriageError
        What was wrong, by the position of the chunk.
    """

    def __init__(self, events: list[list[Any]], errors: dict[int, TriageError]) -> None:
        at, first = next(iter(errors.items()))
        super().__init__(f"{len(errors)} of {len(events)} chunks could not be used, the first at {at}: {first}")
        self.events = events
        self.errors = errors

    def __reduce__(self) -> tuple[type[PushError], tuple[list[list[Any]], dict[int, TriageError]]]:
        return type(self), (self.events, self.errors)
