"""Asterisk chan_websocket, message by message, as JSON and as plain text."""

from __future__ import annotations

import json

import pytest

from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.protocol import Audio, Complained, Digit, Dropped, Ended, Reply, Started, WireEvent
from emotion_triage.errors import WireError

START = {
    "event": "MEDIA_START",
    "connection_id": "media",
    "channel": "WebSocket/media/0x7f00",
    "channel_id": "1700000000.7",
    "format": "ulaw",
    "optimal_frame_size": 160,
    "ptime": 20,
    "channel_variables": {"CALLER": "+33123456789"},
}
PLAIN = (
    "MEDIA_START connection_id:media channel:WebSocket/media/0x7f00 channel_id:1700000000.7 format:ulaw "
    "optimal_frame_size:160 ptime:20"
)


def read(*messages: bytes | str | dict[str, object], wire: ChanWebSocket | None = None) -> list[WireEvent]:
    wire = wire or ChanWebSocket()
    texts = [json.dumps(message) if isinstance(message, dict) else message for message in messages]
    return [event for message in texts for event in wire.receive(message)]


@pytest.mark.parametrize("start", [START, PLAIN])
def test_a_call_in_either_format(start: dict[str, object] | str) -> None:
    """MEDIA_START, 160-byte frames of mu-law and a closed connection are a call, in JSON and in plain text."""
    wire = ChanWebSocket()
    started, *rest = read(start, bytes(160), wire=wire)
    assert isinstance(started, Started)
    assert (started.call_id, started.encoding, started.sample_rate_hz) == ("1700000000.7", "mulaw", 8000)
    assert rest == [Audio(payload=bytes(160))]
    assert list(wire.end()) == [Ended(reason="hangup")]


def test_channel_variables_are_given_and_not_shown() -> None:
    """The dialplan's variables come with the start, and no repr shows them."""
    (started,) = read(START)
    assert isinstance(started, Started)
    assert started.parameters.reveal() == {"CALLER": "+33123456789"}
    assert "33123456789" not in repr(started)


@pytest.mark.parametrize(
    ("name", "encoding", "rate_hz"),
    [("alaw", "alaw", 8000), ("slin", "pcm16", 8000), ("slin16", "pcm16", 16000), ("slin48", "pcm16", 48000)],
)
def test_formats(name: str, encoding: str, rate_hz: int) -> None:
    """G.711 and signed linear formats name encoding and rate."""
    (started,) = read(START | {"format": name})
    assert isinstance(started, Started)
    assert (started.encoding, started.sample_rate_hz) == (encoding, rate_hz)


@pytest.mark.parametrize(
    "event", ["MEDIA_XON", "MEDIA_XOFF", "QUEUE_DRAINED", "MEDIA_BUFFERING_COMPLETED", "MEDIA_MARK_PROCESSED", "STATUS"]
)
def test_events_of_playback_say_nothing(event: str) -> None:
    """What speaks of audio towards the caller is read and passed over, in both formats."""
    assert len(read(START, {"event": event, "channel_id": "1"})) == 1
    assert len(read(PLAIN, f"{event} channel_id:1")) == 1


def test_keys_and_complaints() -> None:
    """DTMF_END is a key; ERROR is a complaint, and the call goes on."""
    rest = [Digit(digit="#"), Complained(code=0), Audio(payload=b"\xff")]
    assert read(START, {"event": "DTMF_END", "digit": "#"}, {"event": "ERROR", "error_text": "x"}, b"\xff")[1:] == rest
    assert (
        read(PLAIN, "DTMF_END digit:# channel_id:1", "ERROR channel_id:1 error_text:no such: thing", b"\xff")[1:]
        == rest
    )


