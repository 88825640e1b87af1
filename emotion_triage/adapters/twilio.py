"""Twilio Media Streams, and Telnyx's dialect of it: JSON text, audio in base64, in any order.

Protocols: https://www.twilio.com/docs/voice/media-streams/websocket-messages and
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from emotion_triage.adapters.protocol import (
    MAX_EARLY_MESSAGES,
    MAX_MESSAGE_BYTES,
    Complained,
    Dropped,
    Ended,
    Hidden,
    Reply,
    Started,
    Unreadable,
    WireEvent,
    call_name,
    decoded,
    digit_of,
    kind_name,
    text_fields,
    too_long,
)
from emotion_triage.adapters.reordering import Reordering
from emotion_triage.audio.stream import Encoding
from emotion_triage.errors import WireError

__all__ = ["MediaStream"]

WIRE = "media stream"
_ENCODINGS: dict[str, Encoding] = {"audio/x-mulaw": "mulaw", "pcmu": "mulaw", "pcma": "alaw"}
_RATE_HZ = 8000
_PER_MS = 8
# Stamps are rounded to milliseconds and their clock drifts; half a packet is no gap.
_TOLERANCE = 80
# As the messages name them, and as the commands that ask for them do.
_CALLERS = frozenset({"inbound", "inbound_track"})
_NOT_CALLERS = frozenset({"outbound", "outbound_track"})
_URL_SAFE = str.maketrans("-_", "+/", " \t\r\n")

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**48)]


class _Format(msgspec.Struct, frozen=True):
    encoding: str
    channels: int | None = 1
    rate_hz: int | None = msgspec.field(name="sampleRate", default=None)
    telnyx_rate_hz: int | None = msgspec.field(name="sample_rate", default=None)


class _TwilioStart(msgspec.Struct, frozen=True, rename="camel"):
    call_sid: str
    media_format: _Format
    tracks: list[str] | str | None = None
    custom_parameters: Any = None


class _TelnyxStart(msgspec.Struct, frozen=True):
    call_control_id: str
    media_format: _Format
    caller: str | None = msgspec.field(name="from", default=None)
    custom_parameters: Any = None


class _Media(msgspec.Struct, frozen=True):
    track: str
    payload: str
    chunk: _Count | None = None
    timestamp: _Count | None = None


class _Dtmf(msgspec.Struct, frozen=True):
    digit: str | int


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


class _Heard(msgspec.Struct, frozen=True):
    """A media message as almost all are: read in one go, where `_Message` looks first at what it is."""

    event: str
    media: _Media | None = None
    twilio_id: str | None = msgspec.field(name="streamSid", default=None)
    telnyx_id: str | None = msgspec.field(name="stream_id", default=None)

    @property
    def stream_id(self) -> str | None:
        """The stream's name, in either dialect."""
        return self.twilio_id if self.twilio_id is not None else self.telnyx_id


_HEARD = msgspec.json.Decoder(_Heard, strict=False)


