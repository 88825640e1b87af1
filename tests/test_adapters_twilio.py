"""Twilio Media Streams and Telnyx's dialect, message by message."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.protocol import Audio, Complained, Digit, Dropped, Ended, Started, WireEvent
from emotion_triage.adapters.twilio import MediaStream
from emotion_triage.errors import WireError

CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
TWILIO = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "streamSid": "MZ1",
        "accountSid": "AC1",
        "callSid": "CA1",
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"From": "+33123456789", "line": "sales"},
    },
}
TELNYX = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": "32DE0DEA",
    "start": {
        "user_id": "3E6F995F",
        "call_control_id": "v2:T02llQ",
        "from": "+33123456789",
        "to": "+33987654321",
        "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
    },
}


def media(
    chunk: int, *, at_ms: int | None = None, track: str = "inbound", payload: bytes | None = None
) -> dict[str, Any]:
    """Packet `chunk` of 20 ms, whose bytes tell its number."""
    body = {
        "track": track,
        "chunk": str(chunk),
        "timestamp": str((chunk - 1) * 20 if at_ms is None else at_ms),
        "payload": base64.b64encode(bytes([chunk % 256]) * 160 if payload is None else payload).decode(),
    }
    return {"event": "media", "sequenceNumber": str(chunk + 1), "streamSid": "MZ1", "media": body}


def said(event: str, **fields: Any) -> dict[str, Any]:
    return {"event": event, "streamSid": "MZ1", **fields}


def read(*messages: dict[str, Any] | str | bytes, wire: MediaStream | None = None) -> list[WireEvent]:
    wire = wire or MediaStream()
    texts = [json.dumps(message) if isinstance(message, dict) else message for message in messages]
    return [event for message in texts for event in wire.receive(message)]


def packet(chunk: int, at: int) -> Audio:
    return Audio(payload=bytes([chunk]) * 160, at=at)


def test_a_call_of_twilio() -> None:
    """Connected, start, media, a key, a mark and stop are a call of mu-law at the time of its stamps."""
    started, *rest = read(
        CONNECTED,
        TWILIO,
        media(1),
        media(2),
        said("dtmf", dtmf={"track": "inbound_track", "digit": "1"}),
        said("mark", mark={"name": "x"}),
        said("stop", stop={"accountSid": "AC1", "callSid": "CA1"}),
    )
    assert isinstance(started, Started)
    assert (started.call_id, started.encoding, started.sample_rate_hz) == ("CA1", "mulaw", 8000)
    assert started.caller is not None
    assert started.caller.reveal() == "+33123456789"
    assert "33123456789" not in repr(started)
    assert rest == [packet(1, 0), packet(2, 160), Digit(digit="1"), Ended(reason="hangup")]


def test_a_call_of_telnyx() -> None:
    """The snake-case dialect is the same call, with its own name, A-law and the caller's number."""
    packets = [{**media(chunk), "stream_id": "32DE0DEA"} for chunk in (2, 1, 3)]
    for each in packets:
        del each["streamSid"]
    error = {"event": "error", "stream_id": "32DE0DEA", "payload": {"code": 100003, "title": "malformed_frame"}}
    started, *rest = read(CONNECTED, TELNYX, *packets[1:], error, {"event": "stop", "stream_id": "32DE0DEA"})
    assert isinstance(started, Started)
    assert (started.call_id, started.encoding) == ("v2:T02llQ", "alaw")
    assert started.caller is not None
    assert started.caller.reveal() == "+33123456789"
    assert rest == [packet(1, 0), Complained(code=100003), packet(3, 320), Ended(reason="hangup")]


def test_the_agents_track_is_never_read() -> None:
    """Of the outbound track nothing comes out, not even a fault of its payload."""
    outbound = media(2, track="outbound")
    outbound["media"]["payload"] = "not base64"
    assert read(CONNECTED, TWILIO, media(1), outbound, media(3, at_ms=20))[1:] == [packet(1, 0), packet(3, 160)]


def test_packets_are_put_in_order() -> None:
    """Packets that come out of order come out in order, none lost."""
    order = [1, 3, 2, 6, 5, 4, 7]
    assert read(CONNECTED, TWILIO, *map(media, order))[1:] == [packet(n, (n - 1) * 160) for n in range(1, 8)]


def test_a_lost_packet_is_a_gap() -> None:
    """After five packets have waited for one, they go on at their own stamps, and it is dropped if it comes at last."""
    late = read(CONNECTED, TWILIO, media(1), *map(media, range(3, 9)), media(2), media(9))[1:]
    assert late == [
        packet(1, 0),
        *(packet(n, (n - 1) * 160) for n in range(3, 9)),
        Dropped(why="late"),
        packet(9, 1280),
    ]


