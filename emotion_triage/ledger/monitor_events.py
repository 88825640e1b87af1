"""What the decision log tells of supervisors on calls: two of the bodies of `log_events`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from emotion_triage.routing.supervision import Mode

__all__ = ["MonitorBegun", "MonitorEnded"]

Name = Annotated[str, Meta(min_length=1)]


class MonitorBegun(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="monitor"):
    """A person is about to listen to a call, whisper to its agent or join it; written before the engine is asked.

    Attributes
    ----------
    by, reason : str
        Who, and why.
    mode : Mode
        What they do.
    agent_id : str or None
        The agent of the call, where they were known.
    agent_told : bool
        Whether the policy tells the agent.
    """

    by: Name
    reason: Name
    mode: Mode
    agent_id: str | None
    agent_told: bool


class MonitorEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="monitor_end"):
    """A person is no longer on a call, or never was because the engine refused: `reason` says which."""

    by: Name
    mode: Mode
    reason: Name
