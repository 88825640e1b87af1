"""Contacts to exposure, and exposure to an order of agents: from contacts alone, never from an agent's voice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from emotion_triage.ledger.projection import Account, Entry, accounts, micros, moment
from emotion_triage.routing.contacts import Candidates, Exposure
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.protection import ProtectionPolicy
from emotion_triage.routing.rules import Standing, StandingState

__all__ = ["Suffered", "exposure", "exposures", "ranked"]

US_PER_S = 1_000_000


class Suffered(NamedTuple):
    """What some agents had, read in few rows since an order of agents is asked for at every call.

    Attributes
    ----------
    settled : mapping of str to sequence of int
        For each agent when those contacts ended, of the window before the shift, that are abusive and nobody disputes.
    easy : mapping of str to int
        For each agent when the last contact of the shift ended that was easy beyond question.
    told : sequence of Entry
        Everything about the contacts that may be hard, or of which people said something; in any order.
    """

    settled: Mapping[str, Sequence[int]]
    easy: Mapping[str, int]
    told: Sequence[Entry]


def exposure(
    agent_id: str,
    told: Iterable[Account],
    policy: ProtectionPolicy,
    now_us: int,
    *,
    settled: Iterable[int] = (),
    easy: Iterable[int] = (),
) -> Exposure:
    """Return what an agent has been through.

    A contact is hard where it was abusive or escalated. A shift is counted back from the moment. After
    `max_in_a_row` hard contacts in a row the agent is shielded for `rest_s`; after `max_per_shift` in the shift, until
    so many of them have left it that one fits again; after `max_per_window` abusive ones, likewise for the window.

    Parameters
    ----------
    agent_id : str
        The agent.
    told : iterable of Account
        Their contacts in order of their ends, up to the moment.
    policy : ProtectionPolicy
        The limits.
    now_us : int
        The moment, in microseconds since 1970 (UTC).
    settled, easy : iterable of int
        When contacts ended that are not told: abusive ones of the window before the shift, easy ones of the shift.
    """
    shift_us, window_us = micros(policy.shift), micros(policy.window)
    own = [each for each in told if not each.void]
    shift = [each for each in own if now_us < each.at_us + shift_us]
    hard = [each.at_us for each in shift if each.hard]
    easy = [*easy, *(each.at_us for each in shift if not each.hard)]
    last_easy_us = max(easy, default=0)
    in_a_row = sum(at_us >= last_easy_us for at_us in hard)
    abusive = sorted([*settled, *(each.at_us for each in own if each.abusive and now_us < each.at_us + window_us)])
    ends = [now_us]
    if in_a_row >= policy.max_in_a_row:
        ends.append(hard[-1] + int(policy.rest_s * US_PER_S))
    if len(hard) >= policy.max_per_shift:
        ends.append(hard[-policy.max_per_shift] + shift_us)
    if len(abusive) >= policy.max_per_window:
        ends.append(abusive[-policy.max_per_window] + window_us)
    rested_us = abusive[-1] + int(policy.after_call_work_s * US_PER_S) if abusive else now_us
    return Exposure(
        agent_id=agent_id,
        abusive_contacts=len(abusive),
        hard_in_shift=len(hard),
        hard_in_a_row=in_a_row,
        after_call_work_s=max(0, rested_us - now_us) / US_PER_S,
        shielded_until=moment(max(ends)) if max(ends) > now_us else None,
        last_at=moment(max(*hard, *easy, 0)) if hard or easy else None,
    )


def exposures(agents: Sequence[str], had: Suffered, policy: ProtectionPolicy, now_us: int) -> dict[str, Exposure]:
    """Return what each of some agents has been through."""
    by_agent: dict[str, list[Account]] = {agent: [] for agent in agents}
    for account in accounts(had.told, now_us):
        by_agent[account.agent_id].append(account)
    return {
        agent: exposure(
            agent,
            own,
            policy,
            now_us,
            settled=had.settled.get(agent, ()),
            easy=[had.easy[agent]] if agent in had.easy else (),
        )
        for agent, own in by_agent.items()
    }


def ranked(
    agents: Sequence[str],
    had: Mapping[str, Exposure],
    standing: Standing,
    level: Level,
    policy: ProtectionPolicy,
) -> Candidates:
    """Return who may take a call, best first.

    Whom the caller abused, and who still has after-call work, takes no call of theirs. A hard call (the caller is
    escalated, or has a record) reaches no shielded agent; it goes first to who did not just have one, then to who had
    fewest, then to the caller's usual adviser, then to who has rested longest. Any other call goes to the usual
    adviser first, then to who has rested longest; a stranger's, which may turn out hard, last to who just had one.

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
        own = had[agent]
        burden: tuple[float, ...] = ()
        if hard:
            burden = own.hard_in_a_row, own.hard_in_shift, own.abusive_contacts
        elif not usual:
            burden = (own.hard_in_a_row,)
        return (*burden, usual.get(agent, len(usual)), own.last_at.timestamp() if own.last_at else 0.0)

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
