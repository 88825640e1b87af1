"""What agents ask for and what is said to them, and how the API reaches calls and the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from emotion_triage.adapters.audiohook_signature import Nonces
from emotion_triage.errors import CallIdError, LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.log_events import without_numbers
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.contacts import Exposure
from emotion_triage.routing.escalation import Level
from emotion_triage.server.agent_schemas import (
    AskForHelp,
    AskForLink,
    Desk,
    DeskCall,
    Flag,
    Link,
    SayToAgent,
    TakeCall,
    desk_view,
)
from emotion_triage.server.auth import Session
from emotion_triage.server.calls import LiveCall, Message
from emotion_triage.server.links import KEPT_S, LINK_S, Links
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.nonces import NonceFolder
from emotion_triage.server.requests import Refused
from emotion_triage.server.schemas import CallView, Done, view
from emotion_triage.server.siblings import Question, Siblings
from emotion_triage.server.streams import Pulse
from emotion_triage.texts import LANGUAGES

__all__ = ["AgentApi"]

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_TO_WRAP_UP = 5
"""Calls that wait for a wrap-up on a desk, the latest."""


class AgentApi:
    """What may be asked about agents' own calls.

    Parameters
    ----------
    live_calls : LiveCalls
        The calls, and what serves them.
    siblings : Siblings
        The other processes, and their calls.

    Raises
    ------
    ConfigError
        A token is not there.
    """

    def __init__(self, live_calls: LiveCalls, siblings: Siblings) -> None:
        self.live_calls = live_calls
        self.siblings = siblings
        folder = siblings.folder
        used = Nonces(KEPT_S) if folder is None else NonceFolder(Path(folder, "links"), KEPT_S)
        self.changed = Pulse()
        self.links = Links(live_calls.config.access, used)

    async def take(self, asked: Session, call_id: str, body: TakeCall) -> CallView:
        """Say which agent has a call: only they see it on their panel."""
        live = self._live(call_id)
        live.take(body.agent_id)
        self.changed.beat()
        return self._view(live, asked)

    async def message(self, asked: Session, call_id: str, body: SayToAgent) -> CallView:
        """Show a line to the agent of a call, cleared of numbers; it is kept with the call and nowhere else."""
        live = self._going_on(call_id)
        if live.agent_id is None:
            raise Refused(409, "got a call of which no agent is known; expected POST /api/calls/CALL/agent before")
        live.messages.append(Message(by=asked.access.name, text=without_numbers(body.text), at=datetime.now(UTC)))
        self.changed.beat()
        return self._view(live, asked)

    async def help(self, asked: Session, call_id: str, body: AskForHelp) -> Done:
        """Say that the agent needs help with a call, or no longer does."""
        self._own(asked, call_id)
        self._going_on(call_id).ask_for_help(body.needed)
        self.changed.beat()
        log.info("help is asked for" if body.needed else "help is needed no more", extra={"call": call_id})
        return Done()

    async def flag(self, asked: Session, call_id: str, body: Flag) -> Done:
        """Say that the caller is abusive, at any time: the call waits for a person's verdict from then on."""
        live = self._own(asked, call_id)
        agent_id = asked.access.agent_id or body.agent_id or live.agent_id
        if agent_id is None or body.agent_id not in (None, agent_id):
            raise Refused(422, f"agent_id: got {body.agent_id!r}, expected the agent who has the call")
        number = live.number
        await self.ask(lambda ledger: ledger.flag(call_id, by=agent_id, reason=body.reason, caller=number))
        live.flagged = True
        self.changed.beat()
        log.info("flagged as abusive", extra={"call": call_id, "by": agent_id})
        return Done()

    async def link(self, asked: Session, body: AskForLink) -> Link:
        """Return a link that lets an agent into their panel, once and within a minute; it shows no number."""
        try:
            call_id = None if body.call_id is None else safe_call_id(body.call_id)
        except CallIdError as error:
            raise Refused(422, str(error)) from None
        signed = self.links.make(asked.access, body.agent_id, call_id)
        return Link(path=f"/agent/enter?link={signed}", expires_at=datetime.now(UTC) + timedelta(seconds=LINK_S))

    async def desk(self, asked: Session) -> Desk:
        """Return what the agent who asks has before them, and nothing of anybody else's."""
        return self.desk_of(asked, await self.desk_calls(asked), await self.own_exposure(asked))

    def desk_of(self, asked: Session, calls: Iterable[DeskCall], exposure: Exposure | None) -> Desk:
        """Return the desk of the agent who asks, out of all calls."""
        own = [call for call in calls if call.agent_id == asked.access.agent_id]
        here = max((call for call in own if call.ended_at is None), key=lambda call: call.began_at, default=None)
        over = sorted((call for call in own if call.ended_at and not call.disposition), key=lambda call: call.began_at)
        suggestions = self.live_calls.triage.policy.suggestions
        level = None if here is None or here.level is None else Level[here.level.upper()]
        return Desk(
            call=here,
            suggestion={} if level is None else {each: suggestions.text(level, each) or "" for each in LANGUAGES},
            to_wrap_up=tuple(reversed(over[-MAX_TO_WRAP_UP:])),
            exposure=exposure,
        )

    async def desk_calls(self, asked: Session) -> list[DeskCall]:
        """Return every call that is on somebody's desk or could be, in every process: for `desk_of` alone."""
        theirs = await self.siblings.ask(Question(run="desk", by=asked.access), list[DeskCall])
        return [*self.desk_calls_here(), *(call for calls in theirs for call in calls)]

    def desk_calls_here(self) -> list[DeskCall]:
        """Return the calls of this process that go on, or that ended and wait for a wrap-up."""
        calls = self.live_calls.calls
        waiting = (call for call in calls.ended() if call.agent_id is not None and call.disposition is None)
        return [desk_view(call) for call in (*calls, *waiting)]

    async def own_exposure(self, asked: Session) -> Exposure | None:
        """Return what the agent who asks has been through; None where the ledger cannot be asked."""
        agent_id = asked.access.agent_id
        try:
            return None if agent_id is None else await self.ask(lambda ledger: ledger.exposure(agent_id))
        except Refused:
            return None

    async def ask(self, act: Callable[[Ledger], T]) -> T:
        """Do something with the ledger, or refuse in its words."""
        try:
            return await self.live_calls.ledger.ask(act)
        except LedgerError as error:
            raise Refused.by_ledger(error) from None

    def _view(self, live: LiveCall, asked: Session) -> CallView:
        whole = view(live, kept=self.live_calls.ledger.kept)
        return msgspec.structs.replace(whole, monitors=live.monitors_for(asked.access.kind))

    def _own(self, asked: Session, call_id: str) -> LiveCall:
        """Return a call that whoever asks may touch: of an agent, their own; another's is as unknown as none."""
        live = self.live_calls.calls.find(call_id)
        if asked.access.kind == "agent" and (live is None or live.agent_id != asked.access.agent_id):
            raise Refused(404, "no call of yours has this name; expected one that you have, or that just ended")
        return self._live(call_id)

    def _live(self, call_id: str) -> LiveCall:
        live = self.live_calls.calls.find(call_id)
        if live is None:
            raise Refused(404, "no such call is known here; expected one of GET /api/calls, or one that just ended")
        return live

    def _going_on(self, call_id: str) -> LiveCall:
        live = self._live(call_id)
        if live.ended is not None:
            raise Refused(409, "the call is over; expected one that goes on")
        return live
