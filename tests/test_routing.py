"""Rules to routes: one route for every case, and no unsound set of rules gets through."""

from __future__ import annotations

import pickle
from itertools import product

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from emotion_triage.errors import PolicyError
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.reasons import explain
from emotion_triage.routing.rules import (
    CASES,
    CLEAR,
    Destination,
    Route,
    Router,
    Rule,
    Standing,
    StandingState,
    Target,
    When,
)

LEVELS = ["calm", "tense", "escalated"]
STANDINGS = ["clear", "watch", "protected", "restricted"]
GENERAL = Destination(queue="general", priority=50)
NEUTRAL = Destination(queue="neutral-line", skills=("listening",), priority=55)

# A rule in the plainest form, for the brute force below: levels, standings, priority.
Plain = tuple[frozenset[str], frozenset[str], int]
plain_rules = st.lists(
    st.tuples(
        st.frozensets(st.sampled_from(LEVELS), min_size=1),
        st.frozensets(st.sampled_from(STANDINGS), min_size=1),
        st.integers(0, 100) | st.just(50),
    ),
    max_size=6,
)


def everyone(name: str = "everyone", priority: int = 50) -> Rule:
    return Rule(name=name, route=Destination(queue="general", priority=priority))


def only(name: str, *, priority: int = 50, **conditions: set[str]) -> Rule:
    when = When(
        **{key: frozenset(value) for key, value in conditions.items()}  # type: ignore[arg-type]
    )
    return Rule(name=name, when=when, route=Destination(queue=name, priority=priority))


def router(*rules: Rule) -> Router:
    return Router(rules=rules, neutral=NEUTRAL)


def built(plain: list[Plain]) -> Router:
    return router(
        *(
            only(f"r{index}", level=set(levels), standing=set(standings), priority=priority)
            for index, (levels, standings, priority) in enumerate(plain)
        )
    )


def winners(plain: list[Plain]) -> dict[tuple[str, str], int | None]:
    """The place of the first rule that matches each case, found by trying them in turn."""
    return {
        (level, standing): next(
            (place for place, rule in enumerate(plain) if level in rule[0] and standing in rule[1]), None
        )
        for level, standing in product(LEVELS, STANDINGS)
    }


def waits_grow(plain: list[Plain]) -> str | None:
    """What the refusal says where a rise lowers the priority, or leads elsewhere (each rule has its queue) at one."""
    won = {case: place for case, place in winners(plain).items() if place is not None}
    moves = [
        (won[LEVELS[lower], standing], won[LEVELS[higher], standing])
        for standing in STANDINGS
        for lower, higher in [(0, 1), (1, 2)]
    ]
    if any(plain[after][2] < plain[before][2] for before, after in moves):
        return "never make them wait longer"
    return "behind everyone" if any(b != a and plain[a][2] == plain[b][2] for b, a in moves) else None


@given(plain_rules)
def test_rules_are_refused_exactly_when_brute_force_finds_a_fault(plain: list[Plain]) -> None:
    """Rules are refused if and only if one never wins a case, a case has no winner or a wait grows."""
    won = winners(plain)
    shadowed = set(range(len(plain))) - set(won.values())
    uncovered = [case for case, place in won.items() if place is None]
    if shadowed:
        with pytest.raises(PolicyError, match="can never match") as caught:
            built(plain)
        named = {place for place in range(len(plain)) if f"'r{place}' can never match" in str(caught.value)}
        assert named == shadowed
    elif uncovered:
        with pytest.raises(PolicyError, match="no rule takes") as caught:
            built(plain)
        named_cases = {case for case in won if f"{case[0]} + {case[1]}" in str(caught.value)}
        assert named_cases == set(uncovered)
    elif refusal := waits_grow(plain):
        with pytest.raises(PolicyError, match=refusal):
            built(plain)
    else:
        built(plain)


@st.composite
def sound_rules(draw: st.DrawFn) -> list[Plain]:
    plain = [*draw(plain_rules), (frozenset(LEVELS), frozenset(STANDINGS), 50)]
    reached = {place for place in winners(plain).values() if place is not None}
    plain = [rule for place, rule in enumerate(plain) if place in reached]
    assume(not waits_grow(plain))
    return plain


