"""What a centre holds against a caller, as routing reads it."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from emotion_triage.routing.contacts import Restriction

__all__ = ["CLEAR", "Standing", "StandingState"]


class StandingState(enum.StrEnum):
    """What a centre holds against a caller: ``restricted`` comes only from a named person's decision."""

    CLEAR = "clear"
    WATCH = "watch"
    PROTECTED = "protected"
    RESTRICTED = "restricted"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's history with the centre, as it stands when they call.

    Attributes
    ----------
    state : StandingState
        What routing looks at.
    abusive_contacts : int
        Confirmed abusive contacts that still count, 0 or more.
    since, expires_at : datetime or None
        When the state began and when it ends, with a time zone; None where nothing is held.
    avoid_agents : tuple of str
        Agents whom the caller abused: no route may lead to them.
    restriction : Restriction or None
        What a named person decided, where the state is restricted.
    objection : bool
        The caller objected to being scored, or nobody can say whether they did: no score may be computed.
    usual_agents : tuple of str
        Agents who know the caller, from the one they spoke with most; none whom they abused.
    known : bool
        False where the ledger could not be asked: then nothing is held, and `problem` says what to mend.
    problem : str or None
        Why it could not be asked, and the fix.
    """

    state: StandingState
    abusive_contacts: Annotated[int, Meta(ge=0)]
    since: Annotated[datetime, Meta(tz=True)] | None
    expires_at: Annotated[datetime, Meta(tz=True)] | None
    avoid_agents: tuple[str, ...] = ()
    restriction: Restriction | None = None
    objection: bool = False
    usual_agents: tuple[str, ...] = ()
    known: bool = True
    problem: str | None = None


CLEAR = Standing(state=StandingState.CLEAR, abusive_contacts=0, since=None, expires_at=None)
"""The standing of a caller of whom nothing is known."""
