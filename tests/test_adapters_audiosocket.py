"""Asterisk AudioSocket, frame by frame."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.audiosocket import HANG_UP, AudioSocket
from emotion_triage.adapters.protocol import Audio, Complained, Digit, Dropped, Ended, Reply, Started, WireEvent
from emotion_triage.errors import WireError

CALL = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
NAME = b"\x01\x00\x10" + CALL.bytes
PACKET = b"\x10\x01\x40" + bytes(range(160)) * 2


def frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def read(wire: AudioSocket, *messages: bytes) -> tuple[list[WireEvent], WireError | None]:
    """The events of some messages, and the fault that ended them."""
    events: list[WireEvent] = []
    try:
        for message in messages:
            for event in wire.receive(message):
                events.append(event)
    except WireError as error:
        return events, error
    return events, None


def test_a_call_from_its_name_to_the_hang_up() -> None:
    """A UUID, 320-byte packets of 8 kHz, a key and a hang-up are a call of pcm16 with its audio, key and end."""
    events, error = read(AudioSocket(), NAME + PACKET, frame(0x03, b"5"), PACKET + HANG_UP)
    started = Started(call_id=str(CALL), encoding="pcm16", sample_rate_hz=8000)
    packet = Audio(payload=PACKET[3:])
    assert events == [started, packet, Digit(digit="5"), packet, Ended(reason="hangup")]
    assert error is None


@pytest.mark.parametrize(
    ("kind", "rate_hz"),
    [(0x10, 8000), (0x11, 12000), (0x12, 16000), (0x13, 24000), (0x14, 32000), (0x15, 44100), (0x16, 48000)],
)
def test_the_type_of_audio_is_its_rate(kind: int, rate_hz: int) -> None:
    """Types 0x10 to 0x16 are signed linear audio of 8 to 48 kHz."""
    events, _ = read(AudioSocket(), NAME + frame(kind, bytes(4)))
    assert events == [
        Started(call_id=str(CALL), encoding="pcm16", sample_rate_hz=rate_hz),
        Audio(payload=bytes(4)),
    ]


@pytest.mark.parametrize("kind", [0x17, 0x18])
def test_rates_beyond_what_is_scored_are_refused(kind: int) -> None:
    """96 and 192 kHz are named and refused."""
    events, error = read(AudioSocket(), NAME + frame(kind, bytes(4)))
    assert not events
    assert "expected at most 48000" in str(error)


def test_an_error_of_asterisk_is_told_and_the_call_goes_on() -> None:
    """Type 0xff with its code, or without one, is a complaint; a connection that goes after it ended by an error."""
    wire = AudioSocket()
    events, _ = read(wire, NAME + PACKET + frame(0xFF, b"\x04") + PACKET + frame(0xFF, b""))
    packet = Audio(payload=PACKET[3:])
    assert events[1:] == [packet, Complained(code=4), packet, Complained(code=0)]
    assert list(wire.end()) == [Ended(reason="error")]


def test_a_cut_is_told_from_a_hang_up() -> None:
    """A connection that goes mid-frame is cut; one that goes after the hang-up frame says nothing more."""
    cut, whole = AudioSocket(), AudioSocket()
    read(cut, NAME + PACKET[:100])
    read(whole, NAME + PACKET + HANG_UP)
    assert list(cut.end()) == [Ended(reason="cut")]
    assert list(cut.end()) == []
    assert list(whole.end()) == []


def test_stopping_hangs_up_the_socket() -> None:
    """To want no more audio is to send the hang-up frame, so that the dialplan goes on."""
    wire = AudioSocket()
    read(wire, NAME)
    assert list(wire.close(reason="completed")) == [Reply(b"\x00\x00\x00")]
    read(wire, HANG_UP)
    assert list(wire.close(reason="completed")) == []


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (b"\x02\x00\x00", Dropped(why="unknown", what="type 0x02")),
        (frame(0x02, b"digits"), Dropped(why="unknown", what="type 0x02")),
        (frame(0x19, bytes(640)), Dropped(why="unknown", what="type 0x19")),
        (frame(0x7F, bytes(65535)), Dropped(why="unknown", what="type 0x7f")),
        (NAME, Dropped(why="repeated", what="UUID")),
        (frame(0x01, bytes(15)), Dropped(why="unreadable", what="a UUID of 15 bytes")),
        (frame(0x03, b""), Dropped(why="unreadable", what="a key that is none")),
        (frame(0x03, b"12"), Dropped(why="unreadable", what="a key that is none")),
        (frame(0x03, b"x"), Dropped(why="unreadable", what="a key that is none")),
        (frame(0x03, b"\xe9"), Dropped(why="unreadable", what="a key that is none")),
        (b"\x10\x00\x00", Dropped(why="empty", what="audio of 0 bytes")),
        (frame(0x10, bytes(321)), Dropped(why="unreadable", what="321 bytes of audio in samples of 2")),
        (frame(0x12, bytes(640)), Dropped(why="unknown", what="audio at 16000 Hz in a call of 8000 Hz")),
        (frame(0x18, bytes(640)), Dropped(why="unknown", what="audio at 192000 Hz in a call of 8000 Hz")),
    ],
)
def test_what_is_not_understood_is_passed_over(message: bytes, dropped: Dropped) -> None:
    """Any frame that is not understood is counted, and the call is heard before and after."""
    packet = Audio(payload=PACKET[3:])
    events, error = read(AudioSocket(), NAME + PACKET + message + PACKET + HANG_UP)
    assert error is None
    assert events[1:] == [packet, dropped, packet, Ended(reason="hangup")]


@pytest.mark.parametrize("n_early", [1, 3, 50])
def test_audio_ahead_of_the_uuid_is_kept(n_early: int) -> None:
    """Frames that come before the UUID are heard once it is there; keys and unknown ones hold nothing up."""
    events, error = read(AudioSocket(), PACKET * n_early + b"\x02\x00\x00" + frame(0x03, b"1"), NAME + PACKET)
    assert error is None
    assert events[:2] == [Dropped(why="unknown", what="type 0x02"), Digit(digit="1")]
    assert events[2:] == [
        Started(call_id=str(CALL), encoding="pcm16", sample_rate_hz=8000),
        *[Audio(payload=PACKET[3:])] * (n_early + 1),
    ]


def test_what_shows_no_uuid_is_no_audiosocket() -> None:
    """Audio without end, or bytes of another protocol, are given up once 65536 bytes came without a UUID."""
    events, error = read(AudioSocket(), *[PACKET] * 300)
    assert error is not None
    assert "without a UUID" in str(error)
    assert set(events) == {Dropped(why="early", what="audio before the UUID")}
    _, error = read(AudioSocket(), *[b"GET / HTTP/1.1\r\nHost: triage\r\n\r\n"] * 3000)
    assert "without a UUID" in str(error)


@pytest.mark.parametrize("message", [PACKET, HANG_UP, NAME, b"\x02\x00\x00"])
def test_nothing_is_heard_after_the_hang_up(message: bytes) -> None:
    """Frames after the hang-up are counted, in the same bytes too, and are no fault."""
    events, error = read(AudioSocket(), NAME + PACKET + HANG_UP + message)
    assert error is None
    assert events[-2:] == [
        Ended(reason="hangup"),
        Dropped(why="stray", what=f"type 0x{message[0]:02x} after the hang-up"),
    ]


def test_text_is_refused() -> None:
    """AudioSocket is bytes; text is a fault of the server that feeds it."""
    with pytest.raises(WireError, match="got text"):
        list(AudioSocket().receive("text"))


FRAMES = st.one_of(
    st.just(NAME),
    st.just(PACKET),
    st.just(HANG_UP),
    st.builds(frame, st.sampled_from([0x03, 0x10, 0x12, 0x18, 0xFF, 0x02]), st.binary(max_size=6)),
    st.binary(max_size=40),
)
STREAMS = st.builds(
    lambda first, rest: first + b"".join(rest), st.sampled_from([NAME, b""]), st.lists(FRAMES, max_size=8)
)


@given(STREAMS, st.lists(st.integers(0, 3000), max_size=20))
def test_no_cut_of_the_bytes_changes_an_event(stream: bytes, cuts: list[int]) -> None:
    """The same bytes make the same events and the same fault, however they are cut, one by one too."""
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    parts = [stream[start:stop] for start, stop in itertools.pairwise(places)]
    single = [stream[i : i + 1] for i in range(len(stream))]
    whole, by_parts, by_bytes = (read(AudioSocket(), *each) for each in ([stream], parts, single))
    assert whole[0] == by_parts[0] == by_bytes[0]
    assert str(whole[1]) == str(by_parts[1]) == str(by_bytes[1])
