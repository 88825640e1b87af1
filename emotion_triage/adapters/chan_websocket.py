"""Asterisk chan_websocket: binary messages are codec frames, text messages are events, as JSON or plain text.

Protocol: https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/ and ``channels/chan_websocket.c``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from emotion_triage.adapters.protocol import (
    MAX_EARLY_MESSAGES,
    MAX_MESSAGE_BYTES,
    SAMPLE_BYTES,
    Audio,
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
    flaw_of,
    kind_name,
    text_fields,
    too_long,
)
from emotion_triage.audio.stream import Encoding
from emotion_triage.errors import WireError

__all__ = ["SUBPROTOCOL", "ChanWebSocket"]

WIRE = "chan_websocket"
SUBPROTOCOL = "media"
"""The WebSocket sub-protocol that Asterisk asks for."""

_FORMATS: dict[str, tuple[Encoding, int]] = {
    "ulaw": ("mulaw", 8000),
    "alaw": ("alaw", 8000),
    "slin": ("pcm16", 8000),
    "slin12": ("pcm16", 12000),
    "slin16": ("pcm16", 16000),
    "slin24": ("pcm16", 24000),
    "slin32": ("pcm16", 32000),
    "slin44": ("pcm16", 44100),
    "slin48": ("pcm16", 48000),
}
# The first releases name the channel alone. `connection_id` of a connection that Asterisk opens is the same for each.
_NAMES = ("channel_id", "channel")
# They speak of audio that we would send, and we send none.
_OF_PLAYBACK = {
    "MEDIA_XON",
    "MEDIA_XOFF",
    "QUEUE_DRAINED",
    "MEDIA_BUFFERING_COMPLETED",
    "MEDIA_MARK_PROCESSED",
    "STATUS",
}


class ChanWebSocket:
    """One chan_websocket connection's protocol: messages in, events out.

    Audio ahead of ``MEDIA_START`` is kept for it. The call's name is ``channel_id``; Asterisk 20.16.0, 21.11.0,
    22.6.0 and 23.0.0 do not send it: there it is the channel's own name.

    Parameters
    ----------
    max_message_bytes : int
        Longest message that is read.

    Examples
    --------
    >>> wire = ChanWebSocket()
    >>> start = "MEDIA_START connection_id:c channel:WebSocket/c/0x1 channel_id:17.1 format:ulaw optimal_frame_size:160"
    >>> next(wire.receive(start))  # doctest: +ELLIPSIS
    Started(call_id='17.1', encoding='mulaw', sample_rate_hz=8000, ...)
    >>> next(wire.receive(bytes(160)))
    Audio(160 bytes, at=None)
    """

    byte_stream = False

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._format: str | None = None
        self._same_format = True
        self._sample_bytes = 1
        self._early: list[bytes] = []
        self._json = False
        self._ended = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says.

        Raises
        ------
        WireError
            A ``MEDIA_START`` of which nothing could be heard: another format than G.711 and signed linear, no name.
        """
        if long := too_long(message, self._limit):
            yield long
        elif self._ended:
            yield Dropped(why="stray", what="a message after the end")
        elif isinstance(message, str):
            yield from self._text(message)
        elif self._format is not None:
            yield self._audio(message)
        elif len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(message)
        else:
            yield Dropped(why="early", what="audio before MEDIA_START")

    def end(self) -> Iterator[WireEvent]:
        """Yield `Ended`: Asterisk ends a call by closing the connection."""
        if not self._ended:
            self._ended = True
            yield Ended(reason="hangup")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield the command that hangs up the WebSocket channel, not the caller's."""
        if not self._ended:
            yield Reply('{"command":"HANGUP"}' if self._json else "HANGUP")

    def _audio(self, message: bytes) -> WireEvent:
        if not self._same_format:
            return Dropped(why="unknown", what="audio of another format than the call's")
        return flaw_of(message, self._sample_bytes) or Audio(payload=message)

    def _text(self, message: str) -> Iterator[WireEvent]:
        json = message.lstrip().startswith("{")
        try:
            event = decoded(message, dict[str, Any], WIRE) if json else _plain(message)
        except Unreadable:
            yield Dropped(why="unreadable", what="text that is no JSON")
            return
        name = event.get("event")
        if name == "MEDIA_START":
            self._json = json
            yield from self._start(event)
        elif name == "DTMF_END":
            yield digit_of(event.get("digit"))
        elif name == "ERROR":
            yield Complained(code=0)
        elif name not in _OF_PLAYBACK:
            yield Dropped(why="unknown", what=kind_name(name))

    def _start(self, event: Mapping[str, Any]) -> Iterator[WireEvent]:
        name = event.get("format")
        if self._format is not None:
            self._same_format = name == self._format
            yield Dropped(why="repeated", what="MEDIA_START")
            return
        if not isinstance(name, str) or name not in _FORMATS:
            raise WireError(
                f"{WIRE}: got an audio format that is not read, expected one of {', '.join(_FORMATS)}; "
                "say c(ulaw) in the dial string"
            )
        encoding, rate_hz = _FORMATS[name]
        called = next((event[key] for key in _NAMES if event.get(key)), None)
        if not isinstance(called, str):
            raise WireError(f"{WIRE}: got a MEDIA_START without channel_id and channel, expected one of them as text")
        self._format, self._sample_bytes = name, SAMPLE_BYTES[encoding]
        yield Started(
            call_id=call_name(called, WIRE),
            encoding=encoding,
            sample_rate_hz=rate_hz,
            parameters=Hidden(text_fields(event.get("channel_variables"))),
        )
        early, self._early = self._early, []
        for each in early:
            yield self._audio(each)


def _plain(message: str) -> dict[str, str]:
    """Read ``NAME key:value key:value``; ``error_text`` runs to the end and is left out."""
    name, *fields = message.strip().split(" ")
    pairs = (field.partition(":") for field in fields)
    return {"event": name, **{key: value for key, colon, value in pairs if colon and key != "event"}}
