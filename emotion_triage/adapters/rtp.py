"""RTP: G.711 packets of one caller, put back in order; for a SIP leg or a fork that sends the caller's side alone.

Protocols: RFC 3550 (RTP), RFC 3551 (payload types 0, 8, 13 and 19), RFC 4733 (keys), RFC 5761 (RTCP on the same port).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, TypeAlias

import numpy as np

from emotion_triage.adapters.protocol import (
    Audio,
    Changed,
    Digit,
    Dropped,
    Ended,
    Hidden,
    Reply,
    Started,
    WireEvent,
    call_name,
)
from emotion_triage.adapters.reordering import PROBATION, Reordering
from emotion_triage.audio.g711 import decode_alaw, decode_mulaw, encode_alaw, encode_mulaw
from emotion_triage.audio.stream import Encoding

__all__ = ["Network", "Rtp", "UdpSocket"]

Network: TypeAlias = IPv4Network | IPv6Network
"""Addresses from which packets are taken."""

WIRE = "RTP"
_HEADER_BYTES = 12
_COUNTERS = struct.Struct(">BBHI")
# version 2, and neither padding, extension nor further sources
_PLAIN = 0x80
_ENCODINGS: dict[int, Encoding] = {0: "mulaw", 8: "alaw"}
_COMFORT_NOISE = (13, 19)
# 192 to 223 in the second byte: RTCP that shares the port
_RTCP = range(64, 96)
_RATE_HZ = 8000
_MAX_DATAGRAM_BYTES = 2048
_KEYS = "0123456789*#ABCD"
_QUEUED = 500
# A sender whose packets are interrupted as often by the caller's speaks beside the caller.
_BESIDE = 3
_MAX_SOURCES = 16
_SILENT_S = 2.0

_CODES = np.arange(256, dtype=np.uint8)
_RECODED = {
    (8, 0): bytes(encode_mulaw(decode_alaw(_CODES))),
    (0, 8): bytes(encode_alaw(decode_mulaw(_CODES))),
}
_STRAY = Dropped(why="stray")


class Rtp:
    """One caller's RTP: datagrams in, events out.

    The first packet names the source (SSRC). Another source takes its place once four of its packets came in a row, as
    after a transfer; one whose packets come between the caller's is another party, and never heard. Sequence numbers
    and timestamps may begin anew, and the codec may change between PCMU and PCMA: the stream goes on where it stands.

    Parameters
    ----------
    call_id : str
        The call's name, from its signalling.
    caller : Hidden of str, optional
        The caller's number, from its signalling.
    event_type : int
        Payload type of telephone events, as the SDP agreed.
    parameters : mapping of str to str, optional
        What `Started` carries along, from the signalling too.

    Examples
    --------
    >>> wire = Rtp(call_id="7f1c")
    >>> packet = bytes.fromhex("80000001 00000000 0000000a") + bytes(160)
    >>> [type(event).__name__ for event in wire.receive(packet)]
    ['Started', 'Audio']
    """

    byte_stream = False

    def __init__(
        self,
        *,
        call_id: str,
        caller: Hidden[str] | None = None,
        event_type: int = 101,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._call_id = call_name(call_id, WIRE)
        self._parameters = Hidden[Mapping[str, str]](parameters or {})
        self._caller = caller
        self._event_type = event_type
        self._order = Reordering()
        self._source: bytes | None = None
        self._started_with: int | None = None
        self._codec: int | None = None
        self._stamp = self._zero = self._newest = 0
        self._earlier: dict[bytes, int] = {}
        self._held: list[bytes] = []
        self._interrupted: dict[bytes, int] = {}
        self._key_at: int | None = None
        self._ended = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a datagram completes. Anyone can send to a port: what is no RTP of the caller's is dropped."""
        if (
            isinstance(message, bytes)
            and len(message) > _HEADER_BYTES
            and message[0] == _PLAIN
            and message[8:12] == self._source
            and message[1] & 0x7F == self._started_with == self._codec
            and not self._held
            and len(message) <= _MAX_DATAGRAM_BYTES
            and not self._ended
        ):
            yield from self._ordered(message, message[_HEADER_BYTES:])
            return
        payload = None if isinstance(message, str) else _payload(message)
        if isinstance(message, str) or payload is None or self._ended:
            yield _STRAY
            return
        kind, source = message[1] & 0x7F, message[8:12]
        if kind in _RTCP:
            return
        if source == self._source:
            if self._held:
                yield from self._interrupt()
            yield from self._packet(message, payload, kind)
        elif self._source is None:
            if kind in _ENCODINGS:
                self._source = source
            yield from self._packet(message, payload, kind)
        else:
            yield from self._another(message, source)

    def end(self) -> Iterator[WireEvent]:
        """Yield what was held back, and `Ended`: signalling tells the end, RTP does not."""
        if not self._ended:
            yield from self._let_go()
            yield from self._order.flush()
            self._ended = True
            yield Ended(reason="hangup")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield nothing: signalling ends a stream."""
        yield from ()

    def _packet(self, message: bytes, payload: bytes, kind: int) -> Iterator[WireEvent]:
        """Yield what a packet of the caller's source completes."""
        if kind in _ENCODINGS:
            if self._started_with is None:
                self._started_with = self._codec = kind
                self._stamp = int.from_bytes(message[4:8], "big")
                self._zero = self._stamp
                yield self._start(kind)
            elif kind != self._codec:
                self._codec = kind
                yield Changed("codec")
            if kind != self._started_with:
                payload = payload.translate(_RECODED[kind, self._started_with])
            if not payload:
                yield Dropped(why="empty", what="audio of 0 bytes")
        else:
            if kind == self._event_type:
                yield from self._key(message, payload)
            elif kind not in _COMFORT_NOISE:
                yield Dropped(why="unknown", what=f"payload type {kind}")
            payload = b""
        if self._started_with is not None:
            yield from self._ordered(message, payload)

    def _ordered(self, message: bytes, payload: bytes) -> list[Audio | Dropped | Changed]:
        """Return what a packet completes; of its counters, the numbers that are next to those before."""
        _, _, number, stamp = _COUNTERS.unpack_from(message)
        self._newest = number
        self._stamp = stamp = _nearest(stamp, self._stamp, 32)
        near = self._order.last
        return self._order.add(number if near is None else _nearest(number, near, 16), stamp - self._zero, payload)

    def _start(self, kind: int) -> Started:
        return Started(
            call_id=self._call_id,
            encoding=_ENCODINGS[kind],
            sample_rate_hz=_RATE_HZ,
            caller=self._caller,
            parameters=self._parameters,
        )

    def _another(self, message: bytes, source: bytes) -> Iterator[WireEvent]:
        """Take a packet of another source: the caller's next one, a source of before, or another party."""
        if self._interrupted.get(source, 0) >= _BESIDE:
            yield _STRAY
            return
        was_newest = self._earlier.get(source)
        if was_newest is not None and _nearest(_number(message), was_newest, 16) <= was_newest:
            yield _STRAY
            return
        last = self._held[-1] if self._held else b""
        if source != last[8:12] or _number(message) != (_number(last) + 1) % 2**16:
            yield from self._let_go()
        self._held.append(message)
        if was_newest is not None or len(self._held) >= PROBATION:
            yield from self._take_over(source)

    def _take_over(self, source: bytes) -> Iterator[WireEvent]:
        """Hear another source from now on, and what was held of it."""
        assert self._source is not None
        yield from self._order.begin_anew()
        yield Changed("source")
        if self._earlier.pop(source, None) is not None:
            # it was there first, so whoever spoke in between may be another party
            self._note_interruption(self._source)
        else:
            self._interrupted.pop(source, None)
            if len(self._earlier) < _MAX_SOURCES:
                self._earlier[self._source] = self._newest
        self._source = source
        held, self._held = self._held, []
        for message in held:
            payload = _payload(message)
            assert payload is not None
            yield from self._packet(message, payload, message[1] & 0x7F)

    def _interrupt(self) -> Iterator[WireEvent]:
        self._note_interruption(self._held[-1][8:12])
        yield from self._let_go()

    def _note_interruption(self, source: bytes) -> None:
        if source in self._interrupted or len(self._interrupted) < _MAX_SOURCES:
            self._interrupted[source] = self._interrupted.get(source, 0) + 1

    def _let_go(self) -> Iterator[WireEvent]:
        held, self._held = self._held, []
        for _ in held:
            yield _STRAY

    def _key(self, message: bytes, payload: bytes) -> Iterator[WireEvent]:
        stamp = int.from_bytes(message[4:8], "big")
        # the end of a key is sent three times with one stamp
        if len(payload) >= 4 and payload[1] & 0x80 and stamp != self._key_at and payload[0] < len(_KEYS):
            self._key_at = stamp
            yield Digit(digit=_KEYS[payload[0]])


