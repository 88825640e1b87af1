"""Entries to standings, purely: what is held against a caller at a moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from emotion_triage.ledger.projection import Entry, accounts, micros, moment
from emotion_triage.routing.contacts import Restriction
from emotion_triage.routing.protection import ProtectionPolicy
from emotion_triage.routing.rules import Standing, StandingState

__all__ = ["restrictions", "standing"]


def standing(entries: Sequence[Entry], policy: ProtectionPolicy, now_us: int, queue: str | None = None) -> Standing:
    """Return a caller's standing from their entries.

    A confirmed abusive contact counts whole from its end until the window has passed since then; as each leaves by
    itself, a standing steps down from protected over watch to clear. A restriction goes before all of that while it is
    in force, except in exempt queues; of several the latest is told.

    Parameters
    ----------
    entries : sequence of Entry
        All entries of the caller, in any order.
    policy : ProtectionPolicy
        What counts, for how long.
    now_us : int
        The moment, in microseconds since 1970 (UTC).
    queue : str, optional
        Where they want to go.
    """
    window_us = micros(policy.window)
    recent = [each for each in accounts(entries, now_us) if now_us < each.at_us + window_us and not each.void]
    abusive = [each for each in recent if each.abusive]
    count = len(abusive)
    avoided = tuple(dict.fromkeys(each.agent_id for each in abusive))
    state, since_us, expires_us = StandingState.CLEAR, None, None
    for reached, threshold in (
        (StandingState.PROTECTED, policy.protected_after),
        (StandingState.WATCH, policy.watch_after),
    ):
        if count >= threshold:
            state = reached
            since_us = abusive[threshold - 1].at_us
            expires_us = abusive[count - threshold].at_us + window_us
            break
    imposed = None if queue in policy.exempt_queues else next(iter(restrictions(entries, now_us)), None)
    if imposed is not None:
        state, since_us, expires_us = StandingState.RESTRICTED, imposed[0], micros(imposed[1].until)
    return Standing(
        state=state,
        abusive_contacts=count,
        since=None if since_us is None else moment(since_us),
        expires_at=None if expires_us is None else moment(expires_us),
        avoid_agents=avoided,
        restriction=None if imposed is None else imposed[1],
        objection=_objection(entries, now_us),
        usual_agents=_usual(Counter(each.agent_id for each in recent if each.agent_id not in avoided)),
    )


def restrictions(entries: Sequence[Entry], now_us: int) -> list[tuple[int, Restriction]]:
    """Return the restrictions in force at a moment, the latest first, with when they began in microseconds."""
    begun = [entry for entry in entries if entry.kind in ("restriction", "lift") and entry.at_us <= now_us]
    lifted = {entry.decoded().restriction_id for entry in begun if entry.kind == "lift"}
    begun.sort(key=lambda entry: (entry.at_us, entry.entry_id), reverse=True)
    imposed = [(entry.at_us, entry.decoded()) for entry in begun if entry.kind == "restriction"]
    return [
        (at_us, restriction)
        for at_us, restriction in imposed
        if now_us < micros(restriction.until) and restriction.restriction_id not in lifted
    ]


def _objection(entries: Sequence[Entry], now_us: int) -> bool:
    said = [entry for entry in entries if entry.kind == "objection" and entry.at_us <= now_us]
    latest = max(said, key=lambda entry: (entry.at_us, entry.entry_id), default=None)
    return latest is not None and bool(latest.decoded().objects)


def _usual(contacts: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(contacts, key=lambda agent: (-contacts[agent], agent)))
