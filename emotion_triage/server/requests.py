"""One request: who asks, a body of bounded size and time, and an error that says what to do."""

from __future__ import annotations

import asyncio
import hmac
import time
from http import HTTPStatus

import msgspec
from starlette.requests import Request

from emotion_triage.errors import LedgerError, LedgerUnavailable, TriageError
from emotion_triage.server.auth import COOKIE, Authenticator, Session
from emotion_triage.settings import explained

__all__ = ["CSRF_HEADER", "MAX_COMPLAINT", "Refused", "body_of", "decoded", "identify"]

CSRF_HEADER = "x-csrf-token"
MAX_COMPLAINT = 200
"""Letters of a validation error that an answer repeats."""
SAFE = frozenset({"GET", "HEAD"})


class Refused(TriageError):
    """A request that is not done, the status that says why, and a word for whoever shows it in another language."""

    def __init__(self, status: int, message: str, kind: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind

    @classmethod
    def by_ledger(cls, error: LedgerError) -> Refused:
        """Return a refusal of the ledger's: what was asked cannot be, or the ledger cannot be asked."""
        unavailable = isinstance(error, LedgerUnavailable)
        return cls(HTTPStatus.SERVICE_UNAVAILABLE if unavailable else HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def identify(request: Request, auth: Authenticator) -> Session | None:
    """Return who asks: by bearer token, or by session; None where the request names no one.

    Raises
    ------
    Refused
        The token or the session is wrong or has expired, or a browser changes something without its CSRF token.
    """
    now_s = time.time()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        access = auth.by_token(token.strip(), now_s=now_s)
        if access is None:
            raise Refused(401, "the token is wrong or has expired; expected one of [[access]]")
        return Session(access, None)
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return None
    session = auth.by_cookie(cookie, now_s=now_s)
    if session is not None and request.method not in SAFE:
        check_csrf(session, request.headers.get(CSRF_HEADER) or request.scope.get("csrf", ""))
    return session


def check_csrf(session: Session, sent: str) -> None:
    """Refuse a change that the page itself did not ask for."""
    if not hmac.compare_digest(sent.encode(), (session.csrf or "").encode()):
        raise Refused(403, "the CSRF token is missing or wrong; expected the page's own; load the page again")


async def body_of(request: Request, *, limit: int, within_s: float) -> bytes:
    """Return a request's body.

    Raises
    ------
    Refused
        It is too long, or does not come in time.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise Refused(413, f"the body is longer than {limit} bytes; expected less")
    except TimeoutError:
        raise Refused(408, f"the body did not come within {within_s:g} s; expected it sooner") from None
    return bytes(body)


def decoded(body: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return a JSON body as a struct that knows every one of its fields.

    Raises
    ------
    Refused
        It is not that; the message names the field and never a value.
    """
    try:
        told = msgspec.json.decode(body)
        if isinstance(told, dict):
            known = kind.__struct_fields__
            if set(told) - set(known):
                raise Refused(400, f"the body has fields that are not known; expected {', '.join(known)}")
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as error:
        raise Refused(400, f"the body is not as it should be: {explained(error, kind)[:MAX_COMPLAINT]}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refused(400, f"the body is no JSON object: {str(error)[:MAX_COMPLAINT]}") from None
