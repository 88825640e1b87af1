"""A connection: what a wire says becomes a call's audio, at its time, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from emotion_triage.adapters.connection import Connection, Direct, Limits
from emotion_triage.adapters.protocol import (
    Audio,
    Changed,
    Digit,
    Dropped,
    Ended,
    Passed,
    Paused,
    Reply,
    Started,
    WireEvent,
)
from emotion_triage.audio.stream import encode_mulaw
from emotion_triage.call.triage import Call, Event, Triage
from emotion_triage.errors import WireError
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy

STARTED = Started(call_id="call-1", encoding="mulaw", sample_rate_hz=8000)
PACKET = bytes([0xFF]) * 160


class Script:
    """A socket and a wire in one: messages are keys of a list of events, or exceptions, with pauses between."""

    byte_stream = False

    def __init__(self, *steps: WireEvent | Exception | float, end: str = "cut") -> None:
        self.steps = steps
        self.sent: list[bytes | str] = []
        self.last = end

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        for i, step in enumerate(self.steps):
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, ConnectionError):
                raise step
            else:
                yield str(i)

    async def send(self, message: bytes | str, /) -> None:
        self.sent.append(message)

    def receive(self, message: bytes | str) -> Iterator[WireEvent]:
        step = self.steps[int(message)]
        if isinstance(step, Exception):
            raise step
        assert not isinstance(step, float)
        yield step

    def end(self) -> Iterator[WireEvent]:
        yield Ended(reason=self.last)  # type: ignore[arg-type]

    def close(self, *, reason: Literal["completed", "error"]) -> Iterator[Reply]:
        yield Reply(f"bye {reason}")


class Owner:
    """An application that keeps what it is told."""

    def __init__(self, triage: Triage, *calls: Call | None) -> None:
        self.triage = triage
        self.calls = list(calls)
        self.told: list[WireEvent] = []

    async def started(self, connection: Connection, event: Started) -> Call | None:
        return self.calls.pop(0) if self.calls else event.open(self.triage)

    async def noticed(self, connection: Connection, event: WireEvent) -> None:
        self.told.append(event)

    async def ended(self, connection: Connection, event: Ended) -> None:
        self.told.append(event)


class Tape:
    """A sink that keeps what is delivered and pushes it as well."""

    def __init__(self) -> None:
        self.delivered: list[tuple[bytes, int]] = []
        self.events: list[Event] = []
        self.flushed = 0
        self.direct = Direct(lambda call, events: self.events.extend(events))

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        self.delivered.append((chunk, at))
        self.direct.deliver(call, chunk, at)

    async def finish(self, call: Call) -> None:
        self.flushed += 1
        await self.direct.finish(call)


def run(script: Script, owner: Owner, *, limits: Limits | None = None) -> tuple[Connection, Tape]:
    tape = Tape()
    connection = Connection(script, script, owner, tape, limits=limits)
    asyncio.run(asyncio.wait_for(connection.run(), 30))
    return connection, tape


@pytest.mark.parametrize("stamped", [True, False])
def test_a_session_is_push(triage: Triage, temper: np.ndarray, stamped: bool) -> None:
    """Audio through a session makes the events that `Call.push` makes of the same bytes, to the last flush."""
    codes = encode_mulaw(temper)
    starts = range(0, len(codes), 160)
    audio = [Audio(payload=codes[at : at + 160], at=at if stamped else None) for at in starts]
    _, tape = run(Script(STARTED, *audio), Owner(triage), limits=Limits(gap_s=30.0))
    call = triage.call("call-1")
    assert tape.events == [*call.push(codes), *call.flush()]
    assert len(tape.events) > 5


def test_late_packets_are_dropped_and_counted(triage: Triage) -> None:
    """What lies in the past is dropped; of a packet that overlaps it, the part that is new is heard."""
    steps = [Audio(payload=PACKET, at=at) for at in (0, 320, 160, 0, 400)]
    connection, tape = run(Script(STARTED, *steps, Dropped(why="late")), Owner(triage))
    assert tape.delivered == [(PACKET, 0), (PACKET, 320), (PACKET[80:], 480)]
    assert connection.dropped == 3
    assert connection.call is not None
    assert connection.call.lost_s == pytest.approx(0.02)


def test_what_is_passed_over_is_counted_and_said_once(triage: Triage) -> None:
    """The application hears of the first that is passed over for each reason; the connection counts all."""
    unknown, early = Dropped(why="unknown", what="type 0x02"), Dropped(why="early")
    owner = Owner(triage)
    connection, tape = run(
        Script(early, STARTED, unknown, Audio(payload=PACKET, at=0), unknown, unknown, Dropped(why="late"), Paused()),
        owner,
    )
    assert owner.told == [early, unknown, Paused(), Ended(reason="cut")]
    assert connection.dropped_by == {"unknown": 3, "early": 1, "late": 1}
    assert connection.dropped == 5
    assert tape.delivered == [(PACKET, 0)]


def test_changes_of_the_stream_are_counted_and_said(triage: Triage) -> None:
    """Each change is told; the count stays with the connection."""
    owner = Owner(triage)
    connection, _ = run(Script(STARTED, Changed("source"), Changed("clock"), Changed("source")), owner)
    assert owner.told[:3] == [Changed("source"), Changed("clock"), Changed("source")]
    assert connection.changed_by == {"source": 2, "clock": 1}


def test_a_wire_whose_clock_stood_still_is_heard_at_once(triage: Triage) -> None:
    """After a hold in which this side's clock went on and the wire's did not, no packet is taken for a late one."""
    steps = [Audio(payload=PACKET, at=0), 0.4, *(Audio(payload=PACKET, at=160 * i) for i in (1, 2, 3, 2))]
    connection, tape = run(Script(STARTED, *steps), Owner(triage), limits=Limits(gap_s=0.05))
    first, *rest = [at for chunk, at in tape.delivered if chunk]
    moved = [at for chunk, at in tape.delivered if not chunk]
    assert first == 0
    assert max(moved) >= 0.25 * 8000
    assert rest == [max(moved) + 160 * i for i in range(3)]
    assert connection.dropped_by == {"late": 1}


@pytest.mark.parametrize(("byte_stream", "reason"), [(False, "cut"), (True, "idle")])
def test_a_whole_message_that_says_nothing_is_a_sign_of_life(triage: Triage, byte_stream: bool, reason: str) -> None:
    """Marks, reports and the like keep a connection; bytes that make no frame do not."""

    class Quiet(Script):
        def receive(self, message: bytes | str) -> Iterator[WireEvent]:
            if int(message) == 0:
                yield STARTED

    script = Quiet(STARTED, *[0.2, Paused()] * 8)
    script.byte_stream = byte_stream
    owner = Owner(triage)
    connection = Connection(script, script, owner, Tape(), limits=Limits(idle_s=1.0))
    if byte_stream:
        with pytest.raises(WireError, match="no whole message"):
            asyncio.run(connection.run())
    else:
        asyncio.run(connection.run())
    assert owner.told == [Ended(reason=reason)]  # type: ignore[arg-type]


def test_time_that_passed_is_lost(triage: Triage) -> None:
    """A jump forward of the wire is the call's lost audio; a jump back is none."""
    connection, _ = run(Script(STARTED, Audio(payload=PACKET, at=0), Passed(to=8000), Passed(to=100)), Owner(triage))
    assert connection.call is not None
    assert (connection.call.position_s, connection.call.lost_s) == (1.0, pytest.approx(0.98))


