"""A day of a centre, under the arms that decide who takes a call."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

from benchmarks.centre.world import (
    POLICY,
    TALK_S,
    WRAP_UP_S,
    Call,
    Past,
    Size,
    agents_of,
    at_time,
    name,
)
from emotion_triage.ledger import Ledger
from emotion_triage.routing.contacts import Contact, Disposition, Restriction, RestrictionKind
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.rules import CLEAR, Standing, StandingState

REVIEW_AFTER_S, RESTRICTED_DAYS = 1800.0, 30


class Taken(NamedTuple):
    """A call as it went."""

    call: Call
    agent: str
    wait_s: float


class Unprotected:
    """The usual adviser, then who has rested longest; nobody remembers abuse."""

    def __init__(self, past: Past) -> None:
        self.spoke = {caller: Counter(spoke) for caller, spoke in past.spoke.items()}

    def standing(self, call: Call, now_s: float) -> Standing:
        return CLEAR

    def choose(self, call: Call, free: Sequence[str], now_s: float) -> str | None:
        """Return who takes a call, of those who are free in order of their rest."""
        spoke = self.spoke.get(call.caller, Counter[str]())
        return min(free, key=lambda agent: -spoke[agent])

    def ended(self, call: Call, agent: str, now_s: float) -> Iterable[tuple[float, str]]:
        """Take note of a contact; give what is to happen in so many seconds."""
        self.spoke.setdefault(call.caller, Counter())[agent] += 1
        yield WRAP_UP_S, "ready"

    def review(self, call: Call, now_s: float) -> None:
        """Let a supervisor look at a caller."""


class Protected:
    """The ledger's own word on everything."""

    def __init__(self, ledger: Ledger, agents: Sequence[str]) -> None:
        self.ledger = ledger
        self.agents = agents
        self.fallbacks = 0

    def standing(self, call: Call, now_s: float) -> Standing:
        return self.ledger.standing(name(call.caller), at=at_time(now_s))

    def choose(self, call: Call, free: Sequence[str], now_s: float) -> str | None:
        def first(agents: Sequence[str]) -> str | None:
            told = self.ledger.eligible(agents, caller=name(call.caller), level=call.before, at=at_time(now_s))
            return next(iter(told.agents), None)

        if agent := first(free):
            return agent
        hard = call.before is Level.ESCALATED or self.standing(call, now_s).state is not StandingState.CLEAR
        if not hard or first(self.agents):
            return None
        self.fallbacks += 1
        return "supervisor"

    def ended(self, call: Call, agent: str, now_s: float) -> Iterable[tuple[float, str]]:
        contact = Contact(
            contact_id=f"c-{call.number}",
            caller=name(call.caller),
            agent_id=agent,
            started_at=at_time(now_s - call.talk_s),
            duration_s=call.talk_s,
            peak=call.peak,
            disposition=Disposition.ABUSE if call.abusive else Disposition.OK,
        )
        self.ledger.record(contact, at=at_time(now_s + 1))
        rest_s = self.ledger.exposure(agent, at=at_time(now_s + 1)).after_call_work_s if call.abusive else 0.0
        yield max(WRAP_UP_S, rest_s + 1), "ready"
        if call.abusive and self.standing(call, now_s + 1).state is StandingState.PROTECTED:
            yield REVIEW_AFTER_S, "review"

    def review(self, call: Call, now_s: float) -> None:
        if self.standing(call, now_s).state is not StandingState.RESTRICTED:
            restrict(self.ledger, call.caller, at_time(now_s))


def restrict(ledger: Ledger, caller: int, at: datetime) -> None:
    restriction = Restriction(
        kind=RestrictionKind.SUPERVISOR_LINE,
        decided_by="s-0",
        reason="abused three agents",
        until=at + timedelta(days=RESTRICTED_DAYS),
        review_at=at + timedelta(days=RESTRICTED_DAYS / 2),
    )
    ledger.restrict(name(caller), restriction, at=at)


def simulate(calls: Sequence[Call], size: Size, arm: Unprotected | Protected) -> list[Taken]:
    """Return how the calls of a day went."""
    order = count()
    events = [(call.at_s, next(order), "call", call, "") for call in calls]
    heapq.heapify(events)
    free = {"agent": agents_of(size), "supervisor": [f"s-{i}" for i in range(size.supervisors)]}
    waiting: dict[str, list[tuple[int, int, Call]]] = {"agent": [], "supervisor": []}
    taken, calling = [], set[int]()

    def take(call: Call, agent: str, now_s: float) -> None:
        taken.append(Taken(call, agent, now_s - call.at_s))
        heapq.heappush(events, (now_s + call.talk_s, next(order), "ended", call, agent))

    while events:
        now_s, _, what, call, agent = heapq.heappop(events)
        if what == "call" and call.caller in calling:
            again = call._replace(at_s=now_s + TALK_S)  # nobody calls while he is on the line
            heapq.heappush(events, (again.at_s, next(order), "call", again, ""))
        elif what == "call":
            calling.add(call.caller)
            route = POLICY.router.route(
                call_id=f"c-{call.number}",
                time_s=0.0,
                level=call.before,
                standing=arm.standing(call, now_s),
                model_digest="",
                policy_digest="",
            )
            queue = "supervisor" if route.queue == "supervisor" else "agent"
            heapq.heappush(waiting[queue], (-route.priority, call.number, call))
        elif what == "ended":
            calling.remove(call.caller)
            for in_s, then in arm.ended(call, agent, now_s):
                heapq.heappush(events, (now_s + in_s, next(order), then, call, agent))
        elif what == "ready":
            free["supervisor" if agent.startswith("s-") else "agent"].append(agent)
        elif what == "review":
            arm.review(call, now_s)
        kept = []
        while waiting["agent"] and free["agent"]:
            place = heapq.heappop(waiting["agent"])
            chosen = arm.choose(place[2], free["agent"], now_s)
            if chosen == "supervisor":
                heapq.heappush(waiting["supervisor"], place)
            elif chosen is None:
                kept.append(place)
            else:
                free["agent"].remove(chosen)
                take(place[2], chosen, now_s)
        for place in kept:
            heapq.heappush(waiting["agent"], place)
        while waiting["supervisor"] and free["supervisor"]:
            place = heapq.heappop(waiting["supervisor"])
            take(place[2], free["supervisor"].pop(0), now_s)
    return taken
