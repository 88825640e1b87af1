"""A score never worsens a caller's waiting position: random calls under random sound policies, on a simulated floor."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_caller import POLICY, scores, step

from emotion_triage.affect.classifier import Classifier
from emotion_triage.call.caller import CallerState, Event, typical_caller
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import (
    ANSWERED_BY_PEOPLE,
    CASES,
    Destination,
    Route,
    Router,
    RoutingPolicy,
    Rule,
    StandingState,
    Target,
    When,
    improves,
    same_destination,
)
from emotion_triage.routing.standing import Standing

PEOPLE = (Target.QUEUE, Target.SUPERVISOR)
PRIORITIES = range(40, 101, 10)

destinations = st.builds(
    Destination,
    queue=st.sampled_from(["general", "senior", "billing"]),
    target=st.sampled_from(Target),
    skills=st.sampled_from([(), ("de-escalation",)]),
    priority=st.sampled_from(PRIORITIES),
)


@st.composite
def sound_rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    """A rule for each case, of which each rise of the level leads nowhere else or to a better place."""
    rules = []
    for state in StandingState:
        here = draw(destinations)
        for level in Level:
            if level and draw(st.booleans()):
                better = destinations.filter(lambda there, here=here: improves(here, there))
                here = draw(better) if any(map(lambda p: p > here.priority, PRIORITIES)) else here
            when = When(level=frozenset({level.name.lower()}), standing=frozenset({state}))  # type: ignore[arg-type]
            rules.append(Rule(name=f"{level.name} {state}", when=when, route=here))
    return tuple(rules)


class Floor:
    """Where a caller stands, at worst, in an engine whose every queue holds somebody of each priority.

    Whoever is moved joins anew, behind those of the same priority; of those, at best, nobody is left before one who
    has waited. So a caller who stays has the larger priorities before them, and one who joins the equal ones too.
    """

    def __init__(self, first: Route) -> None:
        self.place = first
        self.has_people = first.target in PEOPLE
        self.ahead = self.waiting(first.priority + 1)

    def waiting(self, from_priority: int) -> int:
        return sum(priority >= from_priority for priority in range(101))

    def move(self, route: Route) -> bool:
        """Lead the caller elsewhere; return whether they are worse off."""
        has_people, joins = route.target in PEOPLE, self.waiting(route.priority)
        if has_people and not self.has_people:  # nobody served them before: any place in a queue is a gain
            worse = route.priority < self.place.priority
        else:
            worse = joins > self.ahead or (self.has_people and not has_people)
        self.place, self.has_people, self.ahead = route, has_people, self.waiting(route.priority + 1)
        return worse


@pytest.fixture(scope="module")
def loaded(anger_model: Path) -> dict[str, Any]:
    classifier = Classifier.load(anger_model)
    return {"model_digest": classifier.digest, "typical": typical_caller(classifier.mean, classifier.score)}


def random_call(
    loaded: dict[str, Any], policy: Policy, state: StandingState, acts: list[tuple[str, float]]
) -> tuple[Route, list[Event], CallerState]:
    """A caller who speaks more or less angrily, is silent, moves to another process, and may object."""
    standing = Standing(state=state, abusive_contacts=0, since=None, expires_at=None)
    fields = {"call_id": "call", "policy": policy, "standing": standing, **loaded}
    caller = CallerState(**fields, objection=False, time_s=0.0)
    first, events, time_s, spoken_s = caller.route, list[Event](), 0.0, 0.0
    for act, value in acts:
        if act == "speak":
            time_s, spoken_s = time_s + 0.5, spoken_s + 0.5
            events += caller.wait(time_s)
            if not caller.objection:
                events += caller.hear(step(time_s), scores(value, known=caller.settled))
        elif act == "wait":
            time_s += 60.0 * value
            events += caller.wait(time_s)
        elif act == "move":
            caller = pickle.loads(pickle.dumps(caller))
        elif act == "object":
            before = caller.route
            caller = CallerState(**fields, objection=True, time_s=time_s, granted=before)
            events += [] if same_destination(before, caller.route) else [caller.route]
    return first, events, caller


acts = st.lists(
    st.tuples(st.just("speak"), st.sampled_from([0.02, 0.3, 0.55, 0.8, 0.99]))
    | st.tuples(st.sampled_from(["wait", "move", "wait", "object"]), st.floats(0.0, 1.0)),
    max_size=25,
)


def policy_of(rules: tuple[Rule, ...], neutral: Destination | None) -> Policy:
    """A policy of these rules, whose neutral destination is no worse than a calm caller's: it would be refused."""
    everyday = next(rule.route for rule in rules if (Level.CALM, StandingState.CLEAR) in rule.cases)
    if neutral is None or neutral.priority < everyday.priority or not {neutral.target} & ANSWERED_BY_PEOPLE:
        neutral = everyday
    return msgspec.structs.replace(POLICY, rules=rules, neutral=neutral)


