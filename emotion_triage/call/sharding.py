"""Calls spread over several processes, each call pinned to one of them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, NamedTuple

from emotion_triage.audio.stream import Chunk
from emotion_triage.call.triage import Call, Event
from emotion_triage.errors import PushError, StreamError, TriageError

__all__ = ["Cores"]


class _Core(NamedTuple):
    process: SpawnProcess
    connection: Connection


class Cores:
    """Serve more calls than one core can: a process for each core, and each call's state in one of them.

    One tick goes to all processes at once and comes back when the slowest is done. Calls are added as `Triage.call`
    made them, at any time of their life, and come back by `remove` as they are then: so they move.

    Parameters
    ----------
    n_cores : int
        Processes, 1 or more. They are spawned, so that a script needs ``if __name__ == "__main__":``.

    Attributes
    ----------
    n_calls : list of int
        How many calls each process holds.

    Raises
    ------
    ValueError
        If `n_cores` is less than 1.

    Examples
    --------
    >>> from emotion_triage.call.triage import Triage
    >>> triage = Triage.load()
    >>> with Cores(1) as cores:
    ...     cores.add(triage.call("call-1"))
    ...     events = cores.push_many([("call-1", bytes([0xFF]) * 160)])
    ...     call = cores.remove("call-1")
    >>> events, call.position_s
    ([[]], 0.02)
    """

    def __init__(self, n_cores: int) -> None:
        if n_cores < 1:
            raise ValueError(f"n_cores: got {n_cores}, expected 1 or more; one a processor is usual")
        context = get_context("spawn")
        self._cores: list[_Core] = []
        self._core_of: dict[str, int] = {}
        self.n_calls = [0] * n_cores
        for _ in range(n_cores):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._cores.append(_Core(process, ours))

    def add(self, call: Call) -> None:
        """Hand a call over; it must not be used here afterwards.

        Parameters
        ----------
        call : Call
            New, or in the middle of its life; goes to the process that holds the fewest.

        Raises
        ------
        StreamError
            If a call of that `call_id` is here already.
        """
        if call.call_id in self._core_of:
            raise StreamError(f"got call {call.call_id!r} a second time, expected another id; remove() the first one")
        core = min(range(len(self.n_calls)), key=self.n_calls.__getitem__)
        self._ask(core, "add", call)
        self._core_of[call.call_id] = core
        self.n_calls[core] += 1

    def remove(self, call_id: str) -> Call:
        """Take a call back with all its state: to flush it, to tell it of an objection, to add it elsewhere.

        Raises
        ------
        StreamError
            If there is no such call here.
        """
        core = self._core(call_id)
        call: Call = self._ask(core, "remove", call_id)
        del self._core_of[call_id]
        self.n_calls[core] -= 1
        return call

    def push_many(self, chunks: Sequence[tuple[str, Chunk]]) -> list[list[Event]]:
        """Serve one tick: what `Triage.push_many` gives for each, in the order of `chunks`.

        Parameters
        ----------
        chunks : sequence of (call_id, bytes or ndarray)
            A call may come more than once.

        Raises
        ------
        StreamError
            If there is no such call here; nothing was pushed.
        PushError
            If chunks could not be used; the others were scored, and their events are in the error.
        """
        places: list[list[int]] = [[] for _ in self._cores]
        for place, (call_id, _) in enumerate(chunks):
            places[self._core(call_id)].append(place)
        busy = [core for core, each in enumerate(places) if each]
        for core in busy:
            self._send(core, "push", [chunks[place] for place in places[core]])
        events: list[list[Event]] = [[] for _ in chunks]
        errors: dict[int, TriageError] = {}
        for core in busy:
            heard, wrong = self._receive(core)
            for place, each in zip(places[core], heard, strict=True):
                events[place] = each
            errors |= {places[core][at]: error for at, error in wrong.items()}
        if errors:
            raise PushError(events, dict(sorted(errors.items())))
        return events

    def close(self) -> None:
        """End the processes and the calls that they still hold."""
        for process, connection in self._cores:
            connection.close()
            process.join()
        self._cores = []

    def __enter__(self) -> Cores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _core(self, call_id: str) -> int:
        if call_id not in self._core_of:
            raise StreamError(f"got call {call_id!r}, expected one that was added; add() it first")
        return self._core_of[call_id]

    def _ask(self, core: int, what: str, about: object) -> Any:
        self._send(core, what, about)
        return self._receive(core)

    def _send(self, core: int, what: str, about: object) -> None:
        self._cores[core].connection.send_bytes(pickle.dumps((what, about), pickle.HIGHEST_PROTOCOL))

    def _receive(self, core: int) -> Any:
        try:
            answer = self._cores[core].connection.recv()
        except EOFError:
            raise StreamError(
                f"process {core} of {len(self._cores)} has ended, expected it to serve its {self.n_calls[core]} calls; "
                "close() these and open the calls anew"
            ) from None
        if isinstance(answer, TriageError):
            raise answer
        return answer


def _serve(connection: Connection) -> None:
    """Hold the calls of one process until the other end closes."""
    calls: dict[str, Call] = {}
    while True:
        try:
            what, about = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        except TriageError as error:  # a call whose model is not here
            connection.send(error)
            continue
        if what == "add":
            calls[about.call_id] = about
            connection.send(None)
        elif what == "remove":
            connection.send(calls.pop(about))
        else:
            connection.send(_push([(calls[call_id], chunk) for call_id, chunk in about]))


def _push(chunks: list[tuple[Call, Chunk]]) -> tuple[list[list[Event]], dict[int, TriageError]]:
    """Push to calls of one model, which may have been pickled with a `Triage` each."""
    if not chunks:
        return [], {}
    try:
        return chunks[0][0].triage.push_many(chunks), {}
    except PushError as error:
        return error.events, error.errors
