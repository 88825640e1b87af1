"""RTP: G.711 packets of one stream, put back in order; for a SIP leg or a fork that sends the caller's side alone.

Protocols: RFC 3550 (RTP), RFC 3551 (payload types 0, 8 and 13), RFC 4733 (keys).
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, TypeAlias

from emotion_triage.adapters.protocol import Audio, Digit, Dropped, Ended, Hidden, Reply, Started, WireEvent, call_name
from emotion_triage.audio.stream import Encoding
from emotion_triage.errors import WireError

__all__ = ["Network", "Rtp", "UdpSocket"]

Network: TypeAlias = IPv4Network | IPv6Network
"""Addresses from which packets are taken."""

WIRE = "RTP"
_HEADER_BYTES = 12
_ENCODINGS: dict[int, Encoding] = {0: "mulaw", 8: "alaw"}
_COMFORT_NOISE = 13
_RTCP = range(72, 77)
_RATE_HZ = 8000
# Packets are 20 ms: those of 100 ms wait for one that is missing, then it is lost.
_WAITING = 5
_MAX_DATAGRAM_BYTES = 2048
_MAX_JUMP_S = 3600
_KEYS = "0123456789*#ABCD"
_QUEUED = 500


class Rtp:
    """One RTP stream's protocol: datagrams in, events out.

    The first packet names the source; packets of another source are dropped, so that no other party can come in.

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
        self._source: bytes | None = None
        self._payload_type: int | None = None
        self._first = (0, 0)
        self._waiting: list[tuple[int, int, bytes]] = []
        self._last = -1
        self._next = 0
        self._newest = (0, 0)
        self._key_at: int | None = None
        self._ended = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a datagram completes.

        Raises
        ------
        WireError
            If its codec is not G.711 or its clock jumps. Anyone can send to a port: what is no RTP is dropped.
        """
        payload = None if isinstance(message, str) else _payload(message)
        if isinstance(message, str) or payload is None:
            yield Dropped(why="stray")
            return
        kind, source = message[1] & 0x7F, message[8:12]
        if self._ended or self._source not in (None, source) or kind in _RTCP:
            yield Dropped(why="stray")
        elif kind == self._event_type:
            yield from self._key(message, payload)
        elif kind in _ENCODINGS:
            if self._source is None:
                yield self._start(message, kind)
            if kind != self._payload_type:
                raise WireError(
                    f"{WIRE}: got another codec within the call, expected payload type {self._payload_type}"
                )
            yield from self._audio(message, payload)
        elif kind != _COMFORT_NOISE:
            raise WireError(
                f"{WIRE}: got payload type {kind}, expected 0 (PCMU), 8 (PCMA), 13 or {self._event_type}; "
                "offer G.711 alone in the SDP"
            )

    def end(self) -> Iterator[WireEvent]:
        """Yield what was held back, and `Ended`: signalling tells the end, RTP does not."""
        if not self._ended:
            yield from self._release(0)
            self._ended = True
            yield Ended(reason="hangup")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield nothing: signalling ends a stream."""
        yield from ()

    def _start(self, message: bytes, kind: int) -> Started:
        self._source, self._payload_type = message[8:12], kind
        self._first = self._newest = int.from_bytes(message[2:4], "big"), int.from_bytes(message[4:8], "big")
        return Started(
            call_id=self._call_id,
            encoding=_ENCODINGS[kind],
            sample_rate_hz=_RATE_HZ,
            caller=self._caller,
            parameters=self._parameters,
        )

    def _audio(self, message: bytes, payload: bytes) -> Iterator[WireEvent]:
        sequence = _nearest(int.from_bytes(message[2:4], "big"), self._newest[0], 16)
        stamp = _nearest(int.from_bytes(message[4:8], "big"), self._newest[1], 32)
        number, at = sequence - self._first[0], stamp - self._first[1]
        if number <= self._last or at < self._next or any(number == other for other, _, _ in self._waiting):
            yield Dropped(why="late")
            return
        if stamp - self._newest[1] > _MAX_JUMP_S * _RATE_HZ:
            raise WireError(f"{WIRE}: got a timestamp more than {_MAX_JUMP_S} s ahead, expected one clock a stream")
        self._newest = max(self._newest, (sequence, stamp))
        if payload:
            insort(self._waiting, (number, at, payload))
        yield from self._release(_WAITING)

    def _release(self, waiting: int) -> Iterator[WireEvent]:
        while self._waiting:
            number, at, payload = self._waiting[0]
            if number != self._last + 1 and at > self._next and len(self._waiting) <= waiting:
                return
            del self._waiting[0]
            self._last = number
            if at < self._next:
                yield Dropped(why="late")
            else:
                self._next = at + len(payload)
                yield Audio(payload=payload, at=at)

    def _key(self, message: bytes, payload: bytes) -> Iterator[WireEvent]:
        stamp = int.from_bytes(message[4:8], "big")
        # the end of a key is sent three times with one stamp
        if len(payload) >= 4 and payload[1] & 0x80 and stamp != self._key_at and payload[0] < len(_KEYS):
            self._key_at = stamp
            yield Digit(digit=_KEYS[payload[0]])


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

    The first RTP packet names the address from which all others have to come.

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
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED)
        self._sources = sources
        self._peer: tuple[str, int] | None = None
        self.dropped = self.foreign = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Queue a datagram of the one peer."""
        if self._peer is None and self._may_begin(data, addr[0]):
            self._peer = addr
        if addr != self._peer:
            self.foreign += 1
            return
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(data)

    def _may_begin(self, data: bytes, host: str) -> bool:
        if _payload(data) is None or data[1] & 0x7F in _RTCP:
            return False
        address = ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return not self._sources or any((mapped or address) in network for network in self._sources)

    def stop(self) -> None:
        """End the stream: the call was hung up."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Yield datagrams until `stop`."""
        while (data := await self._queue.get()) is not None:
            yield data

    async def send(self, message: bytes | str, /) -> None:
        """Send nothing: RTP is heard here and never spoken."""
