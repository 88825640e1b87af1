"""What waits for a verdict, with its evidence beside it: what the voice told, and what the agent said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from emotion_triage.routing.contacts import Review
from emotion_triage.server.api import Api
from emotion_triage.server.auth import Session
from emotion_triage.server.drawing import Timeline, timeline
from emotion_triage.server.requests import Refused
from emotion_triage.server.schemas import CallDetail

__all__ = ["Case", "Waiting", "waiting"]

MAX_DRAWN = 20
"""Calls whose timeline is drawn in the queue, the oldest; a person judges them one after the other."""


class Case(NamedTuple):
    """One thing that waits, and its call with its timeline while the call is kept."""

    review: Review
    call: CallDetail | None = None
    line: Timeline | None = None


class Waiting(NamedTuple):
    """Everything that waits, the oldest first, and why the ledger could not say all of it, if it could not."""

    cases: list[Case]
    problem: str | None = None


async def waiting(api: Api, session: Session) -> Waiting:
    """Return what waits for a person; without the ledger, the calls of which it knows nothing yet."""
    reviews: Sequence[Review]
    try:
        reviews, problem = await api.reviews(session), None
    except Refused as refused:
        reviews, problem = await api.unrecorded(session), str(refused)
    return Waiting([await _case(api, session, each, drawn=i < MAX_DRAWN) for i, each in enumerate(reviews)], problem)


async def _case(api: Api, session: Session, review: Review, *, drawn: bool) -> Case:
    if review.contact_id is None or not drawn:
        return Case(review)
    try:
        call = await api.at(Api.call, session, review.contact_id)
    except Refused:  # kept no longer, or never here: the ledger's word is all there is
        return Case(review)
    return Case(review, call, timeline(call))
