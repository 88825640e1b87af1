"""Level and standing to a route, by rules: the first that matches wins; every case has exactly one route.

A score may improve a caller's waiting position, never worsen it: rules that could are refused when they are read, and a
route once granted holds for the call (`improves`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise, product
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from emotion_triage.errors import PolicyError
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.standing import CLEAR, Standing, StandingState

__all__ = [
    "CASES",
    "CLEAR",
    "Case",
    "Destination",
    "Route",
    "Router",
    "RoutingPolicy",
    "Rule",
    "Standing",
    "StandingState",
    "Target",
    "When",
    "improves",
    "same_destination",
]

NEUTRAL = "neutral"
"""The name that the route of a caller who objects bears where a rule's name would stand; no rule may take it."""

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


class RoutingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a score may do to a route. Defaults live in ``policies/balanced.toml``, which explains each key.

    Attributes
    ----------
    routes_may_fall : bool
        Whether a route follows the level down again. A caller who is moved stands behind those who wait there.
    """

    routes_may_fall: bool


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
        The rule that chose it; ``neutral`` where the caller objected.
    level : Level or None
        The level it was chosen for, which may lie above the level now; None where the caller objected, so that none
        exists.
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
    """Rules that have been found sound: total, none out of reach, and no rise of a level worsens a waiting position.

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
        falls, a caller who had a person gets a voicebot or a call back, or is moved without a larger priority.

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
            The caller's level; None where they objected to being scored. They then get the neutral route, unless
            a person has restricted them: no score did that, so they keep the route of a calm, restricted caller.
        standing : Standing
            The caller's history.
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


def same_destination(one: Destination | Route, other: Destination | Route) -> bool:
    """Return whether two destinations ask the same of an engine: queue, target, skills and priority.

    Examples
    --------
    >>> general = Destination(queue="general", priority=50)
    >>> same_destination(general, Destination(queue="general", priority=60))
    False
    """
    return all(getattr(one, name) == getattr(other, name) for name in Destination.__struct_fields__)


def improves(before: Destination | Route, after: Destination | Route) -> bool:
    """Return whether a caller's waiting position is surely better after a move.

    The waiting position is where a caller stands among those who wait. Engines serve larger priorities first and, among
    equal ones, whoever joined first; a caller who is moved joins anew. So a move to another queue, or for other skills,
    at the same priority puts them at the back. A move improves their position if it takes no person away and either
    raises the priority, or brings a person in place of a voicebot or a call back without lowering it. The relation is a
    strict order: along any chain of such moves the position never falls.

    Parameters
    ----------
    before, after : Destination or Route
        Where the caller is, and where they would go.

    Examples
    --------
    >>> general = Destination(queue="general", priority=60)
    >>> improves(general, Destination(queue="senior", priority=60))
    False
    >>> improves(general, Destination(queue="senior", priority=80))
    True
    >>> improves(general, Destination(queue="bot", target=Target.VOICEBOT, priority=80))
    False
    """
    had_people, has_people = (each.target in ANSWERED_BY_PEOPLE for each in (before, after))
    if had_people > has_people:
        return False
    return after.priority > before.priority or (has_people > had_people and after.priority == before.priority)


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
    """Refuse a table in which a rising level does not improve the waiting position, or leave the caller in place.

    Levels may be skipped; `improves` is transitive, so that neighbours suffice.
    """
    slower: list[str] = []
    gone: list[str] = []
    behind: list[str] = []
    for state in StandingState:
        for lower, higher in pairwise(Level):
            before, after = table[lower, state].route, table[higher, state].route
            if same_destination(before, after) or improves(before, after):
                continue
            names = table[lower, state].name, table[higher, state].name
            when = f"when they go from {lower.name.lower()} to {higher.name.lower()}"
            if before.target in ANSWERED_BY_PEOPLE and after.target not in ANSWERED_BY_PEOPLE:
                gone.append(
                    f"a {state} caller goes from a {before.target} ('{names[0]}') to a {after.target} ('{names[1]}') "
                    f"{when}"
                )
            elif after.priority < before.priority:
                slower.append(
                    f"a {state} caller falls from priority {before.priority} ('{names[0]}') to {after.priority} "
                    f"('{names[1]}') {when}"
                )
            else:
                behind.append(
                    f"a {state} caller moves from {_place(before)} ('{names[0]}') to {_place(after)} ('{names[1]}') at "
                    f"the same priority {after.priority} {when}"
                )
    if gone:
        raise PolicyError(
            f"rules: {'; '.join(gone)}; a score may find a caller a better person, never take the person away: "
            "give the higher level a queue or a supervisor"
        )
    if slower:
        raise PolicyError(
            f"rules: {'; '.join(slower)}; a score may speed a caller up, never make them wait longer: "
            "priority must not fall as the level rises"
        )
    if behind:
        raise PolicyError(
            f"rules: {'; '.join(behind)}; who is moved stands behind everyone of that priority there: "
            "give the higher level a larger priority"
        )


def _place(destination: Destination) -> str:
    """Return a destination in words, without its priority."""
    skills = f" for {', '.join(destination.skills)}" if destination.skills else ""
    return f"{destination.target} '{destination.queue}'{skills}"
