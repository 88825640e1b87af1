"""The API: what each request does."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_type_hints

import msgspec

from emotion_triage.call.triage import Call
from emotion_triage.errors import CallIdError, LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.contacts import Candidates, Exposure, Restriction, Review
from emotion_triage.server.agents import AgentApi
from emotion_triage.server.auth import Session
from emotion_triage.server.calls import LiveCall
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.queues import known_queues, target_of
from emotion_triage.server.requests import Refused
from emotion_triage.server.rtp import RtpPorts
from emotion_triage.server.schemas import (
    AskForCandidates,
    Attend,
    CallDetail,
    CallView,
    Done,
    LiftCaller,
    MonitorCall,
    OpenPort,
    OverrideRoute,
    Port,
    RestrictCaller,
    SayVerdict,
    WrapUp,
    detail,
)
from emotion_triage.server.siblings import Question, Siblings
from emotion_triage.server.verdicts import unrecorded

__all__ = ["Api"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Api(AgentApi):
    """What may be asked of the calls and of the ledger.

    Parameters
    ----------
    live_calls : LiveCalls
        The calls, and what serves them.
    siblings : Siblings
        The other processes, and their calls.
    """

    def __init__(self, live_calls: LiveCalls, siblings: Siblings) -> None:
        super().__init__(live_calls, siblings)
        self.rtp = RtpPorts(live_calls)

    def knows(self, call_id: str) -> bool:
        """Return whether a call is this process's, be it heard already or only told of."""
        return self.live_calls.calls.find(call_id) is not None or call_id in self.rtp

    async def at(
        self, run: Callable[..., Awaitable[Any]], asked: Session, call_id: str, body: msgspec.Struct | None = None
    ) -> Any:
        """Do something to a call where it is: here, or in another process; named as its engine does."""
        try:
            call_id = safe_call_id(call_id)
        except CallIdError as error:
            raise Refused(422, str(error)) from None
        if not self.knows(call_id):
            question = Question(
                run=run.__name__,
                by=asked.access,
                call_id=call_id,
                body=msgspec.Raw(msgspec.json.encode(body)),
            )
            if answers := await self.siblings.ask(question, get_type_hints(run)["return"]):
                return answers[0]
        return await run(self, asked, call_id, *(() if body is None else (body,)))

    async def calls(self, asked: Session) -> list[CallView]:
        """Return the calls that go on, in every process."""
        return await self._everywhere("calls", asked)

    async def ended(self, asked: Session) -> list[CallView]:
        """Return the calls that are over and still kept, in every process, the latest first."""
        ended = await self._everywhere("ended", asked)
        return sorted(ended, key=lambda call: call.ended_at or call.began_at, reverse=True)

    def here(self, run: str, asked: Session) -> list[CallView]:
        """Return the calls of this process: those that go on for ``calls``, those that are over for ``ended``."""
        calls = self.live_calls.calls
        return [self._view(live, asked) for live in (calls.ended() if run == "ended" else calls)]

    async def _everywhere(self, run: str, asked: Session) -> list[CallView]:
        theirs = await self.siblings.ask(Question(run=run, by=asked.access), list[CallView])
        return [*self.here(run, asked), *(call for calls in theirs for call in calls)]

    async def call(self, asked: Session, call_id: str) -> CallDetail:
        """Return one call, going on or over."""
        live = self._live(call_id)
        return msgspec.structs.replace(
            detail(live, kept=self.live_calls.ledger.kept),
            monitors=live.monitors_for(asked.access.kind),
            may_monitor=self.live_calls.monitors.offered(live, asked.access.name),
        )

    async def override(self, asked: Session, call_id: str, body: OverrideRoute) -> CallView:
        """Send a call where a person wants it; the machine's own routes are told no more."""
        live = self._going_on(call_id)
        known = known_queues(self.live_calls.triage.policy, self.live_calls.config.wires, live.queue)
        behind = target_of(body.queue, known)
        keeping = self.live_calls.override(
            live,
            by=asked.access.name,
            reason=body.reason,
            queue=body.queue,
            target=body.target or behind,
            priority=(live.override or live.call.route).priority if body.priority is None else body.priority,
        )
        try:
            await keeping
        except LedgerError as error:
            raise Refused.by_ledger(error) from None
        return self._view(live, asked)

    async def monitor(self, asked: Session, call_id: str, body: MonitorCall) -> CallView:
        """Put whoever asks on a call: they listen, whisper to the agent or join; the engine rings them."""
        live = self._going_on(call_id)
        await self.live_calls.monitors.begin(live, asked.access.name, body.mode, body.reason)
        return self._view(live, asked)

    async def stop_monitoring(self, asked: Session, call_id: str) -> CallView:
        """Take whoever asks off a call."""
        live = self._live(call_id)
        await self.live_calls.monitors.leave(live, asked.access.name)
        return self._view(live, asked)

    async def attend(self, asked: Session, call_id: str, body: Attend) -> CallView:
        """Tell the other supervisors that one has seen a call, or takes care of it; or that they do not, after all."""
        live = self._going_on(call_id)
        if body.state == "nobody":
            live.attention = None
        else:
            live.attend(asked.access.name, takes=body.state == "mine")
        return self._view(live, asked)

    async def verdict(self, asked: Session, call_id: str, body: SayVerdict) -> Done:
        """Say whether a contact was abusive: a call that is known here, or one that the ledger has kept."""
        known = self.live_calls.calls.find(call_id) is not None

        def judge(ledger: Ledger) -> None:
            if not known:
                ledger.require_contact(call_id)
            ledger.verdict(call_id, by=asked.access.name, abusive=body.abusive, reason=body.reason)

        await self.ask(judge)
        if live := self.live_calls.calls.find(call_id):
            live.verdict = "abusive" if body.abusive else "not abusive"
            await self._learn_standing(live)
        return Done()

    async def _learn_standing(self, live: LiveCall) -> None:
        """Ask anew what is known of a call's caller: a person has just decided something about them."""
        number, queue = live.number, live.queue
        if number is None:
            return
        with contextlib.suppress(LedgerError):  # what was decided is kept; only the page is late
            live.standing = await self.live_calls.ledger.ask(lambda ledger: ledger.standing(number, queue=queue))

    async def restrict(self, asked: Session, call_id: str | None, body: RestrictCaller) -> Done:
        """Restrict a caller, by the person who asks; never one who is in a queue in which nobody is restricted."""
        if call_id is not None and self._live(call_id).exempt:
            raise Refused(422, "the caller is in a queue in which nobody is restricted (protection.exempt_queues)")
        caller = self._caller(call_id, body.caller)
        restriction = Restriction(
            kind=body.kind,
            decided_by=asked.access.name,
            reason=body.reason,
            until=body.until,
            review_at=body.review_at,
        )
        await self.ask(lambda ledger: ledger.restrict(caller, restriction))
        if call_id is not None:
            await self._learn_standing(self._live(call_id))
        return Done(id=restriction.restriction_id)

    async def restrict_caller(self, asked: Session, body: RestrictCaller) -> Done:
        """Restrict a caller whose call is long over."""
        return await self.restrict(asked, None, body)

    async def lift(self, asked: Session, call_id: str | None, body: LiftCaller) -> Done:
        """End every restriction of a caller."""
        caller = self._caller(call_id, body.caller)
        await self.ask(lambda ledger: ledger.lift(caller, by=asked.access.name, reason=body.reason))
        if call_id is not None:
            await self._learn_standing(self._live(call_id))
        return Done()

    async def lift_caller(self, asked: Session, body: LiftCaller) -> Done:
        """End every restriction of a caller whose call is long over."""
        return await self.lift(asked, None, body)

    async def candidates(self, asked: Session, call_id: str, body: AskForCandidates) -> Candidates:
        """Return who of the free agents may take a call, best first; without the ledger, as they were given."""
        live = self._live(call_id)
        number, level, queue = live.number, live.level, live.queue
        try:
            return await self.live_calls.ledger.ask(
                lambda ledger: ledger.eligible(body.agents, caller=number, level=level, queue=queue)
            )
        except LedgerError as error:
            return self.live_calls.triage.policy.protection.unranked(body.agents, str(error))

    async def wrap_up(self, asked: Session, call_id: str, body: WrapUp) -> Done:
        """Record a contact that is over: the agent's part from the body, the voice's from the call."""
        live = self._own(asked, call_id)
        if asked.access.kind == "agent" and body.agent_id != asked.access.agent_id:
            raise Refused(403, "agent_id is another's; expected the token's own")
        if live.ended_at is None:
            raise Refused(409, "the call goes on; expected one that is over")
        # on the panel "abusive" asks for a verdict before the call is over and after it
        flagged = bool(body.word) or (asked.access.kind == "agent" and body.disposition.abusive)
        contact = live.contact(
            agent_id=body.agent_id, disposition=body.disposition, language=body.language, line_type=body.line_type
        )
        scores = live.scores if self.live_calls.ledger.keeps_windows else ()

        def kept(ledger: Ledger) -> None:
            ledger.record(contact)
            if flagged:
                ledger.flag(call_id, by=body.agent_id, reason=body.word)
            if len(scores):
                ledger.keep_windows(call_id, scores, model_digest=live.call.triage.classifier.digest)

        await self.ask(kept)
        live.agent_id, live.disposition = body.agent_id, body.disposition
        live.flagged = live.flagged or flagged
        await self._learn_standing(live)
        return Done(id=call_id)

    async def notice(self, asked: Session, call_id: str) -> Done:
        """Say that the caller was told; where the policy requires it, scoring begins now."""

        def told(call: Call) -> list[Any]:
            call.notice_played()
            return []

        await self.live_calls.batcher.ask(self._live(call_id).call, told)
        return Done()

    async def objection(self, asked: Session, call_id: str) -> Done:
        """Say that the caller objects: nothing more is scored, now and when they call again."""
        live = self._live(call_id)
        await self.live_calls.batcher.ask(live.call, Call.object)
        live.forget_scores()
        number = live.number
        if number is not None and self.live_calls.ledger.kept:
            await self.ask(lambda ledger: ledger.object_to_scoring(number))
        return Done()

    async def open_port(self, asked: Session, call_id: str, body: OpenPort) -> Port:
        """Open a port to which a call's RTP is sent; the call begins with its first packet."""
        return Port(port=self.rtp.open(call_id, body.parameters))

    async def hang_up(self, asked: Session, call_id: str) -> Done:
        """Say that a call which was given a port is over; every other wire tells its end itself."""
        await self.rtp.close(call_id)
        return Done(id=call_id)

    async def reviews(self, asked: Session) -> tuple[Review, ...]:
        """Return what waits for a person, the oldest first: of the ledger, and calls of which no desktop said more."""
        waiting = await self.ask(lambda ledger: ledger.reviews())
        return tuple(sorted((*waiting, *await self.unrecorded(asked)), key=lambda review: review.at))

    async def unrecorded(self, asked: Session) -> list[Review]:
        """Return the calls that wait for a verdict though no desktop has said how they went, in every process."""
        warn_s = self.live_calls.triage.policy.protection.warn_escalated_s
        return unrecorded(await self.ended(asked), warn_s)

    async def team(self, asked: Session) -> list[Exposure]:
        """Return what each agent of the team has been through, counted from contacts, in alphabetical order."""
        agents = sorted(self.live_calls.config.team, key=str.casefold)
        return await self.ask(lambda ledger: [ledger.exposure(agent) for agent in agents])

    def _caller(self, call_id: str | None, named: str | None) -> str:
        number = named or (self._live(call_id).number if call_id is not None else None)
        if number is None:
            raise Refused(422, "the caller withheld their number; nothing can be kept of them")
        return number
