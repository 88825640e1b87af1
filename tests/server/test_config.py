"""What the server is told, and what it refuses to be told."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("uvicorn")

from emotion_triage.call.triage import Triage
from emotion_triage.errors import ConfigError
from emotion_triage.ledger.log_events import Decision, Override
from emotion_triage.routing.rules import Route
from emotion_triage.server.auth import Authenticator
from emotion_triage.server.calls import LiveCall
from emotion_triage.server.config import Access, Config
from emotion_triage.server.dispatcher import Dispatcher
from emotion_triage.server.engines import Destinations, Secret
from emotion_triage.server.metrics import Metrics
from emotion_triage.server.wires import WebSocketWires

REFERENCE = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[http]\nprot = 1", r"unknown key http.prot \(did you mean port\?\)"),
        ("[limits]\nmax_calls = 0", "limits.max_calls is 0; expected"),
        ("[wires.freeswitch]\nqueue = 'x'", "missing key wires.freeswitch.token"),
        ("[wires.twilio]\nqueue = 'x'", "neither auth_token nor token"),
        ("[wires.twilio]\nauth_token = { env = 'X' }", "only one of auth_token and public_url"),
        (
            "[wires.twilio]\nauth_token = { env = 'X' }\npublic_url = 'a.example'",
            "wires.twilio.public_url is 'a.example'",
        ),
        ("[wires.audiosocket]\ndestination = 'ami'", "expected a table destinations.ami"),
        ("[wires.rtp]\nfirst_port = 20001\nlast_port = 20001", "no even port from first_port 20001"),
        ("[wires.rtp]\nsources = ['10.0.0.1/8']", "wires.rtp.sources: 10.0.0.1/8 has host bits set"),
        ("[ledger]\nurl = 'sqlite:///x'\nkey = 'in clear'", "ledger.key is 'in clear'; expected table"),
        ("[ledger]\nurl = 'sqlite:///x'\nkey = {}", "neither"),
        ("[http]\nframe_ancestors = ['https://a.example; script-src *']", "http.frame_ancestors"),
        ("[http]\nframe_ancestors = ['a.example']", "http.frame_ancestors"),
        ("[http]\ntls_key = 'x'", "only one of tls_certificate and tls_key"),
        ("x", "not TOML"),
    ],
)
def test_a_bad_configuration_says_where(text: str, message: str) -> None:
    """Unknown keys, missing ones and values that cannot be are refused, with what was got and expected."""
    with pytest.raises(ConfigError, match=message):
        Config.parse(text)


MONITORED = """
[ledger]
url = "sqlite:///x"
key = { env = "X" }
[[access]]
name = "m.durand"
kind = "person"
token = { env = "X" }
[[access]]
name = "desktop"
kind = "machine"
token = { env = "X" }
[destinations.freeswitch]
password = { env = "X" }
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[monitor.supervisors]]\nname = 'desktop'", "got no such person"),
        ("[[monitor.supervisors]]\nname = 'm.durant'", "got no such person"),
        ("[[monitor.supervisors]]\nname = 'm.durand'\n[[monitor.supervisors]]\nname = 'm.durand'", "several tables"),
        ("[[monitor.supervisors]]\nname = 'm.durand'\nami = 'PJSIP/1'", "expected a table destinations.ami"),
        (
            "[destinations.ari]\nurl = 'x'\nusername = 'x'\npassword = { env = 'X' }\n"
            "[[monitor.supervisors]]\nname = 'm.durand'\nari = 'PJSIP/1'",
            "no monitor.ari_context beside ari",
        ),
        (
            "[destinations.taskrouter]\naccount_sid = 'AC1'\nworkspace_sid = 'WS1'\nauth_token = { env = 'X' }\n"
            "[[monitor.supervisors]]\nname = 'm.durand'\ntaskrouter = 'client:durand'",
            "no monitor.twilio_from beside taskrouter",
        ),
    ],
)
def test_a_supervisor_who_cannot_be_rung_is_refused(text: str, message: str) -> None:
    """Who may be on calls is a person of the configuration, whom a destination that is there can ring."""
    with pytest.raises(ConfigError, match=message):
        Config.parse(MONITORED + text)
    good = MONITORED + "[[monitor.supervisors]]\nname = 'm.durand'\nfreeswitch = 'user/1'"
    assert Config.parse(good).monitor is not None


def test_nobody_listens_without_a_log() -> None:
    """Without a ledger, whose log keeps who listens to whom, the table `monitor` is refused."""
    without = MONITORED.partition("[[access]]")[2]
    with pytest.raises(ConfigError, match=r"monitor: got no table \[ledger\]"):
        Config.parse("[[access]]" + without + "[[monitor.supervisors]]\nname = 'm.durand'\nfreeswitch = 'user/1'")


