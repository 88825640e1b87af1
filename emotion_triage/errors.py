"""The error family: every message says what was got, what was expected, and the fix."""

from __future__ import annotations

__all__ = [
    "AudioError",
    "MissingExtraError",
    "ModelError",
    "PolicyError",
    "StreamError",
    "TriageError",
]


class TriageError(Exception):
    """Anything this library raises on purpose."""


class AudioError(TriageError, ValueError):
    """Audio that cannot be used: codec, dtype, rate, channels, samples or file."""


class StreamError(TriageError, RuntimeError):
    """A call used out of order: pushed after its flush, or audio from its past."""


class ModelError(TriageError, RuntimeError):
    """A model file that cannot be read or does not match this library's features."""


class PolicyError(TriageError, ValueError):
    """A policy with an unknown key, a value out of range or a rule that cannot match."""


class MissingExtraError(TriageError, ImportError):
    """An optional dependency is not installed; the message names the extra."""
