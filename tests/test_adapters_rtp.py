"""RTP, packet by packet."""

from __future__ import annotations

import asyncio
import struct
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.protocol import Audio, Digit, Dropped, Ended, Hidden, Started, WireEvent
from emotion_triage.adapters.rtp import Rtp, UdpSocket
from emotion_triage.errors import WireError


def packet(
    number: int, *, at: int | None = None, kind: int = 0, source: int = 10, payload: bytes | None = None
) -> bytes:
    """Packet `number` of 20 ms, its counters about to wrap, its bytes telling its number."""
    stamp = number * 160 if at is None else at
    body = bytes([number % 256]) * 160 if payload is None else payload
    return struct.pack(">BBHII", 0x80, kind, (65530 + number) % 2**16, (2**32 - 400 + stamp) % 2**32, source) + body


def read(*messages: bytes, wire: Rtp | None = None) -> list[WireEvent]:
    wire = wire or Rtp(call_id="7f1c")
    return [event for message in messages for event in wire.receive(message)]


def heard(number: int) -> Audio:
    return Audio(payload=bytes([number]) * 160, at=number * 160)


def test_a_call_across_the_wrap_of_both_counters() -> None:
    """Packets in a row are a call of mu-law in which time goes on as their counters wrap."""
    wire = Rtp(call_id="7f1c", caller=Hidden("+33123456789"))
    started, *rest = read(*map(packet, range(20)), wire=wire)
    assert started == Started(call_id="7f1c", encoding="mulaw", sample_rate_hz=8000, caller=Hidden("+33123456789"))
    assert "33123456789" not in repr(started)
    assert rest == [heard(number) for number in range(20)]
    assert list(wire.end()) == [Ended(reason="hangup")]


def test_a_law() -> None:
    """Payload type 8 is A-law."""
    (started, _) = read(packet(0, kind=8))
    assert isinstance(started, Started)
    assert started.encoding == "alaw"


@given(st.permutations(range(1, 6)))
def test_any_order_within_what_waits_is_the_same_call(order: list[int]) -> None:
    """Five packets in any order come out as if they had come in order."""
    assert read(*map(packet, [0, *order, 6]))[1:] == [heard(number) for number in range(7)]


def test_a_lost_packet_is_a_gap() -> None:
    """After five packets have waited for one, they go on at their own stamps, and it is dropped if it comes at last."""
    events = read(*map(packet, [0, *range(2, 8), 1, 1, 8]))[1:]
    assert events == [heard(0), *map(heard, range(2, 8)), Dropped(why="late"), Dropped(why="late"), heard(8)]


def test_silence_that_is_not_sent_is_a_gap() -> None:
    """A stamp that jumps while the numbers go on, as after voice activity detection, is a gap at once."""
    events = read(packet(0), packet(1, at=16000))[1:]
    assert events == [heard(0), Audio(payload=b"\x01" * 160, at=16000)]


def test_a_key_comes_once() -> None:
    """A telephone event is a key at its end, however often the end is sent; comfort noise is no audio."""
    key = [packet(n, at=160, kind=101, payload=bytes([11, end, 0, 160])) for n, end in ((1, 0), (2, 0x80), (3, 0x80))]
    events = read(packet(0), *key, packet(4, kind=13, payload=b"\x40"))
    assert events[1:] == [heard(0), Digit(digit="#")]


def test_another_source_is_never_heard() -> None:
    """Packets of another source, the agent's among them, are dropped."""
    assert read(packet(0), packet(1, source=11), packet(1))[1:] == [heard(0), Dropped(why="stray"), heard(1)]


def test_lists_extensions_and_padding_are_taken_off() -> None:
    """What stands beside the audio in a packet is not heard."""
    header = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 0x02, 0, 1, 0, 10)
    message = header + bytes(8) + struct.pack(">HH", 0xBEDE, 1) + bytes(4) + b"\x07" * 160 + b"\x00\x00\x03"
    assert read(message)[1:] == [Audio(payload=b"\x07" * 160, at=0)]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(11),
        b"\x00" * 172,
        b"\x81" + bytes(11),
        b"\x90" + bytes(11),
        bytes([0xA0]) + bytes(10) + b"\xff",
        bytes(3000),
    ],
)
def test_what_is_no_rtp_is_dropped(message: bytes) -> None:
    """Anyone can send to a port: other datagrams, and reports of RTCP, do no more than be counted."""
    assert read(message) == [Dropped(why="stray")]
    assert read(packet(0), message, struct.pack(">BBHII", 0x80, 200, 6, 0, 10), packet(1))[-1] == heard(1)


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([packet(0, kind=9)], "payload type 9"),
        ([packet(0), packet(1, kind=8)], "another codec"),
        ([packet(0), packet(1, at=8000 * 3601)], "ahead"),
    ],
)
def test_what_breaks_the_protocol_is_refused(messages: list[bytes], word: str) -> None:
    """Another codec and a clock that jumps raise a WireError that names them."""
    with pytest.raises(WireError, match=word):
        read(*messages)


def test_a_number_in_a_name_is_hidden() -> None:
    """A call that is named by a telephone number goes by an alias; the engine can still be addressed by the name."""
    wire = Rtp(call_id="+33123456789")
    started = next(wire.receive(packet(0)))
    assert isinstance(started, Started)
    assert "123456789" not in repr(started)
    assert started.engine_id is not None
    assert started.engine_id.reveal() == "+33123456789"


def test_one_address_is_the_peer() -> None:
    """Of the addresses that may begin, the first to send RTP is heard, and what others send is counted alone."""
    udp = UdpSocket([ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")])
    for host, message in [
        ("198.51.100.1", packet(0)),
        ("192.0.2.7", b"no RTP"),
        ("192.0.2.7", struct.pack(">BBHII", 0x80, 200, 6, 0, 10)),
        ("::ffff:192.0.2.8", packet(1)),
        ("192.0.2.7", packet(0)),
        ("::ffff:192.0.2.8", b"no RTP"),
    ]:
        udp.datagram_received(message, (host, 4000))
    udp.datagram_received(packet(2), ("::ffff:192.0.2.8", 4001))
    assert udp.foreign == 5
    assert drained(udp) == [packet(1), b"no RTP"]


def test_a_flood_grows_no_queue() -> None:
    """Datagrams that nobody reads are dropped from the oldest on, and counted; the end still comes."""
    udp = UdpSocket()
    for number in range(3000):
        udp.datagram_received(packet(number), ("192.0.2.7", 4000))
    kept = drained(udp)
    assert udp.dropped == 2500
    assert kept == [packet(number) for number in range(2501, 3000)]


def drained(udp: UdpSocket) -> list[bytes | str]:
    async def read() -> list[bytes | str]:
        udp.stop()
        return [message async for message in udp]

    return asyncio.run(read())
