"""What the supervisors' page says of calls that are over, and what it offers to decide."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("uvicorn")

from emotion_triage.routing.policy import Policy
from emotion_triage.server import page
from emotion_triage.server.engines import Wires
from emotion_triage.server.queues import known_queues

Eventually = Callable[..., Any]

NUMBER = "+33612345678"
POLICY = """
[escalation]
baseline_s = 4.0
smoothing_s = 1.0
min_duration_on_s = 0.5
relative_shift = -1.0
absolute_shift = -1.0

[protection]
warn_escalated_s = 1
exempt_queues = ["emergency"]

[report]
recording_link = "https://archive.example/{call}#t={start_s}"
"""
BOT = """
[[rules]]
name = "at night"
when = { standing = ["watch"] }
route = { queue = "bot", target = "voicebot", priority = 50 }

[[rules]]
name = "everyone"
route = { queue = "general", priority = 50 }
"""


@pytest.fixture(scope="module")
def server(start: Any) -> Any:
    """A server whose policy asks for a verdict soon and knows where recordings lie."""
    return start(policy=POLICY)


@contextmanager
def sign_in(server: Any, **cookies: str) -> Iterator[httpx.Client]:
    """A browser without a script, signed in."""
    with server.client(None, cookies=cookies) as client:
        assert client.post("/login", data={"token": "durand-token-0123456789abcdef"}).status_code == 303
        yield client


@pytest.fixture(scope="module")
def over(server: Any, twilio: Any, temper: np.ndarray, eventually: Eventually) -> str:
    """The name of a call that escalated and is over, of which no desktop has said anything."""

    async def call() -> str:
        name = f"CA{uuid.uuid4().hex}"
        async with twilio(server, name, {"From": NUMBER, "queue": "billing"}) as caller:
            await caller.say(temper[: 18 * 8000])
            await eventually(lambda: server.call(name)["escalated_s"] > 1)
            await caller.stop()
        await eventually(lambda: server.call(name)["ended"])
        return name

    return asyncio.run(call())


async def calling(server: Any, twilio: Any, eventually: Eventually, name: str, **parameters: str) -> dict[str, Any]:
    """Return what is known of a call that begins and ends."""
    async with twilio(server, name, parameters) as caller:
        await caller.say(np.zeros(1600, np.float32))
        await eventually(lambda: server.call(name))
        await caller.stop()
    await eventually(lambda: server.call(name)["ended"])
    return dict(server.call(name))


def test_an_escalated_call_that_ended_waits_for_a_verdict(server: Any, over: str) -> None:
    """Without any wrap-up it is among the ended and among what waits, with its evidence; a verdict settles it."""
    with server.client() as client:
        (ended,) = [call for call in client.get("/api/ended").json() if call["call_id"] == over]
        assert (ended["doubt"], ended["peak"]) == ("unmarked", "escalated")
        (review,) = [each for each in client.get("/api/reviews").json() if each["contact_id"] == over]
        assert "not marked by the agent" in review["reason"]
        assert (review["peak"], review["doubt"]) == (2, "unmarked")
        assert review["escalated_s"] == pytest.approx(ended["escalated_s"])
    with sign_in(server) as page:
        for path in ("/ended", "/reviews"):
            assert over in page.get(path).text
        shown = page.get(f"/calls/{over}?lang=fr").text
        assert "attend un avis" in shown
        assert "Suggestion" not in shown
        assert re.search(rf'href="https://archive\.example/{over}#t=\d+"', shown)
    with server.client() as client:
        body = {"abusive": False, "reason": "angry at the matter"}
        assert client.post(f"/api/calls/{over}/verdict", json=body).status_code == 200
        assert over not in client.get("/api/reviews").text
        assert server.call(over)["verdict"] == "not abusive"


def test_a_verdict_makes_the_standing_at_once(server: Any, twilio: Any, eventually: Eventually) -> None:
    """Once a contact is recorded, saying that it was abusive changes what the page says of its caller."""
    name = f"CA{uuid.uuid4().hex}"
    asyncio.run(calling(server, twilio, eventually, name, From="+33612345679"))
    with server.client("DESKTOP") as client:
        client.post(f"/api/calls/{name}/wrap-up", json={"agent_id": "a-1"}).raise_for_status()
    assert server.call(name)["standing"] == "clear"
    with server.client() as client:
        client.post(f"/api/calls/{name}/verdict", json={"abusive": True, "reason": "insults"}).raise_for_status()
    assert server.call(name)["standing"] == "watch"


def test_an_override_to_a_queue_that_nobody_knows_is_refused(server: Any, twilio: Any, eventually: Eventually) -> None:
    """A slip of the hand is answered with what was meant, by API and page alike, and the call stays where it was."""

    async def call() -> None:
        name = f"CA{uuid.uuid4().hex}"
        async with twilio(server, name, {"queue": "billing"}):
            await eventually(lambda: server.call(name))
            with server.client() as client:
                url = f"/api/calls/{name}/override"
                refused = client.post(url, json={"queue": "sneior", "reason": "r"})
                assert refused.status_code == 422
                assert "did you mean senior?" in refused.json()["error"]
                assert server.call(name)["override"] is None
                with sign_in(server) as page:
                    csrf = re.search(r'name="csrf" value="([\w-]+)"', page.get(f"/calls/{name}").text)
                    assert csrf
                    form = {"act": "override", "queue": "sneior", "reason": "r", "csrf": csrf[1]}
                    answer = page.post(f"/calls/{name}", data=form)
                    assert answer.status_code == 422
                    assert re.findall(r'<option value="([\w-]+)"', answer.text)[:5] == [
                        *("billing", "general", "protected", "senior", "supervisor")
                    ]
                assert client.post(url, json={"queue": "billing", "reason": "r"}).status_code == 200

    asyncio.run(call())


def test_a_voicebots_name_is_told_as_a_voicebots() -> None:
    """What the policy says of a queue goes with it when a person chooses it."""
    assert known_queues(Policy.parse(BOT), Wires())["bot"] == "voicebot"


@pytest.mark.parametrize(
    ("parameters", "why"),
    [({}, "withheld"), ({"From": NUMBER, "queue": "emergency"}, "exempt"), ({"From": NUMBER}, None)],
)
def test_only_who_can_be_restricted_is_offered_to_be(
    server: Any, twilio: Any, eventually: Eventually, parameters: dict[str, str], why: str | None
) -> None:
    """The page offers no restriction of a caller without a number or in an exempt queue, and the API makes none."""
    name = f"CA{uuid.uuid4().hex}"
    known = asyncio.run(calling(server, twilio, eventually, name, **parameters))
    assert known["unrestrictable"] == why
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    body = {"kind": "cool_off", "reason": "r", "until": ends, "review_at": ends}
    with sign_in(server) as page, server.client() as client:
        shown = page.get(f"/calls/{name}").text
        assert ('value="restrict"' in shown) == (why is None)
        assert 'value="lift"' not in shown
        assert client.post(f"/api/calls/{name}/restrict", json=body).status_code == (200 if why is None else 422)
        if why is None:
            assert server.call(name)["restriction"] == "cool_off"
            assert 'value="lift"' in page.get(f"/calls/{name}").text
            assert client.post(f"/api/calls/{name}/lift", json={"reason": "r"}).status_code == 200
            assert 'value="lift"' not in page.get(f"/calls/{name}").text


def test_times_are_those_of_the_persons_clock(server: Any, over: str) -> None:
    """Where the browser says its time zone, the page's times are in it; otherwise they are in UTC and say so."""
    began = datetime.fromisoformat(server.call(over)["began_at"])
    for cookies, shown in (
        ({"zone": "Asia%2FTokyo"}, (began + timedelta(hours=9)).strftime(">%H:%M:%S<")),
        ({"zone": "no/such"}, began.strftime(">%H:%M:%S UTC<")),
        ({}, began.strftime(">%H:%M:%S UTC<")),
    ):
        with sign_in(server, **cookies) as page:
            assert shown in page.get(f"/calls/{over}").text


def test_no_word_of_the_page_is_hidden_by_a_mappings_own() -> None:
    """A template that asks for a word as an attribute would get a mapping's method of that name instead."""
    folder = Path(page.__file__).parent / "templates"
    asked = {word for file in folder.iterdir() for word in re.findall(r"\bt\.(\w+)", file.read_text())}
    assert len(asked) > 50
    assert not asked & set(dir(dict))
