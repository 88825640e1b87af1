"""Asterisk AudioSocket: TCP, Asterisk calls us; frames of type, length and payload.

Protocol: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/ and ``res/res_audiosocket.c``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Literal

from emotion_triage.adapters.protocol import (
    MAX_EARLY_MESSAGES,
    Audio,
    Complained,
    Dropped,
    Ended,
    Reply,
    Started,
    WireEvent,
    digit_of,
    flaw_of,
)
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
_UUID_BYTES = 16
# Whatever comes first, 4 s of audio among it, the UUID comes with it or this is no AudioSocket.
_MAX_BYTES_BEFORE_UUID = 65536


class AudioSocket:
    """One AudioSocket connection's protocol: bytes in any cut, events out.

    `Started` comes with the first audio, which names the rate. Audio ahead of the UUID is kept for it; frames of other
    types, and audio of another rate, are passed over.

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

    byte_stream = True

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._early: list[tuple[int, bytes]] = []
        self._n_before_uuid = 0
        self._call_id: str | None = None
        self._kind: int | None = None
        self._failed = False
        self._ended = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what the next bytes complete.

        Raises
        ------
        WireError
            65536 bytes without a UUID, or audio beyond 48 kHz alone: nothing of it could ever be heard.
        """
        if isinstance(message, str):
            raise WireError(f"{WIRE}: got text, expected bytes; connect a TCP stream")
        buffer, start = self._buffer, 0
        buffer += message
        while len(buffer) - start >= _HEADER_BYTES:
            stop = start + _HEADER_BYTES + (buffer[start + 1] << 8 | buffer[start + 2])
            if len(buffer) < stop:
                break
            kind, payload = buffer[start], bytes(buffer[start + _HEADER_BYTES : stop])
            start = stop
            if kind == self._kind and payload and not len(payload) % 2 and not self._ended:
                yield Audio(payload=payload)
            else:
                yield from self._frame(kind, payload)
        del buffer[:start]
        if self._call_id is None:
            self._n_before_uuid += len(message)
            if self._n_before_uuid > _MAX_BYTES_BEFORE_UUID:
                raise WireError(
                    f"{WIRE}: got {self._n_before_uuid} bytes without a UUID, expected one first of all; "
                    "is this an Asterisk?"
                )

    def end(self) -> Iterator[WireEvent]:
        """Yield `Ended` if Asterisk went without a hang-up frame."""
        if not self._ended:
            self._ended = True
            yield Ended(reason="error" if self._failed else "cut")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield the hang-up frame; it hangs up the socket, not the caller."""
        if not self._ended:
            yield Reply(HANG_UP)

    def _frame(self, kind: int, payload: bytes) -> Iterator[WireEvent]:
        if self._ended:
            yield Dropped(why="stray", what=f"type 0x{kind:02x} after the hang-up")
        elif kind == _HANGUP:
            self._ended = True
            yield Ended(reason="hangup")
        elif kind == _ERROR:
            self._failed = True
            yield Complained(code=payload[0] if payload else 0)
        elif kind == _UUID:
            yield from self._name(payload)
        elif kind == _DTMF:
            yield digit_of(payload.decode("latin-1"))
        elif kind not in _RATES_HZ:
            yield Dropped(why="unknown", what=f"type 0x{kind:02x}")
        elif flaw := flaw_of(payload, 2):
            yield flaw
        elif self._call_id is not None:
            yield from self._audio(kind, payload)
        elif len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append((kind, payload))
        else:
            yield Dropped(why="early", what="audio before the UUID")

    def _name(self, payload: bytes) -> Iterator[WireEvent]:
        if len(payload) != _UUID_BYTES:
            yield Dropped(why="unreadable", what=f"a UUID of {len(payload)} bytes")
        elif self._call_id is not None:
            yield Dropped(why="repeated", what="UUID")
        else:
            self._call_id = str(uuid.UUID(bytes=payload))
            early, self._early = self._early, []
            for each in early:
                yield from self._audio(*each)

    def _audio(self, kind: int, payload: bytes) -> Iterator[WireEvent]:
        rate_hz = _RATES_HZ[kind]
        if self._kind is None:
            if rate_hz > _HIGHEST_RATE_HZ:
                raise WireError(
                    f"{WIRE}: got audio at {rate_hz} Hz, expected at most {_HIGHEST_RATE_HZ}; set the channel to slin"
                )
            assert self._call_id is not None
            self._kind = kind
            yield Started(call_id=self._call_id, encoding="pcm16", sample_rate_hz=rate_hz)
        if kind == self._kind:
            yield Audio(payload=payload)
        else:
            yield Dropped(why="unknown", what=f"audio at {rate_hz} Hz in a call of {_RATES_HZ[self._kind]} Hz")


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
