"""Twilio Media Streams and Telnyx's dialect, message by message."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.protocol import Audio, Changed, Complained, Digit, Dropped, Ended, Started, WireEvent
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


UNPADDED = media(2, payload=bytes([2]) * 160)
UNPADDED["media"]["payload"] = UNPADDED["media"]["payload"].rstrip("=")
URL_SAFE = media(2, payload=bytes([0xFB, 0xFF]) * 80)
URL_SAFE["media"]["payload"] = base64.urlsafe_b64encode(bytes([0xFB, 0xFF]) * 80).decode().rstrip("=")


def changed(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The media message with other fields in its body; None stands for null."""
    return message | {"media": message["media"] | fields}


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([CONNECTED, TWILIO | {"start": TWILIO["start"] | {"tracks": ["outbound"]}}], "no inbound track"),
        ([CONNECTED, without(TWILIO, "start", "callSid")], "not as its protocol says"),
        ([CONNECTED, without(TWILIO, "streamSid")], "without streamSid"),
        ([CONNECTED, without(TELNYX, "stream_id")], "without streamSid"),
        ([CONNECTED, with_format(encoding="audio/x-l16")], "a format that is not read"),
        ([CONNECTED, with_format(sampleRate=16000)], "a format that is not read"),
        ([CONNECTED, with_format(channels=2)], "a format that is not read"),
    ],
)
def test_a_start_of_which_nothing_could_be_heard_is_refused(
    messages: list[dict[str, Any] | str | bytes], word: str
) -> None:
    """A stream without the caller, of another format or without a name raises one WireError that shows no number."""
    with pytest.raises(WireError, match=word) as raised:
        read(*messages)
    assert "33123456789" not in str(raised.value)


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (CONNECTED, Dropped(why="repeated", what="connected")),
        (TWILIO, Dropped(why="repeated", what="start")),
        (TWILIO | {"streamSid": "MZ2"}, Dropped(why="stray", what="start")),
        (OTHER, Dropped(why="stray", what="media of another stream")),
        (said("stop") | {"streamSid": "MZ2"}, Dropped(why="stray", what="stop of another stream")),
        (said("cleared"), Dropped(why="unknown", what="cleared")),
        (said("+33123456789"), Dropped(why="unknown", what="no name")),
        (said("speech_started", at=12, nested={"a": [None]}), Dropped(why="unknown", what="speech_started")),
        ({"event": None}, Dropped(why="unreadable", what="text")),
        (media(2, track="both"), Dropped(why="stray", what="track both")),
        (changed(media(2), track=None), Dropped(why="unreadable", what="media")),
        (BAD_BASE64, Dropped(why="unreadable", what="media")),
        (changed(media(2), payload=None), Dropped(why="unreadable", what="media")),
        (media(2, payload=b""), Dropped(why="empty", what="audio of 0 bytes")),
        (media(-1), Dropped(why="unreadable", what="media")),
        (said("media"), Dropped(why="unreadable", what="media")),
        (said("media", media=None), Dropped(why="unreadable", what="media")),
        (said("dtmf", dtmf={"digit": "55"}), Dropped(why="unreadable", what="a key that is none")),
        (said("dtmf"), Dropped(why="unreadable", what="dtmf")),
        (b"\x00", Dropped(why="unreadable", what="a binary message")),
        (b"", Dropped(why="unreadable", what="a binary message")),
        ("", Dropped(why="unreadable", what="text")),
        ("[]", Dropped(why="unreadable", what="text")),
        ("{}", Dropped(why="unreadable", what="text")),
        ("\udc80", Dropped(why="unreadable", what="text")),
        pytest.param(
            "{" * 10_000_000,
            Dropped(why="unreadable", what="a message of 10000000 bytes, more than 65536"),
            id="very long",
        ),
    ],
)
def test_what_is_not_understood_is_passed_over(message: dict[str, Any] | str | bytes, dropped: Dropped) -> None:
    """Any message that is not understood is counted, its content not shown, and the call is heard before and after."""
    first, last = media(1), media(3, at_ms=20)
    events = read(CONNECTED, TWILIO, first, message, last)
    assert [event for event in events[1:] if event != dropped] == [packet(1, 0), packet(3, 160)]
    assert events.count(dropped) == 1
    assert "33123456789" not in repr(events)


