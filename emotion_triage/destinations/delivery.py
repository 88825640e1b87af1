"""One HTTP request to an engine: what passes is tried again, what does not is one clear error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping

import httpx
import msgspec
import stamina

from emotion_triage.errors import DestinationError

__all__ = ["ATTEMPTS", "TIMEOUT_S", "Request", "deliver", "outcome"]

ATTEMPTS = 5
"""Tries of one request: with waits that double from 0.2 s, about 5 s in all."""
TIMEOUT_S = 20.0
"""Seconds after which a route is no longer news, tries and waits included."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes after which the same request may go better (RFC 9110, RFC 6585, RFC 8470)."""
FIXES: Mapping[int, str] = {
    401: "check the credentials of the client",
    403: "give these credentials the right to change this call",
    404: "check the address and the call's id; the call may have ended",
    409: "the call is not in a state that allows this; it may have been answered",
    429: "ask for a higher limit, or send fewer routes",
}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is asked; its address and its credentials are the client's.

    Attributes
    ----------
    method : str
        Of HTTP.
    path : str
        Below the client's `base_url`, percent-encoded.
    body : bytes
        As sent.
    content_type : str
        Of the body.
    headers : mapping of str to str
        Others; never a credential.
    """

    method: str
    path: str
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


async def deliver(
    client: httpx.AsyncClient,
    request: Request,
    *,
    engine: str,
    attempts: int = ATTEMPTS,
    timeout_s: float = TIMEOUT_S,
    expected: Collection[int] = (),
) -> httpx.Response:
    """Send a request until it is taken, with waits that double, or as long as the engine asks for.

    Parameters
    ----------
    client : httpx.AsyncClient
        With the engine's `base_url` and `auth`. Its owner closes it.
    request : Request
        Safe to send twice.
    engine : str
        For messages.
    attempts : int
        Tries in all, 1 or more.
    timeout_s : float
        Seconds in all.
    expected : collection of int
        Status codes besides 2xx that the sender deals with itself.

    Returns
    -------
    httpx.Response
        With a status of 2xx, or one that was expected.

    Raises
    ------
    DestinationError
        The engine refused it, could not be reached, or failed at every try.
    """
    try:
        async with asyncio.timeout(timeout_s):
            async for attempt in stamina.retry_context(
                on=_again, attempts=attempts, timeout=None, wait_initial=FIRST_WAIT_S, wait_max=LONGEST_WAIT_S
            ):
                with attempt:
                    return await _answered(client, request, engine, expected)
    except TimeoutError:
        raise DestinationError(
            f"{engine} took no route within {timeout_s:g} s; expected an answer of 2xx; "
            "check that it is reachable and not overloaded"
        ) from None
    raise AssertionError("the last attempt returns or raises")


async def outcome(sending: Awaitable[None]) -> DestinationError | None:
    """Wait for a sender and return its error instead of raising it: for code that a failed route must not stop.

    Parameters
    ----------
    sending : awaitable
        What a sender's `send` returned.

    Examples
    --------
    >>> async def refused() -> None:
    ...     raise DestinationError("TaskRouter answered 404 Not Found; expected 2xx")
    >>> asyncio.run(outcome(refused()))
    DestinationError('TaskRouter answered 404 Not Found; expected 2xx')
    """
    try:
        await sending
    except DestinationError as error:
        return error
    return None


class _Passing(DestinationError):
    """A failure that another try may not meet."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


def _again(error: Exception) -> bool | float:
    """Tell stamina whether to try again: at its own pace, or after the seconds that the engine asked for."""
    if not isinstance(error, _Passing):
        return False
    return True if error.after_s is None else error.after_s


async def _answered(
    client: httpx.AsyncClient, request: Request, engine: str, expected: Collection[int]
) -> httpx.Response:
    try:
        response = await client.request(
            request.method,
            request.path,
            content=request.body,
            headers={"Content-Type": request.content_type, **request.headers},
        )
    except httpx.TransportError as error:
        # httpx's own words may hold the address, and with it a token; the kind of error says enough.
        raise _Passing(
            f"{engine} could not be reached ({type(error).__name__}); expected an answer of 2xx; "
            "check the address, TLS and the network"
        ) from None
    if response.is_success or response.status_code in expected:
        return response
    got = f"{engine} answered {response.status_code} {response.reason_phrase}; expected 2xx"
    fix = FIXES.get(response.status_code, "look it up in the engine's own log")
    if response.status_code in PASSING:
        raise _Passing(f"{got}; {fix}", _asked_wait_s(response))
    raise DestinationError(f"{got}; {fix}")


def _asked_wait_s(response: httpx.Response) -> float | None:
    after = response.headers.get("Retry-After", "")
    return float(after) if after.isascii() and after.isdigit() else None
