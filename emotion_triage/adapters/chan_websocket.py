"""Asterisk chan_websocket: binary messages are codec frames, text messages are events, as JSON or plain text.

Protocol: https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/ and ``channels/chan_websocket.c``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from emotion_triage.adapters.protocol import (
    MAX_MESSAGE_BYTES,
    SAMPLE_BYTES,
    Audio,
    Complained,
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

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._sample_bytes: int | None = None
        self._json = False
        self._ended = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says.

        Raises
        ------
        WireError
            Audio before ``MEDIA_START``, a second one, an unknown event or format, a wrong length.
        """
        check_size(message, WIRE, self._limit)
        if self._ended:
            raise WireError(f"{WIRE}: got a message after the end, expected none; open another connection")
        if isinstance(message, str):
            yield from self._text(message)
        elif self._sample_bytes is None:
            raise WireError(f"{WIRE}: got audio before MEDIA_START, expected MEDIA_START first; is this an Asterisk?")
        else:
            check_samples(message, self._sample_bytes, WIRE)
            yield Audio(payload=message)

    def end(self) -> Iterator[WireEvent]:
        """Yield `Ended`: Asterisk ends a call by closing the connection."""
        if not self._ended:
            self._ended = True
            yield Ended(reason="hangup")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield the command that hangs up the WebSocket channel, not the caller's."""
        if not self._ended:
            yield Reply('{"command":"HANGUP"}' if self._json else "HANGUP")

    def _text(self, message: str) -> Iterator[WireEvent]:
        self._json = message.startswith("{")
        event = decoded(message, dict[str, Any], WIRE) if self._json else _plain(message)
        name = event.get("event")
        if name == "MEDIA_START":
            yield self._start(event)
        elif self._sample_bytes is None:
            raise WireError(f"{WIRE}: got an event before MEDIA_START, expected MEDIA_START first")
        elif name == "DTMF_END":
            yield digit_of(_text(event, "digit"), WIRE)
        elif name == "ERROR":
            yield Complained(code=0)
        elif name not in _OF_PLAYBACK:
            known = ", ".join(sorted({"MEDIA_START", "DTMF_END", "ERROR"} | _OF_PLAYBACK))
            raise WireError(f"{WIRE}: got an unknown event, expected one of {known}; is this Asterisk newer?")

    def _start(self, event: Mapping[str, Any]) -> Started:
        if self._sample_bytes is not None:
            raise WireError(f"{WIRE}: got MEDIA_START twice, expected it once a connection")
        try:
            encoding, rate_hz = _FORMATS[_text(event, "format")]
        except KeyError:
            raise WireError(
                f"{WIRE}: got an audio format that is not read, expected one of {', '.join(_FORMATS)}; "
                "say c(ulaw) in the dial string"
            ) from None
        variables = event.get("channel_variables", {})
        if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
            raise WireError(f"{WIRE}: got channel_variables that are not text by name, expected a JSON object of text")
        self._sample_bytes = SAMPLE_BYTES[encoding]
        return Started(
            call_id=call_name(_text(event, "channel_id"), WIRE),
            encoding=encoding,
            sample_rate_hz=rate_hz,
            parameters=Hidden(variables),
        )


def _plain(message: str) -> dict[str, str]:
    """Read ``NAME key:value key:value``; ``error_text`` runs to the end and is left out."""
    name, *fields = message.split(" ")
    pairs = (field.partition(":") for field in fields)
    return {"event": name, **{key: value for key, colon, value in pairs if colon and key != "event"}}


def _text(event: Mapping[str, Any], key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str):
        raise WireError(f"{WIRE}: got no text for {key}, expected it in {event['event']}")
    return value
