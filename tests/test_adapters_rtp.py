"""RTP, packet by packet."""

from __future__ import annotations

import asyncio
import struct
from ipaddress import ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.protocol import Audio, Changed, Digit, Dropped, Ended, Hidden, Started, WireEvent
from emotion_triage.adapters.rtp import Rtp, UdpSocket
from emotion_triage.audio.g711 import decode_mulaw, encode_alaw, encode_mulaw


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


STRAY = Dropped(why="stray")
LATE = Dropped(why="late")


def spoken(events: list[WireEvent]) -> list[WireEvent]:
    """The audio alone, and whether each follows the one before without a gap."""
    audio = [event for event in events if isinstance(event, Audio)]
    ends = [0, *(event.at + len(event.payload) for event in audio if event.at is not None)]
    assert [event.at for event in audio] == ends[:-1]
    return [event.payload[0] for event in audio]


def raw(seq: int, stamp: int, body: int, *, kind: int = 0, source: int = 10) -> bytes:
    """A packet with these counters exactly, its bytes all `body`."""
    return struct.pack(">BBHII", 0x80, kind, seq % 2**16, stamp % 2**32, source) + bytes([body]) * 160


def test_a_new_source_goes_on_where_the_stream_stands() -> None:
    """After a transfer another SSRC, with counters of its own, is heard from its first packet on, and that is said."""
    before = [raw(i, 160 * i, i) for i in range(50)]
    after = [raw(41000 + i, 3_000_000_000 + 160 * i, 50 + i, source=11) for i in range(50)]
    wire = Rtp(call_id="7f1c")
    events = read(*before, *after, wire=wire)
    assert spoken(events) == list(range(100))
    assert [event for event in events if isinstance(event, Changed | Dropped)] == [Changed("source")]
    assert list(wire.end()) == [Ended(reason="hangup")]


def test_sources_may_take_turns() -> None:
    """Music on hold between: to another source and back, again and again, and every packet is heard."""
    parts = [[raw(100 * turn + i, 160 * i, i, source=10 + turn % 2) for i in range(20)] for turn in range(8)]
    events = read(*(packet for part in parts for packet in part))
    assert len(spoken(events)) == 160
    assert events.count(Changed("source")) == 7


def test_a_party_beside_the_caller_is_never_heard() -> None:
    """Packets of another source between the caller's are another party's, also later, when the caller is silent."""
    both = [raw(i, 160 * i, i, source=source) for i in range(10) for source in (10, 11)]
    alone = [raw(i, 160 * i, 200, source=11) for i in range(10, 500)]
    events = read(*both, *alone, raw(10, 160 * 490, 10))
    assert [event.payload[0] for event in events if isinstance(event, Audio)] == list(range(11))
    assert events.count(STRAY) == 500
    assert not any(isinstance(event, Changed) for event in events)


def test_a_party_that_speaks_into_the_callers_silence_is_found_out() -> None:
    """Whoever spoke while the caller was silent is no longer heard once both are heard at a time."""
    silent = [raw(i, 160 * i, 200, source=11) for i in range(10)]
    both = [raw(i, 160 * i, i, source=source) for i in range(20, 40) for source in (10, 11)]
    alone = [raw(i, 160 * i, 201, source=11) for i in range(40, 100)]
    events = read(raw(0, 0, 0), *silent, *both, *alone)
    bodies = [event.payload[0] for event in events if isinstance(event, Audio)]
    assert 201 not in bodies
    assert set(range(20, 40)) <= set(bodies)


def test_a_straggler_of_the_source_before_changes_nothing() -> None:
    """A packet of the former source that comes after the change is dropped."""
    before = [raw(i, 160 * i, i) for i in range(10)]
    after = [raw(i, 160 * i, 50 + i, source=11) for i in range(10)]
    events = read(*before[:9], *after[:8], before[8], *after[8:])
    assert spoken(events) == [*range(9), *range(50, 60)]
    assert events.count(STRAY) == 1


def test_three_packets_of_another_source_are_not_enough() -> None:
    """Before four in a row came, nothing of another source is heard, at the end neither."""
    wire = Rtp(call_id="7f1c")
    events = read(raw(0, 0, 0), *(raw(i, 160 * i, 1, source=11) for i in range(3)), wire=wire)
    assert spoken([*events, *wire.end()]) == [0]


@pytest.mark.parametrize(
    ("seq", "stamp"),
    [(0, 0), (50, 3_000_000_000), (40000, 160 * 50), (20000, 123_456_789), (65530, 2**32 - 500), (30, 160 * 50)],
)
def test_counters_that_begin_anew_are_followed(seq: int, stamp: int) -> None:
    """Sequence numbers, timestamps or both may begin anew anywhere: every packet is heard, in order, without a gap."""
    before = [raw(i, 160 * i, i) for i in range(50)]
    after = [raw(seq + i, stamp + 160 * i, 50 + i) for i in range(50)]
    wire = Rtp(call_id="7f1c")
    events = [*read(*before, *after, wire=wire), *wire.end()]
    assert spoken(events) == list(range(100))
    assert events.count(Changed("clock")) == 1
    assert LATE not in events


