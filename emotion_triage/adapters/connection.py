"""One connection's life: a wire's events become a call's audio, whatever the engine and the network library."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from emotion_triage.adapters.protocol import (
    SAMPLE_BYTES,
    Audio,
    Changed,
    Complained,
    Digit,
    Dropped,
    Ended,
    Passed,
    Paused,
    Reply,
    Resumed,
    Started,
    Updated,
    Wire,
)
from emotion_triage.call.triage import Call, Event
from emotion_triage.errors import WireError

__all__ = ["Application", "Beside", "Connection", "Direct", "Limits", "Sink", "Socket"]

Beside: TypeAlias = Paused | Resumed | Digit | Updated | Complained | Changed | Dropped
"""What happens beside the audio."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a connection may be silent.

    Attributes
    ----------
    idle_s : float
        Seconds without a single whole message, after which the connection is given up.
    gap_s : float
        Seconds without audio, after which a call's time goes on without it, so that a level ends on hold too.
    """

    idle_s: float = 60.0
    gap_s: float = 2.0


class Socket(Protocol):
    """A connection: iterate for its messages, send one. What `websockets` gives is one as it stands."""

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Iterate over messages until the connection ends."""
        ...

    async def send(self, message: bytes | str, /) -> None:
        """Send one message."""
        ...


class Sink(Protocol):
    """Where sessions bring audio: pushed at once, or gathered from many calls into one `Triage.push_many`."""

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        """Take a call's next audio, as `Call.push` does; an empty chunk moves stream time alone."""
        ...

    async def finish(self, call: Call) -> None:
        """Flush a call; returns once everything delivered for it was heard."""
        ...


class Application(Protocol):
    """What the server's owner decides."""

    async def started(self, connection: Connection, event: Started) -> Call | None:
        """Open the call, or return None to hear nothing of it."""
        ...

    async def noticed(self, connection: Connection, event: Beside) -> None:
        """Take note of what happened beside the audio; of what is passed over, the first of each reason but late."""
        ...

    async def ended(self, connection: Connection, event: Ended) -> None:
        """Take note that a call which was opened has ended and was flushed."""
        ...


class Direct:
    """A sink that pushes each packet as it comes: right for tens of calls; gather for hundreds.

    Parameters
    ----------
    heard : callable
        Given the call and its new events, never an empty list; must not block.
    """

    def __init__(self, heard: Callable[[Call, list[Event]], None]) -> None:
        self._heard = heard

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        """Push a chunk."""
        if events := call.push(chunk, at=at):
            self._heard(call, events)

    async def finish(self, call: Call) -> None:
        """Flush a call."""
        if events := call.flush():
            self._heard(call, events)


