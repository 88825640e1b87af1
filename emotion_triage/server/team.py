"""What the team went through in the shift, as a whole: hard calls, rest and shields; no ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from emotion_triage.routing.contacts import Exposure
from emotion_triage.server.schemas import CallView

__all__ = ["Cell", "Rest", "Shift", "rest_of", "shift_of"]


class Cell(NamedTuple):
    """How many calls an hour had in a queue, and how many of them were hard."""

    calls: int
    hard: int


class Shift(NamedTuple):
    """The calls that ended in the shift, of the whole team.

    `hours` are the beginnings of hours on the person's clock, `cells` has those that had calls, by hour and queue.
    `escalated` calls reached that level; `calmed` ones among them left it again since the voice itself became calmer.
    """

    calls: int
    hard: int
    escalated: int
    calmed: int
    hours: list[datetime]
    queues: list[str]
    cells: dict[tuple[datetime, str], Cell]


class Rest(NamedTuple):
    """How rest and shields spread over the team now, without names but of those who are due for rest.

    `spread` is how many agents had so many hard contacts in the shift, by that number.
    """

    agents: int
    resting: int
    shielded: int
    due: list[str]
    spread: list[tuple[int, int]]


def hard(call: CallView) -> bool:
    """Return whether a call was hard: escalated, or abusive by the word of a person."""
    marked = call.disposition is not None and call.disposition.abusive
    abusive = marked if call.verdict is None else call.verdict == "abusive"
    return abusive or call.peak == "escalated"


def shift_of(ended: Iterable[CallView], since: datetime, where: tzinfo) -> Shift:
    """Return what the team took since a moment, by the hours of a time zone."""
    calls = [call for call in ended if call.ended_at is not None and call.ended_at >= since]
    every, heavy = Counter[tuple[datetime, str]](), Counter[tuple[datetime, str]]()
    for call in calls:
        assert call.ended_at is not None
        hour = call.ended_at.astimezone(where).replace(minute=0, second=0, microsecond=0)
        place = hour, call.queue or ""
        every[place] += 1
        heavy[place] += hard(call)
    return Shift(
        calls=len(calls),
        hard=sum(heavy.values()),
        escalated=sum(call.peak == "escalated" for call in calls),
        calmed=sum(call.calmed for call in calls),
        hours=sorted({hour for hour, _ in every}),
        queues=sorted({queue for _, queue in every}),
        cells={place: Cell(count, heavy[place]) for place, count in every.items()},
    )


def rest_of(team: Sequence[Exposure], now: datetime) -> Rest:
    """Return how rest and shields spread over the team.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> now = datetime(2026, 3, 2, 10, tzinfo=UTC)
    >>> soon = now + timedelta(minutes=20)
    >>> shielded = Exposure(agent_id="a-2", hard_in_shift=1, shielded_until=soon)
    >>> rest_of([Exposure(agent_id="a-1"), shielded], now)
    Rest(agents=2, resting=0, shielded=1, due=['a-2'], spread=[(0, 1), (1, 1)])
    """
    shielded = [each for each in team if each.shielded_until is not None and each.shielded_until > now]
    resting = [each for each in team if each.after_call_work_s > 0]
    return Rest(
        agents=len(team),
        resting=len(resting),
        shielded=len(shielded),
        due=sorted({each.agent_id for each in (*shielded, *resting)}, key=str.casefold),
        spread=sorted(Counter(each.hard_in_shift for each in team).items()),
    )
