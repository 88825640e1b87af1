"""Twilio Media Streams, and Telnyx's dialect of it: JSON text, audio in base64, in any order.

Protocols: https://www.twilio.com/docs/voice/media-streams/websocket-messages and
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming.
"""

from __future__ import annotations

import binascii
from bisect import insort
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from emotion_triage.adapters.protocol import (
    MAX_MESSAGE_BYTES,
    MAX_STREAM_S,
    Audio,
    Complained,
    Dropped,
    Ended,
    Hidden,
    Reply,
    Started,
    WireEvent,
    call_name,
    check_samples,
    check_size,
    decoded,
    digit_of,
)
from emotion_triage.audio.stream import Encoding
from emotion_triage.errors import WireError

__all__ = ["MediaStream"]

WIRE = "media stream"
_ENCODINGS: dict[str, Encoding] = {"audio/x-mulaw": "mulaw", "PCMU": "mulaw", "PCMA": "alaw"}
_RATE_HZ = 8000
_PER_MS = 8
# Packets are 20 ms: those of 100 ms wait for one that is missing, then it is lost.
_WAITING = 5
# Stamps are rounded to milliseconds and their clock drifts; half a packet is no gap.
_TOLERANCE = 80

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**48)]
_Stamp = Annotated[int, msgspec.Meta(ge=0, le=int(MAX_STREAM_S * 1000))]


class _Format(msgspec.Struct, frozen=True):
    encoding: str
    channels: int
    rate_hz: int = msgspec.field(name="sampleRate", default=0)
    telnyx_rate_hz: int = msgspec.field(name="sample_rate", default=0)


class _TwilioStart(msgspec.Struct, frozen=True, rename="camel"):
    call_sid: str
    tracks: list[str]
    media_format: _Format
    custom_parameters: dict[str, str] = {}


class _TelnyxStart(msgspec.Struct, frozen=True):
    call_control_id: str
    media_format: _Format
    caller: str | None = msgspec.field(name="from", default=None)
    custom_parameters: dict[str, str] | None = None


class _Media(msgspec.Struct, frozen=True):
    track: str
    chunk: _Count
    timestamp: _Stamp
    payload: str


class _Dtmf(msgspec.Struct, frozen=True):
    digit: str


class _Fault(msgspec.Struct, frozen=True):
    code: int = 0


class _Message(msgspec.Struct, frozen=True):
    event: str
    twilio_id: str | None = msgspec.field(name="streamSid", default=None)
    telnyx_id: str | None = msgspec.field(name="stream_id", default=None)
    start: msgspec.Raw = msgspec.Raw(b"")
    media: msgspec.Raw = msgspec.Raw(b"")
    dtmf: msgspec.Raw = msgspec.Raw(b"")
    payload: msgspec.Raw = msgspec.Raw(b"")

    @property
    def stream_id(self) -> str | None:
        """The stream's name, in either dialect."""
        return self.twilio_id if self.twilio_id is not None else self.telnyx_id


