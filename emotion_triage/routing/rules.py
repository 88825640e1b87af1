"""Level and standing to a route, by rules: the first that matches wins; every case has exactly one route."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from itertools import pairwise, product
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from emotion_triage.errors import PolicyError
from emotion_triage.routing.contacts import Restriction
from emotion_triage.routing.escalation import Level

__all__ = [
    "CASES",
    "CLEAR",
    "UNKNOWN",
    "Case",
    "Destination",
    "Route",
    "Router",
    "Rule",
    "Standing",
    "StandingState",
    "Target",
    "When",
]

NEUTRAL = "neutral"
"""The name that a neutral route bears where a rule's name would stand; no rule may take it."""


class StandingState(enum.StrEnum):
    """What a centre holds against a caller: ``restricted`` comes only from a named person's decision."""

    CLEAR = "clear"
    WATCH = "watch"
    PROTECTED = "protected"
    RESTRICTED = "restricted"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's history with the centre, as it stands when he calls.

    Attributes
    ----------
    state : StandingState
        What routing looks at.
    abusive_contacts : int
        Confirmed abusive contacts that still count, 0 or more.
    since, expires_at : datetime or None
        When the state began and when it ends, with a time zone; None where nothing is held.
    avoid_agents : tuple of str
        Agents he abused: no route may lead him to them.
    restriction : Restriction or None
        What a named person decided, where the state is restricted.
    objection : bool
        He objected to being scored, or nobody can say whether he did: no score may be computed.
    usual_agents : tuple of str
        Agents who know him, from the one he spoke with most; none of those he abused.
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

UNKNOWN = msgspec.structs.replace(CLEAR, known=False, objection=True)
"""The standing where the ledger could not be asked: the call goes on, and an objection that it may hold is kept."""

LevelName = Literal["calm", "tense", "escalated"]
Case = tuple[Level, StandingState]
CASES: tuple[Case, ...] = tuple(product(Level, StandingState))
"""Everything that rules can tell apart: each level with each standing."""

Name = Annotated[str, Meta(min_length=1)]


class When(msgspec.Struct, frozen=True, kw_only=True):
    """The cases that a rule takes: these levels with these standings; left out, all of them."""

    level: Annotated[frozenset[LevelName], Meta(min_length=1)] = frozenset(get_args(LevelName))
    standing: Annotated[frozenset[StandingState], Meta(min_length=1)] = frozenset(StandingState)


class Target(enum.StrEnum):
    """What stands behind a destination's name: people who answer in turn, a supervisor, a voicebot, a call back."""

    QUEUE = "queue"
    SUPERVISOR = "supervisor"
    VOICEBOT = "voicebot"
    CALLBACK = "callback"


