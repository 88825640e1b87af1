"""One function over many items in several processes: results in the order of the items, whatever dies on the way."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Literal, NamedTuple, TypeVar, cast

from emotion_triage.errors import TriageError

__all__ = ["GivenUp", "Limits", "in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

READ_AHEAD = 64
"""Items handed out for each worker beyond the oldest unfinished one: bounds what waits for its turn."""
MAX_ATTEMPTS = 2
"""An item that ends two workers is given up: once may be the fault of another process, twice is its own."""


GivenUp = Literal["dead", "late"]
"""Why an item has no result: it ended two workers, or took too long."""
_UNSTARTED = 1
"""Exit code of a Python process that an error ended; a worker has none of its own once it has begun."""
GRACE_S = 10.0
"""What a worker has beyond an item's time, to start, and to end a late item by itself; then it is ended."""


class Limits(NamedTuple):
    """What one item may take; None: whatever it takes.

    Attributes
    ----------
    seconds : float or None
    memory_mib : int or None
        Beyond what a worker holds when it begins; MemoryError is raised in the function. POSIX only.
    """

    seconds: float | None = None
    memory_mib: int | None = None


UNLIMITED = Limits()


class _Task(NamedTuple):
    """An item, its place in the order, and how many workers it has been given to."""

    place: int
    item: object
    attempts: int


class _Worker(NamedTuple):
    process: SpawnProcess
    connection: Connection

    def refuse_unguarded_script(self) -> None:
        """Raise where a worker ended before it began because it ran the script that asked for it.

        Raises
        ------
        TriageError
        """
        self.process.join(GRACE_S)
        if self.process.exitcode == _UNSTARTED:
            raise TriageError(
                "got workers that cannot start, expected a script in a file whose own work is below `if __name__ == "
                '"__main__":`, as each worker runs it anew; add that line, or ask for one worker without limits'
            )


class _Busy(NamedTuple):
    worker: _Worker
    task: _Task
    until_s: float | None


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    given_up: Callable[[Item, GivenUp], Result],
    limits: Limits = UNLIMITED,
) -> Iterator[Result]:
    """Yield ``function(item)`` of each item, in order, as they become known.

    Parameters
    ----------
    function : callable
        Pickles once for each worker; what it raises is raised here.
    items : iterable
        Read no further ahead than the workers need.
    workers : int
        Processes, 1 or more; with 1 and no limits everything happens in this one. Others are spawned, so that a
        script that asks for them needs ``if __name__ == "__main__":``.
    given_up : callable
        Makes the result of an item that ended the process of two workers, or was late.
    limits : Limits
        Of each item.

    Raises
    ------
    TriageError
        If memory cannot be limited on this system, or the script that asks for workers lacks
        ``if __name__ == "__main__":``.

    Examples
    --------
    >>> list(in_order(abs, [-2, 1], workers=1, given_up=max))
    [2, 1]
    """
    if workers == 1 and limits == UNLIMITED:
        yield from map(function, items)
        return
    source = iter(items)
    again: deque[_Task] = deque()
    idle: list[_Worker] = []
    busy: dict[Connection, _Busy] = {}
    results: dict[int, Result] = {}
    due = issued = 0
    try:
        while True:
            while len(busy) < workers and (again or issued < due + READ_AHEAD * workers):
                if again:
                    task = again.popleft()
                else:
                    try:
                        task = _Task(issued, next(source), 0)
                    except StopIteration:
                        break
                    issued += 1
                worker = idle.pop() if idle else _start(function, limits.memory_mib)
                busy[worker.connection] = _Busy(worker, task._replace(attempts=task.attempts + 1), _until(limits))
                with suppress(OSError):  # a dead worker shows below, at the other end of its pipe
                    worker.connection.send(task.item)
            if not busy:
                return
            for connection in _ready(busy):
                worker, task, _ = busy.pop(connection)
                reason: GivenUp = "dead"
                try:
                    if not connection.poll():
                        reason = "late"
                        raise EOFError
                    result = connection.recv()
                except (EOFError, OSError):
                    if reason == "dead":
                        worker.refuse_unguarded_script()
                    _end(worker)
                    if reason == "dead" and task.attempts < MAX_ATTEMPTS:
                        again.append(task)
                        continue
                    result = given_up(task.item, reason)  # type: ignore[arg-type]
                else:
                    idle.append(worker)
                if isinstance(result, Exception):
                    raise result
                results[task.place] = result
            while due in results:
                yield results.pop(due)
                due += 1
    finally:
        for worker in [*idle, *(each.worker for each in busy.values())]:
            _end(worker)


def _until(limits: Limits) -> float | None:
    return None if limits.seconds is None else time.monotonic() + limits.seconds + GRACE_S


def _ready(busy: dict[Connection, _Busy]) -> list[Connection]:
    """Wait for workers that have a result, are dead, or are late."""
    deadlines = [each.until_s for each in busy.values() if each.until_s is not None]
    patience_s = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
    heard = [cast(Connection, each) for each in wait(list(busy), patience_s)]
    now_s = time.monotonic()
    return heard or [each for each, (_, _, until_s) in busy.items() if until_s is not None and until_s <= now_s]


def _start(function: Callable[[Item], Result], memory_mib: int | None) -> _Worker:
    if getattr(current_process(), "_inheriting", False):  # a worker that runs the script which asked for it
        sys.exit(_UNSTARTED)
    context = get_context("spawn")  # a forked process would share the threads' locks of onnxruntime
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, function, memory_mib), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()  # one that hangs in the system's hands may not hear a request
    worker.process.join()


def _serve(connection: Connection, function: Callable[[object], object], memory_mib: int | None) -> None:
    """Answer items until the other end is gone, be it by a kill: no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent ends its workers
    limited: Exception | None = None
    try:
        _limit_memory(memory_mib)
    except TriageError as error:
        limited = error
    with suppress(EOFError, OSError):
        while True:
            item = connection.recv()
            try:
                result = limited or function(item)
            except Exception as error:
                result = error
            connection.send(result)


def _limit_memory(memory_mib: int | None) -> None:
    """Let this process take no more than so much beyond what it holds."""
    if memory_mib is None:
        return
    try:
        import resource

        with open("/proc/self/statm") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory_mib * 2**20,) * 2)
    except (ImportError, OSError, ValueError) as error:
        raise TriageError(
            f"--max-memory: got {memory_mib} MiB, and this system cannot limit a process ({error}); leave it out"
        ) from None
