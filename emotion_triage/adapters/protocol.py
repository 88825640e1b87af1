"""What a wire says once it is read: typed events, the same for every engine, and the limits of what is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from emotion_triage.audio.stream import Encoding
from emotion_triage.call.triage import Call, Triage
from emotion_triage.errors import CallIdError, WireError
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.rules import Standing

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_STREAM_S",
    "SAMPLE_BYTES",
    "Audio",
    "Complained",
    "Digit",
    "Dropped",
    "Ended",
    "Hidden",
    "Passed",
    "Paused",
    "Reply",
    "Resumed",
    "Started",
    "Updated",
    "Wire",
    "WireEvent",
    "call_name",
    "check_samples",
    "check_size",
    "decoded",
    "digit_of",
]

MAX_MESSAGE_BYTES = 65536
"""Longest message that is read; AudioHook's own limit, and 8 s of mu-law."""

MAX_STREAM_S = 86400.0
"""A position of more than a day is a fault of the peer, not a pause."""

SAMPLE_BYTES = {"mulaw": 1, "alaw": 1, "pcm16": 2}
"""Bytes of one sample, by the encodings that wires carry."""

_DIGITS = "0123456789*#ABCD"

T = TypeVar("T")


class Hidden(Generic[T]):
    """A value that no repr, log or error shows: a caller's number on its way to be pseudonymised.

    Examples
    --------
    >>> number = Hidden("+33 1 23 45 67 89")
    >>> print(number, [number])
    hidden [hidden]
    >>> number.reveal()[:3]
    '+33'
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value; what is done with it then is for the caller of this method to answer for."""
        return self._value

    def __repr__(self) -> str:
        return "hidden"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(Hidden)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A call began.

    Attributes
    ----------
    call_id : str
        The engine's own name of the call, an alias in place of each telephone number: see
        `emotion_triage.routing.call_ids.safe_call_id`.
    encoding : {"mulaw", "alaw", "pcm16"}
        What `Audio` will carry.
    sample_rate_hz : int
        8000 to 48000.
    caller : Hidden of str, optional
        The caller's number, where the wire tells it.
    parameters : Hidden of dict of str to str
        What the dialplan, TwiML or flow was made to send along.
    continues : tuple of str
        Names of earlier sessions of this call, where the engine reconnected.
    engine_id : Hidden of str, optional
        The name as the engine gave it, where it held a telephone number: only to address the engine by.
    """

    call_id: str
    encoding: Encoding
    sample_rate_hz: int
    caller: Hidden[str] | None = None
    parameters: Hidden[Mapping[str, str]] = Hidden({})
    continues: tuple[str, ...] = ()
    engine_id: Hidden[str] | None = None

    def __post_init__(self) -> None:
        named = safe_call_id(self.call_id)
        if named != self.call_id:
            msgspec.structs.force_setattr(self, "engine_id", Hidden(self.call_id))
            msgspec.structs.force_setattr(self, "call_id", named)
        msgspec.structs.force_setattr(self, "continues", tuple(map(safe_call_id, self.continues)))

    def open(self, triage: Triage, *, standing: Standing | None = None, objection: bool = False) -> Call:
        """Open the call as `Triage.call` does, for the audio that this wire carries."""
        return triage.call(
            self.call_id,
            encoding=self.encoding,
            sample_rate_hz=self.sample_rate_hz,
            standing=standing,
            objection=objection,
        )


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's audio, never anyone else's.

    Attributes
    ----------
    payload : bytes
        Whole samples of the encoding that `Started` named.
    at : int, optional
        Stream index of the first sample, at the wire's rate; None where the wire has no clock of its own.
    """

    payload: bytes
    at: int | None = None

    def __repr__(self) -> str:
        return f"Audio({len(self.payload)} bytes, at={self.at})"


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """Stream time went on without audio, to the index `to` at the wire's rate."""

    to: int


