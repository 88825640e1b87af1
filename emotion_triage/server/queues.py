"""The queues that a person may choose: those that the policy and the wires name, and the call's own."""

from __future__ import annotations

import difflib

from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Target
from emotion_triage.server.engines import Wires
from emotion_triage.server.requests import Refused

__all__ = ["known_queues", "target_of"]


def known_queues(policy: Policy, wires: Wires, own: str | None = None) -> dict[str, Target]:
    """Return each queue's name with what stands behind it, in alphabetical order; `own` is the call's own.

    Examples
    --------
    >>> known_queues(Policy.load(), Wires(), "billing")  # doctest: +NORMALIZE_WHITESPACE
    {'billing': <Target.QUEUE: 'queue'>, 'general': <Target.QUEUE: 'queue'>, 'protected': <Target.QUEUE: 'queue'>,
     'senior': <Target.QUEUE: 'queue'>, 'supervisor': <Target.QUEUE: 'queue'>}
    """
    settings = (getattr(wires, name) for name in Wires.__struct_fields__)
    known = {each.queue: Target.QUEUE for each in settings if each is not None and each.queue}
    if own:
        known[own] = Target.QUEUE
    # the policy's word goes before: a voicebot behind a name is told as one
    destinations = [*(rule.route for rule in reversed(policy.rules)), policy.neutral]
    known |= {each.queue: each.target for each in destinations}
    return dict(sorted(known.items()))


def target_of(queue: str, known: dict[str, Target]) -> Target:
    """Return what stands behind a queue's name.

    Raises
    ------
    Refused
        It is not known: no engine would find it, and the call would stay where it is without a word.
    """
    if queue in known:
        return known[queue]
    guess = difflib.get_close_matches(queue, known, n=1)
    raise Refused(
        422,
        f"queue: got {queue!r}, which is not known; expected one of {', '.join(known)}"
        + (f"; did you mean {guess[0]}?" if guess else ""),
    )
