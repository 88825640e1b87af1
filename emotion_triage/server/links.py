"""Signed links: a desktop lets its agent into the panel without a token, once, within a minute, and by no number."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from itsdangerous import BadData, URLSafeTimedSerializer

from emotion_triage.adapters.audiohook_signature import Once
from emotion_triage.errors import CallIdError
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.server.config import Access

__all__ = ["KEPT_S", "LINK_S", "Entrance", "Links"]

LINK_S = 60
"""How long after its making a link is good, in seconds."""
SKEW_S = 5
"""By how much the clock of a desktop that signs for itself may be ahead, in seconds."""
KEPT_S = LINK_S + 2 * SKEW_S
"""How long a link that was used has to be remembered, in seconds."""
SALT = "emotion-triage link"
MAX_LINK = 2000


class Entrance(msgspec.Struct, frozen=True, kw_only=True):
    """What a link says: which agent comes in, and which call they have."""

    agent_id: str
    call_id: str | None = None
    once: str


class Entered(NamedTuple):
    """Who came in by a link, and whose desktop let them."""

    by: Access
    entrance: Entrance


class Links:
    """Signed links, each good once.

    The key is the desktop's own token, so that a desktop may also sign for itself, and so that its links end with it.

    Parameters
    ----------
    accesses : iterable of Access
        From the configuration; machines make links.
    used : Once
        Remembers links for `KEPT_S`, in every process.
    """

    def __init__(self, accesses: Iterable[Access], used: Once) -> None:
        self._used = used
        self._desktops = {
            access.name: (
                access,
                URLSafeTimedSerializer(access.token.read(), salt=SALT, signer_kwargs={"digest_method": hashlib.sha256}),
            )
            for access in accesses
            if access.kind == "machine"
        }

    def make(self, by: Access, agent_id: str, call_id: str | None) -> str:
        """Return a link that lets an agent in, signed with a machine's token."""
        entrance = Entrance(agent_id=agent_id, call_id=call_id, once=secrets.token_urlsafe(16))
        return str(self._desktops[by.name][1].dumps(msgspec.to_builtins(entrance)))

    def enter(self, link: str, *, now_s: float) -> Entered | None:
        """Return who comes in; None where the link is nobody's, too old, used already, or shows a number."""
        if len(link) > MAX_LINK:
            return None
        for access, signer in self._desktops.values():
            try:
                told, made_at = signer.loads(link, return_timestamp=True)
                entrance = msgspec.convert(told, Entrance)
                named = entrance.call_id is None or safe_call_id(entrance.call_id) == entrance.call_id
            except (BadData, msgspec.ValidationError, CallIdError):
                continue
            fresh = -SKEW_S <= now_s - made_at.timestamp() <= LINK_S
            expired = access.expires_at is not None and now_s >= access.expires_at.timestamp()
            if named and fresh and not expired and self._used.add(entrance.once, now_s=now_s):
                return Entered(access, entrance)
        return None
