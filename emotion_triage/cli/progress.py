"""How far a run is: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from emotion_triage.batch.scoring import Scored

__all__ = ["LINE_EVERY_S", "with_progress"]

LINE_EVERY_S = 60.0


class _Tally:
    """What was done so far, and at which rate."""

    def __init__(self, sources: Sequence[str]) -> None:
        sizes = [os.path.getsize(source) if os.path.isfile(source) else 0 for source in sources]
        self._sizes = sizes if any(sizes) else [1] * len(sizes)  # elsewhere: all alike
        self.total = sum(self._sizes)
        self.count = self.failed = self.bytes = 0
        self._audio_s = 0.0
        self._began_s = time.monotonic()

    def add(self, scored: Scored) -> None:
        self.bytes += self._sizes[self.count]
        self.count += 1
        self.failed += scored.record.status == "error"
        self._audio_s += scored.record.duration_s or 0.0

    def so_far(self) -> str:
        elapsed_s = max(time.monotonic() - self._began_s, 1e-3)
        return f"{self.count}/{len(self._sizes)}, {self.failed} failed, {self._audio_s / elapsed_s:.0f} x real time"

    def left(self) -> str:
        if not self.bytes:
            return "?"
        elapsed_s = time.monotonic() - self._began_s
        return str(timedelta(seconds=round(elapsed_s * (self.total - self.bytes) / self.bytes)))


def with_progress(scored: Iterator[Scored], sources: Sequence[str], console: Console) -> Iterator[Scored]:
    """Pass results through, and tell how many there are, how many failed, the rate and the time left, by size.

    Parameters
    ----------
    scored : iterator of Scored
        One for each of `sources`, in order.
    sources : sequence of str
        What is scored.
    console : Console
        A bar if it is a terminal; otherwise a line a minute on it.
    """
    tally = _Tally(sources)
    if not console.is_terminal:
        due_s = time.monotonic() + LINE_EVERY_S
        for each in scored:
            yield each
            tally.add(each)
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + LINE_EVERY_S
                console.print(f"emotion-triage: {tally.so_far()}, {tally.left()} left", soft_wrap=True, highlight=False)
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    # what is piped from stdout must not be taken for the terminal's
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=tally.total, done=tally.so_far())
        for each in scored:
            yield each
            tally.add(each)
            bar.update(task, completed=tally.bytes, done=tally.so_far())