def test_a_clock_that_stands_still_is_heard() -> None:
    """A sender whose timestamps never move is heard by its numbers."""
    assert spoken(read(*(raw(i, 4711, i) for i in range(200)))) == list(range(200))


def test_copies_are_heard_once() -> None:
    """Each packet twice, a block again, and a mirror that lags: every packet is heard once."""
    packets = [raw(i, 160 * i, i) for i in range(60)]
    twice = [each for packet in packets for each in (packet, packet)]
    block = [*packets[:20], *packets[:20], *packets[20:]]
    mirror = [*packets[:10], *(each for i in range(10, 60) for each in (packets[i], packets[i - 10]))]
    for messages, n_copies in ((twice, 60), (block, 20), (mirror, 50)):
        events = read(*messages)
        assert spoken(events) == list(range(60))
        assert events.count(LATE) == n_copies


def test_another_codec_is_heard_on() -> None:
    """From PCMU to PCMA and back the caller is heard, as close as both codes allow, and that is said."""
    ulaw = encode_mulaw(np.linspace(-0.9, 0.9, 160).astype(np.float32))
    alaw = encode_alaw(decode_mulaw(ulaw))
    kinds = [0, 0, 8, 8, 0]
    messages = [packet(i, kind=kind, payload=alaw if kind else ulaw) for i, kind in enumerate(kinds)]
    events = read(*messages)
    audio = [event for event in events if isinstance(event, Audio)]
    assert [event.at for event in audio] == [0, 160, 320, 480, 640]
    assert events.count(Changed("codec")) == 2
    for event in audio:
        assert np.allclose(decode_mulaw(event.payload), decode_mulaw(ulaw), atol=0.05)


@pytest.mark.parametrize("kind", [3, 4, 9, 18, 96, 111, 126])
def test_another_payload_type_is_counted_and_not_heard(kind: int) -> None:
    """What cannot be decoded is passed over, however long, and G.711 after it is heard at its time."""
    events = read(packet(0), *(packet(i, kind=kind) for i in range(1, 50)), packet(50))
    unknown = Dropped(why="unknown", what=f"payload type {kind}")
    assert events[1:] == [heard(0), *[unknown] * 49, heard(50)]
    assert read(packet(0, kind=kind)) == [unknown]


@pytest.mark.parametrize("kind", [13, 19, 101, 64, 72, 73, 77, 95])
def test_what_is_not_audio_holds_nothing_up(kind: int) -> None:
    """Comfort noise of either payload type, keys and RTCP on the port: packets after them are heard at once."""
    between = packet(1, at=160, kind=kind, payload=bytes([1, 0, 0, 80]))
    assert read(packet(0), between, *([packet(2)] if kind < 64 or kind == 101 else [packet(1)]))[1:] == [
        heard(0),
        heard(2 if kind < 64 or kind == 101 else 1),
    ]


def test_tones_that_are_no_keys_are_passed_over() -> None:
    """A flash and other events of RFC 4733 are no keys, and a key of no length is none."""
    odd = [packet(i, at=160, kind=101, payload=body) for i, body in enumerate([bytes([16, 128, 0, 1]), b"", b"1"], 1)]
    assert read(packet(0), *odd, packet(4))[1:] == [heard(0), heard(4)]


def test_an_empty_packet_is_counted() -> None:
    """G.711 without a single sample is passed over."""
    assert read(packet(0), packet(1, payload=b""), packet(2))[1:] == [
        heard(0),
        Dropped(why="empty", what="audio of 0 bytes"),
        heard(2),
    ]


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


def test_the_engine_may_move_its_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a silence another port of the same host is heard, and another host where the configuration names it."""
    clock = {"s": 100.0}
    monkeypatch.setattr("time.monotonic", lambda: clock["s"])
    anywhere, named = UdpSocket(), UdpSocket([ip_network("192.0.2.0/24")])
    for udp in (anywhere, named):
        udp.datagram_received(packet(0), ("192.0.2.7", 4000))
        udp.datagram_received(packet(1), ("192.0.2.7", 4002))
    assert (anywhere.foreign, named.foreign) == (1, 1)
    clock["s"] += 2.5
    for udp in (anywhere, named):
        udp.datagram_received(packet(2), ("198.51.100.1", 4000))
        udp.datagram_received(struct.pack(">BBHII", 0x80, 200, 6, 0, 10), ("192.0.2.7", 4002))
    assert (anywhere.foreign, named.foreign) == (3, 3)
    anywhere.datagram_received(packet(3), ("192.0.2.7", 4002))
    named.datagram_received(packet(3), ("192.0.2.9", 5000))
    assert (anywhere.foreign, named.foreign) == (3, 3)
    assert drained(anywhere) == drained(named) == [packet(0), packet(3)]


def test_a_flood_grows_no_queue() -> None:
    """Datagrams that nobody reads are dropped from the oldest on, and counted; the end still comes."""
    udp = UdpSocket()
    for number in range(3000):
        udp.datagram_received(packet(number), ("192.0.2.7", 4000))
    kept = drained(udp)
    assert udp.dropped == 2500
    assert kept == [packet(number) for number in range(2500, 3000)]


def drained(udp: UdpSocket) -> list[bytes | str]:
    async def read() -> list[bytes | str]:
        udp.stop()
        return [message async for message in udp]

    return asyncio.run(read())
