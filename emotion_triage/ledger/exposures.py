"""Contacts to exposure, and exposure to an order of agents: from contacts alone, never from an agent's voice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from emotion_triage.contacts import Candidates, Exposure
from emotion_triage.escalation import Level
from emotion_triage.ledger.accounts import Account, Entry, accounts, micros, moment
from emotion_triage.protection import ProtectionPolicy
from emotion_triage.routing import Standing, StandingState

__all__ = ["exposure", "exposures", "ranked"]

US_PER_S = 1_000_000


def exposure(agent_id: str, told: Iterable[Account], policy: ProtectionPolicy, now_us: int) -> Exposure:
    """Return what an agent has been through.

    A contact is hard where it was abusive or escalated. A shift is counted back from the moment. After
    `max_in_a_row` hard contacts in a row the agent is shielded for `rest_s`; after `max_per_shift` in the shift, until
    so many of them have left it that one fits again; after `max_per_window` abusive ones, likewise for the window.

    Parameters
    ----------
    agent_id : str
        The agent.
    told : iterable of Account
        His contacts in the window, in order of their ends, up to the moment.
    policy : ProtectionPolicy
        The limits.
    now_us : int
        The moment, in microseconds since 1970 (UTC).
    """
    shift_us, window_us = micros(policy.shift), micros(policy.window)
    his = [each for each in told if not each.void]
    abusive = [each for each in his if each.abusive and now_us < each.at_us + window_us]
    shift = [each for each in his if now_us < each.at_us + shift_us]
    hard = [each for each in shift if each.hard]
    in_a_row = len(list(takewhile(lambda each: each.hard, reversed(shift))))
    ends = [now_us]
    if in_a_row >= policy.max_in_a_row:
        ends.append(shift[-1].at_us + int(policy.rest_s * US_PER_S))
    if len(hard) >= policy.max_per_shift:
        ends.append(hard[-policy.max_per_shift].at_us + shift_us)
    if len(abusive) >= policy.max_per_window:
        ends.append(abusive[-policy.max_per_window].at_us + window_us)
    rested_us = abusive[-1].at_us + int(policy.after_call_work_s * US_PER_S) if abusive else now_us
    return Exposure(
        agent_id=agent_id,
        abusive_contacts=len(abusive),
        hard_in_shift=len(hard),
        hard_in_a_row=in_a_row,
        after_call_work_s=max(0, rested_us - now_us) / US_PER_S,
        shielded_until=moment(max(ends)) if max(ends) > now_us else None,
        last_at=moment(shift[-1].at_us) if shift else None,
    )


def exposures(
    agents: Sequence[str], entries: Iterable[Entry], policy: ProtectionPolicy, now_us: int
) -> dict[str, Exposure]:
    """Return what each of some agents has been through, from their entries in any order."""
    by_agent: dict[str, list[Entry]] = {agent: [] for agent in agents}
    for entry in entries:
        by_agent[entry.agent_id or ""].append(entry)
    return {agent: exposure(agent, accounts(his, now_us), policy, now_us) for agent, his in by_agent.items()}


def ranked(
    agents: Sequence[str],
    had: Mapping[str, Exposure],
    standing: Standing,
    level: Level,
    policy: ProtectionPolicy,
) -> Candidates:
    """Return who may take a call, best first.

    Whom the caller abused, and who still has after-call work, takes no call of his. A hard call (the caller is
    escalated, or has a record) reaches no shielded agent; it goes first to who did not just have one, then to who had
    fewest, then to the caller's usual adviser, then to who has rested longest. Any other call goes to the usual
    adviser first, then to who has rested longest.

    Parameters
    ----------
    agents : sequence of str
        Who is free and qualified; their order settles ties.
    had : mapping of str to Exposure
        What each has been through.
    standing : Standing
        The caller's.
    level : Level
        The caller's level now.
    policy : ProtectionPolicy
        The limits and fallbacks.
    """
    hard = level is Level.ESCALATED or standing.state is not StandingState.CLEAR
    usual = {agent: rank for rank, agent in enumerate(standing.usual_agents)}
    avoided = [agent for agent in agents if agent in standing.avoid_agents]
    resting = [agent for agent in agents if had[agent].after_call_work_s > 0]
    shielded = [agent for agent in agents if hard and had[agent].shielded_until is not None]
    barred = {*avoided, *resting, *shielded}

    def order(agent: str) -> tuple[float, ...]:
        his = had[agent]
        burden = (his.hard_in_a_row, his.hard_in_shift, his.abusive_contacts) if hard else ()
        return (*burden, usual.get(agent, len(usual)), his.last_at.timestamp() if his.last_at else 0.0)

    free = tuple(sorted((agent for agent in dict.fromkeys(agents) if agent not in barred), key=order))
    counts = ", ".join(
        f"{len(set(each))} {why}"
        for each, why in (
            (shielded, "shielded"),
            (resting, "in after-call work"),
            (avoided, "abused by this caller"),
        )
        if each
    )
    if not free:
        return Candidates(
            agents=(),
            fallbacks=policy.fallbacks,
            reason=f"no agent may take this call: {counts}" if counts else "no agent was named",
        )
    kind = "hard call: least burdened first" if hard else "usual adviser first, then the longest rested"
    return Candidates(agents=free, reason=f"{kind}; left out: {counts}" if counts else kind)