def test_a_silent_wire_lets_time_go_on(triage: Triage) -> None:
    """While no audio comes the call's time follows the clock, behind it by less than the two gaps allowed."""
    script = Script(STARTED, Audio(payload=PACKET), 0.5, Audio(payload=PACKET), 0.05, Audio(payload=PACKET))
    connection, tape = run(script, Owner(triage), limits=Limits(gap_s=0.1))
    moved = [at for chunk, at in tape.delivered if not chunk]
    (_, _), (_, resumed), (_, follows) = [(chunk, at) for chunk, at in tape.delivered if chunk]
    assert len(moved) >= 2
    assert moved == sorted(moved)
    assert max(moved) <= resumed
    assert resumed >= 0.45 * 8000
    assert follows == resumed + 160
    assert connection.call is not None
    assert connection.call.lost_s == pytest.approx(resumed / 8000 - 0.02)


def test_a_level_ends_while_the_wire_is_silent(anger_model: Path, temper: np.ndarray) -> None:
    """An escalated caller on a hold that sends nothing steps down before the wire speaks again."""
    policy = Policy.parse("[escalation]\nbaseline_s = 4.0\nsmoothing_s = 1.0\nmin_duration_on_s = 0.5\nhold_s = 0.8")
    call = Triage.load(model=anger_model, policy=policy).call("call-1")
    levels: list[Level] = []

    class Watched(Script):
        async def __aiter__(self) -> AsyncIterator[bytes | str]:
            async for message in super().__aiter__():
                levels.append(call.level)
                yield message

    codes = encode_mulaw(temper[: 18 * 8000])
    script = Watched(STARTED, Audio(payload=codes, at=0), Paused(), 1.5, Paused())
    asyncio.run(Connection(script, script, Owner(call.triage, call), Tape(), limits=Limits(gap_s=0.05)).run())
    assert levels[-2] == Level.ESCALATED
    assert levels[-1] < Level.ESCALATED


def test_a_quiet_connection_is_given_up(triage: Triage) -> None:
    """After `idle_s` without a message the engine is told, the call is flushed, and one WireError says so."""
    script, owner, tape = Script(STARTED, 5.0), Owner(triage), Tape()
    connection = Connection(script, script, owner, tape, limits=Limits(idle_s=0.1))
    with pytest.raises(WireError, match=r"no whole message for 0\.1 s"):
        asyncio.run(connection.run())
    assert (owner.told, script.sent, tape.flushed) == ([Ended(reason="idle")], ["bye error"], 1)


