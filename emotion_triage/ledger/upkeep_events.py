"""What the decision log tells of its own upkeep: some of the bodies of `log_events`."""

from __future__ import annotations

import msgspec

__all__ = ["Altered", "Pruned", "Purged", "Rotated", "Sealed"]


class Pruned(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="prune"):
    """The oldest entries were dropped: the log begins at `first_seq`, after the digest `first_digest`."""

    first_seq: int
    first_digest: str
    dropped: int


class Purged(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="purge"):
    """What was past its time was removed: how many of what."""

    removed: dict[str, int]


class Altered(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="altered"):
    """The log's head was not as it had been signed when a line was to be written; the log goes on after `seq`."""

    seq: int


class Sealed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="seal"):
    """Rows that an older release had left unsigned were signed as they were found: how many of what."""

    signed: dict[str, int]


class Rotated(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="rotate"):
    """The key of the callers' identities was replaced; keys are named by their fingerprints."""

    before: str
    after: str
    by: str
