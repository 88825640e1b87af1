"""Databases that stop answering, frozen or locked: every wait for one ends, in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event

if TYPE_CHECKING:
    import psycopg

__all__ = ["Patience", "make_patient"]


class Patience:
    """Until when a transaction may wait; it gives up at once when `stopped`.

    Parameters
    ----------
    within_s : float or None
        For how long in all; None for no limit as long as answers come.
    silence_s : float
        For how long without an answer.
    stopped : threading.Event
        Set by whoever closes the database.
    """

    def __init__(self, within_s: float | None, silence_s: float, stopped: threading.Event) -> None:
        self._end_s = None if within_s is None else time.monotonic() + within_s
        self._silence_s = silence_s
        self._stopped = stopped

    def until_s(self) -> float:
        """Return when a wait that begins now has to end, by the monotonic clock."""
        end_s = time.monotonic() + self._silence_s
        return end_s if self._end_s is None else min(end_s, self._end_s)

    def over(self, until_s: float) -> bool:
        """Return whether a wait has to end now."""
        return self._stopped.is_set() or time.monotonic() >= until_s

    @contextmanager
    def while_connecting(self) -> Iterator[None]:
        """Hold this thread to it while it takes a connection from a pool or makes one."""
        before = getattr(_THREAD, "patience", None)
        _THREAD.patience = self
        try:
            yield
        finally:
            _THREAD.patience = before

    def hold(self, connection: Connection) -> None:
        """Hold a connection to it."""
        driver: Any = connection.connection.driver_connection
        if hasattr(driver, "patience"):
            driver.patience = self


_THREAD = threading.local()


def make_patient(engine: Engine) -> None:
    """Let connections of psycopg give up what lasts longer than the patience that they are held to."""
    import psycopg

    class Patient(psycopg.Connection[Any]):
        """A connection whose waits end."""

        patience: Patience | None = None

        def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
            patience = getattr(_THREAD, "patience", None) or self.patience
            bounded = gen if patience is None else self._bounded(gen, patience)
            return super().wait(bounded, *arguments, **named)

        def _bounded(self, waiting: Generator[Any, Any, Any], patience: Patience) -> Generator[Any, Any, Any]:
            until_s = patience.until_s()
            try:
                state = next(waiting)
                while True:
                    ready = yield state
                    if not ready and patience.over(until_s):
                        self.pgconn.finish()  # it is in the middle of an answer, and cannot be used again
                        raise psycopg.OperationalError("no answer in time")
                    state = waiting.send(ready)
            except StopIteration as done:
                return done.value

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, named: Any) -> psycopg.Connection[Any]:
        patience: Patience | None = getattr(_THREAD, "patience", None)
        if patience is not None and patience.over(patience.until_s()):
            raise psycopg.OperationalError("no time left to connect")
        return Patient.connect(*arguments, **named)
