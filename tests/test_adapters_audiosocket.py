"""Asterisk AudioSocket, frame by frame."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.audiosocket import HANG_UP, AudioSocket
from emotion_triage.adapters.protocol import Audio, Digit, Ended, Reply, Started, WireEvent
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


def test_an_error_of_asterisk_ends_the_call() -> None:
    """Type 0xff with its code, or without one, ends the call as an error."""
    for code in (b"", b"\x04"):
        events, _ = read(AudioSocket(), NAME + PACKET + frame(0xFF, code))
        assert events[-1] == Ended(reason="error")


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
    ("message", "word"),
    [
        (PACKET, "before the UUID"),
        (frame(0x03, b"1"), "before the UUID"),
        (NAME + NAME, "twice"),
        (NAME + HANG_UP + PACKET, "after the hang-up"),
        (HANG_UP + HANG_UP, "after the hang-up"),
        (b"\x02\x00\x00", "type 0x02"),
        (b"\x19\x00\x00", "type 0x19"),
        (b"\x01\x00\x0f", "15 bytes for type 0x01"),
        (b"\x00\x00\x01", "1 bytes for type 0x00"),
        (NAME + b"\x03\x00\x02", "2 bytes for type 0x03"),
        (NAME + b"\xff\x00\x02", "2 bytes for type 0xff"),
        (NAME + frame(0x03, b"x"), "a key that is none"),
        (NAME + frame(0x03, b"\xe9"), "a key that is none"),
        (NAME + b"\x10\x00\x00", "0 bytes of audio"),
        (NAME + b"\x10\x01\x41", "321 bytes of audio"),
        (NAME + PACKET + frame(0x12, bytes(2)), "expected 8000 to the end"),
    ],
)
def test_what_breaks_the_protocol_is_refused_at_its_header(message: bytes, word: str) -> None:
    """Every wrong order, length and type raises one WireError that names it."""
    _, error = read(AudioSocket(), message)
    assert error is not None
    assert word in str(error)


def test_text_is_refused() -> None:
    """AudioSocket is bytes; text is a fault of the server that feeds it."""
    with pytest.raises(WireError, match="got text"):
        list(AudioSocket().receive("text"))


FRAMES = st.one_of(
    st.just(NAME),
    st.just(PACKET),
    st.just(HANG_UP),
    st.builds(frame, st.sampled_from([0x03, 0x10, 0x12, 0xFF, 0x02]), st.binary(max_size=6)),
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
