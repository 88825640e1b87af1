"""What each engine is told of a route: exactly that, in its own direction, and nothing slipped in."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from itertools import pairwise
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoramisk.actions import Action as Panoramisk

from emotion_triage.destinations import asterisk, connect, freeswitch, genesys, taskrouter, webhook
from emotion_triage.destinations.fields import text_fields
from emotion_triage.errors import DestinationError
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.rules import Route, StandingState, Target

TASK = taskrouter.Task(
    path="/v1/Workspaces/WS1/Tasks/WT1", etag='"3"', attributes={"caller": "x", "triage_queue": "old"}
)
NASTY = ("\r\nAction: Originate", "\n\napi shutdown", "a\0b", "a\u2028b", "a\x85b", "\x1b[2J", "\ufeffx")
# Ordinary names, and now and then one that would break a line or start an expression.
texts = st.text(min_size=1, max_size=20) | st.sampled_from(["general", "après-vente", "${SHELL(id)}", "a,b", *NASTY])
names = st.lists(texts, max_size=3).map(tuple)
routes = st.builds(
    Route,
    call_id=texts,
    time_s=st.floats(0, 1e4),
    queue=texts,
    target=st.sampled_from(Target),
    skills=names,
    priority=st.integers(0, 100),
    rule=texts,
    level=st.sampled_from(Level) | st.none(),
    standing=st.sampled_from(StandingState),
    avoid_agents=names,
    model_digest=st.just("m"),
    policy_digest=st.just("p"),
)


def test_text_fields_are_what_routing_needs(escalated: Route) -> None:
    """An engine that takes text gets target, queue, priority, skills and the agents to avoid, and no more."""
    assert text_fields(escalated) == {
        "triage_target": "queue",
        "triage_queue": "protected",
        "triage_priority": "80",
        "triage_skills": "de-escalation,français",
        "triage_avoid_agents": "a-17,a-4",
    }


def test_asterisk_before_the_queue(escalated: Route) -> None:
    """Without a context the caller's channel gets its variables, one Setvar each, and is not moved."""
    told = asterisk.actions(escalated, "PJSIP/trunk-7")
    assert all(action.name == "Setvar" and action.headers["Channel"] == "PJSIP/trunk-7" for action in told)
    assert {action.headers["Variable"]: action.headers["Value"] for action in told} == {
        "QUEUE_PRIO": "80",
        "TRIAGE_TARGET": "queue",
        "TRIAGE_QUEUE": "protected",
        "TRIAGE_PRIORITY": "80",
        "TRIAGE_SKILLS": "de-escalation,français",
        "TRIAGE_AVOID_AGENTS": "a-17,a-4",
    }


def test_asterisk_in_the_queue(escalated: Route) -> None:
    """A caller who waits in the route's queue keeps his place there, whatever the context."""
    last = asterisk.actions(escalated, "PJSIP/trunk-7", waits_in="protected", context="triage")[-1]
    assert last.name == "QueueChangePriorityCaller"
    assert last.headers == {"Queue": "protected", "Caller": "PJSIP/trunk-7", "Priority": "80", "Immediate": "yes"}


@pytest.mark.parametrize("target", Target)
def test_a_caller_is_led_to_his_target(escalated: Route, target: Target) -> None:
    """With a context, Asterisk and FreeSWITCH lead the caller to the extension of that name in it."""
    route = msgspec.structs.replace(escalated, target=target)
    ami = asterisk.actions(route, "PJSIP/trunk-7", waits_in="general", context="triage")[-1]
    assert ami.name == "Redirect"
    assert ami.headers == {"Channel": "PJSIP/trunk-7", "Context": "triage", "Exten": target, "Priority": "1"}
    ari = asterisk.requests(route, "170.4", context="triage")[-1]
    assert (ari.method, ari.path) == ("POST", "/channels/170.4/continue")
    assert json.loads(ari.body) == {"context": "triage", "extension": target, "priority": 1}
    assert freeswitch.commands(route, "9f1c-2", context="triage")[-1] == f"uuid_transfer 9f1c-2 {target} XML triage"


def test_asterisk_by_rest(escalated: Route) -> None:
    """The REST interface sets the same variables, in a channel whose id is quoted into the path."""
    asked = asterisk.requests(escalated, "170/4?x")
    assert {(each.method, each.path) for each in asked} == {("POST", "/channels/170%2F4%3Fx/variable")}
    assert {body["variable"]: body["value"] for body in (json.loads(each.body) for each in asked)} == (
        asterisk.variables(escalated)
    )


def test_taskrouter(escalated: Route) -> None:
    """A task's update keeps what others wrote, overwrites ours, and holds only for the version that was read."""
    update = taskrouter.request(escalated, TASK)
    assert (update.method, update.path, update.headers) == ("POST", TASK.path, {"If-Match": '"3"'})
    form = parse_qs(update.body.decode(), strict_parsing=True)
    assert form["Priority"] == ["80"]
    assert json.loads(form["Attributes"][0]) == {
        "caller": "x",
        "triage_target": "queue",
        "triage_queue": "protected",
        "triage_priority": 80,
        "triage_skills": ["de-escalation", "français"],
        "triage_avoid_agents": ["a-17", "a-4"],
    }


