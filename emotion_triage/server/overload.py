"""What a process does less of where it has too much to do: never a call that is dropped, and nothing in silence."""

from __future__ import annotations

import logging
from enum import IntEnum

__all__ = ["SPAN_S", "Load", "Stage"]

log = logging.getLogger(__name__)

SPAN_S = 5.0
"""Audio of a calm caller that is heard, or passed over, at a stretch: a window of 3 s and some steps."""
AVERAGED_S = 2.0
"""Over how long the share of time spent scoring is averaged."""
UP, DOWN = 0.85, 0.5
"""Shares of time spent scoring above which a stage is not enough, and below which it is no longer needed."""
UP_S, DOWN_S = 2.0, 10.0
"""How long a stage lasts before the next, and before the one below."""
LONGEST_TICK_S = 0.5


class Stage(IntEnum):
    """What is done less of; each stage does what those before it do.

    `SLOW` and `SLOWER`: scores come later, in fewer and larger passes. `HALF`: calm callers are heard every other
    `SPAN_S`. `TENSE`: only tense and escalated callers are heard. `FULL`: no new call is taken.
    """

    NORMAL = 0
    SLOW = 1
    SLOWER = 2
    HALF = 3
    TENSE = 4
    FULL = 5


class Load:
    """How much of its time a process scores, and the stage that follows from it.

    The share of time is averaged over some seconds; each stage has to prove too little for `UP_S` before the next, and
    needless for `DOWN_S` before the one below, so that they do not come and go with single ticks.

    Parameters
    ----------
    tick_s : float
        How often calls are scored where there is time.

    Examples
    --------
    >>> load = Load(0.1)
    >>> for tick in range(100):
    ...     load.note(took_s=0.1, every_s=0.1, now_s=0.1 * tick)
    >>> load.stage.name, load.tick_s
    ('TENSE', 0.5)
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._busy = 0.0
        self._since_s: float | None = None
        self._needed_s = 0.0
        self.stage = Stage.NORMAL

    @property
    def tick_s(self) -> float:
        """How often calls are scored now, in seconds."""
        if self.stage is Stage.NORMAL:
            return self._tick_s
        longest_s = max(self._tick_s, LONGEST_TICK_S)
        return min(2 * self._tick_s, longest_s) if self.stage is Stage.SLOW else longest_s

    def note(self, *, took_s: float, every_s: float, now_s: float) -> None:
        """Take note of a tick: how long it took, the time since the one before, and now by any clock."""
        if self._since_s is None:
            self._since_s = self._needed_s = now_s
        weight = min(1.0, every_s / AVERAGED_S)
        self._busy += weight * (min(1.0, took_s / max(every_s, 1e-3)) - self._busy)
        if self._busy > DOWN:
            self._needed_s = now_s
        if self._busy > UP and self.stage < Stage.FULL and now_s - self._since_s >= UP_S:
            self._change(Stage(self.stage + 1), now_s)
        elif self.stage > Stage.NORMAL and now_s - max(self._needed_s, self._since_s) >= DOWN_S:
            self._change(Stage(self.stage - 1), now_s)

    def hears(self, *, calm: bool, position_s: float, turn: int) -> bool:
        """Return whether a call is heard now; `turn` tells calls apart, so that half of them are heard at a time."""
        if not calm or self.stage < Stage.HALF:
            return True
        return self.stage is Stage.HALF and (int(position_s / SPAN_S) + turn) % 2 == 0

    def _change(self, stage: Stage, now_s: float) -> None:
        write = log.warning if stage > self.stage else log.info
        write("load: %s, after %s", stage.name.lower(), self.stage.name.lower())
        self.stage = stage
        self._since_s = self._needed_s = now_s