class Connection:
    """One connection of an engine.

    Parameters
    ----------
    socket : Socket
        The connection.
    wire : Wire
        Its protocol, new for each connection.
    application : Application
        Opens the call and is told what happens to it.
    sink : Sink
        Takes the audio.
    limits : Limits, optional
        How long the connection may be silent.

    Attributes
    ----------
    call : Call or None
        The call, once the application opened it.
    dropped_by : Counter of str
        Messages that were passed over, by why: as in `emotion_triage.adapters.protocol.Dropped`.
    changed_by : Counter of str
        Times that the stream went on in another way, by what changed: as in `Changed` there.
    """

    def __init__(
        self, socket: Socket, wire: Wire, application: Application, sink: Sink, *, limits: Limits | None = None
    ) -> None:
        self._socket = socket
        self._wire = wire
        self._application = application
        self._sink = sink
        self._limits = limits or Limits()
        self._ended: Ended | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._base = self._next = self._heard_to = self._wire_next = 0
        self.call: Call | None = None
        self.dropped_by: Counter[str] = Counter()
        self.changed_by: Counter[str] = Counter()

    @property
    def dropped(self) -> int:
        """Messages that were passed over, whatever the reason."""
        return self.dropped_by.total()

    async def run(self) -> None:
        """Read the connection to its end; the call is flushed and the application told, whatever happens.

        Raises
        ------
        WireError
            If the engine broke its protocol, sends what could never be heard, or fell silent. Nothing but this
            connection is touched by it. What the application or the sink raises comes out as it is.
        """
        try:
            async with asyncio.timeout(None) as idle:
                self._alive_s = asyncio.get_running_loop().time()
                self._check_idle(idle)
                await self._read()
        except WireError:
            self._ended = self._ended or Ended(reason="fault")
            await self.close(reason="error")
            raise
        except TimeoutError:
            if not idle.expired():
                raise
            self._ended = Ended(reason="idle")
            await self.close(reason="error")
            raise WireError(
                f"got no whole message for {self._limits.idle_s:g} s, expected audio or a sign of life; the engine "
                "may be gone: raise idle_s if calls are held longer than this without a word"
            ) from None
        finally:
            for timer in (self._timer, self._idle_timer):
                if timer:
                    timer.cancel()
            await self._finish(self._ended or Ended(reason="stopped"))

    async def close(self, *, reason: Literal["completed", "error"] = "completed") -> None:
        """Tell the engine that no more audio is wanted; the engine then ends the connection."""
        self._stopping = True
        for reply in self._wire.close(reason=reason):
            await self._send(reply)

    def _check_idle(self, idle: asyncio.Timeout) -> None:
        """End a connection without a sign of life for `idle_s`; moving a timer at each packet would cost most."""
        loop = asyncio.get_running_loop()
        due_s = self._alive_s + self._limits.idle_s
        if due_s <= loop.time():
            idle.reschedule(due_s)
        else:
            self._idle_timer = loop.call_at(due_s, self._check_idle, idle)

    async def _read(self) -> None:
        messages = aiter(self._socket)
        clock, whole = asyncio.get_running_loop().time, not self._wire.byte_stream
        now_s = clock()
        while self._ended is None:
            try:
                events = self._wire.receive(await anext(messages))
                now_s = clock()
                if whole:
                    self._alive_s = now_s
            except StopAsyncIteration:
                events = self._wire.end()
            except Exception:  # each network library has its own word for a connection that broke
                events = self._wire.end()
                self._ended = Ended(reason="cut")
            for event in events:
                if isinstance(event, Audio):
                    self._alive_s = now_s
                    self._hear(event, now_s)
                else:
                    await self._take(event)
                    self._alive_s = now_s = clock()

    async def _take(self, event: Beside | Passed | Reply | Ended | Started) -> None:
        """Take what is not audio."""
        if isinstance(event, Passed):
            self._wire_next = max(self._wire_next, event.to)
            self._advance(self._base + event.to)
        elif isinstance(event, Reply):
            await self._send(event)
        elif isinstance(event, Dropped):
            self.dropped_by[event.why] += 1
            if event.why != "late" and self.dropped_by[event.why] == 1:
                await self._application.noticed(self, event)
        elif isinstance(event, Ended):
            stopped = self._stopping and event.reason == "cut"
            self._ended = self._ended or (Ended(reason="stopped") if stopped else event)
        elif isinstance(event, Started):
            self.call = await self._application.started(self, event)
            if self.call is not None:
                self._begin(self.call, event)
        else:
            if isinstance(event, Changed):
                self.changed_by[event.what] += 1
            await self._application.noticed(self, event)

    def _begin(self, call: Call, started: Started) -> None:
        self._rate_hz = started.sample_rate_hz
        self._sample_bytes = SAMPLE_BYTES[started.encoding]
        # a call that an earlier connection began goes on where it was
        self._base = self._next = self._heard_to = round(call.position_s * self._rate_hz)
        self._wire_next = 0
        self._heard_s = asyncio.get_running_loop().time()
        self._watch()

    def _watch(self) -> None:
        """Let time go on for a call whose audio has stopped, always `gap_s` behind the clock."""
        loop = asyncio.get_running_loop()
        silent_s = loop.time() - self._heard_s - self._limits.gap_s
        if silent_s > 0:
            self._advance(self._heard_to + int(silent_s * self._rate_hz))
        self._timer = loop.call_later(self._limits.gap_s, self._watch)

    def _hear(self, audio: Audio, now_s: float) -> None:
        if self.call is None:
            return
        n_samples = len(audio.payload) // self._sample_bytes
        at, late = self._next, 0
        if audio.at is not None:
            late = max(0, self._wire_next - audio.at)
            if late >= n_samples:
                self.dropped_by["late"] += 1
                return
            self._wire_next = audio.at + n_samples
            # where this side's clock let time go on and the wire's stood still, the wire's goes on from now
            self._base += max(0, self._next - self._base - audio.at - late)
            at = self._base + audio.at + late
        else:
            silent_s = now_s - self._heard_s - n_samples / self._rate_hz
            if silent_s > self._limits.gap_s:
                at = max(at, self._heard_to + int(silent_s * self._rate_hz))
        payload = audio.payload[late * self._sample_bytes :] if late else audio.payload
        self._sink.deliver(self.call, payload, at)
        self._next = self._heard_to = at + n_samples - late
        self._heard_s = now_s

    def _advance(self, to: int) -> None:
        if self.call is not None and to > self._next:
            self._sink.deliver(self.call, b"", to)
            self._next = to

    async def _send(self, reply: Reply) -> None:
        try:
            async with asyncio.timeout(self._limits.gap_s):
                await self._socket.send(reply.payload)
        except Exception:  # the connection broke, in the word of any library: reading it will end it
            return

    async def _finish(self, ended: Ended) -> None:
        if self.call is None:
            return
        if ended.reason != "reconnect":
            await self._sink.finish(self.call)
        await self._application.ended(self, ended)
