"""What a batch of records adds up to: levels by day and hour, queues, false alarms by group, what to hear first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from emotion_triage.batch.record import Record
from emotion_triage.proportions import Rate, wilson

__all__ = ["LEVEL_NAMES", "Batch", "GroupAudit", "worth_a_listen"]

LEVEL_NAMES = ("calm", "tense", "escalated")


class GroupAudit(NamedTuple):
    """What became of a group's labelled calls."""

    group: str | None
    false_alarms: Rate
    found: Rate


class Batch:
    """Counts over all records of a run.

    Attributes
    ----------
    n : int
        Records.
    statuses, levels : Counter
        How many of each.
    audio_s : float
        Length of all that could be read.
    by_hour : Counter
        Of ``(day, hour, level)``; day as ``2026-03-01``.
    by_queue : Counter
        Of ``(recommended queue, level)``.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.n = 0
        self.audio_s = 0.0
        self.statuses: Counter[str] = Counter()
        self.levels: Counter[str] = Counter()
        self.by_hour: Counter[tuple[str, int, str]] = Counter()
        self.by_queue: Counter[tuple[str, str]] = Counter()
        self._labelled: Counter[tuple[str | None, str, bool]] = Counter()
        for record in records:
            self._add(record)

    def _add(self, record: Record) -> None:
        self.n += 1
        self.statuses[record.status] += 1
        self.audio_s += record.duration_s or 0.0
        level = record.peak_level
        if level is None:
            return
        self.levels[level] += 1
        if record.started_at is not None:
            day, hour = record.started_at[:10], record.started_at[11:13]
            self.by_hour[day, int(hour or 0), level] += 1
        self.by_queue[record.route or "", level] += 1
        if record.label is not None:
            self._labelled[record.group, record.label, level == "escalated"] += 1

    def audits(self) -> list[GroupAudit]:
        """Return an audit of each group, by name, and last of all of them; empty without labels."""
        groups = sorted({group for group, *_ in self._labelled if group is not None})
        if not self._labelled:
            return []
        return [self._audit(group, [group]) for group in groups] + [self._audit(None, [*groups, None])]

    def _audit(self, name: str | None, groups: Sequence[str | None]) -> GroupAudit:
        def of(label: str) -> Rate:
            hits, misses = (sum(self._labelled[group, label, up] for group in groups) for up in (True, False))
            return wilson(hits, hits + misses)

        return GroupAudit(name, of("other"), of("angry"))


def worth_a_listen(record: Record) -> tuple[int, float, float]:
    """Return how much a call is worth a listen: by its level, then the time spent escalated, then its anger."""
    level = LEVEL_NAMES.index(record.peak_level) if record.peak_level is not None else -1
    return level, record.escalated_s or 0.0, record.anger_max or 0.0