@settings(max_examples=120, deadline=None)
@given(sound_rules(), destinations, st.sampled_from(StandingState), acts)
def test_a_waiting_position_never_falls_by_a_score(
    loaded: dict[str, Any],
    rules: tuple[Rule, ...],
    neutral: Destination,
    state: StandingState,
    acts: list[tuple[str, float]],
) -> None:
    """Whatever a caller says, however long they are silent, no route that follows leaves them further back."""
    policy = policy_of(rules, neutral)
    first, events, caller = random_call(loaded, policy, state, acts)
    floor = Floor(first)
    for event in events:
        if isinstance(event, Route):
            assert not same_destination(floor.place, event), "led to where they are already"
            assert not floor.move(event)
    assert same_destination(caller.route, floor.place)


@settings(max_examples=60, deadline=None)
@given(sound_rules(), st.sampled_from(StandingState), acts)
def test_routes_that_may_fall_are_those_of_the_level(
    loaded: dict[str, Any], rules: tuple[Rule, ...], state: StandingState, acts: list[tuple[str, float]]
) -> None:
    """Where the policy lets routes fall, the call always is where the rule of its level leads."""
    policy = msgspec.structs.replace(policy_of(rules, None), routing=RoutingPolicy(routes_may_fall=True))
    _, _, caller = random_call(loaded, policy, state, acts)
    if not caller.objection:
        assert same_destination(caller.route, policy.router.table[caller.level, state].route)


@given(destinations, destinations, destinations)
def test_improves_is_a_strict_order(one: Destination, two: Destination, three: Destination) -> None:
    """No place improves itself, no two improve each other, and a chain of better places ends in a better one."""
    assert not improves(one, one)
    assert not (improves(one, two) and improves(two, one))
    if improves(one, two) and improves(two, three):
        assert improves(one, three)


@given(st.lists(destinations, min_size=3, max_size=3))
def test_rules_are_sound_exactly_when_no_rise_harms(places: list[Destination]) -> None:
    """Three places, by level, are taken if and only if the simulated floor finds nobody worse off at any rise."""
    rules = tuple(
        Rule(name=level.name, when=When(level=frozenset({level.name.lower()})), route=place)  # type: ignore[arg-type]
        for level, place in zip(Level, places, strict=True)
    )
    assert {case for rule in rules for case in rule.cases} == set(CASES)
    harms = False
    for lower in Level:
        for higher in Level:
            before, after = places[lower], places[higher]
            if lower < higher and not same_destination(before, after):
                harms |= Floor(routed(before)).move(routed(after))
    if harms:
        with pytest.raises(ValueError, match=r"a score|who is moved"):
            Router(rules=rules, neutral=places[0])
    else:
        Router(rules=rules, neutral=places[0])


def routed(place: Destination) -> Route:
    fields = {name: getattr(place, name) for name in Destination.__struct_fields__}
    return Route(
        **fields,
        call_id="c",
        time_s=0.0,
        rule="r",
        level=Level.CALM,
        standing=StandingState.CLEAR,
        avoid_agents=(),
        model_digest="m",
        policy_digest="p",
    )


def test_silence_never_sends_an_angry_caller_back(loaded: dict[str, Any]) -> None:
    """A caller whom the balanced policy sends to a senior agent stays there through ten minutes of hold."""
    policy = Policy.load()
    angry = [("speak", 0.99)] * 40
    _, events, caller = random_call(loaded, policy, StandingState.CLEAR, [*angry, *[("wait", 1.0)] * 10])
    assert [(event.queue, event.priority) for event in events if isinstance(event, Route)][-1] == ("senior", 80)
    assert (caller.level, caller.route.queue, caller.route.priority) == (Level.CALM, "senior", 80)
