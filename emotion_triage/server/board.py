"""What the processes of one server know of each other: when each last moved, and how many calls it has."""

from __future__ import annotations

import time
from multiprocessing import get_context
from typing import Any

__all__ = ["BEAT_S", "FROZEN_S", "Board"]

BEAT_S = 0.25
"""How often each process says that it moves."""
FROZEN_S = 1.5
"""Without a beat for so long a process is not asked, and no connection is left to it."""
_FIELDS = 3


class Board:
    """Some numbers of each process in memory that all of them share; each writes its own alone.

    Parameters
    ----------
    of : int
        How many processes there are.

    Examples
    --------
    >>> board = Board(2)
    >>> first, second = board.at(0), board.at(1)
    >>> first.beat()
    >>> second.count(3)
    >>> board.moves(0), board.moves(1), second.lighter_elsewhere()
    (True, False, True)
    """

    def __init__(self, of: int) -> None:
        self.of = of
        # written and read a number at a time, which the processor does whole
        self._numbers: Any = get_context("spawn").RawArray("d", _FIELDS * of)

    def at(self, place: int) -> Place:
        """Return what the process of a place writes, at its beginning."""
        self.clear(place)
        return Place(self, place)

    def clear(self, place: int) -> None:
        """Forget the process of a place."""
        self._numbers[_FIELDS * place : _FIELDS * (place + 1)] = [0.0] * _FIELDS

    def beat_s(self, place: int) -> float:
        """Return when a process last moved, by the machine's monotonic clock; 0 before it did."""
        return float(self._numbers[_FIELDS * place])

    def calls(self, place: int) -> int:
        """Return how many connections of wires a process has."""
        return int(self._numbers[_FIELDS * place + 1])

    def stage(self, place: int) -> int:
        """Return what a process does less of for load."""
        return int(self._numbers[_FIELDS * place + 2])

    def moves(self, place: int) -> bool:
        """Return whether a process is there and moves."""
        return time.monotonic() - self.beat_s(place) < FROZEN_S

    def write(self, place: int, field: int, value: float) -> None:
        """Write one number."""
        self._numbers[_FIELDS * place + field] = value


class Place:
    """One process's own part of a board."""

    def __init__(self, board: Board, place: int) -> None:
        self._board = board
        self._place = place

    def beat(self, stage: int = 0) -> None:
        """Say that the process moves, and what it does less of for load."""
        self._board.write(self._place, 2, stage)
        self._board.write(self._place, 0, time.monotonic())

    def count(self, calls: int) -> None:
        """Say how many connections of wires the process has."""
        self._board.write(self._place, 1, calls)

    def others(self) -> list[int]:
        """Return the places of the other processes that move."""
        return [each for each in range(self._board.of) if each != self._place and self._board.moves(each)]

    def worst_stage(self) -> int:
        """Return what another process that moves does less of, at most."""
        return max((self._board.stage(each) for each in self.others()), default=0)

    def lighter_elsewhere(self) -> bool:
        """Return whether another process that moves has fewer connections."""
        mine = self._board.calls(self._place)
        return any(self._board.calls(each) < mine for each in self.others())