@given(sound_rules(), st.sampled_from(CASES))
def test_the_first_rule_that_matches_wins(plain: list[Plain], case: tuple[Level, StandingState]) -> None:
    """Every level with every standing gets the route of the first rule that matches it."""
    level, state = case
    standing = Standing(state=state, abusive_contacts=2, since=None, expires_at=None, avoid_agents=("a-17",))
    place = winners(plain)[level.name.lower(), state.value]
    assert place is not None
    route = built(plain).route(
        call_id="c-1", time_s=4.5, level=level, standing=standing, model_digest="m", policy_digest="p"
    )
    assert route == Route(
        call_id="c-1",
        time_s=4.5,
        queue=f"r{place}",
        skills=(),
        priority=plain[place][2],
        rule=f"r{place}",
        level=level,
        standing=state,
        avoid_agents=("a-17",),
        model_digest="m",
        policy_digest="p",
    )


@given(sound_rules(), st.sampled_from(STANDINGS))
def test_a_higher_level_never_waits_longer(plain: list[Plain], standing: str) -> None:
    """For a given standing, sorting the levels by priority leaves them in order."""
    table = built(plain).table
    priorities = [table[level, StandingState(standing)].route.priority for level in Level]
    assert priorities == sorted(priorities)


@given(sound_rules(), st.sampled_from(CASES), st.sampled_from(["en", "fr"]))
def test_an_explanation_chooses_what_the_router_chooses(
    plain: list[Plain], case: tuple[Level, StandingState], language: str
) -> None:
    """An explanation has one verdict a rule, and the one it marks as chosen is the rule of the route."""
    sound = built(plain)
    verdicts = explain(sound, *case, language)  # type: ignore[arg-type]
    assert [verdict.rule for verdict in verdicts] == [rule.name for rule in sound.rules]
    assert [verdict.rule for verdict in verdicts if verdict.chosen] == [sound.table[case].name]
    assert [verdict.matches for verdict in verdicts] == [case in rule.cases for rule in sound.rules]


def test_an_explanation_says_which_condition_failed() -> None:
    """A rule that does not match names the failed condition; one that came too late, the earlier rule."""
    sound = router(
        only("loud", level={"escalated", "tense"}, standing={"protected"}, priority=60),
        only("restricted", standing={"restricted"}),
        everyone(),
    )
    clear = explain(sound, Level.CALM, StandingState.CLEAR, "en")
    assert [verdict.reason for verdict in clear] == [
        "level is calm, not tense or escalated; standing is clear, not protected",
        "standing is clear, not restricted",
        "matches, and no rule before it does",
    ]
    restricted = explain(sound, Level.TENSE, StandingState.RESTRICTED, "fr")
    assert [verdict.reason for verdict in restricted] == [
        "dossier restreint, et non protégé",
        "correspond, et aucune règle avant elle",
        "correspond aussi, mais « restricted » passe avant",
    ]


def test_there_are_twelve_cases() -> None:
    """Rules tell apart three levels and four standings, under the names that a policy uses."""
    assert [(level.name.lower(), state.value) for level, state in CASES] == list(product(LEVELS, STANDINGS))
    assert everyone().cases == frozenset(CASES)


@pytest.mark.parametrize("state", [state for state in StandingState if state is not StandingState.RESTRICTED])
def test_a_caller_who_objects_takes_the_neutral_route(state: StandingState) -> None:
    """Without a level the route is the neutral one, and the agents he abused are still spared."""
    standing = Standing(state=state, abusive_contacts=1, since=None, expires_at=None, avoid_agents=("a",))
    route = router(everyone()).route(
        call_id="c", time_s=0.0, level=None, standing=standing, model_digest="m", policy_digest="p"
    )
    assert (route.queue, route.skills, route.priority) == ("neutral-line", ("listening",), 55)
    assert (route.rule, route.level, route.standing, route.avoid_agents) == ("neutral", None, state, ("a",))


def test_an_objection_does_not_lift_a_restriction() -> None:
    """A restricted caller who objects keeps the restricted route, since a person chose it and not a score."""
    sound = router(
        only("restricted, loud", level={"escalated"}, standing={"restricted"}, priority=90),
        only("restricted", standing={"restricted"}),
        everyone(),
    )
    standing = Standing(state=StandingState.RESTRICTED, abusive_contacts=4, since=None, expires_at=None)
    route = sound.route(call_id="c", time_s=0.0, level=None, standing=standing, model_digest="m", policy_digest="p")
    assert (route.rule, route.queue, route.level) == ("restricted", "restricted", None)


