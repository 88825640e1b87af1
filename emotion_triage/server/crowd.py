"""Connections at once: how many there may be, and which of them makes room for a new one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ["SPARE", "Crowd"]

SPARE = 64
"""Connections beyond the limit that may be open for a moment: to answer a health check, or to refuse."""


class Crowd:
    """Connections that share one limit.

    A connection either waits for its peer (a request that is not complete, an answer that is not read) or is being
    served. Where the limit is reached, the one that has waited longest is closed for the new one: whoever holds
    connections without using them loses them first, and whoever asks at once is answered.

    Parameters
    ----------
    limit : int
        Connections at once; `SPARE` more for a moment.

    Examples
    --------
    >>> closed = []
    >>> crowd = Crowd(2)
    >>> for name in "abc":
    ...     assert crowd.admit()
    ...     crowd.wait(name, lambda name=name: closed.append(name))
    >>> closed, len(crowd)
    (['a'], 2)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()
        self._served: set[Hashable] = set()

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._waiting) + len(self._served)

    @property
    def full(self) -> bool:
        """Whether there are more connections than the limit, all of them being served."""
        return len(self) > self.limit

    def admit(self) -> bool:
        """Make room for one more connection; return False where it has to be closed at once."""
        while len(self) >= self.limit and self._waiting:
            _, close = self._waiting.popitem(last=False)
            close()
        return len(self) < self.limit + SPARE

    def wait(self, connection: Hashable, close: Callable[[], None]) -> None:
        """Note that a connection waits for its peer from now on, and how it is closed."""
        self._served.discard(connection)
        self._waiting[connection] = close
        self._waiting.move_to_end(connection)

    def serve(self, connection: Hashable) -> None:
        """Note that a connection is being served and must not be closed for another."""
        self._waiting.pop(connection, None)
        self._served.add(connection)

    def leave(self, connection: Hashable) -> None:
        """Note that a connection is gone, or counted elsewhere."""
        self._waiting.pop(connection, None)
        self._served.discard(connection)
