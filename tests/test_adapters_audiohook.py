"""Genesys AudioHook, message by message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emotion_triage.adapters.audiohook import AudioHook
from emotion_triage.adapters.audiohook_signature import Upgrade
from emotion_triage.adapters.protocol import (
    Audio,
    Complained,
    Digit,
    Dropped,
    Ended,
    Passed,
    Paused,
    Reply,
    Resumed,
    Started,
    Updated,
    WireEvent,
)
from emotion_triage.errors import WireError

SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
UPGRADE = Upgrade(organization_id=ORGANIZATION, session_id=SESSION, correlation_id="e160e428")
OFFERED = [
    {"type": "audio", "format": "PCMU", "channels": channels, "rate": 8000}
    for channels in (["external", "internal"], ["external"], ["internal"])
]
OPEN = {
    "organizationId": ORGANIZATION,
    "conversationId": "090eaa2f-72fa-480a-83e0-8667ff89c0ec",
    "participant": {"id": "883efee8", "ani": "+33123456789", "aniName": "J. Martin", "dnis": "+33987654321"},
    "media": OFFERED,
    "language": "fr-FR",
}


class Genesys:
    """The client's side: numbers its messages, and keeps what it is answered."""

    def __init__(self) -> None:
        self.wire = AudioHook(UPGRADE)
        self.seq = 0
        self.answers: list[dict[str, Any]] = []

    def say(self, kind: str, position: str = "PT0S", /, **parameters: Any) -> list[WireEvent]:
        """Send a message; return the events other than replies."""
        self.seq += 1
        return self.send(self.message(kind, position, parameters))

    def message(self, kind: str, position: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            "version": "2",
            "id": SESSION,
            "type": kind,
            "seq": self.seq,
            "serverseq": len(self.answers),
            "position": position,
            "parameters": parameters,
        }

    def send(self, message: dict[str, Any] | bytes | str) -> list[WireEvent]:
        events = list(self.wire.receive(json.dumps(message) if isinstance(message, dict) else message))
        self.answers += [json.loads(event.payload) for event in events if isinstance(event, Reply)]
        return [event for event in events if not isinstance(event, Reply)]


@pytest.fixture
def genesys() -> Genesys:
    client = Genesys()
    client.say("open", **OPEN)
    return client