ANSWERED_BY_PEOPLE = frozenset({Target.QUEUE, Target.SUPERVISOR})
"""The targets that bring the caller to a person during this call."""


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a caller waits and for whom.

    Attributes
    ----------
    queue : str
        The routing engine's name of the queue, or of the target.
    target : Target
        What that name stands for.
    skills : tuple of str
        What the agent must be able to do, most wanted first.
    priority : int
        0 to 100, larger is more urgent.
    """

    queue: Name
    target: Target = Target.QUEUE
    skills: tuple[Name, ...] = ()
    priority: Annotated[int, Meta(ge=0, le=100)]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of routing: in these cases, this destination.

    Examples
    --------
    >>> everyone = Rule(name="everyone", route=Destination(queue="general", priority=50))
    >>> everyone.cases == frozenset(CASES)
    True
    """

    name: Name
    when: When = When()
    route: Destination

    @property
    def cases(self) -> frozenset[Case]:
        """The cases that this rule matches, whatever the rules before it."""
        return frozenset(
            (level, state)
            for level, state in CASES
            if level.name.lower() in self.when.level and state in self.when.standing
        )


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call should go from now on: a recommendation, never an act.

    Attributes
    ----------
    call_id : str
        The call.
    time_s : float
        Stream time of the decision, in seconds from the call's first sample.
    queue, target, skills, priority
        The destination; priority is 0 to 100, larger is more urgent.
    rule : str
        The rule that chose it, or ``neutral``.
    level : Level or None
        The level it was chosen for; None where the caller objected, so that none exists.
    standing : StandingState
        The standing it was chosen for.
    avoid_agents : tuple of str
        Agents to whom this caller must not be sent.
    model_digest, policy_digest : str
        What decided.
    """

    call_id: str
    time_s: float
    queue: str
    target: Target = Target.QUEUE
    skills: tuple[str, ...]
    priority: int
    rule: str
    level: Level | None
    standing: StandingState
    avoid_agents: tuple[str, ...]
    model_digest: str
    policy_digest: str


class Router(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Rules that have been found sound: total, none out of reach, and no score lengthens a wait.

    Attributes
    ----------
    rules : tuple of Rule
        In order; the first that matches wins.
    neutral : Destination
        For a caller who objected to being scored.

    Raises
    ------
    PolicyError
        Two rules share a name, a rule can never match, a case has no rule, or, as the level rises, priority
        falls or a caller who had a person gets a voicebot or a call back.

    Examples
    --------
    >>> general = Destination(queue="general", priority=50)
    >>> senior = Destination(queue="senior", skills=("de-escalation",), priority=80)
    >>> router = Router(
    ...     rules=(
    ...         Rule(name="escalated caller", when=When(level=frozenset({"escalated"})), route=senior),
    ...         Rule(name="everyone else", route=general),
    ...     ),
    ...     neutral=general,
    ... )
    >>> router.table[Level.ESCALATED, StandingState.CLEAR].route.queue
    'senior'
    >>> router.table[Level.TENSE, StandingState.CLEAR].name
    'everyone else'
    """

    rules: tuple[Rule, ...]
    neutral: Destination

    def __post_init__(self) -> None:
        _refuse_shared_names(self.rules)
        _refuse_shadowed_rules(self.rules)
        _refuse_uncovered_cases(self.rules)
        _refuse_longer_waits(self.table)

    @cached_property
    def table(self) -> Mapping[Case, Rule]:
        """The rule of each of the twelve cases."""
        return {case: next(rule for rule in self.rules if case in rule.cases) for case in CASES}

    def route(
        self,
        *,
        call_id: str,
        time_s: float,
        level: Level | None,
        standing: Standing,
        model_digest: str,
        policy_digest: str,
    ) -> Route:
        """Return where a call should go.

        Parameters
        ----------
        call_id : str
            The call.
        time_s : float
            Stream time of the decision, in seconds from the call's first sample.
        level : Level or None
            The caller's level; None where he objected to being scored. He then gets the neutral route, unless
            a person has restricted him: no score did that, so he keeps the route of a calm, restricted one.
        standing : Standing
            His history.
        model_digest, policy_digest : str
            What decided, kept in the route.
        """
        neutral = level is None and standing.state is not StandingState.RESTRICTED
        rule = self.table[level or Level.CALM, standing.state]
        destination = self.neutral if neutral else rule.route
        return Route(
            call_id=call_id,
            time_s=time_s,
            queue=destination.queue,
            target=destination.target,
            skills=destination.skills,
            priority=destination.priority,
            rule=NEUTRAL if neutral else rule.name,
            level=level,
            standing=standing.state,
            avoid_agents=standing.avoid_agents,
            model_digest=model_digest,
            policy_digest=policy_digest,
        )


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _refuse_shared_names(rules: tuple[Rule, ...]) -> None:
    names = [rule.name for rule in rules]
    shared = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if shared:
        raise PolicyError(f"rules: several rules are named {_quoted(shared)}; give each its own name")
    if NEUTRAL in names:
        raise PolicyError(f"rules: '{NEUTRAL}' names the route of a caller who objected; give the rule another name")


def _refuse_shadowed_rules(rules: tuple[Rule, ...]) -> None:
    faults = []
    for index, rule in enumerate(rules):
        earlier = rules[:index]
        if rule.cases <= frozenset[Case]().union(*(each.cases for each in earlier)):
            takers = [each.name for each in earlier if each.cases & rule.cases]
            faults.append(f"'{rule.name}' can never match: its cases are all taken by {_quoted(takers)}")
    if faults:
        raise PolicyError(f"rules: {'; '.join(faults)}; move a shadowed rule up, or remove it")


def _refuse_uncovered_cases(rules: tuple[Rule, ...]) -> None:
    covered = frozenset[Case]().union(*(rule.cases for rule in rules))
    missing = [f"{level.name.lower()} + {state}" for level, state in CASES if (level, state) not in covered]
    if missing:
        raise PolicyError(f"rules: no rule takes {', '.join(missing)}; end with a rule that has no `when`")


def _refuse_longer_waits(table: Mapping[Case, Rule]) -> None:
    faults: list[str] = []
    gone: list[str] = []
    for state in StandingState:
        for lower, higher in pairwise(Level):
            before, after = table[lower, state], table[higher, state]
            if after.route.priority < before.route.priority:
                faults.append(
                    f"a {state} caller falls from priority {before.route.priority} ('{before.name}') to "
                    f"{after.route.priority} ('{after.name}') when he goes from {lower.name.lower()} to "
                    f"{higher.name.lower()}"
                )
            if before.route.target in ANSWERED_BY_PEOPLE and after.route.target not in ANSWERED_BY_PEOPLE:
                gone.append(
                    f"a {state} caller goes from a {before.route.target} ('{before.name}') to a "
                    f"{after.route.target} ('{after.name}') when he goes from {lower.name.lower()} to "
                    f"{higher.name.lower()}"
                )
    if gone:
        raise PolicyError(
            f"rules: {'; '.join(gone)}; a score may find a caller a better person, never take the person away: "
            "give the higher level a queue or a supervisor"
        )
    if faults:
        raise PolicyError(
            f"rules: {'; '.join(faults)}; a score may speed a caller up, never make him wait longer: "
            "priority must not fall as the level rises"
        )
