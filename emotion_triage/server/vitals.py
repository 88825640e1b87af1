"""Whether a process moves: its event loop and its scoring; what watches it from a thread, and from systemd."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable

from emotion_triage.server.board import BEAT_S

__all__ = ["LOOK_S", "STUCK", "Stillness", "Vitals", "end_within", "leave", "notify", "watch"]

log = logging.getLogger(__name__)

STUCK = 3
"""How a process ends that did not move any more."""
LOOK_S = 0.5
SOON = 1 / 3
"""The part of `stuck_s` after which health is no longer told as good."""


def notify(state: str) -> None:
    """Tell systemd, where it asked to be told (`sd_notify(3)`)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.connect("\0" + address[1:] if address.startswith("@") else address)
            teller.sendall(state.encode())
    except OSError as error:
        log.warning("systemd could not be told (%s)", error.strerror)


class Vitals:
    """The signs of life of one process.

    Parameters
    ----------
    scored_s : callable
        When scoring last moved, by the monotonic clock.
    stuck_s : float
        As in the configuration.
    beat : callable
        Tells others that this process moves.
    """

    def __init__(self, scored_s: Callable[[], float], stuck_s: float, beat: Callable[[], None]) -> None:
        self._scored_s = scored_s
        self._stuck_s = stuck_s
        self._beat = beat
        self.beats = 0

    @property
    def problem(self) -> str | None:
        """What does not move; None where all does. The event loop itself is the one that answers."""
        still_s = time.monotonic() - self._scored_s()
        return None if still_s < SOON * self._stuck_s else f"scoring has not moved for {still_s:.0f} s"

    @property
    def moves(self) -> tuple[int, float]:
        """What changes as long as both event loop and scoring move."""
        return self.beats, self._scored_s()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beats += 1
            self._beat()
            if self.problem is None:
                notify("WATCHDOG=1")
            await asyncio.sleep(BEAT_S)


class Stillness:
    """How long a number has not changed, in time during which the watcher itself ran.

    A machine that stands still as a whole makes nobody stuck.
    """

    def __init__(self) -> None:
        self._value: float | None = None
        self._looked_s = time.monotonic()
        self._still_s = 0.0

    def after(self, value: float) -> float:
        """Look at a number; return the seconds for which it has been the same."""
        now_s = time.monotonic()
        passed_s, self._looked_s = min(now_s - self._looked_s, 4 * LOOK_S), now_s
        self._still_s = self._still_s + passed_s if value == self._value else 0.0
        self._value = value
        return self._still_s


def watch(vitals: Vitals, stuck_s: float, over: threading.Event) -> None:
    """End this process from a thread where it does not move for `stuck_s`, until serving is `over`.

    Whoever started it starts it again.
    """

    def look() -> None:
        beats, scoring = Stillness(), Stillness()
        while not over.wait(LOOK_S):
            count, scored_s = vitals.moves
            still_s = max(beats.after(count), scoring.after(scored_s))
            if still_s >= stuck_s:
                frames = sys._current_frames().values()
                where = "".join("".join(traceback.format_stack(frame)[-6:]) + "\n" for frame in frames)
                log.critical("the process has not moved for %.0f s and ends:\n%s", still_s, where)
                leave(STUCK, now=True)

    threading.Thread(target=look, name="watchdog", daemon=True).start()


def end_within(seconds: float, over: threading.Event) -> None:
    """End this process from a thread unless serving is `over` by then: what does not answer does not hold it."""

    def end() -> None:
        if not over.wait(seconds):
            log.critical("the process did not stop within %.0f s and ends", seconds)
            leave(STUCK, now=True)

    threading.Thread(target=end, name="end", daemon=True).start()


def leave(code: int, *, now: bool = False) -> None:
    """End the process `now`, or where a thread waits for what does not answer: Python itself would wait with it."""
    waiting = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if now or waiting:
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(code)