@pytest.mark.parametrize("message", [CONNECTED, said("cleared"), said("dtmf"), {"event": None}, b"\x00", "", "[]"])
def test_before_the_start_nothing_ends_the_call_either(message: dict[str, Any] | str | bytes) -> None:
    """What is not understood ahead of the start is counted, and the call begins."""
    events = read(CONNECTED, message, TWILIO, media(1))
    assert [type(event) for event in events] == [Dropped, Started, Audio]


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        (UNPADDED, bytes([2]) * 160),
        (URL_SAFE, bytes([0xFB, 0xFF]) * 80),
        (changed(media(2), payload=media(2)["media"]["payload"] + "\r\n"), bytes([2]) * 160),
        (changed(media(2), chunk=2, timestamp=20), bytes([2]) * 160),
        (changed(media(2), chunk=None, timestamp=None), bytes([2]) * 160),
        (changed(media(2), timestamp=10**12), bytes([2]) * 160),
        (changed(media(2), track="inbound_track", extra={"level": 3}), bytes([2]) * 160),
        (media(2) | {"streamSid": None, "sequenceNumber": None, "note": None}, bytes([2]) * 160),
    ],
)
def test_the_same_audio_in_other_clothes_is_heard(message: dict[str, Any], payload: bytes) -> None:
    """Unpadded and URL-safe base64, numbers as numbers, text or null, unknown keys and names: the audio is heard."""
    audio = [event for event in read(CONNECTED, TWILIO, media(1), message) if isinstance(event, Audio)]
    assert audio == [packet(1, 0), Audio(payload=payload, at=160)]


def test_messages_of_json_in_binary_are_read() -> None:
    """A proxy may send the same text as binary messages."""
    events = read(*(json.dumps(message).encode() for message in (CONNECTED, TWILIO, media(1), said("stop"))))
    assert events[1:] == [packet(1, 0), Ended(reason="hangup")]


@pytest.mark.parametrize("n_early", [1, 3, 50])
def test_audio_ahead_of_the_start_is_kept(n_early: int) -> None:
    """Media that comes before its start, as Telnyx allows, is heard first; that of another stream is not."""
    early = [media(chunk) for chunk in range(1, n_early + 1)]
    events = read(CONNECTED, *early, TWILIO, media(n_early + 1))
    assert events[1:] == [packet(chunk, 160 * (chunk - 1)) for chunk in range(1, n_early + 2)]
    assert read(CONNECTED, OTHER, TWILIO)[1:] == [Dropped(why="stray", what="media of another stream")]


def test_of_audio_ahead_of_the_start_no_more_than_a_second_is_kept() -> None:
    """What comes beyond is counted, so that no peer makes this side keep it all."""
    events = read(*(media(chunk) for chunk in range(1, 61)))
    assert events == [Dropped(why="early", what="media before start")] * 10


def test_a_start_without_connected_and_with_odd_fields_is_a_call() -> None:
    """Null, numbers and unknown keys in a start are no reason to hear nothing."""
    odd = json.loads(json.dumps(TWILIO))
    odd["start"] |= {"tracks": None, "customParameters": {"line": 7, "vip": True, "note": None}, "region": "ie1"}
    odd["start"]["mediaFormat"]["sampleRate"] = "8000"
    (started,) = read(odd)
    assert isinstance(started, Started)
    assert started.parameters.reveal() == {"line": "7", "vip": "true"}
    assert read(TWILIO | {"start": TWILIO["start"] | {"customParameters": None}})[0] is not None


@pytest.mark.parametrize(("chunk", "at_ms"), [(1, 0), (1, 5000), (5000, 0), (31, 90_000_000)])
def test_counts_that_begin_anew_are_followed(chunk: int, at_ms: int) -> None:
    """A stream whose chunks, stamps or both begin anew is heard on, and that is said."""
    before = [media(n) for n in range(1, 31)]
    after = [media(chunk + n, at_ms=at_ms + 20 * n, payload=bytes([100 + n]) * 160) for n in range(30)]
    events = read(CONNECTED, TWILIO, *before, *after)
    audio = [event for event in events if isinstance(event, Audio)]
    assert [event.payload[0] for event in audio] == [*range(1, 31), *range(100, 130)]
    assert [event.at for event in audio] == [160 * n for n in range(60)]
    assert Changed("clock") in events


def test_nothing_is_heard_after_stop() -> None:
    """What comes after the end is counted."""
    events = read(CONNECTED, TWILIO, said("stop"), media(1))
    assert events[1:] == [Ended(reason="hangup"), Dropped(why="stray", what="media after stop")]