def test_an_unknown_caller_is_clear() -> None:
    """Nothing is held against a caller of whom nothing is known."""
    assert CLEAR.state is StandingState.CLEAR
    assert (CLEAR.abusive_contacts, CLEAR.avoid_agents, CLEAR.expires_at) == (0, (), None)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            (everyone("a"), everyone("b")),
            "rules: 'b' can never match: its cases are all taken by 'a'; move a shadowed rule up, or remove it",
        ),
        (
            (
                only("clear", standing={"clear", "watch"}),
                only("rest", standing={"protected", "restricted"}),
                only("calm", level={"calm"}),
            ),
            "rules: 'calm' can never match: its cases are all taken by 'clear', 'rest'; "
            "move a shadowed rule up, or remove it",
        ),
        (
            (only("a", level={"calm", "tense"}), only("b", standing={"clear", "watch", "protected"})),
            "rules: no rule takes escalated + restricted; end with a rule that has no `when`",
        ),
        (
            (only("a", level={"calm"}), everyone("a")),
            "rules: several rules are named 'a'; give each its own name",
        ),
        (
            (everyone("neutral"),),
            "rules: 'neutral' names the route of a caller who objected; give the rule another name",
        ),
        (
            (only("angry", level={"escalated"}, standing={"watch"}, priority=10), everyone()),
            "rules: a watch caller falls from priority 50 ('everyone') to 10 ('angry') when they go from "
            "tense to escalated; a score may speed a caller up, never make them wait longer: "
            "priority must not fall as the level rises",
        ),
        (
            (only("senior", level={"escalated"}, standing={"clear"}, priority=50), everyone()),
            "rules: a clear caller moves from queue 'general' ('everyone') to queue 'senior' ('senior') at the same "
            "priority 50 when they go from tense to escalated; who is moved stands behind everyone of that priority "
            "there: give the higher level a larger priority",
        ),
    ],
)
def test_unsound_rules_say_what_is_wrong(rules: tuple[Rule, ...], message: str) -> None:
    """Each fault names the rules or cases it lies in, and the way out."""
    with pytest.raises(PolicyError) as caught:
        router(*rules)
    assert str(caught.value) == message


def test_a_route_tells_its_target() -> None:
    """A route carries its destination's target, which is a queue where the rule says nothing."""
    callback = Rule(
        name="call back",
        when=When(standing=frozenset({StandingState.WATCH})),
        route=Destination(queue="morning", target=Target.CALLBACK, priority=50),
    )
    sound = router(callback, everyone())
    watch = Standing(state=StandingState.WATCH, abusive_contacts=1, since=None, expires_at=None)
    targets = [
        sound.route(
            call_id="c", time_s=0.0, level=Level.CALM, standing=standing, model_digest="m", policy_digest="p"
        ).target
        for standing in (watch, CLEAR)
    ]
    assert targets == [Target.CALLBACK, Target.QUEUE]


@pytest.mark.parametrize("person", [Target.QUEUE, Target.SUPERVISOR])
@pytest.mark.parametrize("machine", [Target.VOICEBOT, Target.CALLBACK])
def test_a_score_never_takes_the_person_away(person: Target, machine: Target) -> None:
    """A higher level may not lead from people to a voicebot or a call back; the other way round it may."""
    angry = When(level=frozenset({"escalated"}))
    toward = {
        target: Rule(name=f"to {target}", route=Destination(queue="q", target=target, priority=50))
        for target in (person, machine)
    }
    with pytest.raises(PolicyError, match=f"goes from a {person} .* to a {machine} .*; a score may find"):
        router(msgspec.structs.replace(toward[machine], when=angry), toward[person])
    router(msgspec.structs.replace(toward[person], when=angry), toward[machine])


def test_a_router_pickles() -> None:
    """A pickled router is equal to the first and routes alike."""
    sound = router(only("loud", level={"escalated"}, priority=80), everyone())
    again = pickle.loads(pickle.dumps(sound))
    assert again == sound
    assert again.table == sound.table
