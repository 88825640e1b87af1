"""The one list of the API's requests, for routes and document alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from emotion_triage.routing.contacts import Candidates, Exposure, Review
from emotion_triage.server.agent_schemas import AskForHelp, AskForLink, Desk, Flag, Link, SayToAgent, TakeCall
from emotion_triage.server.api import Api
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
)

__all__ = ["ENDPOINTS", "WHO", "Endpoint"]

Who: TypeAlias = Literal["anyone", "person", "machine", "agent", "everyone"]
WHO: dict[Who, tuple[str, ...]] = {
    "person": ("person",),
    "machine": ("machine",),
    "agent": ("agent",),
    "anyone": ("person", "machine"),
    "everyone": ("person", "machine", "agent"),
}
"""The kinds of tokens with which each may be asked."""


class Endpoint(NamedTuple):
    """One line of the API: `run` takes who asks, the call's id where the path has one, and the body where there is one.

    `who` may ask: ``person`` for what only a person decides, ``machine`` and ``agent`` for what is theirs alone,
    ``anyone`` for what a person and a machine may, ``everyone`` for what an agent may too, of their own calls.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    run: Callable[..., Awaitable[Any]]
    answer: Any
    body: type[msgspec.Struct] | None = None
    who: Who = "anyone"


CALL = "/api/calls/{call_id:path}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/calls", Api.calls, list[CallView]),
    Endpoint("GET", "/api/ended", Api.ended, list[CallView]),
    Endpoint("POST", f"{CALL}/override", Api.override, CallView, OverrideRoute, "person"),
    Endpoint("POST", f"{CALL}/attention", Api.attend, CallView, Attend, "person"),
    Endpoint("POST", f"{CALL}/verdict", Api.verdict, Done, SayVerdict, "person"),
    Endpoint("POST", f"{CALL}/restrict", Api.restrict, Done, RestrictCaller, "person"),
    Endpoint("POST", f"{CALL}/lift", Api.lift, Done, LiftCaller, "person"),
    Endpoint("POST", f"{CALL}/monitor", Api.monitor, CallView, MonitorCall, "person"),
    Endpoint("DELETE", f"{CALL}/monitor", Api.stop_monitoring, CallView, who="person"),
    Endpoint("POST", f"{CALL}/candidates", Api.candidates, Candidates, AskForCandidates),
    Endpoint("POST", f"{CALL}/wrap-up", Api.wrap_up, Done, WrapUp, "everyone"),
    Endpoint("POST", f"{CALL}/flag", Api.flag, Done, Flag, "everyone"),
    Endpoint("POST", f"{CALL}/agent", Api.take, CallView, TakeCall),
    Endpoint("POST", f"{CALL}/message", Api.message, CallView, SayToAgent, "person"),
    Endpoint("POST", f"{CALL}/help", Api.help, Done, AskForHelp, "everyone"),
    Endpoint("POST", f"{CALL}/notice", Api.notice, Done),
    Endpoint("POST", f"{CALL}/objection", Api.objection, Done),
    Endpoint("POST", f"{CALL}/rtp", Api.open_port, Port, OpenPort),
    Endpoint("POST", f"{CALL}/hang-up", Api.hang_up, Done),
    Endpoint("GET", CALL, Api.call, CallDetail),
    Endpoint("POST", "/api/restrictions", Api.restrict_caller, Done, RestrictCaller, "person"),
    Endpoint("POST", "/api/lifts", Api.lift_caller, Done, LiftCaller, "person"),
    Endpoint("GET", "/api/agent", Api.desk, Desk, who="agent"),
    Endpoint("POST", "/api/links", Api.link, Link, AskForLink, "machine"),
    Endpoint("GET", "/api/reviews", Api.reviews, tuple[Review, ...]),
    Endpoint("GET", "/api/team", Api.team, list[Exposure]),
)
