"""FreeSWITCH mod_audio_fork and mod_audio_stream: metadata as text first, then raw L16 in binary messages.

Protocols: the README files of https://github.com/drachtio/drachtio-freeswitch-modules and
https://github.com/amigniter/mod_audio_stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from emotion_triage.adapters.protocol import (
    MAX_EARLY_MESSAGES,
    MAX_MESSAGE_BYTES,
    Audio,
    Dropped,
    Ended,
    Hidden,
    Reply,
    Started,
    Unreadable,
    WireEvent,
    call_name,
    decoded,
    flaw_of,
    text_fields,
    too_long,
)
from emotion_triage.errors import WireError

__all__ = ["SUBPROTOCOL", "FreeSwitch"]

WIRE = "FreeSWITCH"
SUBPROTOCOL = "audio.drachtio.org"
"""The WebSocket sub-protocol that mod_audio_fork asks for; mod_audio_stream asks for none."""

_RATES_HZ = (8000, 16000)


class FreeSwitch:
    r"""One audio fork's protocol: messages in, events out.

    The stream says neither its rate nor its channels, so they are told here, as in the command that starts it. The
    metadata has to be a JSON object with ``call_id``; ``caller``, if there, is the caller's number. Audio ahead of it
    is kept for it; other text is the application's own.

    Parameters
    ----------
    sample_rate_hz : {8000, 16000}
        ``8k`` or ``16k`` of the command.
    mix : {"mono", "stereo"}
        As in the command. ``mixed`` is refused: it holds the agent's voice.
    caller_channel : {0, 1}, optional
        The caller's channel of ``stereo``: 0 where the fork runs on their leg, 1 where it runs on the agent's.
    max_message_bytes : int
        Longest message that is read.

    Raises
    ------
    WireError
        If what is told cannot be, or would let the agent's voice in.

    Examples
    --------
    >>> wire = FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=0)
    >>> next(wire.receive('{"call_id": "7f1c", "caller": "+33123456789"}'))  # doctest: +ELLIPSIS
    Started(call_id='7f1c', encoding='pcm16', sample_rate_hz=8000, caller=hidden, ...)
    >>> next(wire.receive(b"\x01\x00\x02\x00")).payload
    b'\x01\x00'
    """

    byte_stream = False

    def __init__(
        self,
        *,
        sample_rate_hz: int,
        mix: str,
        caller_channel: int | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        if sample_rate_hz not in _RATES_HZ:
            raise WireError(f"{WIRE}: got {sample_rate_hz} Hz, expected {' or '.join(map(str, _RATES_HZ))}")
        if mix not in ("mono", "stereo"):
            raise WireError(
                f"{WIRE}: got mix {mix!r}, expected 'mono' or 'stereo'; a mix of both sides holds the agent's voice, "
                "which is never scored"
            )
        if (mix == "stereo") != (caller_channel in (0, 1)):
            raise WireError(
                f"{WIRE}: got caller_channel {caller_channel!r} for {mix}, expected 0 or 1 for stereo and none for "
                "mono; name the caller's channel: the other is the agent's"
            )
        self._rate_hz = sample_rate_hz
        self._caller_channel = caller_channel
        self._limit = max_message_bytes
        self._early: list[bytes] = []
        self._state: Literal["starting", "started", "ended"] = "starting"

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says; text after the metadata is the application's own.

        Raises
        ------
        WireError
            Metadata with a call's name that cannot be one, such as a telephone number.
        """
        if long := too_long(message, self._limit):
            yield long
        elif self._state == "ended":
            yield Dropped(why="stray", what="a message after the end")
        elif isinstance(message, str):
            if self._state == "starting":
                yield from self._start(message)
        elif self._state == "started":
            yield self._audio(message)
        elif len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(message)
        else:
            yield Dropped(why="early", what="audio before metadata with call_id; add it to the command")

    def end(self) -> Iterator[WireEvent]:
        """Yield `Ended`: FreeSWITCH ends a stream by closing the connection."""
        if self._state != "ended":
            self._state = "ended"
            yield Ended(reason="hangup")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield nothing: a server ends a stream by closing the connection."""
        yield from ()

    def _start(self, message: str) -> Iterator[WireEvent]:
        try:
            metadata = text_fields(decoded(message, dict[str, Any], WIRE))
        except Unreadable:
            metadata = {}
        name, number = metadata.pop("call_id", None), metadata.pop("caller", None)
        if name is None:
            yield Dropped(why="unreadable", what="metadata that is no JSON object with call_id")
            return
        self._state = "started"
        yield Started(
            call_id=call_name(name, WIRE),
            encoding="pcm16",
            sample_rate_hz=self._rate_hz,
            caller=Hidden(number) if number else None,
            parameters=Hidden(metadata),
        )
        early, self._early = self._early, []
        for each in early:
            yield self._audio(each)

    def _audio(self, message: bytes) -> WireEvent:
        if self._caller_channel is None:
            return flaw_of(message, 2) or Audio(payload=message)
        return flaw_of(message, 4) or Audio(payload=np.frombuffer(message, "<i2")[self._caller_channel :: 2].tobytes())