def test_what_waits_is_not_lost_at_the_end() -> None:
    """Packets that wait for a lost one are heard when the stream stops or is cut."""
    for end in ("stop", None):
        wire = MediaStream()
        events = read(CONNECTED, TWILIO, media(1), media(4), *([said("stop")] if end else []), wire=wire)
        events += wire.end()
        assert events[1:] == [packet(1, 0), packet(4, 480), Ended(reason="hangup" if end else "cut")]


def test_stamps_may_be_a_little_off() -> None:
    """A stamp off by less than half a packet makes no gap: packets that follow each other stay joined."""
    events = read(CONNECTED, TWILIO, media(1, at_ms=7), media(2, at_ms=28), media(3, at_ms=46), media(4, at_ms=90))[1:]
    assert [event.at for event in events if isinstance(event, Audio)] == [56, 216, 376, 720]


def test_a_packet_comes_once() -> None:
    """A packet sent twice is heard once, also while it waits."""
    events = read(CONNECTED, TWILIO, media(1), media(1), media(3), media(3), media(2))[1:]
    assert events == [packet(1, 0), Dropped(why="late"), Dropped(why="late"), packet(2, 160), packet(3, 320)]


@given(st.permutations(range(2, 7)))
def test_any_order_within_what_waits_is_the_same_call(order: list[int]) -> None:
    """Five packets in any order come out as if they had come in order."""
    events = read(CONNECTED, TWILIO, media(1), *map(media, order), said("stop"))
    assert events[1:-1] == [packet(n, (n - 1) * 160) for n in range(1, 7)]


def without(message: dict[str, Any], *path: str) -> dict[str, Any]:
    """The message without one of its fields."""
    copy = json.loads(json.dumps(message))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


def with_format(**fields: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(TWILIO))
    copy["start"]["mediaFormat"].update(fields)
    return copy


BAD_BASE64 = media(1)
BAD_BASE64["media"]["payload"] = "+33123456789!"
OTHER = media(1)
OTHER["streamSid"] = "MZ2"


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([TWILIO], "start while connecting"),
        ([media(1)], "while connecting"),
        ([said("stop")], "while connecting"),
        ([CONNECTED, CONNECTED], "connected while connected"),
        ([CONNECTED, media(1)], "while connected"),
        ([CONNECTED, TWILIO, TWILIO], "start while started"),
        ([CONNECTED, TWILIO, CONNECTED], "connected while started"),
        ([CONNECTED, TWILIO, said("stop"), media(1)], "while ended"),
        ([CONNECTED, TWILIO, OTHER], "another stream"),
        ([CONNECTED, TWILIO, said("cleared")], "an unknown event"),
        ([CONNECTED, TWILIO, media(1, track="both")], "neither inbound nor outbound"),
        ([CONNECTED, TWILIO, BAD_BASE64], "not base64"),
        ([CONNECTED, TWILIO, media(1, payload=b"")], "0 bytes of audio"),
        ([CONNECTED, TWILIO, media(1, at_ms=10**12)], "at timestamp"),
        ([CONNECTED, TWILIO, media(-1)], "at chunk"),
        ([CONNECTED, TWILIO, said("media")], "not as its protocol says"),
        ([CONNECTED, TWILIO, said("dtmf", dtmf={"digit": "55"})], "a key that is none"),
        ([CONNECTED, TWILIO | {"start": TWILIO["start"] | {"tracks": ["outbound"]}}], "no inbound track"),
        ([CONNECTED, without(TWILIO, "start", "callSid")], "not as its protocol says"),
        ([CONNECTED, without(TWILIO, "streamSid")], "not as its protocol says"),
        ([CONNECTED, without(TELNYX, "stream_id")], "without streamSid"),
        ([CONNECTED, with_format(encoding="audio/x-l16")], "a format that is not read"),
        ([CONNECTED, with_format(sampleRate=16000)], "a format that is not read"),
        ([CONNECTED, with_format(channels=2)], "a format that is not read"),
        ([b"\x00"], "a binary message"),
        (["[]"], "not as its protocol says"),
        (["{}"], "not as its protocol says"),
        (["\udc80"], "not as its protocol says"),
        (["{" * 10_000_000], "10000000 bytes"),
    ],
)
def test_what_breaks_the_protocol_is_refused(messages: list[dict[str, Any] | str | bytes], word: str) -> None:
    """Every wrong order, length and field raises one WireError that names it and shows no number."""
    with pytest.raises(WireError, match=word) as raised:
        read(*messages)
    assert "33123456789" not in str(raised.value)