def test_connect(escalated: Route) -> None:
    """Connect gets the contact's attributes, then QueuePriority alone, since it refuses it beside an adjustment."""
    attributes, routing = connect.requests(escalated, "i-1", "c/2")
    assert (attributes.method, attributes.path) == ("POST", "/contact/attributes")
    assert json.loads(attributes.body) == {
        "InitialContactId": "c/2",
        "InstanceId": "i-1",
        "Attributes": text_fields(escalated),
    }
    assert (routing.method, routing.path) == ("POST", "/contacts/i-1/c%2F2/routing-data")
    assert json.loads(routing.body) == {"QueuePriority": 2}


def test_genesys(escalated: Route) -> None:
    """Genesys gets participant data; a caller who waits in the route's queue gets its priority there too."""
    (data,) = genesys.requests(escalated, "conv", "part", waits_in="general")
    assert (data.method, data.path) == ("PATCH", "/api/v2/conversations/conv/participants/part/attributes")
    assert json.loads(data.body) == {"attributes": text_fields(escalated)}
    same, priority = genesys.requests(escalated, "conv", "part", waits_in="protected")
    assert same == data
    assert (priority.method, priority.path) == ("PATCH", "/api/v2/routing/conversations/conv")
    assert json.loads(priority.body) == {"priority": 80}


def test_freeswitch(escalated: Route) -> None:
    """FreeSWITCH gets one uuid_setvar a variable; without a context nobody is moved."""
    assert freeswitch.commands(escalated, "9f1c-2") == (
        "uuid_setvar 9f1c-2 cc_base_score 80",
        "uuid_setvar 9f1c-2 triage_target queue",
        "uuid_setvar 9f1c-2 triage_queue protected",
        "uuid_setvar 9f1c-2 triage_priority 80",
        "uuid_setvar 9f1c-2 triage_skills de-escalation,français",
        "uuid_setvar 9f1c-2 triage_avoid_agents a-17,a-4",
    )


def test_what_no_longer_holds_is_overwritten(escalated: Route) -> None:
    """A route without skills or agents to avoid sends empty ones, and does not leave the last route's in force."""
    route = msgspec.structs.replace(escalated, skills=(), avoid_agents=())
    assert text_fields(route)["triage_avoid_agents"] == ""
    assert "uuid_setvar 9f1c-2 triage_skills" in freeswitch.commands(route, "9f1c-2")
    form = parse_qs(taskrouter.request(route, TASK).body.decode())
    assert json.loads(form["Attributes"][0])["triage_avoid_agents"] == []


def test_webhook(escalated: Route) -> None:
    """A webhook carries the whole route; the same route has the same id, another route another."""
    hook = webhook.request(escalated, "/routes")
    data = json.loads(hook.body)["data"]
    assert set(data) == set(Route.__struct_fields__)
    assert (data["level"], data["standing"], data["avoid_agents"]) == ("escalated", "protected", ["a-17", "a-4"])
    assert hook.headers["webhook-id"] == hook.headers["Idempotency-Key"]
    assert hook == webhook.request(escalated, "/routes")
    later = webhook.request(msgspec.structs.replace(escalated, time_s=10.0), "/routes")
    assert later.headers["webhook-id"] != hook.headers["webhook-id"]


def urgency(route: Route) -> dict[str, list[int]]:
    """What each engine is told of a route's priority, turned so that larger is sooner."""
    ami = asterisk.actions(route, "PJSIP/x-1", waits_in=route.queue)
    ari = [json.loads(each.body) for each in asterisk.requests(route, "1")]
    form = parse_qs(taskrouter.request(route, TASK).body.decode())
    return {
        "ami": [
            next(int(each.headers["Value"]) for each in ami if each.headers.get("Variable") == "QUEUE_PRIO"),
            int(ami[-1].headers["Priority"]),
        ],
        "ari": [next(int(each["value"]) for each in ari if each["variable"] == "QUEUE_PRIO")],
        "taskrouter": [int(form["Priority"][0])],
        "connect": [-json.loads(connect.requests(route, "i", "c")[1].body)["QueuePriority"]],
        "genesys": [json.loads(genesys.requests(route, "c", "p", waits_in=route.queue)[1].body)["priority"]],
        "freeswitch": [int(freeswitch.commands(route, "u")[0].rpartition(" ")[2])],
        "webhook": [json.loads(webhook.request(route, "/").body)["data"]["priority"]],
    }


def test_a_larger_priority_is_never_later(escalated: Route) -> None:
    """From 0 to 100 no engine serves a larger priority later; all but Connect, with its ten steps, serve it sooner."""
    told = [urgency(msgspec.structs.replace(escalated, priority=priority)) for priority in range(101)]
    for engine in told[0]:
        for less, more in pairwise(told):
            for a, b in zip(less[engine], more[engine], strict=True):
                assert b > a or (engine == "connect" and b == a), engine


