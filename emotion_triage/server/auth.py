"""Who asks: bearer tokens for programs, a signed cookie and a CSRF token for browsers.

A session is a name and an end, signed with a key made from the token: it survives a restart, is good in every process,
and ends when the token is changed. That of an agent whom a desktop let in names them and is signed with the desktop's
token. No list of sessions is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from itsdangerous import BadSignature, Signer

from emotion_triage.errors import ConfigError
from emotion_triage.server.config import MIN_TOKEN_CHARACTERS, Access

__all__ = ["AGENT_COOKIE", "COOKIE", "Authenticator", "Session"]

COOKIE = "emotion_triage"
AGENT_COOKIE = "emotion_triage_agent"
"""An agent's session, in a cookie of its own that is sent to the panel alone."""
SALTS = ("session", "csrf")
"""What keeps a signature of one purpose from being taken for another."""


class _Door(NamedTuple):
    """A token that is taken: whose it is, its digest, and what signs sessions and CSRF tokens with it."""

    access: Access
    digest: bytes
    session: Signer
    csrf: Signer


class Session(NamedTuple):
    """Who asks, their browser's CSRF token, which every change has to carry, and the call that a desktop named."""

    access: Access
    csrf: str | None
    call_id: str | None = None


class _Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a session says: whose token signed it, when it ends, and which agent a desktop let in for which call."""

    name: str
    until_s: int
    agent_id: str | None = None
    call_id: str | None = None


class Authenticator:
    """Every token that is taken.

    Parameters
    ----------
    accesses : iterable of Access
        From the configuration.

    Raises
    ------
    ConfigError
        A token is not there, is too short, or is another's too.
    """

    def __init__(self, accesses: Iterable[Access]) -> None:
        self._doors: dict[str, _Door] = {}
        for access in accesses:
            token = access.token.read()
            if len(token) < MIN_TOKEN_CHARACTERS:
                raise ConfigError(
                    f"access {access.name!r}: the token has {len(token)} characters, expected "
                    f"{MIN_TOKEN_CHARACTERS} or more; make one with: openssl rand -base64 32"
                )
            digest = hashlib.sha256(token.encode()).digest()
            if any(digest == door.digest for door in self._doors.values()):
                raise ConfigError(f"access {access.name!r}: the token is another's too, expected one for each")
            signers = (Signer(token, salt=f"emotion-triage {salt}", digest_method=hashlib.sha256) for salt in SALTS)
            self._doors[access.name] = _Door(access, digest, *signers)

    def by_token(self, token: str, *, now_s: float) -> Access | None:
        """Return whose token it is, if it is still good."""
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for door in self._doors.values():  # each of them, so that time tells nothing
            if hmac.compare_digest(digest, door.digest):
                found = door.access
        return found if found is not None and _good(found, now_s) else None

    def cookie(self, access: Access, *, until_s: float, agent_id: str | None = None, call_id: str | None = None) -> str:
        """Return a session: the token's owner's, or of the agent whom a machine lets in."""
        claim = _Claim(access.name, int(until_s), agent_id, call_id)
        text = base64.urlsafe_b64encode(msgspec.json.encode(claim)).decode()
        return self._doors[access.name].session.sign(text).decode()

    def by_cookie(self, cookie: str, *, now_s: float) -> Session | None:
        """Return whose session it is, if it is still good."""
        try:
            claim = msgspec.json.decode(base64.urlsafe_b64decode(cookie.partition(".")[0].encode()), type=_Claim)
            door = self._doors[claim.name]
            text = door.session.unsign(cookie).decode()
        except (KeyError, BadSignature, binascii.Error, UnicodeError, msgspec.MsgspecError):
            return None
        if claim.until_s <= now_s or not _good(door.access, now_s):
            return None
        access = door.access
        if claim.agent_id is not None:
            access = msgspec.structs.replace(access, kind="agent", name=claim.agent_id, agent_id=claim.agent_id)
        return Session(access, door.csrf.get_signature(text).decode(), claim.call_id)


def _good(access: Access, now_s: float) -> bool:
    return access.expires_at is None or now_s < access.expires_at.timestamp()