def test_a_session_from_open_to_close() -> None:
    """Open, audio, a ping and close are a call, answered as the protocol says, message by message."""
    genesys = Genesys()
    (started,) = genesys.say("open", **OPEN)
    audio = genesys.send(bytes(1600)) + genesys.send(bytes(1600))
    assert genesys.say("ping", "PT0.4S", rtt="PT0.024S") == []
    assert genesys.say("close", "PT0.4S", reason="end") == [Ended(reason="hangup")]
    assert isinstance(started, Started)
    assert (started.call_id, started.encoding, started.sample_rate_hz) == (OPEN["conversationId"], "mulaw", 8000)
    assert audio == [Audio(payload=bytes(1600), at=0), Audio(payload=bytes(1600), at=1600)]
    media = [{"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}]
    assert genesys.answers == [
        {"version": "2", "id": SESSION, "type": kind, "seq": seq, "clientseq": seq, "parameters": parameters}
        for seq, kind, parameters in (
            (1, "opened", {"media": media, "startPaused": False}),
            (2, "pong", {}),
            (3, "closed", {}),
        )
    ]


def test_the_caller_is_given_and_not_shown() -> None:
    """The caller's number and name come with the start, and no repr shows them."""
    (started,) = Genesys().say("open", **OPEN)
    assert isinstance(started, Started)
    assert started.caller is not None
    assert started.caller.reveal() == "+33123456789"
    assert started.parameters.reveal() == {
        "participantId": "883efee8",
        "aniName": "J. Martin",
        "dnis": "+33987654321",
        "language": "fr-FR",
    }
    assert not any(word in repr(started) for word in ("33123456789", "Martin", "33987654321"))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_the_external_channel_alone_is_chosen(order: list[int]) -> None:
    """Whatever the order of the offer, the media chosen has the customer's channel and no other."""
    genesys = Genesys()
    genesys.say("open", **OPEN | {"media": [OFFERED[i] for i in order]})
    assert genesys.answers[0]["parameters"]["media"] == [OFFERED[1]]


def test_linear_audio_is_taken_where_mu_law_is_not_offered() -> None:
    """L16 is read as pcm16."""
    (started,) = Genesys().say("open", **OPEN | {"media": [OFFERED[1] | {"format": "L16"}]})
    assert isinstance(started, Started)
    assert started.encoding == "pcm16"


@pytest.mark.parametrize("offered", [[], OFFERED[:1], OFFERED[2:], [OFFERED[1] | {"rate": 16000}]])
def test_without_the_external_channel_alone_there_is_no_call(offered: list[dict[str, Any]]) -> None:
    """An offer of both channels, or of the agent's, is refused, and the engine is told to disconnect."""
    genesys = Genesys()
    with pytest.raises(WireError, match="external channel alone"):
        genesys.say("open", **OPEN | {"media": offered})
    (reply,) = genesys.wire.close(reason="error")
    assert json.loads(reply.payload)["type"] == "disconnect"
    assert json.loads(reply.payload)["parameters"] == {"reason": "error"}


def test_two_channels_under_the_name_of_one_are_found_out(genesys: Genesys) -> None:
    """Audio that outruns the position told by the engine holds two voices, and ends the session."""
    for _ in range(30):
        genesys.send(bytes(1600))
    with pytest.raises(WireError, match="more audio than the position tells"):
        genesys.say("ping", "PT3S")


def test_a_probe_is_answered_and_starts_no_call() -> None:
    """The engine's connection probe is opened and closed without a call."""
    genesys = Genesys()
    nobody = "00000000-0000-0000-0000-000000000000"
    assert genesys.say("open", **OPEN | {"conversationId": nobody}) == []
    assert genesys.say("close", reason="end") == [Ended(reason="hangup")]
    assert [answer["type"] for answer in genesys.answers] == ["opened", "closed"]


def test_a_pause_moves_the_time(genesys: Genesys) -> None:
    """While paused no audio comes; after it, audio goes on at the position that the engine tells."""
    genesys.send(bytes(1600))
    assert genesys.say("paused", "PT0.2S") == [Paused()]
    assert genesys.say("paused", "PT0.2S") == []
    assert genesys.say("resumed", "PT2.2S", start="PT0.2S", discarded="PT2.0S") == [Passed(to=17600), Resumed()]
    assert genesys.send(b"\xff") == [Audio(payload=b"\xff", at=17600)]


def test_discarded_audio_is_a_gap(genesys: Genesys) -> None:
    """Audio that the engine threw away moves the time and no more; told twice, it moves it once."""
    genesys.send(bytes(1600))
    assert genesys.say("discarded", "PT0.7S", start="PT0.2S", discarded="PT0.5S") == [Passed(to=5600)]
    assert genesys.say("discarded", "PT0.7S", start="PT0.2S", discarded="PT0.5S") == []
    assert genesys.say("resumed", "PT0.7S", start="PT0.7S", discarded="PT0S") == []


def test_an_update_and_an_error_are_told(genesys: Genesys) -> None:
    """Another language is told and answered; the engine's complaint is told by its code alone."""
    assert genesys.say("update", language="en-US") == [Updated(language="en-us")]
    assert genesys.answers[-1]["type"] == "updated"
    assert genesys.say("error", code=429, message="+33123456789 called too often") == [Complained(code=429)]


@pytest.mark.parametrize(
    ("reason", "ended"), [("end", "hangup"), ("disconnect", "hangup"), ("error", "error"), ("reconnect", "reconnect")]
)
def test_reasons_to_close(genesys: Genesys, reason: str, ended: str) -> None:
    """Each reason to close has its end; a reconnect leaves the call to the next session."""
    assert genesys.say("close", reason=reason) == [Ended(reason=ended)]  # type: ignore[arg-type]


def test_a_reconnected_session_names_those_before() -> None:
    """A session that goes on with a call tells which sessions it continues."""
    (started,) = Genesys().say("open", **OPEN, continuedSessions=[{"id": "a-1", "serverseq": 3, "clientseq": 9}])
    assert isinstance(started, Started)
    assert started.continues == ("a-1",)


def test_this_side_may_disconnect_once(genesys: Genesys) -> None:
    """To want no more audio is a disconnect, said once; the engine closes then."""
    (reply,) = genesys.wire.close(reason="completed")
    assert json.loads(reply.payload)["parameters"] == {"reason": "completed"}
    assert list(genesys.wire.close(reason="completed")) == []
    genesys.answers.append({})
    assert genesys.say("close", reason="disconnect") == [Ended(reason="hangup")]
    assert list(genesys.wire.end()) == []


def test_a_connection_that_goes_without_close_is_cut(genesys: Genesys) -> None:
    """Without a close the call is cut."""
    assert list(genesys.wire.end()) == [Ended(reason="cut")]


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({}, "not as its protocol says"),
        (OPEN | {"organizationId": SESSION}, "another organization"),
        (OPEN | {"media": "+33123456789"}, "at media"),
    ],
)
def test_an_open_of_which_nothing_could_be_heard_is_refused(parameters: dict[str, Any], word: str) -> None:
    """Open has to be as it was signed, with a name and media; the WireError shows no number."""
    with pytest.raises(WireError, match=word) as raised:
        Genesys().say("open", **parameters)
    assert "33123456789" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "position", "parameters", "dropped"),
    [
        ("open", "PT0S", OPEN, Dropped(why="repeated", what="open")),
        ("opened", "PT0S", {}, Dropped(why="unknown", what="opened")),
        ("transcript", "PT0.1S", {"text": ["+33123456789"]}, Dropped(why="unknown", what="transcript")),
        ("+33123456789", "PT0S", {}, Dropped(why="unknown", what="no name")),
        ("discarded", "PT0S", {"start": "PT0S", "discarded": "PT90000S"}, Dropped(why="unreadable", what="discarded")),
        ("discarded", "PT0S", {}, Dropped(why="unreadable", what="discarded")),
        ("resumed", "PT0S", {"start": "PT-1S", "discarded": "PT0S"}, Dropped(why="unreadable", what="resumed")),
        ("update", "PT0S", {"language": "+33123456789"}, Dropped(why="unreadable", what="update")),
        ("update", "PT0S", {"language": None}, Dropped(why="unreadable", what="update")),
        ("dtmf", "PT0S", {"digit": "+33123456789"}, Dropped(why="unreadable", what="a key that is none")),
        ("dtmf", "PT0S", {}, Dropped(why="unreadable", what="dtmf")),
    ],
)
def test_what_is_not_understood_is_passed_over(
    genesys: Genesys, kind: str, position: str, parameters: dict[str, Any], dropped: Dropped
) -> None:
    """Any message that is not understood is counted, its content is not shown, and the session goes on."""
    before = genesys.send(bytes(160))
    events = genesys.say(kind, position, **parameters)
    assert events == [dropped]
    assert "33123456789" not in repr(events)
    assert [before, genesys.send(bytes(160))] == [[Audio(payload=bytes(160), at=at)] for at in (0, 160)]
    assert genesys.say("ping", "PT0.04S") == []
    assert genesys.answers[-1]["type"] == "pong"


