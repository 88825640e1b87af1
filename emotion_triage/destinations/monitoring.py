"""A supervisor on a call: what is asked of the engine that holds it, so that they listen, whisper to the agent or join.

No audio passes through this library: the engine rings the supervisor and mixes. Each engine has a file of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import httpx
import msgspec

from emotion_triage.destinations.delivery import FIXES, Request, deliver
from emotion_triage.errors import DestinationError
from emotion_triage.routing.supervision import Mode

__all__ = ["ALL", "Kind", "Leg", "Monitor", "MonitorError", "ask", "decoded"]

T = TypeVar("T")

ASK_S = 8.0
"""Seconds that an engine may take to answer: a person waits for it."""
Kind: TypeAlias = Literal["alone", "forbidden", "gone", "refused", "throttled", "unreachable"]
"""Why an engine does not do it: no agent is on the call, no right, no such call, not now, too often, no answer."""
ALL = frozenset(Mode)
OF_STATUS: dict[int, Kind] = {
    401: "forbidden",
    402: "throttled",
    403: "forbidden",
    404: "gone",
    408: "unreachable",
    410: "gone",
    429: "throttled",
}
"""What a status code of HTTP means here; 402 is Amazon Connect's for a quota that is used up."""


class MonitorError(DestinationError):
    """A supervisor whom the engine did not put on a call, and why in a word.

    Attributes
    ----------
    kind : {"alone", "forbidden", "gone", "refused", "throttled", "unreachable"}
        For whoever shows it in another language.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class Leg(NamedTuple):
    """A supervisor's own connection to a call.

    Attributes
    ----------
    there : callable
        Asks the engine whether they are still on it, or still being rung.
    end : callable or None
        Asks the engine to hang up on them; None where only their own telephone can.
    """

    there: Callable[[], Awaitable[bool]]
    end: Callable[[], Awaitable[None]] | None


class Monitor(Protocol):
    """One supervisor at one engine.

    Attributes
    ----------
    modes : frozenset of Mode
        What the engine can do.
    """

    modes: frozenset[Mode]

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Put the supervisor on a call, by the name that the engine has for it.

        Raises
        ------
        DestinationError
            The engine does not do it; nobody was rung.
        """


async def ask(
    client: httpx.AsyncClient, request: Request, *, engine: str, expected: tuple[int, ...] = ()
) -> httpx.Response:
    """Send a request once: whoever waits asks again, and a telephone that rings twice helps nobody.

    Raises
    ------
    MonitorError
        The engine refused, or could not be reached within `ASK_S`.
    """
    try:
        async with asyncio.timeout(ASK_S):
            response = await deliver(client, request, engine=engine, attempts=1, expected=range(300, 600))
    except TimeoutError:
        raise MonitorError(
            "unreachable", f"{engine} did not answer within {ASK_S:g} s; expected 2xx; check that it is reachable"
        ) from None
    except DestinationError as error:
        raise MonitorError("unreachable", str(error)) from None
    if response.is_success or response.status_code in expected:
        return response
    status = response.status_code
    kind: Kind = "unreachable" if status >= 500 else OF_STATUS.get(status, "refused")
    fix = FIXES.get(status, "look it up in the engine's own log")
    raise MonitorError(kind, f"{engine} answered {status} {response.reason_phrase}; expected 2xx; {fix}")


def decoded(answer: httpx.Response, kind: type[T], *, engine: str) -> T:
    """Return an answer's JSON as a struct.

    Raises
    ------
    MonitorError
        It is not that.
    """
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError:
        raise MonitorError(
            "refused", f"{engine}'s answer cannot be read; expected the JSON that it documents; check its address"
        ) from None
