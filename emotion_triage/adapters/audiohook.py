"""Genesys AudioHook v2: transactions as JSON text, audio in binary messages; the external channel alone is chosen.

Protocol: https://developer.genesys.cloud/devapps/audiohook/protocol-reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from emotion_triage.adapters.audiohook_signature import Upgrade
from emotion_triage.adapters.protocol import (
    MAX_MESSAGE_BYTES,
    MAX_STREAM_S,
    SAMPLE_BYTES,
    Audio,
    Complained,
    Dropped,
    Ended,
    Hidden,
    Passed,
    Paused,
    Reply,
    Resumed,
    Started,
    Unreadable,
    Updated,
    WireEvent,
    call_name,
    decoded,
    digit_of,
    flaw_of,
    kind_name,
    too_long,
)
from emotion_triage.audio.stream import Encoding
from emotion_triage.errors import WireError

__all__ = ["AudioHook"]

WIRE = "AudioHook"
_RATE_HZ = 8000
_ENCODINGS: dict[str, Encoding] = {"PCMU": "mulaw", "L16": "pcm16"}
_NOBODY = "00000000-0000-0000-0000-000000000000"
_DURATION = re.compile(r"PT(\d{1,9}(?:\.\d{1,9})?)S", re.ASCII)
# Audio and its position are rounded; two channels outrun it by as much in a second.
_SLACK_S = 1.0

# They speak of audio that we would send, and we send none.
_OF_PLAYBACK = {"playback_started", "playback_completed"}

T = TypeVar("T")
_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Message(msgspec.Struct, frozen=True):
    version: str
    id: str
    type: str
    seq: _Seq
    serverseq: _Seq | None = None
    position: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class _Media(msgspec.Struct, frozen=True):
    type: str
    format: str
    channels: list[str]
    rate: int


_NO_MEDIA = _Media(type="", format="", channels=[], rate=0)


class _Participant(msgspec.Struct, frozen=True, rename="camel"):
    id: str | None = None
    ani: str | None = None
    ani_name: str | None = None
    dnis: str | None = None


class _Continued(msgspec.Struct, frozen=True):
    id: str


class _Open(msgspec.Struct, frozen=True, rename="camel"):
    organization_id: str
    conversation_id: str
    media: list[msgspec.Raw]
    participant: _Participant | None = None
    language: str | None = None
    continued_sessions: list[_Continued] | None = None


class _Close(msgspec.Struct, frozen=True):
    reason: str = "end"


class _Discarded(msgspec.Struct, frozen=True):
    start: str
    discarded: str


class _Update(msgspec.Struct, frozen=True):
    language: str


class _Dtmf(msgspec.Struct, frozen=True):
    digit: str | int


class _Error(msgspec.Struct, frozen=True):
    code: int = 0


class AudioHook:
    """One AudioHook session's protocol: messages in, events and replies out.

    Of the media offered, the one with the external channel alone is chosen, so that the agent's voice never comes. A
    connection probe is answered and starts no call.

    Parameters
    ----------
    upgrade : Upgrade
        What `verify` made of the request for this connection.
    max_message_bytes : int
        Longest message that is read.
    """

    byte_stream = False

    def __init__(self, upgrade: Upgrade, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._upgrade = upgrade
        self._limit = max_message_bytes
        self._state: Literal["connected", "open", "paused", "closed"] = "connected"
        self._seq = 0
        self._client_seq = 0
        self._sample_bytes: int | None = None
        self._position = 0
        self._said_completed = False

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says, and the replies to it.

        Raises
        ------
        WireError
            An ``open`` of which nothing could be heard; audio of more than one channel: the other is the agent's.
        """
        if long := too_long(message, self._limit):
            yield long
        elif self._state == "closed":
            yield Dropped(why="stray", what="a message after close")
        elif isinstance(message, bytes):
            yield self._audio(message)
        else:
            try:
                said = decoded(message, _Message, WIRE)
            except Unreadable:
                yield Dropped(why="unreadable", what="text that is no message")
                return
            yield from self._text(said)

    def end(self) -> Iterator[WireEvent]:
        """Yield `Ended` if there was no close."""
        if self._state != "closed":
            self._state = "closed"
            yield Ended(reason="cut")

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield the request to disconnect; the engine answers with close."""
        if self._state != "closed" and not self._said_completed:
            self._said_completed = True
            yield self._reply("disconnect", reason=reason)

    def _reply(self, kind: str, **parameters: Any) -> Reply:
        self._seq += 1
        answer = {
            "version": "2",
            "id": self._upgrade.session_id,
            "type": kind,
            "seq": self._seq,
            "clientseq": self._client_seq,
            "parameters": parameters,
        }
        return Reply(msgspec.json.encode(answer).decode())

    def _audio(self, message: bytes) -> WireEvent:
        if self._state == "connected":
            # which channels it holds was not agreed yet
            return Dropped(why="early", what="audio before opened")
        if self._state != "open" or self._sample_bytes is None:
            return Dropped(why="stray", what="audio while paused, or of a probe")
        if flaw := flaw_of(message, self._sample_bytes):
            return flaw
        at = self._position
        self._position += len(message) // self._sample_bytes
        return Audio(payload=message, at=at)

    def _text(self, said: _Message) -> Iterator[WireEvent]:
        if said.version != "2" or said.id != self._upgrade.session_id:
            yield Dropped(why="stray", what="a message of another version or session")
            return
        if said.seq <= self._client_seq:
            yield Dropped(why="repeated", what=kind_name(said.type))
            return
        self._client_seq = said.seq
        self._check_channels(said.position)
        if said.type == "open":
            yield from self._open(decoded(said.parameters, _Open, WIRE))
        elif said.type == "ping":
            yield self._reply("pong")
        elif said.type == "close":
            yield from self._close(said.parameters)
        elif said.type == "error":
            yield Complained(code=_readable(said.parameters, _Error(), WIRE).code)
        elif self._state == "connected":
            yield Dropped(why="early", what=f"{kind_name(said.type)} before open")
        else:
            try:
                yield from self._while_open(said)
            except Unreadable:
                yield Dropped(why="unreadable", what=said.type)

    def _while_open(self, said: _Message) -> Iterator[WireEvent]:
        if said.type == "paused":
            if self._state == "open":
                self._state = "paused"
                yield Paused()
        elif said.type == "resumed":
            was_paused, self._state = self._state == "paused", "open"
            try:
                yield from self._discarded(said.parameters)
            except Unreadable:
                yield Dropped(why="unreadable", what="resumed")
            if was_paused:
                yield Resumed()
        elif said.type == "discarded":
            yield from self._discarded(said.parameters)
        elif said.type == "update":
            yield self._reply("updated")
            yield Updated(language=_language(decoded(said.parameters, _Update, WIRE).language))
        elif said.type == "dtmf":
            yield digit_of(str(decoded(said.parameters, _Dtmf, WIRE).digit))
        elif said.type not in _OF_PLAYBACK:
            yield Dropped(why="unknown", what=kind_name(said.type))

    def _check_channels(self, position: str | None) -> None:
        """Raise WireError where more audio came than one channel makes in the time that the engine tells."""
        try:
            told = None if position is None else _samples(position)
        except Unreadable:
            return
        if told is not None and self._position > told + _SLACK_S * _RATE_HZ:
            raise WireError(
                f"{WIRE}: got more audio than the position tells, expected one channel; two hold the agent's voice"
            )

    def _open(self, asked: _Open) -> Iterator[WireEvent]:
        if self._state != "connected":
            yield Dropped(why="repeated", what="open")
            return
        if asked.organization_id != self._upgrade.organization_id:
            raise WireError(f"{WIRE}: got another organization than was signed, expected the same")
        offered = [_readable(media, _NO_MEDIA, WIRE) for media in asked.media]
        chosen = next(
            (
                media
                for format in _ENCODINGS
                for media in offered
                if (media.type, media.format, media.channels, media.rate) == ("audio", format, ["external"], _RATE_HZ)
            ),
            None,
        )
        if chosen is None:
            raise WireError(
                f"{WIRE}: got no offer of the external channel alone, expected PCMU or L16 at 8000 Hz with "
                'channels ["external"]; choose the customer channel in Genesys: the other is the agent\'s'
            )
        self._state = "open"
        if asked.conversation_id != _NOBODY:
            encoding = _ENCODINGS[chosen.format]
            self._sample_bytes = SAMPLE_BYTES[encoding]
            said = asked.participant or _Participant()
            parameters = {"participantId": said.id, "aniName": said.ani_name, "dnis": said.dnis}
            texts = {name: text or "" for name, text in ({**parameters, "language": asked.language}).items()}
            yield Started(
                call_id=call_name(asked.conversation_id, WIRE),
                encoding=encoding,
                sample_rate_hz=_RATE_HZ,
                caller=Hidden(said.ani) if said.ani else None,
                parameters=Hidden(texts),
                continues=tuple(call_name(session.id, WIRE) for session in asked.continued_sessions or ()),
            )
        yield self._reply("opened", media=[msgspec.to_builtins(chosen)], startPaused=False)

    def _close(self, parameters: msgspec.Raw) -> Iterator[WireEvent]:
        reason = _readable(parameters, _Close(), WIRE).reason
        yield self._reply("closed")
        self._state = "closed"
        yield Ended(reason="reconnect" if reason == "reconnect" else "error" if reason == "error" else "hangup")

    def _discarded(self, parameters: msgspec.Raw) -> Iterator[WireEvent]:
        audio = decoded(parameters, _Discarded, WIRE)
        to = _samples(audio.start) + _samples(audio.discarded)
        if to > MAX_STREAM_S * _RATE_HZ:
            raise Unreadable(
                f"{WIRE}: got a position of more than {MAX_STREAM_S:g} s, expected a call of a day at most"
            )
        if to > self._position:
            self._position = to
            yield Passed(to=to)


def _readable(parameters: msgspec.Raw, otherwise: T, wire: str) -> T:
    """Return parameters as what `otherwise` is, or that where they cannot be read."""
    try:
        return decoded(parameters, type(otherwise), wire)
    except Unreadable:
        return otherwise


def _samples(duration: str) -> int:
    found = _DURATION.fullmatch(duration)
    if not found:
        raise Unreadable(f'{WIRE}: got a duration that is none, expected seconds such as "PT1.5S"')
    return round(float(found[1]) * _RATE_HZ)


def _language(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}", name):
        raise Unreadable(f'{WIRE}: got a language that is none, expected a code such as "fr-FR"')
    return name.lower()