@pytest.mark.parametrize("kind", ["playback_started", "playback_completed"])
def test_events_of_playback_say_nothing(genesys: Genesys, kind: str) -> None:
    """What speaks of audio towards the caller is read and passed over."""
    assert genesys.say(kind) == []


def test_a_key_is_told(genesys: Genesys) -> None:
    """A key of the caller, as text or as a number."""
    assert genesys.say("dtmf", digit="#") == [Digit(digit="#")]
    assert genesys.say("dtmf", digit=5) == [Digit(digit="5")]


@pytest.mark.parametrize("position", ["1.5", "PT1.5M", "PT\u0663S", None])
def test_a_position_that_is_none_is_no_reason_to_be_silent(genesys: Genesys, position: str | None) -> None:
    """A ping is answered whatever its position."""
    genesys.say("ping", position)  # type: ignore[arg-type]
    assert genesys.answers[-1]["type"] == "pong"


@pytest.mark.parametrize("parameters", [{}, {"reason": None}, {"reason": "+33123456789"}, {"reason": "transferred"}])
def test_a_close_of_another_reason_ends_the_call(genesys: Genesys, parameters: dict[str, Any]) -> None:
    """Whatever the reason, the session is closed and the call is over."""
    assert genesys.say("close", **parameters) == [Ended(reason="hangup")]
    assert genesys.answers[-1]["type"] == "closed"


@pytest.mark.parametrize("parameters", [{}, {"code": "+33 123"}, {"code": None}])
def test_an_error_without_a_code_is_a_complaint(genesys: Genesys, parameters: dict[str, Any]) -> None:
    """The engine's complaint is told, with code 0 where it has none."""
    assert genesys.say("error", **parameters) == [Complained(code=0)]


