"""One caller leg, and many in one tick.

In come packets of the caller's audio; out go `Affect`, `Escalation` and `Route` events.

Reading order: arguments, pickling, caller < batching < triage < sharding.
"""