def test_stopping_hangs_up_the_web_socket_channel() -> None:
    """To want no more audio is the HANGUP command, in the format that Asterisk speaks."""
    for start, command in ((START, '{"command":"HANGUP"}'), (PLAIN, "HANGUP")):
        wire = ChanWebSocket()
        read(start, wire=wire)
        assert list(wire.close(reason="completed")) == [Reply(command)]


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([START | {"format": "opus"}], "an audio format that is not read"),
        ([START | {"format": 7}], "an audio format that is not read"),
        ([START | {"channel_id": None, "channel": None}], "without channel_id and channel"),
        (["MEDIA_START format:ulaw"], "without channel_id and channel"),
    ],
)
def test_a_start_of_which_nothing_could_be_heard_is_refused(
    messages: list[bytes | str | dict[str, object]], word: str
) -> None:
    """A format that is not read and a call without a name raise one WireError that shows no number."""
    with pytest.raises(WireError, match=word) as raised:
        read(*messages)
    assert "33123456789" not in str(raised.value)


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (START, Dropped(why="repeated", what="MEDIA_START")),
        ({"event": "MEDIA_STOP"}, Dropped(why="unknown", what="MEDIA_STOP")),
        ({"event": "+33123456789"}, Dropped(why="unknown", what="no name")),
        ({"event": None, "channel_id": None}, Dropped(why="unknown", what="no name")),
        ("HEARTBEAT channel_id:1 at:17:30", Dropped(why="unknown", what="HEARTBEAT")),
        (b"", Dropped(why="empty", what="audio of 0 bytes")),
        ({"event": "DTMF_END", "digit": "12"}, Dropped(why="unreadable", what="a key that is none")),
        ({"event": "DTMF_END"}, Dropped(why="unreadable", what="a key that is none")),
        ("", Dropped(why="unknown", what="no name")),
        ("{", Dropped(why="unreadable", what="text that is no JSON")),
        ("{}", Dropped(why="unknown", what="no name")),
        pytest.param('{"a":' * 10000, Dropped(why="unreadable", what="text that is no JSON"), id="deep"),
        pytest.param(
            bytes(70000), Dropped(why="unreadable", what="a message of 70000 bytes, more than 65536"), id="long"
        ),
        pytest.param(
            "x" * 10_000_000,
            Dropped(why="unreadable", what="a message of 10000000 bytes, more than 65536"),
            id="very long",
        ),
    ],
)
@pytest.mark.parametrize("start", [START, PLAIN], ids=["json", "plain"])
def test_what_is_not_understood_is_passed_over(
    start: dict[str, object] | str, message: bytes | str | dict[str, object], dropped: Dropped
) -> None:
    """Any message that is not understood is counted, its content not shown, and the call is heard before and after."""
    events = read(start, b"\x01" * 160, message, b"\x02" * 160)
    assert events[1:] == [Audio(payload=b"\x01" * 160), dropped, Audio(payload=b"\x02" * 160)]
    assert "33123456789" not in repr(events)
    if dropped.why != "repeated":
        assert [type(event) for event in read(message, start, b"\x02" * 160) if event != dropped] == [Started, Audio]


def test_half_a_sample_is_passed_over() -> None:
    """Linear audio that ends within a sample is counted, and what follows is heard."""
    events = read(START | {"format": "slin"}, bytes(3), bytes(4))
    assert events[1:] == [
        Dropped(why="unreadable", what="3 bytes of audio in samples of 2"),
        Audio(payload=bytes(4)),
    ]


@pytest.mark.parametrize("start", [START, PLAIN], ids=["json", "plain"])
@pytest.mark.parametrize("n_early", [1, 3, 50])
def test_audio_ahead_of_the_start_is_kept(start: dict[str, object] | str, n_early: int) -> None:
    """Frames that come before MEDIA_START, as Asterisk under load sends them, are heard first."""
    early = [bytes([n]) * 160 for n in range(n_early)]
    events = read(*early, start, b"\xff" * 160)
    assert isinstance(events[0], Started)
    assert events[1:] == [Audio(payload=payload) for payload in [*early, b"\xff" * 160]]


def test_of_audio_ahead_of_the_start_no_more_than_a_second_is_kept() -> None:
    """What comes beyond is counted; the call begins whenever its start comes."""
    events = read(*[bytes(160)] * 500, START)
    assert events[:450] == [Dropped(why="early", what="audio before MEDIA_START")] * 450
    assert [type(event) for event in events[450:]] == [Started, *[Audio] * 50]


@pytest.mark.parametrize(
    "start",
    [
        {key: value for key, value in START.items() if key not in ("channel_id", "channel_variables")},
        "MEDIA_START connection_id:media channel:WebSocket/media/0x7f00 format:ulaw optimal_frame_size:160",
        START | {"channel_id": None},
        START | {"channel_id": ""},
    ],
)
def test_without_channel_id_the_channel_names_the_call(start: dict[str, object] | str) -> None:
    """Asterisk 20.16.0, 21.11.0, 22.6.0 and 23.0.0 send no channel_id: the channel's name is the call's."""
    started, audio = read(start, bytes(160))
    assert isinstance(started, Started)
    assert started.call_id == "WebSocket/media/0x7f00"
    assert audio == Audio(payload=bytes(160))


def test_variables_are_taken_as_they_are() -> None:
    """Numbers, null and lists among the variables are no reason to hear nothing, nor are new fields."""
    odd = START | {"channel_variables": {"A": 7, "B": None, "C": ["x"], "D": "d"}, "passthrough": False}
    (started,) = read(odd)
    assert isinstance(started, Started)
    assert started.parameters.reveal() == {"A": "7", "C": '["x"]', "D": "d"}
    for variables in (None, ["+33123456789"], "x"):
        (started,) = read(START | {"channel_variables": variables})
        assert isinstance(started, Started)
        assert started.parameters.reveal() == {}


def test_a_second_start_of_another_format_is_not_heard_as_the_first() -> None:
    """Audio of a format that the call does not have is counted until the first format comes again."""
    events = read(START, START | {"format": "slin"}, bytes(320), START, bytes(160))
    assert events[1:] == [
        Dropped(why="repeated", what="MEDIA_START"),
        Dropped(why="unknown", what="audio of another format than the call's"),
        Dropped(why="repeated", what="MEDIA_START"),
        Audio(payload=bytes(160)),
    ]


def test_nothing_is_heard_after_the_end() -> None:
    """A message after the end is counted."""
    wire = ChanWebSocket()
    list(wire.end())
    assert list(wire.receive(b"1")) == [Dropped(why="stray", what="a message after the end")]