def _number(message: bytes) -> int:
    return int.from_bytes(message[2:4], "big")


def _payload(message: bytes) -> bytes | None:
    """Return what is left of a packet without header, sources, extension and padding; None where it is no RTP."""
    if not _HEADER_BYTES <= len(message) <= _MAX_DATAGRAM_BYTES or message[0] >> 6 != 2:
        return None
    start = _HEADER_BYTES + 4 * (message[0] & 0x0F)
    if message[0] & 0x10:
        start += 4 + 4 * int.from_bytes(message[start + 2 : start + 4], "big")
    stop = len(message) - (message[-1] if message[0] & 0x20 else 0)
    return message[start:stop] if start <= stop else None


def _nearest(counter: int, near: int, bits: int) -> int:
    """Return the number that a counter of some bits stands for, next to one that is known."""
    half = 1 << (bits - 1)
    return near + (counter - near + half) % (1 << bits) - half


class UdpSocket(asyncio.DatagramProtocol):
    """Datagrams of one port as a `Socket`: give it to ``loop.create_datagram_endpoint``, end it with `stop`.

    The first RTP packet names the address from which all others have to come. After 2 s without any, the engine may
    have moved its media: another address takes over, if it is of the same host or one that `sources` names.

    Parameters
    ----------
    sources : collection of networks
        Where that first packet may come from; empty, from anywhere.

    Attributes
    ----------
    dropped : int
        Datagrams that came faster than they were read, the oldest first.
    foreign : int
        Datagrams of other addresses, and what came before the first packet and is none.

    Examples
    --------
    >>> udp, packet = UdpSocket(), bytes.fromhex("80000001 00000000 0000000a") + bytes(160)
    >>> for port in (4000, 4000, 5000):
    ...     udp.datagram_received(packet, ("192.0.2.7", port))
    >>> udp.foreign
    1
    """

    def __init__(self, sources: Collection[Network] = ()) -> None:
        self._waiting: deque[bytes] = deque()
        self._stopped = False
        self._reader: asyncio.Future[None] | None = None
        self._sources = sources
        self._peer: tuple[str, int] | None = None
        self._heard_s = 0.0
        self.dropped = self.foreign = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Queue a datagram of the one peer."""
        now_s = time.monotonic()
        if addr != self._peer:
            if not self._may_begin(data, addr[0], now_s):
                self.foreign += 1
                return
            self._peer = addr
        self._heard_s = now_s
        if len(self._waiting) >= _QUEUED:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(data)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _may_begin(self, data: bytes, host: str, now_s: float) -> bool:
        if _payload(data) is None or data[1] & 0x7F in _RTCP:
            return False
        if self._peer is not None:
            if now_s - self._heard_s < _SILENT_S:
                return False
            if not self._sources:
                return host == self._peer[0]
        address = ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return not self._sources or any((mapped or address) in network for network in self._sources)

    def stop(self) -> None:
        """End the stream: the call was hung up."""
        self._stopped = True
        self._wake()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Yield datagrams until `stop`; those that lie there are one wake-up."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._stopped:
                return
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    async def send(self, message: bytes | str, /) -> None:
        """Send nothing: RTP is heard here and never spoken."""