class Paused(msgspec.Struct, frozen=True):
    """The engine sends no audio until `Resumed`: hold, a secure pause."""


class Resumed(msgspec.Struct, frozen=True):
    """Audio comes again."""


class Digit(msgspec.Struct, frozen=True, kw_only=True):
    """A key that the caller pressed: 0 to 9, ``*``, ``#``, A to D. Not shown: keys make card numbers."""

    digit: str

    def __repr__(self) -> str:
        return "Digit(hidden)"


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """The engine names another language of the call, such as ``fr-fr``."""

    language: str


class Complained(msgspec.Struct, frozen=True, kw_only=True):
    """The engine reports a fault by its own code; the call goes on."""

    code: int


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A packet that came too late to be heard, or is of a stream that is not the caller's."""

    why: Literal["late", "stray"]


class Reply(msgspec.Struct, frozen=True):
    """What has to be sent to the engine now."""

    payload: bytes | str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The call's audio is over.

    Attributes
    ----------
    reason : str
        ``hangup``: the engine said so. ``cut``: the connection went without a word. ``error``: the engine failed.
        ``reconnect``: another connection will go on with the call. ``fault``: it broke its protocol.
        ``idle``: nothing came for too long. ``stopped``: this side was told to stop.
    """

    reason: Literal["hangup", "cut", "error", "reconnect", "fault", "idle", "stopped"]


WireEvent: TypeAlias = (
    Started | Audio | Passed | Paused | Resumed | Digit | Updated | Complained | Dropped | Reply | Ended
)


class Wire(Protocol):
    """One connection's protocol: messages in, events out, no input or output of its own."""

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says; events before a fault are yielded before `WireError` is raised."""
        ...

    def end(self) -> Iterator[WireEvent]:
        """Yield what is left once the connection is gone."""
        ...

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield what to send when this side wants no more audio."""
        ...


def check_size(message: bytes | str, wire: str, limit: int) -> None:
    """Raise WireError for a message longer than `limit`, in bytes (characters for text)."""
    if len(message) > limit:
        raise WireError(
            f"{wire}: got a message of {len(message)} bytes, expected at most {limit}; send shorter packets"
        )


def check_samples(payload: bytes, sample_bytes: int, wire: str) -> None:
    """Raise WireError for audio that is empty or ends within a sample of `sample_bytes` bytes."""
    if not payload or len(payload) % sample_bytes:
        raise WireError(
            f"{wire}: got {len(payload)} bytes of audio, expected whole samples of {sample_bytes}; "
            "check that the engine sends the format that it names"
        )


def decoded(message: bytes | str, kind: type[T], wire: str) -> T:
    """Read JSON as `kind`; numbers may be written as strings.

    Raises
    ------
    WireError
        If it cannot be read so. The message names the field and never a value: values hold numbers.
    """
    try:
        return msgspec.json.decode(message, type=kind, strict=False)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        field = re.search(r"`\$([\w.\[\]]+)`", str(error))
        where = f" at {field[1].strip('.')}" if field else ""
        raise WireError(
            f"{wire}: got a message that is not as its protocol says{where}, expected what {kind.__name__.strip('_')} "
            "holds; check the engine's version and what it was told to send"
        ) from None


def call_name(name: str, wire: str) -> str:
    """Return the name of a call if it can be one: printable and short; `Started` takes telephone numbers out of it.

    Raises
    ------
    WireError
        If it cannot; the message does not show it.
    """
    try:
        safe_call_id(name, "call's name")
    except CallIdError as error:
        raise WireError(f"{wire}: {error}") from None
    return name


def digit_of(text: str, wire: str) -> Digit:
    """Return the key that was pressed, or raise WireError where there is none such."""
    if len(text) != 1 or text.upper() not in _DIGITS:
        raise WireError(f"{wire}: got a key that is none, expected one of {_DIGITS}; check the engine's DTMF settings")
    return Digit(digit=text.upper())
