"""What the API answers and takes: one struct each, from which the OpenAPI document is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from emotion_triage.routing.contacts import Disposition, Doubt, RestrictionKind
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.reasons import Verdict, explain
from emotion_triage.routing.rules import Route, Target
from emotion_triage.routing.supervision import Mode
from emotion_triage.server.calls import Attention, Gap, LiveCall, Message, Monitored, Override, Point
from emotion_triage.server.evidence import Threshold, recording, thresholds
from emotion_triage.texts import LANGUAGES

__all__ = [
    "AskForCandidates",
    "Attend",
    "Band",
    "CallDetail",
    "CallView",
    "Done",
    "Fault",
    "LiftCaller",
    "MonitorCall",
    "OpenPort",
    "OverrideRoute",
    "Port",
    "RestrictCaller",
    "RouteView",
    "SayVerdict",
    "WrapUp",
    "detail",
    "view",
]

Reason = Annotated[str, Meta(min_length=1, max_length=2000)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Moment = Annotated[datetime, Meta(tz=True)]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong: what was got, what was expected, and the fix; `kind` is a word for it, where there is one."""

    error: str
    kind: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It was done; `id` names what was made, if anything."""

    done: bool = True
    id: str | None = None


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """A route and what became of it at its destination."""

    time_s: float
    queue: str
    target: Target
    skills: tuple[str, ...]
    priority: int
    rule: str
    avoid_agents: tuple[str, ...]
    outcome: str | None = None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A call now. Times in seconds of its stream; `anger`, `baseline_anger` and `recent` from 0 to 1.

    `recent` is the last two minutes of anger; `angry_start` says that the first speech sounded angry already;
    `ended` is how it ended, if it did; `level` is absent where the caller objected, and holds since `level_since`;
    `peak` was reached at `peak_s`, and `calmed` says that the caller was escalated and the voice became calmer again;
    `known` is false where the ledger could not be asked; `reasons`, by language, are those of the level, and `drivers`
    names what raised it. `agent_id` is who has the call, where somebody said so, `help_since` since when they ask for
    help, `flagged` whether they call the caller abusive, `disposition` how they marked the call once it was over, and
    `messages` what supervisors wrote to them; `attention` is which supervisor has seen the call or takes care of it,
    `alias` what the caller is called in every call of theirs. `doubt` says how voice and mark fail to agree once the
    call is over. `unrestrictable` says why nobody may restrict the caller, if so: they withheld their number, are in a
    queue in which nobody is restricted, or no ledger is kept. `monitors` are the supervisors on the call, whose names
    persons alone see.
    """

    call_id: str
    wire: str
    queue: str | None
    caller_name: str | None
    alias: str | None
    began_at: datetime
    ended: str | None
    ended_at: datetime | None
    duration_s: float
    level: str | None
    level_s: float
    level_since: datetime
    peak: str | None
    peak_s: float
    calmed: bool
    escalated_s: float
    anger: float | None
    baseline_anger: float | None
    angry_start: bool
    recent: tuple[Point, ...]
    reasons: dict[str, str]
    drivers: tuple[str, ...]
    speech_s: float
    lost_s: float
    standing: str
    known: bool
    restriction: str | None
    route: RouteView
    override: Override | None
    disposition: Disposition | None
    verdict: str | None
    agent_id: str | None
    help_since: datetime | None
    attention: Attention | None
    flagged: bool
    messages: tuple[Message, ...]
    monitors: tuple[Monitored, ...]
    doubt: Doubt | None
    unrestrictable: Literal["withheld", "exempt", "no_ledger"] | None

    @property
    def waits(self) -> bool:
        """Whether a person's verdict is asked for: by the agent, or by voice and mark that fail to agree."""
        return self.verdict is None and (self.flagged or self.doubt is not None)

    @property
    def calls_for_help(self) -> bool:
        """Whether someone should look now: the agent asks for help, or the caller is escalated, and nobody has."""
        asks = self.help_since is not None or self.level == "escalated"
        return asks and self.ended is None and self.attention is None


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A level from a time on, and why, by language."""

    from_s: float
    level: str
    reasons: dict[str, str]


class CallDetail(CallView, frozen=True, kw_only=True):
    """A call and how it came to be where it is: scores, levels, gaps, routes, and each rule's say by language.

    Anger is against the caller's own usual level from `own_from_s` on. `recording` is where the recording is heard from
    the call's angriest part on, once the call is over and where the policy says it. `may_monitor` is what whoever asks
    may do on the call.
    """

    thresholds: tuple[Threshold, ...]
    own_from_s: float | None
    recording: str | None
    points: tuple[Point, ...]
    bands: tuple[Band, ...]
    gaps: tuple[Gap, ...]
    told: tuple[RouteView, ...]
    rules: dict[str, tuple[Verdict, ...]]
    may_monitor: tuple[Mode, ...] = ()


class OverrideRoute(msgspec.Struct, frozen=True, kw_only=True):
    """Where a person wants the call to go, and why.

    `queue` is one of the policy's, of the wires' or the call's own; `target` is the policy's word on it where left out.
    """

    reason: Reason
    queue: Name
    target: Target | None = None
    priority: Annotated[int, Meta(ge=0, le=100)] | None = None


class MonitorCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor wants to do on a call, and why."""

    mode: Mode
    reason: Reason


