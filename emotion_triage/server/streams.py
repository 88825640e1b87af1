"""Pages that are kept up to date: what they share, what wakes them, and how many of them one person may have."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Generic, TypeVar

__all__ = ["MAX_STREAMS", "Pulse", "Shared", "Streams"]

MAX_STREAMS = 32
"""Streams of events of one person at once; one more ends the oldest."""

T = TypeVar("T")


class Streams:
    """The streams of events that are open, by person.

    Examples
    --------
    >>> streams = Streams(most=1)
    >>> with streams.one("m.durand") as first, streams.one("m.durand") as second:
    ...     first(), second()
    (False, True)
    """

    def __init__(self, most: int = MAX_STREAMS) -> None:
        self._most = most
        self._open: dict[str, OrderedDict[object, None]] = {}

    @contextmanager
    def one(self, person: str) -> Iterator[Callable[[], bool]]:
        """Open a stream; what is given tells whether it may go on."""
        stream, theirs = object(), self._open.setdefault(person, OrderedDict())
        theirs[stream] = None
        if len(theirs) > self._most:
            theirs.popitem(last=False)
        try:
            yield lambda: stream in theirs
        finally:
            theirs.pop(stream, None)


class Pulse:
    """Wakes whoever waits: something changed that is to be seen at once."""

    def __init__(self) -> None:
        self.beats = 0
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wake all who wait now."""
        self.beats += 1
        last, self._next = self._next, asyncio.Event()
        last.set()

    async def wait(self, at_most_s: float) -> None:
        """Return at the next beat, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._next.wait()


class Shared(Generic[T]):
    """What many streams show alike, made once for all of them while it is fresh.

    Parameters
    ----------
    fresh_s : float
        How long it may be shown.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._made: dict[Hashable, tuple[float, asyncio.Task[T]]] = {}

    def drop(self, key: Hashable) -> None:
        """Let what is under a key be made anew, fresh or not."""
        self._made.pop(key, None)

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return what is fresh under a key, or make it."""
        now_s = monotonic()
        made_s, task = self._made.get(key, (0.0, None))
        if task is None or now_s - made_s >= self._fresh_s:
            self._made = {each: made for each, made in self._made.items() if now_s - made[0] < self._fresh_s}
            task = asyncio.ensure_future(make())
            self._made[key] = now_s, task
        # a stream that ends does not take the others' with it
        return await asyncio.shield(task)
