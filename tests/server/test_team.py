"""What the team's page counts: of the team as a whole, by hour and queue, from calls that are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

pytest.importorskip("prometheus_client")

from emotion_triage.call.triage import Triage
from emotion_triage.routing.contacts import Disposition
from emotion_triage.routing.escalation import Cause, Escalation, Level
from emotion_triage.server.batcher import Heard
from emotion_triage.server.calls import LiveCall
from emotion_triage.server.schemas import CallView, view
from emotion_triage.server.team import Cell, shift_of

EIGHT = datetime(2026, 3, 2, 8, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


def live_call(triage: Triage) -> LiveCall:
    return LiveCall(triage.call("call"), wire="audiosocket", queue="general", caller=None, caller_name=None)


def over(triage: Triage, minutes: float, **fields: Any) -> CallView:
    ended_at = EIGHT + timedelta(minutes=minutes)
    return msgspec.structs.replace(view(live_call(triage)), ended="hangup", ended_at=ended_at, **fields)


def test_hard_calls_are_counted_by_hour_and_queue(triage: Triage) -> None:
    """Escalated calls are hard, and abusive ones by a person's word; hours are those of the person's clock."""
    calls = [
        over(triage, 10, peak="escalated", calmed=True),
        over(triage, 50, peak="calm"),
        over(triage, 70, peak="calm", disposition=Disposition.ABUSE),
        over(triage, 80, peak="calm", disposition=Disposition.ABUSE, verdict="not abusive"),
        over(triage, 90, peak="tense", verdict="abusive", queue="billing"),
        over(triage, -600, peak="escalated"),
    ]
    shift = shift_of(calls, EIGHT - timedelta(hours=8), PARIS)
    nine, ten = (datetime(2026, 3, 2, hour, tzinfo=PARIS) for hour in (9, 10))
    assert (shift.calls, shift.hard, shift.escalated, shift.calmed) == (5, 3, 1, 1)
    assert (shift.hours, shift.queues) == ([nine, ten], ["billing", "general"])
    assert shift.cells == {(nine, "general"): Cell(2, 1), (ten, "general"): Cell(2, 1), (ten, "billing"): Cell(1, 1)}


@pytest.mark.parametrize(("cause", "calmed"), [("fall", True), ("silence", False)])
def test_silence_is_not_calm(triage: Triage, cause: Cause, calmed: bool) -> None:
    """A caller calmed down where their voice did; one of whom nothing more was heard is not counted."""
    live = live_call(triage)
    rise = Escalation(time_s=9.0, level=Level.ESCALATED, previous=Level.CALM, score=0.9, held_s=9.0, cause="rise")
    fall = Escalation(time_s=20.0, level=Level.TENSE, previous=Level.ESCALATED, score=0.3, held_s=11.0, cause=cause)
    live.hear(Heard(live.call, 0.0, [rise], []))
    assert not live.calmed
    live.hear(Heard(live.call, 0.0, [fall], []))
    assert live.calmed == calmed
