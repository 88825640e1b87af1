"""What the API answers and takes about agents' own calls."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from emotion_triage.routing.contacts import Disposition, Exposure
from emotion_triage.server.calls import LiveCall, Message, Monitored
from emotion_triage.server.schemas import Name

__all__ = [
    "AskForHelp",
    "AskForLink",
    "Desk",
    "DeskCall",
    "Flag",
    "Link",
    "SayToAgent",
    "TakeCall",
    "desk_view",
]


class TakeCall(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent has the call now."""

    agent_id: Name


class SayToAgent(msgspec.Struct, frozen=True, kw_only=True):
    """A line to the agent who has the call."""

    text: Annotated[str, Meta(min_length=1, max_length=280)]


class AskForHelp(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the agent needs help with the call."""

    needed: bool = True


class AskForLink(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent a desktop lets in, and which call they have, by its engine's name."""

    agent_id: Name
    call_id: Name | None = None

    def __repr__(self) -> str:
        return f"AskForLink(agent_id={self.agent_id!r})"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agent's browser has to go, once, before it ends; behind the server's own address."""

    path: str
    expires_at: datetime


class DeskCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call as its agent sees it; `level` is absent where nothing is scored.

    `monitors` are the supervisors who listen, whisper or have joined, without names, where the policy tells the agent.
    """

    call_id: str
    agent_id: str | None
    queue: str | None
    caller_name: str | None
    began_at: datetime
    ended_at: datetime | None
    level: str | None
    level_since: datetime
    help_since: datetime | None
    flagged: bool
    disposition: Disposition | None
    messages: tuple[Message, ...]
    monitors: tuple[Monitored, ...]


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent sees: their call, those of theirs that wait for a wrap-up, and what they have been through.

    `suggestion`, by language, is the policy's for the level of the call. `exposure` is absent where the ledger cannot
    be asked.
    """

    call: DeskCall | None
    suggestion: dict[str, str]
    to_wrap_up: tuple[DeskCall, ...]
    exposure: Exposure | None


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """The agent calls the caller abusive and asks for a person's verdict; a word on why, if they want to say one."""

    agent_id: Name | None = None
    reason: Annotated[str, Meta(max_length=2000)] = ""


def desk_view(live: LiveCall) -> DeskCall:
    """Return a call as its agent sees it now."""
    return DeskCall(
        call_id=live.call.call_id,
        agent_id=live.agent_id,
        queue=live.queue,
        caller_name=live.caller_name,
        began_at=live.began_at,
        ended_at=live.ended_at,
        level=None if live.call.objection else live.level.name.lower(),
        level_since=live.level_since,
        help_since=live.help_since,
        flagged=live.flagged,
        disposition=live.disposition,
        messages=tuple(live.messages),
        monitors=live.monitors_for("agent"),
    )
