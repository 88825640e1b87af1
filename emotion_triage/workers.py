"""One function over many items in several processes: results in the order of the items, whatever dies on the way."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple, TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

READ_AHEAD = 8
"""Items handed out for each worker beyond the oldest unfinished one: bounds what waits for its turn."""
MAX_ATTEMPTS = 2
"""An item that ends two workers is given up: once may be the fault of another process, twice is its own."""


class _Task(NamedTuple):
    """An item, its place in the order, and how many workers it has been given to."""

    place: int
    item: object
    attempts: int


class _Worker(NamedTuple):
    process: SpawnProcess
    connection: Connection


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    given_up: Callable[[Item], Result],
) -> Iterator[Result]:
    """Yield ``function(item)`` of each item, in order, as they become known.

    Parameters
    ----------
    function : callable
        Pickles once for each worker; what it raises is raised here.
    items : iterable
        Read no further ahead than the workers need.
    workers : int
        Processes, 1 or more; with 1 everything happens in this one. Others are spawned, so that a script that
        asks for them needs ``if __name__ == "__main__":``.
    given_up : callable
        Makes the result of an item that ended the process of two workers.

    Examples
    --------
    >>> list(in_order(abs, [-2, 1], workers=1, given_up=abs))
    [2, 1]
    """
    if workers == 1:
        yield from map(function, items)
        return
    source = iter(items)
    again: deque[_Task] = deque()
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, _Task]] = {}
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
                worker = idle.pop() if idle else _start(function)
                busy[worker.connection] = worker, task._replace(attempts=task.attempts + 1)
                with suppress(OSError):  # a dead worker shows below, at the other end of its pipe
                    worker.connection.send(task.item)
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, task = busy[connection]
                try:
                    result = connection.recv()
                except (EOFError, OSError):
                    del busy[connection]
                    _end(worker)
                    if task.attempts < MAX_ATTEMPTS:
                        again.append(task)
                        continue
                    result = given_up(task.item)  # type: ignore[arg-type]
                else:
                    del busy[connection]
                    idle.append(worker)
                if isinstance(result, Exception):
                    raise result
                results[task.place] = result
            while due in results:
                yield results.pop(due)
                due += 1
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            _end(worker)


def _start(function: Callable[[Item], Result]) -> _Worker:
    context = get_context("spawn")  # a forked process would share the threads' locks of onnxruntime
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, function), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.terminate()
    worker.process.join()


def _serve(connection: Connection, function: Callable[[object], object]) -> None:
    """Answer items until the other end is gone, be it by a kill: no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent ends its workers
    with suppress(EOFError, OSError):
        while True:
            item = connection.recv()
            try:
                result = function(item)
            except Exception as error:
                result = error
            connection.send(result)