class MediaStream:
    """One media stream's protocol: messages in, events out. The dialect is known by its names.

    Only the inbound track is read; what is said to the caller, by an agent too, is never decoded.

    Parameters
    ----------
    max_message_bytes : int
        Longest message that is read.

    Examples
    --------
    >>> wire = MediaStream()
    >>> list(wire.receive('{"event": "connected", "protocol": "Call", "version": "1.0.0"}'))
    []
    """

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._state: Literal["connecting", "connected", "started", "ended"] = "connecting"
        self._stream_id: str | None = None
        self._waiting: list[tuple[int, int, bytes]] = []
        self._last_chunk = -1
        self._next: int | None = None

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says; the inbound track in its order, at the time of its stamps.

        Raises
        ------
        WireError
            A message out of order or of another stream, one that cannot be read, a format other than G.711.
        """
        check_size(message, WIRE, self._limit)
        if isinstance(message, bytes):
            raise WireError(f"{WIRE}: got a binary message, expected JSON text; is this Twilio or Telnyx?")
        said = decoded(message, _Message, WIRE)
        if said.event == "connected":
            self._expect("connecting", "connected")
            self._state = "connected"
        elif said.event == "start":
            self._expect("connected", "start")
            yield self._start(said)
        elif said.event == "error" and said.telnyx_id is not None:
            yield Complained(code=decoded(said.payload, _Fault, WIRE).code if said.payload else 0)
        else:
            self._expect("started", "an event of the stream")
            if said.stream_id != self._stream_id:
                raise WireError(f"{WIRE}: got a message of another stream, expected one stream a connection")
            yield from self._said(said)

    def end(self) -> Iterator[WireEvent]:
        """Yield what was held back, and `Ended` if there was no stop."""
        if self._state != "ended":
            yield from self._release(0)
            self._state = "ended"
            yield Ended(reason="cut")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield nothing: a server ends a stream by closing the connection."""
        yield from ()

    def _expect(self, state: str, what: str) -> None:
        if self._state != state:
            raise WireError(f"{WIRE}: got {what} while {self._state}, expected connected, start, then media to stop")

    def _start(self, said: _Message) -> Started:
        if said.twilio_id is not None:
            twilio = decoded(said.start, _TwilioStart, WIRE)
            if "inbound" not in twilio.tracks:
                raise WireError(
                    f'{WIRE}: got no inbound track, expected one: it alone is the caller; say track="inbound_track"'
                )
            name, form, parameters = twilio.call_sid, twilio.media_format, twilio.custom_parameters
            number = parameters.get("From")
        else:
            telnyx = decoded(said.start, _TelnyxStart, WIRE)
            name, form, parameters = telnyx.call_control_id, telnyx.media_format, telnyx.custom_parameters or {}
            number = telnyx.caller
        encoding = _ENCODINGS.get(form.encoding)
        if encoding is None or form.channels != 1 or form.rate_hz + form.telnyx_rate_hz != _RATE_HZ:
            raise WireError(
                f"{WIRE}: got a format that is not read, expected audio/x-mulaw, PCMU or PCMA at 8000 Hz, 1 channel; "
                "set the stream's codec"
            )
        if said.stream_id is None:
            raise WireError(f"{WIRE}: got a start without streamSid or stream_id, expected one")
        self._stream_id, self._state = said.stream_id, "started"
        return Started(
            call_id=call_name(name, WIRE),
            encoding=encoding,
            sample_rate_hz=_RATE_HZ,
            caller=Hidden(number) if number else None,
            parameters=Hidden[Mapping[str, str]](parameters),
        )

    def _said(self, said: _Message) -> Iterator[WireEvent]:
        if said.event == "media":
            yield from self._media(decoded(said.media, _Media, WIRE))
        elif said.event == "dtmf":
            yield digit_of(decoded(said.dtmf, _Dtmf, WIRE).digit, WIRE)
        elif said.event == "stop":
            yield from self._release(0)
            self._state = "ended"
            yield Ended(reason="hangup")
        elif said.event != "mark":
            raise WireError(
                f"{WIRE}: got an unknown event, expected connected, start, media, dtmf, mark, stop or error"
            )

    def _media(self, media: _Media) -> Iterator[WireEvent]:
        if media.track == "outbound":
            return
        if media.track != "inbound":
            raise WireError(f"{WIRE}: got a track that is neither inbound nor outbound; is the dialect known?")
        try:
            payload = binascii.a2b_base64(media.payload, strict_mode=True)
        except ValueError:
            raise WireError(f"{WIRE}: got audio that is not base64, expected base64 of G.711") from None
        check_samples(payload, 1, WIRE)
        if media.chunk <= self._last_chunk or any(chunk == media.chunk for chunk, _, _ in self._waiting):
            yield Dropped(why="late")
            return
        insort(self._waiting, (media.chunk, media.timestamp * _PER_MS, payload))
        yield from self._release(_WAITING)

    def _release(self, waiting: int) -> Iterator[WireEvent]:
        """Yield packets whose turn it is; the first of all, the next, or any once more than `waiting` wait."""
        while self._waiting:
            chunk, stamp, payload = self._waiting[0]
            first = self._next is None
            expected = stamp if self._next is None else self._next
            follows = chunk == self._last_chunk + 1 or stamp <= expected + _TOLERANCE
            if not (first or follows or len(self._waiting) > waiting):
                return
            del self._waiting[0]
            at = expected if stamp <= expected + _TOLERANCE else stamp
            self._last_chunk, self._next = chunk, at + len(payload)
            yield Audio(payload=payload, at=at)
