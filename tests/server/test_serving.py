"""Calls over real sockets, what the API tells of them, and what people decide."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine

from emotion_triage.affect.classifier import Classifier
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.labelled import LABELLED_COLUMNS
from emotion_triage.ledger.verification import verify
from emotion_triage.routing.policy import Policy

pytest.importorskip("uvicorn")

NUMBER = "+33612345678"
KEY = b"k" * 40


@pytest.fixture(scope="module")
def heard(server: Any, audiosocket: Any, temper: np.ndarray) -> str:
    """One caller over AudioSocket who lost his temper and hung up."""

    async def call() -> str:
        async with audiosocket(server) as caller:
            await caller.say(temper[: 18 * 8000])
            await caller.hang_up()
            return caller.call_id

    call_id = asyncio.run(call())
    server.wait_for(lambda: server.call(call_id)["ended"])
    return call_id


def test_an_audiosocket_caller_escalates_and_is_routed(server: Any, heard: str) -> None:
    """The API tells an AudioSocket caller's levels in order, the rule that follows, and why the others do not."""
    told = server.call(heard)
    levels = [band["level"] for band in told["bands"]]
    assert (levels[0], levels[-1]) == ("calm", "escalated")
    assert told["route"]["rule"] == "escalated caller"
    assert told["ended"] == "hangup"
    assert [rule["rule"] for rule in told["rules"]["en"] if rule["chosen"]] == ["escalated caller"]
    assert told["bands"][-1]["reasons"]["fr"]


def test_the_calm_come_below_the_angry(server: Any, heard: str) -> None:
    """Anger rises against the caller's own baseline, and the sign is right."""
    told = server.call(heard)
    assert told["anger"] > told["baseline_anger"]


def test_a_twilio_caller_escalates(
    server: Any, twilio: Any, temper: np.ndarray, eventually: Callable[..., Any]
) -> None:
    """A Twilio stream is scored in the same way, and its queue and caller come from its parameters."""

    async def call() -> dict[str, Any]:
        name = f"CA{uuid.uuid4().hex}"
        async with twilio(server, name, {"queue": "billing", "From": NUMBER}) as caller:
            await caller.say(temper[: 18 * 8000])
            return await eventually(lambda: (told := server.call(name))["level"] == "escalated" and told)

    told = asyncio.run(call())
    assert (told["queue"], told["wire"]) == ("billing", "twilio")


def test_live_calls_are_those_that_go_on(server: Any, heard: str) -> None:
    """A call that ended is not among the live ones, and can still be asked for."""
    with server.client() as client:
        assert heard not in [call["call_id"] for call in client.get("/api/calls").json()]


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("FORMER", 401), ("WIRE", 401), ("DESKTOP", 200), ("DURAND", 200)]
)
def test_only_a_good_token_opens_the_api(server: Any, token: str | None, status: int) -> None:
    """No token, an expired one and a wire's are refused; a machine's and a person's are taken."""
    with server.client(token) as client:
        assert client.get("/api/calls").status_code == status


@pytest.mark.parametrize("act", ["override", "verdict", "restrict", "lift"])
def test_only_a_person_decides(server: Any, heard: str, act: str) -> None:
    """A machine's token decides nothing, whatever the body says."""
    with server.client("DESKTOP") as client:
        assert client.post(f"/api/calls/{heard}/{act}", json={"by": "m.durand"}).status_code == 403