def test_connect_stays_above_zero_around_its_default() -> None:
    """Connect's priorities run from 10 to 1, every step of 10 points counts up to 90, and 50 is its own default, 5."""
    assert [connect.queue_priority(priority) for priority in range(0, 101, 10)] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1]


async def written(told: tuple[asterisk.Action, ...]) -> list[str]:
    """What panoramisk puts on the wire, which it can only within a loop."""
    return [str(Panoramisk({"Action": action.name, **action.headers, "ActionID": "1"})) for action in told]


@given(routes, texts, texts)
def test_ami_is_never_told_more_than_meant(route: Route, channel: str, context: str) -> None:
    """Any names are refused, or arrive as written, in as many lines as there are headers."""
    try:
        told = asterisk.actions(route, channel, context=context)
    except DestinationError:
        return
    for action, wire in zip(told, asyncio.run(written(told)), strict=True):
        lines = wire.removesuffix("\r\n").splitlines()
        assert len(lines) == len(action.headers) + 2
        assert dict(line.split(": ", 1) for line in lines) == {"Action": action.name, "ActionID": "1", **action.headers}


@given(routes, texts, texts)
def test_freeswitch_is_never_told_more_than_meant(route: Route, uuid: str, context: str) -> None:
    """Any names are refused, or arrive in the one line and the one place where they belong, free of expressions."""
    try:
        told = freeswitch.commands(route, uuid, context=context)
    except DestinationError:
        return
    assert len(told) == 7
    for command in told:
        assert len(command.splitlines()) == 1
        assert "$" not in command
        assert command.split(" ")[1] == uuid
    assert told[-1].split(" ") == ["uuid_transfer", uuid, route.target, "XML", context]


@given(routes)
def test_json_engines_get_any_name_as_it_is(route: Route) -> None:
    """Quotes, line breaks and anything else reach TaskRouter and the webhook as they are, inside their strings."""
    form = parse_qs(taskrouter.request(route, TASK).body.decode(), strict_parsing=True)
    assert set(form) == {"Attributes", "Priority"}
    attributes = json.loads(form["Attributes"][0])
    assert attributes["triage_queue"] == route.queue
    assert attributes["triage_avoid_agents"] == list(route.avoid_agents)
    assert json.loads(webhook.request(route, "/").body)["data"]["skills"] == list(route.skills)


@pytest.mark.parametrize("nasty", NASTY)
def test_line_breaks_are_refused(escalated: Route, nasty: str) -> None:
    """A name with a line break or a control character is refused wherever text is not encoded, and not shown."""
    for field, value in (("queue", f"general{nasty}"), ("skills", (nasty,)), ("avoid_agents", (nasty,))):
        route = msgspec.structs.replace(escalated, **{field: value})
        for told in (
            lambda route=route: asterisk.actions(route, "PJSIP/x-1"),
            lambda route=route: asterisk.requests(route, "1"),
            lambda route=route: freeswitch.commands(route, "u"),
            lambda route=route: connect.requests(route, "i", "c"),
            lambda route=route: genesys.requests(route, "c", "p"),
        ):
            with pytest.raises(DestinationError, match=r"holds .* at place \d+; expected .*; rename it"):
                told()
    with pytest.raises(DestinationError, match="the channel holds") as caught:
        asterisk.actions(escalated, f"PJSIP/0601020304{nasty}")
    assert "0601020304" not in str(caught.value)
    for odd in ("u v", "", f"u{nasty}"):
        with pytest.raises(DestinationError, match="the channel's uuid"):
            freeswitch.commands(escalated, odd)


@pytest.mark.parametrize("active", list(",;|$`\"'\\(){}[]=&"))
def test_nothing_is_evaluated(escalated: Route, active: str) -> None:
    """A name with a separator, a quote or the start of an expression is refused where a dialplan would read it."""
    for field, value in (("queue", f"q{active}"), ("skills", (active,)), ("avoid_agents", (f"a{active}b",))):
        route = msgspec.structs.replace(escalated, **{field: value})
        with pytest.raises(DestinationError, match="that no dialplan reads as its own"):
            asterisk.actions(route, "PJSIP/x-1")
        with pytest.raises(DestinationError, match="that no dialplan reads as its own"):
            freeswitch.commands(route, "u")


def test_a_list_is_never_ambiguous(escalated: Route) -> None:
    """A skill or an agent with a comma is refused where lists are joined by commas."""
    with pytest.raises(DestinationError, match="an agent's id holds ',' at place 1; expected one line without a comma"):
        text_fields(msgspec.structs.replace(escalated, avoid_agents=("a,b",)))


def test_a_missing_extra_is_named() -> None:
    """Without httpx the first import of an engine names the extra that brings it."""
    code = "import sys; sys.modules['httpx'] = None\nimport emotion_triage.destinations.asterisk"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingExtraError: routes out need httpx" in run.stderr
    assert "install the extra 'destinations', see docs/install.md" in run.stderr
