"""Asterisk AudioSocket: TCP, Asterisk calls us; frames of type, length and payload.

Protocol: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/ and ``res/res_audiosocket.c``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Literal

from emotion_triage.adapters.protocol import Audio, Ended, Reply, Started, WireEvent, digit_of
from emotion_triage.errors import WireError

__all__ = ["HANG_UP", "AudioSocket", "TcpSocket"]

WIRE = "AudioSocket"
HANG_UP = bytes(3)
"""The frame that ends the dialplan's ``AudioSocket()``: the dialplan goes on at its next line."""

_HEADER_BYTES = 3
_READ_BYTES = 65536
_HANGUP, _UUID, _DTMF, _ERROR = 0x00, 0x01, 0x03, 0xFF
_RATES_HZ = {
    0x10: 8000,
    0x11: 12000,
    0x12: 16000,
    0x13: 24000,
    0x14: 32000,
    0x15: 44100,
    0x16: 48000,
    0x17: 96000,
    0x18: 192000,
}
_HIGHEST_RATE_HZ = 48000
_LENGTHS = {_HANGUP: (0,), _UUID: (16,), _DTMF: (1,), _ERROR: (0, 1)}


class AudioSocket:
    """One AudioSocket connection's protocol: bytes in any cut, events out.

    `Started` comes with the first audio, which names the rate.

    Examples
    --------
    >>> wire = AudioSocket()
    >>> name = bytes.fromhex("01 0010") + bytes(range(16))
    >>> audio = bytes.fromhex("10 0140") + bytes(320)
    >>> for event in wire.receive(name + audio + HANG_UP):
    ...     print(type(event).__name__)
    Started
    Audio
    Ended
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._call_id: str | None = None
        self._rate_hz: int | None = None
        self._ended = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what the next bytes complete.

        Raises
        ------
        WireError
            As soon as a header shows it: an unknown type, a wrong length or order, a rate beyond 48 kHz.
        """
        if isinstance(message, str):
            raise WireError(f"{WIRE}: got text, expected bytes; connect a TCP stream")
        self._buffer += message
        while len(self._buffer) >= _HEADER_BYTES:
            kind, length = self._buffer[0], int.from_bytes(self._buffer[1:_HEADER_BYTES], "big")
            self._check(kind, length)
            if len(self._buffer) < _HEADER_BYTES + length:
                return
            payload = bytes(self._buffer[_HEADER_BYTES : _HEADER_BYTES + length])
            del self._buffer[: _HEADER_BYTES + length]
            yield from self._frame(kind, payload)

    def end(self) -> Iterator[WireEvent]:
        """Yield `Ended` if Asterisk went without a hang-up frame."""
        if not self._ended:
            self._ended = True
            yield Ended(reason="cut")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield the hang-up frame; it hangs up the socket, not the caller."""
        if not self._ended:
            yield Reply(HANG_UP)

    def _check(self, kind: int, length: int) -> None:
        if self._ended:
            raise WireError(f"{WIRE}: got a frame after the hang-up, expected none; open another connection")
        if kind not in _LENGTHS and kind not in _RATES_HZ:
            raise WireError(f"{WIRE}: got type 0x{kind:02x}, expected 0x00, 0x01, 0x03, 0x10 to 0x18 or 0xff")
        if kind in _LENGTHS and length not in _LENGTHS[kind]:
            expected = " or ".join(map(str, _LENGTHS[kind]))
            raise WireError(f"{WIRE}: got {length} bytes for type 0x{kind:02x}, expected {expected}")
        if (kind == _UUID) == (self._call_id is not None) and kind not in (_HANGUP, _ERROR):
            raise WireError(
                f"{WIRE}: got type 0x{kind:02x} {'twice' if kind == _UUID else 'before the UUID'}, expected one UUID, "
                "first of all; is this an Asterisk?"
            )
        rate_hz = _RATES_HZ.get(kind)
        if rate_hz is None:
            return
        if rate_hz > _HIGHEST_RATE_HZ:
            raise WireError(
                f"{WIRE}: got audio at {rate_hz} Hz, expected at most {_HIGHEST_RATE_HZ}; set the channel to slin"
            )
        if self._rate_hz not in (None, rate_hz):
            raise WireError(f"{WIRE}: got audio at {rate_hz} Hz, expected {self._rate_hz} to the end of the call")
        if not length or length % 2:
            raise WireError(f"{WIRE}: got {length} bytes of audio, expected whole samples of 2")

    def _frame(self, kind: int, payload: bytes) -> Iterator[WireEvent]:
        if kind == _UUID:
            self._call_id = str(uuid.UUID(bytes=payload))
        elif kind == _DTMF:
            yield digit_of(payload.decode("latin-1"), WIRE)
        elif kind in (_HANGUP, _ERROR):
            self._ended = True
            yield Ended(reason="hangup" if kind == _HANGUP else "error")
        else:
            if self._rate_hz is None:
                assert self._call_id is not None
                self._rate_hz = _RATES_HZ[kind]
                yield Started(call_id=self._call_id, encoding="pcm16", sample_rate_hz=self._rate_hz)
            yield Audio(payload=payload)


class TcpSocket:
    """A TCP stream of asyncio as a `Socket`.

    Parameters
    ----------
    reader, writer : asyncio streams
        As `asyncio.start_server` gives them; closing them stays with whoever opened them.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Yield bytes as they come, until the peer ends the stream."""
        while data := await self._reader.read(_READ_BYTES):
            yield data

    async def send(self, message: bytes | str, /) -> None:
        """Send bytes."""
        self._writer.write(message if isinstance(message, bytes) else message.encode())
        await self._writer.drain()