def test_what_a_person_decides_is_in_the_log(server: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """Override, wrap-up, verdict, restriction and lift go into the decision log under his name, and it verifies."""
    name = f"CA{uuid.uuid4().hex}"
    ends = datetime.now(UTC) + timedelta(days=30)

    async def call() -> None:
        async with twilio(server, name, {"From": NUMBER}) as caller:
            await caller.say(np.zeros(8000, np.float32))
            await eventually(lambda: server.call(name))
            with server.client() as client:
                body = {"queue": "senior", "reason": f"knows him, on {NUMBER}"}
                told = client.post(f"/api/calls/{name}/override", json=body).json()
                assert told["override"]["by"] == "m.durand"
                # what was answered is in the log already: a kill now would lose nothing
                with sqlite3.connect(server.folder / "ledger.db") as database:
                    logged = database.execute("SELECT count(*) FROM decisions WHERE kind = 'override'").fetchone()
                assert logged == (1,)
            await caller.stop()
        await eventually(lambda: server.call(name)["ended"])

    asyncio.run(call())
    with server.client("DESKTOP") as client:
        contact = {"agent_id": "a-1", "disposition": "ABUSE"}
        assert client.post(f"/api/calls/{name}/wrap-up", json=contact).status_code == 200
    with server.client() as client:
        assert client.post(f"/api/calls/{name}/verdict", json={"abusive": True, "reason": "insults"}).status_code == 200
        body = {"kind": "cool_off", "reason": "threats", "until": ends.isoformat(), "review_at": ends.isoformat()}
        assert client.post(f"/api/calls/{name}/restrict", json=body).status_code == 200
        team = client.get("/api/team").json()
        assert [agent["agent_id"] for agent in team] == ["a-1", "a-2", "B-3"]
        assert team[0]["abusive_contacts"] == 1
        candidates = client.post(f"/api/calls/{name}/candidates", json={"agents": ["a-1", "a-2"]}).json()
        assert candidates["agents"] == ["a-2"]
        assert client.post(f"/api/calls/{name}/lift", json={"reason": "heard"}).status_code == 200
        assert client.post(f"/api/calls/{name}/lift", json={"reason": "again"}).status_code == 422
    engine = create_engine(f"sqlite:///{server.folder}/ledger.db")

    def kinds() -> list[str]:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT kind FROM decisions WHERE body LIKE '%m.durand%'")
            return [row[0] for row in rows]

    assert server.wait_for(lambda: {"override", "verdict", "restrict", "lift"} <= set(kinds()))
    with engine.connect() as connection:
        assert verify(connection).sound
        content = str(connection.exec_driver_sql("SELECT * FROM decisions").all())
    assert "612345678" not in re.sub(r"\W", "", server.log + content)
    engine.dispose()


def test_the_scores_of_a_contact_are_kept_with_it(server: Any, heard: str, anger_model: Path) -> None:
    """Once the agent has said how it was, the ledger gives the scores that the call was told by, to calibrate with."""
    with server.client("DESKTOP") as client:
        for _ in range(2):
            body = {"agent_id": "a-1", "disposition": "DISCONTENT"}
            assert client.post(f"/api/calls/{heard}/wrap-up", json=body).status_code == 200
    told = server.call(heard)
    policy = Policy.load(server.folder / "policy.toml")
    with Ledger.open(f"sqlite:///{server.folder}/ledger.db", policy=policy, key=KEY) as ledger:
        (rows,) = ledger.labelled_windows(Classifier.load(anger_model).digest)
    column = dict(zip(LABELLED_COLUMNS, rows.T, strict=True))
    assert set(column["angry"]) == {1.0}
    assert set(column["escalated"]) == {1.0}
    points = np.array([point[:2] for point in told["points"]])
    np.testing.assert_allclose(np.stack([column["time_s"], column["anger"]], axis=1), points, atol=1e-3)
    known = ~np.isnan(column["anger_alone"])
    assert known.any()
    assert np.all(known[np.argmax(known) :])


def test_a_standing_comes_before_the_first_word(server: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """A caller whom a person restricted is restricted from the start of his next call, by the first route."""
    number, ends = "+33698765432", (datetime.now(UTC) + timedelta(days=3)).isoformat()
    body = {"kind": "supervisor_line", "reason": "r", "until": ends, "review_at": ends, "caller": number}
    with server.client() as client:
        assert client.post("/api/restrictions", json=body).status_code == 200

    async def call() -> dict[str, Any]:
        async with twilio(server, name := f"CA{uuid.uuid4().hex}", {"From": number}):
            return await eventually(lambda: server.call(name))

    told = asyncio.run(call())
    assert (told["standing"], told["route"]["queue"], told["speech_s"]) == ("restricted", "supervisor", 0.0)


def test_a_caller_who_cannot_be_read_stops_nothing(server: Any, twilio: Any, eventually: Callable[..., Any]) -> None:
    """Of a caller whose name is no number nothing is kept, and the decisions of his call are logged like others."""

    async def call() -> str:
        async with twilio(server, name := f"CA{uuid.uuid4().hex}", {"From": "anna 0612345678"}):
            await eventually(lambda: server.call(name))
            return name

    name = asyncio.run(call())
    engine = create_engine(f"sqlite:///{server.folder}/ledger.db")
    with engine.connect() as connection:
        count = f"SELECT count(*) FROM decisions WHERE call_id = '{name}'"
        assert server.wait_for(lambda: connection.exec_driver_sql(count).scalar_one())
    engine.dispose()


def test_an_objection_ends_scoring(
    server: Any, twilio: Any, temper: np.ndarray, eventually: Callable[..., Any]
) -> None:
    """Once the caller objects there is no level, no anger and no speech scored, and the route is neutral."""

    async def call() -> dict[str, Any]:
        async with twilio(server, name := f"CA{uuid.uuid4().hex}") as caller:
            await caller.say(temper[: 5 * 8000])
            await eventually(lambda: server.call(name)["anger"])
            with server.client("DESKTOP") as client:
                assert client.post(f"/api/calls/{name}/objection").status_code == 200
            await caller.say(temper[10 * 8000 : 14 * 8000])
            return await eventually(lambda: (told := server.call(name))["duration_s"] > 8 and told)

    told = asyncio.run(call())
    assert (told["level"], told["anger"], told["points"], told["route"]["rule"]) == (None, None, [], "neutral")


def test_the_document_names_every_request(server: Any) -> None:
    """Each path of the OpenAPI document is served or another role's, and every reference in it leads somewhere."""
    with server.client(None) as client:
        document = client.get("/openapi.json").json()
    for reference in re.findall(r"'#/components/schemas/(\w+)'", str(document)):
        assert reference in document["components"]["schemas"]
    with server.client() as client:
        for path, operations in document["paths"].items():
            for method in operations:
                answer = client.request(method, path.replace("{call_id}", "nobody"), json={})
                assert answer.status_code in (200, 400, 403, 404), (path, answer.text)


def test_metrics_count(server: Any, heard: str) -> None:
    """Prometheus is told calls, audio and changes of level."""
    with server.client("DESKTOP") as client:
        text = client.get("/metrics").text
    assert 'emotion_triage_levels_total{level="escalated"}' in text
    assert float(re.search(r"^emotion_triage_audio_seconds_total (\S+)", text, re.M)[1]) > 17  # type: ignore[index]
