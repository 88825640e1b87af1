"""Calls spread over several processes, each call pinned to one of them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, NamedTuple

from emotion_triage.arguments import of_type, pair_of, whole_number
from emotion_triage.audio.stream import Chunk
from emotion_triage.call.triage import Call, Event
from emotion_triage.errors import PushError, StreamError, TriageError

__all__ = ["Shards"]


class _Shard(NamedTuple):
    process: SpawnProcess
    connection: Connection


class Shards:
    """Serve more calls than one processor core can: one process a shard, and each call's state in one of them.

    One tick goes to all processes at once and comes back when the slowest is done. Calls are added as `Triage.call`
    made them, at any time of their life, and come back by `remove` as they are then: so they move.

    Parameters
    ----------
    n_shards : int
        Processes, 1 or more. They are spawned, so that a script needs ``if __name__ == "__main__":``.

    Attributes
    ----------
    n_calls : list of int
        How many calls each process holds.

    Raises
    ------
    ArgumentError
        If `n_shards` is no whole number from 1.

    Examples
    --------
    >>> from emotion_triage.call.triage import Triage
    >>> triage = Triage.load()
    >>> with Shards(1) as shards:
    ...     shards.add(triage.call("call-1"))
    ...     events = shards.push_many([("call-1", bytes([0xFF]) * 160)])
    ...     call = shards.remove("call-1")
    >>> events, call.position_s
    ([[]], 0.02)
    """

    def __init__(self, n_shards: int) -> None:
        n_shards = whole_number(
            "n_shards", n_shards, "1 or more, to 1024; one a processor is usual", least=1, most=1024
        )
        context = get_context("spawn")
        self._shards: list[_Shard] = []
        self._shard_of: dict[str, int] = {}
        self.n_calls = [0] * n_shards
        for _ in range(n_shards):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._shards.append(_Shard(process, ours))

    def add(self, call: Call) -> None:
        """Hand a call over; it must not be used here afterwards.

        Parameters
        ----------
        call : Call
            New, or in the middle of its life; goes to the process that holds the fewest.

        Raises
        ------
        ArgumentError
            If it is no call.
        StreamError
            If a call of that `call_id` is here already.
        """
        of_type(Call, "pass what Triage.call returned", call=call)
        if call.call_id in self._shard_of:
            raise StreamError(f"got call {call.call_id!r} a second time, expected another id; remove() the first one")
        shard = min(range(len(self.n_calls)), key=self.n_calls.__getitem__)
        self._ask(shard, "add", call)
        self._shard_of[call.call_id] = shard
        self.n_calls[shard] += 1

    def remove(self, call_id: str) -> Call:
        """Take a call back with all its state: to flush it, to tell it of an objection, to add it elsewhere.

        Raises
        ------
        StreamError
            If there is no such call here.
        """
        shard = self._shard(call_id)
        call: Call = self._ask(shard, "remove", call_id)
        del self._shard_of[call_id]
        self.n_calls[shard] -= 1
        return call

    def push_many(self, chunks: Sequence[tuple[str, Chunk]]) -> list[list[Event]]:
        """Serve one tick: what `Triage.push_many` gives for each, in the order of `chunks`.

        Parameters
        ----------
        chunks : sequence of (call_id, bytes or ndarray)
            A call may come more than once.

        Raises
        ------
        ArgumentError
            If `chunks` is no sequence of pairs; nothing was pushed.
        StreamError
            If there is no such call here; nothing was pushed.
        PushError
            If chunks could not be used; the others were scored, and their events are in the error.
        """
        places: list[list[int]] = [[] for _ in self._shards]
        of_type(Sequence, "give a list of (call_id, chunk)", chunks=chunks)
        for place, pair in enumerate(chunks):
            call_id, _ = pair_of(pair, str, "a call's id, and its chunk")
            places[self._shard(call_id)].append(place)
        busy = [shard for shard, each in enumerate(places) if each]
        for shard in busy:
            self._send(shard, "push", [chunks[place] for place in places[shard]])
        events: list[list[Event]] = [[] for _ in chunks]
        errors: dict[int, TriageError] = {}
        for shard in busy:
            heard, wrong = self._receive(shard)
            for place, each in zip(places[shard], heard, strict=True):
                events[place] = each
            errors |= {places[shard][at]: error for at, error in wrong.items()}
        if errors:
            raise PushError(events, dict(sorted(errors.items())))
        return events

    def close(self) -> None:
        """End the processes and the calls that they still hold."""
        for process, connection in self._shards:
            connection.close()
            process.join()
        self._shards = []

    def __enter__(self) -> Shards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _shard(self, call_id: str) -> int:
        if not isinstance(call_id, str) or call_id not in self._shard_of:
            raise StreamError(f"got call {call_id!r}, expected one that was added; add() it first")
        return self._shard_of[call_id]

    def _ask(self, shard: int, what: str, about: object) -> Any:
        self._send(shard, what, about)
        return self._receive(shard)

    def _send(self, shard: int, what: str, about: object) -> None:
        self._shards[shard].connection.send_bytes(pickle.dumps((what, about), pickle.HIGHEST_PROTOCOL))

    def _receive(self, shard: int) -> Any:
        try:
            answer = self._shards[shard].connection.recv()
        except EOFError:
            raise StreamError(
                f"process {shard} of {len(self._shards)} has ended; it served {self.n_calls[shard]} calls; "
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