def test_a_secret_is_never_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret comes from a file or the environment; one that is not there is named by its place."""
    (tmp_path / "token").write_text(" t0ken \n")
    assert Secret(file=str(tmp_path / "token")).read() == "t0ken"
    monkeypatch.setenv("EMPTY", " ")
    with pytest.raises(ConfigError, match="environment variable EMPTY: is empty"):
        Secret(env="EMPTY").read()
    with pytest.raises(ConfigError, match="cannot be read"):
        Secret(file=str(tmp_path / "none")).read()
    monkeypatch.setenv("SHORT", "shorty")
    with pytest.raises(ConfigError, match="6 characters") as refused:
        Authenticator([Access(name="a", kind="person", token=Secret(env="SHORT"))])
    assert "shorty" not in str(refused.value)


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is good until its end, and no longer than the token that it was made with."""
    monkeypatch.setenv("TOKEN", "t" * 30)
    access = Access(name="m.durand", kind="person", token=Secret(env="TOKEN"))
    cookie = Authenticator([access]).cookie(access, until_s=100)
    assert Authenticator([access]).by_cookie(cookie, now_s=99) is not None
    assert Authenticator([access]).by_cookie(cookie, now_s=100) is None
    monkeypatch.setenv("TOKEN", "u" * 30)
    assert Authenticator([access]).by_cookie(cookie, now_s=99) is None


def keys(kind: Any, path: str = "") -> list[str]:
    """Every key of the configuration, as the reference writes it."""
    found = []
    for field in msgspec.structs.fields(kind):
        inner = [each for each in getattr(field.type, "__args__", (field.type,)) if hasattr(each, "__struct_fields__")]
        inner = [each for each in inner if each is not Secret]
        name = f"{path}{field.encode_name}"
        found += keys(inner[0], f"{name}.") if inner else [name]
    return found


def test_every_key_is_in_the_reference() -> None:
    """The table of `docs/serve.md` names each key of the configuration, and its example is sound."""
    table = REFERENCE[REFERENCE.index("### Keys") : REFERENCE.index("## The API")]
    for key in keys(Config):
        last = key.rpartition(".")[2]
        assert re.search(rf"[`.]{last}`", table), key
    example = re.search(r"```toml\n(.*?)```", REFERENCE, re.DOTALL)
    assert example
    assert Config.parse(example[1]).wires.audiosocket


def test_every_metric_of_the_reference_is_counted() -> None:
    """What the reference says to watch is what the server counts."""
    counted = {f"{metric.name}" for metric in Metrics().registry.collect()}
    for name in re.findall(r"`(emotion_triage_\w+)", REFERENCE):
        assert name.removesuffix("_total") in counted, name


def test_a_newer_route_replaces_one_that_waits(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a route is being sent the next ones wait, and only the newest of them is sent after it."""
    sent: list[float] = []

    async def run() -> LiveCall:
        gate = asyncio.Event()

        async def send(route: Route, call: LiveCall, address: str) -> None:
            await gate.wait()
            sent.append(route.time_s)

        dispatcher = Dispatcher(Destinations(), Metrics())
        monkeypatch.setitem(dispatcher._senders, "webhook", send)
        live = LiveCall(triage.call("c"), wire="twilio", queue=None, caller=None, caller_name=None)
        for time_s in (1.0, 2.0, 3.0, 4.0):
            dispatcher.tell(
                "webhook", "c", live, msgspec.structs.replace(live.call.route, time_s=time_s, queue=f"q{time_s:g}")
            )
            await asyncio.sleep(0)
        gate.set()
        await dispatcher.close(5.0)
        return live

    live = asyncio.run(run())
    assert sent == [1.0, 4.0]
    assert [told.outcome for told in live.told] == ["taken", "replaced", "replaced", "taken"]


def test_genesys_wants_base64(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client secret that is not base64 stops the server before it begins."""
    monkeypatch.setenv("SECRET", "not base64!")
    config = Config.parse('[wires.genesys]\napi_key = "k"\nclient_secret = { env = "SECRET" }')
    from emotion_triage.server.live_calls import LiveCalls

    async def made() -> None:
        WebSocketWires(LiveCalls(config, triage))

    with pytest.raises(ConfigError, match="not base64"):
        asyncio.run(made())


def test_a_decision_on_its_way_shows_no_number() -> None:
    """What waits to be logged names its caller to the ledger and to nobody else."""
    body = Override(by="m.durand", reason="r", recommended="general", queue="vip")
    decision = Decision(at=datetime.now(UTC), call_id="c-1", caller="+33612345678", body=body)
    assert "612345678" not in repr(decision)


def test_times_are_utc() -> None:
    """An expiry without a time zone is refused."""
    text = '[[access]]\nname = "a"\nkind = "person"\ntoken = { env = "T" }\nexpires_at = '
    assert Config.parse(f"{text}2030-01-01T00:00:00Z").access[0].expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    with pytest.raises(ConfigError):
        Config.parse(f"{text}2030-01-01T00:00:00")
