"""Asterisk chan_websocket, message by message, as JSON and as plain text."""

from __future__ import annotations

import json

import pytest

from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.protocol import Audio, Complained, Digit, Ended, Reply, Started, WireEvent
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
        ([bytes(160)], "audio before MEDIA_START"),
        ([{"event": "MEDIA_XON"}], "before MEDIA_START"),
        ([START, START], "MEDIA_START twice"),
        ([START, {"event": "MEDIA_STOP"}], "an unknown event"),
        ([START, b""], "0 bytes of audio"),
        ([START | {"format": "slin"}, bytes(3)], "3 bytes of audio"),
        ([START | {"format": "opus"}], "an audio format that is not read"),
        ([START | {"format": 7}], "no text for format"),
        ([START | {"channel_id": ""}], "empty"),
        ([START | {"channel_variables": ["+33123456789"]}], "not text by name"),
        ([START, {"event": "DTMF_END", "digit": "12"}], "a key that is none"),
        (["{"], "not as its protocol says"),
        (["{}"], "before MEDIA_START"),
        ([""], "before MEDIA_START"),
        ([START, bytes(70000)], "70000 bytes, expected at most 65536"),
        (["x" * 10_000_000], "10000000 bytes"),
        (['{"a":' * 30000], "at most"),
        (['{"a":' * 10000], "not as its protocol says"),
    ],
)
def test_what_breaks_the_protocol_is_refused(messages: list[bytes | str | dict[str, object]], word: str) -> None:
    """Every wrong order, length and field raises one WireError that names it and shows no number."""
    with pytest.raises(WireError, match=word) as raised:
        read(*messages)
    assert "33123456789" not in str(raised.value)


def test_nothing_comes_after_the_end() -> None:
    """A message after the end is refused."""
    wire = ChanWebSocket()
    list(wire.end())
    with pytest.raises(WireError, match="after the end"):
        list(wire.receive(b"1"))
