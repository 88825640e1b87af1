"""All calls in one pass: what came in since the last tick goes to one `Triage.push_many`, in a thread of its own.

Where there is too much to do, ticks grow and calm callers are heard less (`emotion_triage.server.overload`). Queues are
bounded: where scoring still falls behind, a call's oldest audio is dropped, and the call counts it as lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from emotion_triage.adapters.protocol import SAMPLE_BYTES
from emotion_triage.audio.stream import Encoding
from emotion_triage.call.triage import Call, Event, Triage
from emotion_triage.errors import PushError
from emotion_triage.routing.escalation import Level
from emotion_triage.server.config import Limits
from emotion_triage.server.metrics import Metrics
from emotion_triage.server.overload import Load

__all__ = ["Batcher", "Heard"]

log = logging.getLogger(__name__)

Act = Callable[[Call], list[Event]]
_Asked = tuple[Act, asyncio.Future[None]]

MAX_TICK_S = 1.0
"""Audio of one call that is scored in one pass: bounds its memory where calls have to be caught up with."""


class Heard(NamedTuple):
    """What a tick made of one call.

    Attributes
    ----------
    call : Call
        The call.
    zero_s : float
        When the first sample of its stream came, by the loop's clock, as far as the latest audio tells.
    events : list of Event
        In order.
    gaps : list of (float, float)
        Spans of its stream that were lost, in seconds.
    """

    call: Call
    zero_s: float
    events: list[Event]
    gaps: list[tuple[float, float]]


class _Waiting:
    """What waits of one call: segments of audio that follow one another, each with its place in the stream."""

    def __init__(self, call: Call, encoding: Encoding, sample_rate_hz: int, max_waiting_s: float, turn: int) -> None:
        self.call = call
        self.turn = turn
        self.rate_hz = sample_rate_hz
        self.sample_bytes = SAMPLE_BYTES[encoding]
        self.max_bytes = round(max_waiting_s * sample_rate_hz) * self.sample_bytes
        self.n_bytes = 0
        self.zero_s = 0.0
        self.segments: deque[tuple[int, bytearray]] = deque()
        self.acts: list[_Asked] = []

    def add(self, chunk: bytes, at: int) -> int:
        """Take a chunk; return how many bytes of older audio had to go for it."""
        if self.segments:
            last_at, last = self.segments[-1]
            if not chunk and not last:
                self.segments.pop()
            elif last and at <= last_at + len(last) // self.sample_bytes:
                last += chunk
                self.n_bytes += len(chunk)
                return self._trim()
        self.segments.append((at, bytearray(chunk)))
        self.n_bytes += len(chunk)
        return self._trim()

    def _trim(self) -> int:
        dropped = 0
        while self.n_bytes > self.max_bytes:
            at, first = self.segments.popleft()
            extra = min(len(first), self.n_bytes - self.max_bytes)
            dropped, self.n_bytes = dropped + extra, self.n_bytes - extra
            if extra < len(first):
                self.segments.appendleft((at + extra // self.sample_bytes, first[extra:]))
        return dropped

    @property
    def heard_to_s(self) -> float:
        """Stream time at which the audio that waits begins, in seconds."""
        return self.segments[0][0] / self.rate_hz

    def pass_over(self) -> float:
        """Let go of the audio that waits, so that stream time alone goes on; return its seconds."""
        at, last = self.segments[-1]
        passed_s = self.n_bytes / self.sample_bytes / self.rate_hz
        self.segments.clear()
        self.segments.append((at + len(last) // self.sample_bytes, bytearray()))
        self.n_bytes = 0
        return passed_s

    def take(self) -> list[tuple[int, bytearray]]:
        """Return the segments that come next, `MAX_TICK_S` of audio at most."""
        taken, room = [], round(MAX_TICK_S * self.rate_hz) * self.sample_bytes
        while self.segments and room > 0:
            at, audio = self.segments.popleft()
            if len(audio) > room:
                self.segments.appendleft((at + room // self.sample_bytes, audio[room:]))
                audio = audio[:room]
            taken.append((at, audio))
            room -= len(audio)
            self.n_bytes -= len(audio)
        return taken


class Batcher:
    """A `Sink` for hundreds of calls.

    Parameters
    ----------
    triage : Triage
        Scores; only this object's thread touches calls once they are open.
    limits : Limits
        `tick_s` and `max_waiting_s`.
    heard : callable
        Given what a tick made of each call that had anything, on the event loop.
    metrics : Metrics
        Counts.

    Attributes
    ----------
    moved_s : float
        When the last tick was done, by the monotonic clock.
    load : Load
        How hard it is at work, and what it does less of.
    """

    def __init__(
        self, triage: Triage, limits: Limits, heard: Callable[[Iterable[Heard]], None], metrics: Metrics
    ) -> None:
        self._triage = triage
        self._limits = limits
        self._heard = heard
        self._metrics = metrics
        self._waiting: dict[Call, _Waiting] = {}
        self._thread = ThreadPoolExecutor(1, "scoring")
        self._opened = 0
        # counted once a tick: a counter that processes share is a lock and a file
        self._came_s = 0.0
        self.moved_s = time.monotonic()
        self.load = Load(limits.tick_s)

    def open(self, call: Call, encoding: Encoding, sample_rate_hz: int) -> None:
        """Make a queue for a call, unless it has one."""
        if call not in self._waiting:
            self._opened += 1
            self._waiting[call] = _Waiting(call, encoding, sample_rate_hz, self._limits.max_waiting_s, self._opened)

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        """Keep audio for the next tick."""
        waiting = self._waiting.get(call)
        if waiting is None:
            return
        self._came_s += len(chunk) / waiting.sample_bytes / waiting.rate_hz
        end_s = (at + len(chunk) / waiting.sample_bytes) / waiting.rate_hz
        waiting.zero_s = asyncio.get_running_loop().time() - end_s
        if dropped := waiting.add(chunk, at):
            self._metrics.dropped_s.inc(dropped / waiting.sample_bytes / waiting.rate_hz)

    async def finish(self, call: Call) -> None:
        """Score what waits and flush the call; returns once that was heard."""
        await self.ask(call, Call.flush)
        self._waiting.pop(call, None)

    async def ask(self, call: Call, act: Act) -> None:
        """Do something to a call between two pushes, once what waits was heard; its events are heard like others."""
        waiting = self._waiting.get(call)
        if waiting is not None:
            done = asyncio.get_running_loop().create_future()
            waiting.acts.append((act, done))
            await done

    async def run(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = before_s = loop.time()
        try:
            while True:
                due_s = max(due_s + self.load.tick_s, loop.time())
                await asyncio.sleep(due_s - loop.time())
                began_s = loop.time()
                await self.tick()
                now_s = loop.time()
                self.load.note(took_s=now_s - began_s, every_s=now_s - before_s, now_s=now_s)
                self._metrics.load_stage.set(self.load.stage)
                before_s = now_s
                self.moved_s = time.monotonic()
        finally:
            self._thread.shutdown(wait=False)

    async def tick(self) -> None:
        """Score what came in since the last tick."""
        loop = asyncio.get_running_loop()
        self._metrics.audio_s.inc(self._came_s)
        self._came_s = 0.0
        batch = []
        for waiting in self._waiting.values():
            if waiting.segments or waiting.acts:
                self._thin(waiting)
                segments, acts = waiting.take(), list[_Asked]()
                if not waiting.segments:
                    acts, waiting.acts = waiting.acts, acts
                batch.append((waiting, segments, acts))
        if not batch:
            return
        began_s = loop.time()
        try:
            self._heard(await loop.run_in_executor(self._thread, self._score, batch))
        except Exception:
            # one tick's audio is lost to a fault of ours; the calls go on
            log.exception("tick failed", extra={"calls": len(batch)})
        finally:
            for _, _, acts in batch:
                for _, done in acts:
                    if not done.done():
                        done.set_result(None)
            self._metrics.tick_s.observe(loop.time() - began_s)

    def _thin(self, waiting: _Waiting) -> None:
        if waiting.n_bytes and not self.load.hears(
            calm=waiting.call.level is Level.CALM, position_s=waiting.heard_to_s, turn=waiting.turn
        ):
            self._metrics.passed_over_s.inc(waiting.pass_over())

    def _score(self, batch: list[tuple[_Waiting, list[tuple[int, bytearray]], list[_Asked]]]) -> list[Heard]:
        results = [Heard(waiting.call, waiting.zero_s, [], []) for waiting, _, _ in batch]
        for turn in range(max(len(segments) for _, segments, _ in batch)):
            pushed, chunks = [], []
            for result, (waiting, segments, _) in zip(results, batch, strict=True):
                if turn < len(segments):
                    at, audio = segments[turn]
                    self._skip(result, at, waiting.rate_hz)
                    if audio:
                        pushed.append(result)
                        chunks.append((waiting.call, bytes(audio)))
            try:
                heard = self._triage.push_many(chunks)
            except PushError as error:
                heard = error.events
                log.error("audio could not be used", extra={"calls": len(error.errors)})
            for result, events in zip(pushed, heard, strict=True):
                result.events.extend(events)
        for result, (waiting, _, acts) in zip(results, batch, strict=True):
            for act, _ in acts:
                result.events.extend(act(waiting.call))
        return results

    def _skip(self, result: Heard, at: int, rate_hz: int) -> None:
        before_s = result.call.position_s
        if at > round(before_s * rate_hz):
            result.events.extend(result.call.advance(at))
            result.gaps.append((before_s, result.call.position_s))
            self._metrics.lost_s.inc(result.call.position_s - before_s)