class MediaStream:
    """One media stream's protocol: messages in, events out. The dialect is known by its names.

    Only the inbound track is read; what is said to the caller, by an agent too, is never decoded. Audio ahead of its
    start is kept for it.

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

    byte_stream = False

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._state: Literal["connecting", "connected", "started", "ended"] = "connecting"
        self._stream_id: str | None = None
        self._early: list[_Message] = []
        self._order = Reordering(tolerance=_TOLERANCE)
        self._chunk = 0

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says; the inbound track in its order, at the time of its stamps.

        Raises
        ------
        WireError
            A start of which nothing could be heard: another format than G.711, no inbound track, no name.
        """
        if long := too_long(message, self._limit):
            yield long
            return
        if self._state == "started":
            try:
                heard = _HEARD.decode(message)
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                heard = None
            if heard and heard.event == "media" and heard.media and heard.stream_id in (self._stream_id, None):
                try:
                    yield from self._media(heard.media)
                except Unreadable:
                    yield Dropped(why="unreadable", what="media")
                return
        try:
            said = decoded(message, _Message, WIRE)
        except Unreadable:
            yield Dropped(why="unreadable", what=f"{'text' if isinstance(message, str) else 'a binary message'}")
            return
        try:
            yield from self._said(said)
        except Unreadable:
            if said.event == "start":
                raise
            yield Dropped(why="unreadable", what=kind_name(said.event))

    def end(self) -> Iterator[WireEvent]:
        """Yield what was held back, and `Ended` if there was no stop."""
        if self._state != "ended":
            yield from self._order.flush()
            self._state = "ended"
            yield Ended(reason="cut")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield nothing: a server ends a stream by closing the connection."""
        yield from ()

    def _said(self, said: _Message) -> Iterator[WireEvent]:
        event = said.event
        if self._state == "ended":
            yield Dropped(why="stray", what=f"{kind_name(event)} after stop")
        elif event == "connected":
            if self._state == "connecting":
                self._state = "connected"
            else:
                yield Dropped(why="repeated", what="connected")
        elif event == "start":
            yield from self._start(said)
        elif event == "error":
            yield Complained(code=_fault_code(said.payload))
        elif event == "mark":
            pass
        elif event not in ("media", "dtmf", "stop"):
            yield Dropped(why="unknown", what=kind_name(event))
        elif self._state != "started":
            yield from self._ahead_of_start(said)
        elif said.stream_id not in (self._stream_id, None):
            yield Dropped(why="stray", what=f"{event} of another stream")
        elif event == "media":
            yield from self._media(decoded(said.media, _Media, WIRE))
        elif event == "dtmf":
            yield digit_of(str(decoded(said.dtmf, _Dtmf, WIRE).digit))
        else:
            yield from self._order.flush()
            self._state = "ended"
            yield Ended(reason="hangup")

    def _ahead_of_start(self, said: _Message) -> Iterator[WireEvent]:
        if said.event == "stop":
            self._state = "ended"
            yield Ended(reason="hangup")
        elif said.event == "media" and len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(said)
        else:
            yield Dropped(why="early", what=f"{said.event} before start")

    def _start(self, said: _Message) -> Iterator[WireEvent]:
        if self._state == "started":
            same = said.stream_id in (self._stream_id, None)
            yield Dropped(why="repeated" if same else "stray", what="start")
            return
        if said.stream_id is None:
            raise WireError(f"{WIRE}: got a start without streamSid or stream_id, expected one")
        if said.twilio_id is not None:
            twilio = decoded(said.start, _TwilioStart, WIRE)
            tracks = [twilio.tracks] if isinstance(twilio.tracks, str) else twilio.tracks
            if tracks and _NOT_CALLERS.issuperset(tracks):
                raise WireError(
                    f'{WIRE}: got no inbound track, expected one: it alone is the caller; say track="inbound_track"'
                )
            name, form, parameters = twilio.call_sid, twilio.media_format, text_fields(twilio.custom_parameters)
            number = parameters.get("From")
        else:
            telnyx = decoded(said.start, _TelnyxStart, WIRE)
            name, form, parameters = telnyx.call_control_id, telnyx.media_format, text_fields(telnyx.custom_parameters)
            number = telnyx.caller
        encoding = _ENCODINGS.get(form.encoding.lower())
        rate_hz = form.rate_hz if form.rate_hz is not None else form.telnyx_rate_hz
        if encoding is None or form.channels not in (1, None) or rate_hz != _RATE_HZ:
            raise WireError(
                f"{WIRE}: got a format that is not read, expected audio/x-mulaw, PCMU or PCMA at 8000 Hz, 1 channel; "
                "set the stream's codec"
            )
        self._stream_id, self._state = said.stream_id, "started"
        yield Started(
            call_id=call_name(name, WIRE),
            encoding=encoding,
            sample_rate_hz=_RATE_HZ,
            caller=Hidden(number) if number else None,
            parameters=Hidden[Mapping[str, str]](parameters),
        )
        early, self._early = self._early, []
        for each in early:
            try:
                yield from self._said(each)
            except Unreadable:
                yield Dropped(why="unreadable", what="media")

    def _media(self, media: _Media) -> Iterator[WireEvent]:
        if media.track not in _CALLERS:
            if media.track not in _NOT_CALLERS:
                yield Dropped(why="stray", what=f"track {kind_name(media.track)}")
            return
        payload = _audio(media.payload)
        if not payload:
            yield Dropped(why="empty", what="audio of 0 bytes")
        # a packet without a number follows the one before it
        self._chunk = self._chunk + 1 if media.chunk is None else media.chunk
        stamp = None if media.timestamp is None else media.timestamp * _PER_MS
        yield from self._order.add(self._chunk, stamp, payload)


def _audio(text: str) -> bytes:
    """Return what base64 stands for, padded or not, of either alphabet."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        standard = text.translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(standard + "=" * (-len(standard) % 4), strict_mode=True)
    except ValueError:
        raise Unreadable(f"{WIRE}: got audio that is not base64, expected base64 of G.711") from None


def _fault_code(payload: msgspec.Raw) -> int:
    try:
        return decoded(payload, _Fault, WIRE).code
    except Unreadable:
        return 0