def test_a_fault_ends_its_call_alone(triage: Triage) -> None:
    """A broken protocol flushes its call and tells the engine; a call beside it goes on untouched."""
    faulty, whole = (
        Script(STARTED, WireError("broken")),
        Script(STARTED, 0.1, Audio(payload=PACKET, at=0), end="hangup"),
    )
    owner, tape = Owner(triage), Tape()

    async def both() -> list[BaseException | None]:
        sessions = [Connection(script, script, owner, tape) for script in (faulty, whole)]
        return await asyncio.gather(*(connection.run() for connection in sessions), return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, WireError)
    assert second is None
    assert owner.told == [Ended(reason="fault"), Ended(reason="hangup")]
    assert (faulty.sent, whole.sent, tape.flushed) == (["bye error"], [], 2)
    assert tape.delivered == [(PACKET, 0)]


@pytest.mark.parametrize("error", [ConnectionResetError(), ConnectionError("+33123456789")])
def test_a_broken_connection_is_an_end_and_no_fault(triage: Triage, error: ConnectionError) -> None:
    """A connection that breaks ends the call as cut, without an error."""
    owner = Owner(triage)
    _, tape = run(Script(STARTED, Audio(payload=PACKET, at=0), error), owner)
    assert owner.told == [Ended(reason="cut")]
    assert tape.flushed == 1


def test_a_call_goes_on_in_another_session(triage: Triage) -> None:
    """After a reconnect the same call goes on where it was, and is flushed once."""
    call = triage.call("call-1")
    first = Script(STARTED, Audio(payload=PACKET, at=0), Ended(reason="reconnect"))
    second = Script(STARTED, Audio(payload=PACKET, at=0), Ended(reason="hangup"))
    owner, tape = Owner(triage, call, call), Tape()

    async def one_after_the_other() -> None:
        for script in (first, second):
            await Connection(script, script, owner, tape).run()

    asyncio.run(one_after_the_other())
    assert tape.delivered == [(PACKET, 0), (PACKET, 160)]
    assert tape.flushed == 1


def test_a_call_that_the_owner_declines_is_not_heard(triage: Triage) -> None:
    """Where the application opens no call, nothing is delivered, and its end is not told."""
    owner = Owner(triage, None)
    _, tape = run(Script(STARTED, Audio(payload=PACKET, at=0), Passed(to=8000), Paused()), owner)
    assert (tape.delivered, tape.flushed, owner.told) == ([], 0, [Paused()])


def test_replies_are_sent_and_the_rest_is_told(triage: Triage) -> None:
    """Replies go back on the socket in their order; keys and pauses go to the application."""
    script, owner = Script(Reply("a"), STARTED, Reply(b"b"), Digit(digit="5"), Paused()), Owner(triage)
    run(script, owner)
    assert script.sent == ["a", b"b"]
    assert owner.told == [Digit(digit="5"), Paused(), Ended(reason="cut")]


def test_a_peer_that_reads_nothing_holds_nothing_up(triage: Triage) -> None:
    """A reply that cannot be sent is given up after `gap_s`."""

    class Deaf(Script):
        async def send(self, message: bytes | str, /) -> None:
            await asyncio.sleep(60)

    owner = Owner(triage)
    run(Deaf(Reply("a"), STARTED), owner, limits=Limits(gap_s=0.05))
    assert owner.told == [Ended(reason="cut")]


def test_a_session_that_is_stopped_flushes_its_call(triage: Triage) -> None:
    """A server that goes down loses nothing of a call: it is flushed, and its end is told."""
    script, owner, tape = Script(STARTED, Audio(payload=PACKET, at=0), 60.0), Owner(triage), Tape()

    async def stop() -> None:
        task = asyncio.create_task(Connection(script, script, owner, tape).run())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(stop())
    assert (owner.told, tape.flushed) == ([Ended(reason="stopped")], 1)


def test_a_fault_of_the_owner_is_not_hidden(triage: Triage) -> None:
    """What the application raises comes out of the connection, a TimeoutError too."""

    class Failing(Owner):
        async def noticed(self, connection: Connection, event: WireEvent) -> None:
            raise TimeoutError("of the application")

    script = Script(STARTED, Paused())
    with pytest.raises(TimeoutError, match="of the application"):
        asyncio.run(Connection(script, script, Failing(triage), Tape()).run())


def test_what_is_hidden_stays_hidden() -> None:
    """Neither audio, keys nor numbers show in the repr of an event."""
    events: Sequence[object] = [Audio(payload=b"\x12\x34", at=5), Digit(digit="7")]
    assert list(map(repr, events)) == ["Audio(2 bytes, at=5)", "Digit(hidden)"]