def test_null_fields_of_an_open_are_left_out() -> None:
    """A conversation of an unknown caller is a call like any other, and so is media of a kind yet unknown."""
    odd = {"participant": {"id": "1", "ani": None, "aniName": None}, "language": None, "continuedSessions": None}
    media = [{"type": "video", "rate": None}, None, *OFFERED]
    for fields in (odd, {"participant": None}, {"customConfig": None, "inputVariables": {"a": 1}}):
        (started,) = Genesys().say("open", **OPEN | fields | {"media": media})
        assert isinstance(started, Started)
    (started,) = Genesys().say("open", **OPEN | odd)
    assert isinstance(started, Started)
    assert started.caller is None
    assert started.parameters.reveal() == {"participantId": "1", "aniName": "", "dnis": "", "language": ""}


@pytest.mark.parametrize(
    ("change", "dropped"),
    [
        ({"version": "3"}, Dropped(why="stray", what="a message of another version or session")),
        ({"id": ORGANIZATION}, Dropped(why="stray", what="a message of another version or session")),
        ({"seq": 1}, Dropped(why="repeated", what="update")),
        ({"seq": -1}, Dropped(why="unreadable", what="text that is no message")),
        ({"type": None}, Dropped(why="unreadable", what="text that is no message")),
    ],
)
def test_an_envelope_of_another_session_is_passed_over(
    genesys: Genesys, change: dict[str, Any], dropped: Dropped
) -> None:
    """Messages of another version or session, and one that came already, are not acted upon."""
    genesys.seq = 2
    assert genesys.send(genesys.message("update", "PT0S", {"language": "fr"}) | change) == [dropped]
    assert genesys.send(bytes(160)) == [Audio(payload=bytes(160), at=0)]


@pytest.mark.parametrize("change", [{"seq": 9}, {"seq": "2"}, {"serverseq": 7}, {"serverseq": None}, {"extra": None}])
def test_an_envelope_with_odd_counts_is_read(genesys: Genesys, change: dict[str, Any]) -> None:
    """A count that leaves numbers out, is written as text or is not there is no reason to be silent."""
    genesys.seq = 2
    assert genesys.send(genesys.message("update", "PT0S", {"language": "fr"}) | change) == [Updated(language="fr")]


def test_audio_only_while_open() -> None:
    """Audio before open, of a probe, while paused or after close is never heard, and counted."""
    probe, paused, closed = Genesys(), Genesys(), Genesys()
    probe.say("open", **OPEN | {"conversationId": "00000000-0000-0000-0000-000000000000"})
    for each in (paused, closed):
        each.say("open", **OPEN)
    paused.say("paused")
    closed.say("close", reason="end")
    why = [[type(event), event.why] for each in (Genesys(), probe, paused, closed) for event in each.send(bytes(160))]
    assert why == [[Dropped, "early"], [Dropped, "stray"], [Dropped, "stray"], [Dropped, "stray"]]
    paused.say("resumed", start="PT0S", discarded="PT1S")
    assert paused.send(bytes(160)) == [Audio(payload=bytes(160), at=8000)]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("paused", {}), ("resumed", {"start": "PT0S", "discarded": "PT0S"}), ("update", {"language": "fr"}), ("odd", {})],
)
def test_what_comes_before_open_is_counted(kind: str, parameters: dict[str, Any]) -> None:
    """Before open nothing but a ping, a close or an error means anything, and open may still come."""
    client = Genesys()
    assert client.say(kind, **parameters) == [Dropped(why="early", what=f"{kind} before open")]
    assert isinstance(client.say("open", **OPEN)[0], Started)


@pytest.mark.parametrize(
    "message",
    [b"", bytes(10_000_000), "x" * 70000, "", "[]", "\udc80", '{"id":' * 9000],
    ids=["none", "long", "long text", "no text", "a list", "no Unicode", "deep"],
)
def test_messages_that_are_none(genesys: Genesys, message: bytes | str) -> None:
    """Empty, oversized and unreadable messages are counted, and the session goes on."""
    (dropped,) = genesys.send(message)
    assert isinstance(dropped, Dropped)
    assert dropped.why == ("empty" if message == b"" else "unreadable")
    assert genesys.send(bytes(160)) == [Audio(payload=bytes(160), at=0)]
