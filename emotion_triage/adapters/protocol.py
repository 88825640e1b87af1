"""What a wire says once it is read: typed events, the same for every engine, and the limits of what is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from emotion_triage.arguments import of_type
from emotion_triage.audio.stream import Encoding
from emotion_triage.call.triage import Call, Triage
from emotion_triage.errors import CallIdError, WireError
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.routing.rules import Standing

__all__ = [
    "MAX_EARLY_MESSAGES",
    "MAX_MESSAGE_BYTES",
    "MAX_STREAM_S",
    "SAMPLE_BYTES",
    "Audio",
    "Changed",
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
    "Unreadable",
    "Updated",
    "Why",
    "Wire",
    "WireEvent",
    "call_name",
    "decoded",
    "digit_of",
    "flaw_of",
    "kind_name",
    "text_fields",
    "too_long",
]

MAX_MESSAGE_BYTES = 65536
"""Longest message that is read; AudioHook's own limit, and 8 s of mu-law."""

MAX_STREAM_S = 86400.0
"""A position of more than a day is a fault of the peer, not a pause."""

MAX_EARLY_MESSAGES = 50
"""Messages of audio that are kept for a start that comes after them: 1 s of 20 ms each; engines send 1 to 5."""

SAMPLE_BYTES = {"mulaw": 1, "alaw": 1, "pcm16": 2}
"""Bytes of one sample, by the encodings that wires carry."""

_DIGITS = "0123456789*#ABCD"
_KIND_NAME = re.compile(r"[A-Za-z][A-Za-z_.:-]{0,39}")

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
        of_type(Triage, triage=triage)
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


Why: TypeAlias = Literal["late", "stray", "early", "unknown", "unreadable", "empty", "repeated"]
"""Why a message is passed over, as in `Dropped`."""


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is passed over and counted; the call goes on.

    Attributes
    ----------
    why : str
        ``late``: comes too late to be heard, or again. ``stray``: belongs to another stream than the caller's, or comes
        out of turn. ``early``: audio ahead of the call's start, more than is kept. ``unknown``: of a kind that the wire
        does not know. ``unreadable``: of a known kind, and not as the protocol says. ``empty``: holds no audio.
        ``repeated``: opens what is open already.
    what : str
        What it is, such as ``payload type 9``; never a value that it carries.
    """

    why: Why
    what: str = ""


class Changed(msgspec.Struct, frozen=True):
    """The caller's stream goes on in another way, after a transfer for example, and is heard on.

    Attributes
    ----------
    what : {"source", "clock", "codec"}
        Another sender (SSRC); another count of packets or of time; another encoding, or back to the first one.
    """

    what: Literal["source", "clock", "codec"]


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
    Started | Audio | Passed | Paused | Resumed | Digit | Updated | Complained | Dropped | Changed | Reply | Ended
)


class Unreadable(WireError):
    """A message cannot be read as its protocol says: a call that began goes on without it."""


class Wire(Protocol):
    """One connection's protocol: messages in, events out, no input or output of its own.

    What is not understood is `Dropped`; `WireError` is for what breaks the framing, or would never be heard.

    Attributes
    ----------
    byte_stream : bool
        Whether messages come in any cut, as TCP gives them: then an event, and no message, is a sign of life.
    """

    byte_stream: bool

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        """Yield what a message says; events before a fault are yielded before `WireError` is raised."""
        ...

    def end(self) -> Iterator[WireEvent]:
        """Yield what is left once the connection is gone."""
        ...

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        """Yield what to send when this side wants no more audio."""
        ...


def too_long(message: bytes | str, limit: int) -> Dropped | None:
    """Return what becomes of a message longer than `limit`, in bytes (characters for text); None for any other."""
    if len(message) > limit:
        return Dropped(why="unreadable", what=f"a message of {len(message)} bytes, more than {limit}")
    return None


def flaw_of(payload: bytes, sample_bytes: int) -> Dropped | None:
    """Return what becomes of audio that is empty or ends within a sample of `sample_bytes` bytes; None of any other."""
    if not payload:
        return Dropped(why="empty", what="audio of 0 bytes")
    if len(payload) % sample_bytes:
        return Dropped(why="unreadable", what=f"{len(payload)} bytes of audio in samples of {sample_bytes}")
    return None


def kind_name(name: object) -> str:
    """Return the name of a kind of message if it can be shown: a word, which no number or secret is.

    Examples
    --------
    >>> kind_name("playback_started"), kind_name("+33123456789"), kind_name(None)
    ('playback_started', 'no name', 'no name')
    """
    return name if isinstance(name, str) and _KIND_NAME.fullmatch(name) else "no name"


def text_fields(fields: object) -> dict[str, str]:
    """Return parameters as text by name, whatever the engine made of them; null is left out.

    Examples
    --------
    >>> text_fields({"line": "sales", "age": 41, "vip": True, "note": None, "tags": ["a"]})
    {'line': 'sales', 'age': '41', 'vip': 'true', 'tags': '["a"]'}
    """
    if not isinstance(fields, Mapping):
        return {}
    return {str(name): _as_text(value) for name, value in fields.items() if value is not None}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def decoded(message: bytes | str, kind: type[T], wire: str) -> T:
    """Read JSON as `kind`; numbers may be written as strings.

    Raises
    ------
    Unreadable
        If it cannot be read so. The message names the field and never a value: values hold numbers.
    """
    try:
        return msgspec.json.decode(message, type=kind, strict=False)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        field = re.search(r"`\$([\w.\[\]]+)`", str(error))
        where = f" at {field[1].strip('.')}" if field else ""
        raise Unreadable(
            f"{wire}: got a message that is not as its protocol says{where}, expected what {_kind_of(kind)} holds; "
            "check the engine's version and what it was told to send"
        ) from None


def _kind_of(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind)).strip("_")


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


def digit_of(text: object) -> Digit | Dropped:
    """Return the key that was pressed; what is no key is passed over."""
    if not isinstance(text, str) or len(text) != 1 or text.upper() not in _DIGITS:
        return Dropped(why="unreadable", what="a key that is none")
    return Digit(digit=text.upper())