class Attend(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor has ``seen`` the call, takes care of it (``mine``), or ``nobody`` does."""

    state: Literal["seen", "mine", "nobody"]


class SayVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the contact was abusive, and why."""

    abusive: bool
    reason: Reason


class OpenPort(msgspec.Struct, frozen=True, kw_only=True):
    """What the signalling knows of a call: parameters as of every wire, such as ``queue`` and ``caller``."""

    parameters: dict[str, Annotated[str, Meta(max_length=256)]] = {}

    def __repr__(self) -> str:
        return f"OpenPort({', '.join(self.parameters)})"


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call's RTP is to be sent, by UDP."""

    port: int


class RestrictCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction; the person who asks is the one who answers for it.

    `caller` names them where the call is long over: a number, a SIP URI or ``crm:ID``; the call's own caller otherwise.
    """

    kind: RestrictionKind
    reason: Reason
    until: Moment
    review_at: Moment
    caller: Name | None = None

    def __repr__(self) -> str:
        return f"RestrictCaller(kind={self.kind!r})"


class LiftCaller(msgspec.Struct, frozen=True, kw_only=True):
    """An end of every restriction of a caller, and why; `caller` as in a restriction."""

    reason: Reason
    caller: Name | None = None

    def __repr__(self) -> str:
        return "LiftCaller()"


class AskForCandidates(msgspec.Struct, frozen=True, kw_only=True):
    """Who is free and qualified."""

    agents: Annotated[tuple[Name, ...], Meta(max_length=1000)]


class WrapUp(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent or their desktop knows once the call is over; the voice's part is known here.

    With a `word` the contact waits for a person's verdict.
    """

    agent_id: Name
    disposition: Disposition = Disposition.NONE
    word: Annotated[str, Meta(max_length=2000)] = ""
    language: Name | None = None
    line_type: Name | None = None


def view(live: LiveCall, *, kept: bool = True) -> CallView:
    """Return a call as it is now; `kept`, whether there is a ledger."""
    call, route = live.call, live.call.route
    scored = not call.objection
    return CallView(
        call_id=call.call_id,
        wire=live.wire,
        queue=live.queue,
        caller_name=live.caller_name,
        alias=live.alias,
        began_at=live.began_at,
        ended=live.ended,
        ended_at=live.ended_at,
        duration_s=live.position_s,
        level=live.level.name.lower() if scored else None,
        level_s=live.level_s,
        level_since=live.level_since,
        peak=live.peak.name.lower() if scored else None,
        peak_s=live.peak_s,
        calmed=scored and live.calmed,
        escalated_s=live.escalated_s,
        anger=live.anger if scored else None,
        baseline_anger=live.baseline_anger if scored else None,
        angry_start=scored and live.angry_start,
        recent=live.recent,
        reasons={language: live.reason(language) if scored else "" for language in LANGUAGES},
        drivers=live.anger_drivers if scored else (),
        speech_s=call.speech_s,
        lost_s=call.lost_s,
        standing=live.standing.state.value,
        known=live.standing.known,
        restriction=live.restriction.kind.value if live.restriction else None,
        route=_route(route, live.told[-1].outcome if live.told else None),
        override=live.override,
        disposition=live.disposition,
        verdict=live.verdict,
        agent_id=live.agent_id,
        help_since=live.help_since,
        attention=live.attention,
        flagged=live.flagged,
        messages=tuple(live.messages),
        monitors=tuple(live.monitors.values()),
        doubt=live.doubt,
        unrestrictable=("withheld" if live.number is None else "exempt" if live.exempt else None)
        if kept
        else "no_ledger",
    )


def detail(live: LiveCall, *, kept: bool = True) -> CallDetail:
    """Return a call and how it came to be where it is; `kept`, whether there is a ledger."""
    now, standing = view(live, kept=kept), live.call.standing.state
    chosen_for = live.call.route.level or Level.CALM  # the level may have fallen since; the route has not
    return CallDetail(
        **{name: getattr(now, name) for name in CallView.__struct_fields__},
        thresholds=thresholds(live.call.triage.policy.escalation),
        own_from_s=live.baseline_from_s,
        recording=None if live.ended is None else recording(now.call_id, now.peak_s, live.call.triage.policy.report),
        points=tuple(live.points),
        bands=tuple(
            Band(
                from_s=band.from_s,
                level=band.level.name.lower(),
                reasons={language: band.reason(language) for language in LANGUAGES},
            )
            for band in live.bands
        ),
        gaps=tuple(live.gaps),
        told=tuple(_route(told.route, told.outcome) for told in live.told),
        rules={
            language: explain(live.call.triage.policy.router, chosen_for, standing, language) for language in LANGUAGES
        },
    )


def _route(route: Route, outcome: str | None) -> RouteView:
    return RouteView(
        time_s=route.time_s,
        queue=route.queue,
        target=route.target,
        skills=route.skills,
        priority=route.priority,
        rule=route.rule,
        avoid_agents=route.avoid_agents,
        outcome=outcome,
    )
