"""Genesys AudioHook v2: transactions as JSON text, audio in binary messages; the external channel alone is chosen.

Protocol: https://developer.genesys.cloud/devapps/audiohook/protocol-reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from emotion_triage.adapters.audiohook_signature import Upgrade
from emotion_triage.adapters.protocol import (
    MAX_MESSAGE_BYTES,
    MAX_STREAM_S,
    SAMPLE_BYTES,
    Audio,
    Complained,
    Ended,
    Hidden,
    Passed,
    Paused,
    Reply,
    Resumed,
    Started,
    Updated,
    WireEvent,
    call_name,
    check_samples,
    check_size,
    decoded,
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

_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Message(msgspec.Struct, frozen=True):
    version: str
    id: str
    type: str
    seq: _Seq
    serverseq: _Seq
    position: str
    parameters: msgspec.Raw


class _Media(msgspec.Struct, frozen=True):
    type: str
    format: str
    channels: list[str]
    rate: int


class _Participant(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    ani: str = ""
    ani_name: str = ""
    dnis: str = ""


class _Continued(msgspec.Struct, frozen=True):
    id: str


class _Open(msgspec.Struct, frozen=True, rename="camel"):
    organization_id: str
    conversation_id: str
    participant: _Participant
    media: list[_Media]
    language: str = ""
    continued_sessions: list[_Continued] = []


class _Close(msgspec.Struct, frozen=True):
    reason: str


class _Discarded(msgspec.Struct, frozen=True):
    start: str
    discarded: str


class _Update(msgspec.Struct, frozen=True):
    language: str


class _Error(msgspec.Struct, frozen=True):
    code: int


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
            A message out of order or of another session, one that cannot be read, audio of more than one channel.
        """
        check_size(message, WIRE, self._limit)
        if self._state == "closed":
            raise WireError(f"{WIRE}: got a message after close, expected none; open another session")
        if isinstance(message, bytes):
            yield self._audio(message)
        else:
            yield from self._text(decoded(message, _Message, WIRE))

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

    def _audio(self, message: bytes) -> Audio:
        if self._state != "open" or self._sample_bytes is None:
            raise WireError(f"{WIRE}: got audio while {self._state}, expected none before opened or while paused")
        check_samples(message, self._sample_bytes, WIRE)
        at = self._position
        self._position += len(message) // self._sample_bytes
        self._check_position(self._position)
        return Audio(payload=message, at=at)

    def _text(self, said: _Message) -> Iterator[WireEvent]:
        if said.version != "2" or said.id != self._upgrade.session_id:
            raise WireError(
                f"{WIRE}: got another version or session, expected version 2 and the session that was signed"
            )
        if said.seq != self._client_seq + 1 or said.serverseq > self._seq:
            raise WireError(f"{WIRE}: got a sequence number that does not follow, expected {self._client_seq + 1}")
        self._client_seq = said.seq
        heard_by_now = _samples(said.position)
        if self._position > heard_by_now + _SLACK_S * _RATE_HZ:
            raise WireError(
                f"{WIRE}: got more audio than the position tells, expected one channel; two hold the agent's voice"
            )
        if said.type not in ("open", "ping", "close", "error") and self._state == "connected":
            raise WireError(f"{WIRE}: got a message before open, expected open first")
        if said.type == "open":
            yield from self._open(decoded(said.parameters, _Open, WIRE))
        elif said.type == "ping":
            yield self._reply("pong")
        elif said.type == "close":
            yield from self._close(decoded(said.parameters, _Close, WIRE).reason)
        elif said.type == "paused":
            if self._state == "open":
                self._state = "paused"
                yield Paused()
        elif said.type == "resumed":
            yield from self._discarded(decoded(said.parameters, _Discarded, WIRE))
            if self._state == "paused":
                self._state = "open"
                yield Resumed()
        elif said.type == "discarded":
            yield from self._discarded(decoded(said.parameters, _Discarded, WIRE))
        elif said.type == "update":
            yield Updated(language=_language(decoded(said.parameters, _Update, WIRE).language))
            yield self._reply("updated")
        elif said.type == "error":
            yield Complained(code=decoded(said.parameters, _Error, WIRE).code)
        else:
            raise WireError(
                f"{WIRE}: got an unknown type, expected open, ping, close, paused, resumed, discarded, update or error"
            )

    def _open(self, asked: _Open) -> Iterator[WireEvent]:
        if self._state != "connected":
            raise WireError(f"{WIRE}: got open twice, expected it once a session")
        if asked.organization_id != self._upgrade.organization_id:
            raise WireError(f"{WIRE}: got another organization than was signed, expected the same")
        chosen = next(
            (
                media
                for format in _ENCODINGS
                for media in asked.media
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
            said = asked.participant
            parameters = {"participantId": said.id, "aniName": said.ani_name, "dnis": said.dnis}
            yield Started(
                call_id=call_name(asked.conversation_id, WIRE),
                encoding=encoding,
                sample_rate_hz=_RATE_HZ,
                caller=Hidden(asked.participant.ani) if asked.participant.ani else None,
                parameters=Hidden({**parameters, "language": asked.language}),
                continues=tuple(call_name(session.id, WIRE) for session in asked.continued_sessions),
            )
        yield self._reply("opened", media=[msgspec.to_builtins(chosen)], startPaused=False)

    def _close(self, reason: str) -> Iterator[WireEvent]:
        if reason not in ("end", "error", "disconnect", "reconnect"):
            raise WireError(f"{WIRE}: got an unknown reason to close, expected end, error, disconnect or reconnect")
        yield self._reply("closed")
        self._state = "closed"
        yield Ended(reason="reconnect" if reason == "reconnect" else "error" if reason == "error" else "hangup")

    def _discarded(self, audio: _Discarded) -> Iterator[WireEvent]:
        to = _samples(audio.start) + _samples(audio.discarded)
        self._check_position(to)
        if to > self._position:
            self._position = to
            yield Passed(to=to)

    def _check_position(self, position: int) -> None:
        if position > MAX_STREAM_S * _RATE_HZ:
            raise WireError(f"{WIRE}: got a position of more than {MAX_STREAM_S:g} s, expected a call of a day at most")


def _samples(duration: str) -> int:
    found = _DURATION.fullmatch(duration)
    if not found:
        raise WireError(f'{WIRE}: got a duration that is none, expected seconds such as "PT1.5S"')
    return round(float(found[1]) * _RATE_HZ)


def _language(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}", name):
        raise WireError(f'{WIRE}: got a language that is none, expected a code such as "fr-FR"')
    return name.lower()
