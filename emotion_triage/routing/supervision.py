"""A supervisor on a call: what they do there, and what the agent learns of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Mode", "SupervisionPolicy"]


class Mode(StrEnum):
    """What a supervisor does on a call."""

    LISTEN = "listen"
    """Hear both; nobody hears them."""
    WHISPER = "whisper"
    """Hear both; only the agent hears them."""
    JOIN = "join"
    """All hear each other."""


class SupervisionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent learns of a supervisor on their call. Defaults live in ``policies/balanced.toml``.

    Attributes
    ----------
    tell_agent : bool
        Whether the agent sees that a supervisor listens, whispers or has joined.
    """

    tell_agent: bool
