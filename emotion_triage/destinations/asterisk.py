"""Asterisk, by its manager interface (AMI, through panoramisk) or by REST (ARI, through httpx).

A route becomes channel variables that the dialplan reads. `QUEUE_PRIO` is app_queue's own: higher is sooner.
https://docs.asterisk.org/Latest_API/API_Documentation/AMI_Actions/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request, deliver
from emotion_triage.destinations.fields import argument, one_line, text_fields
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

if TYPE_CHECKING:
    import panoramisk

__all__ = ["Action", "Ami", "Ari", "Refusal", "act", "actions", "requests", "variables"]

ANSWER_TIMEOUT_S = 5.0
"""Seconds to wait for each answer of the manager interface, which answers from memory."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One action of the manager interface.

    Attributes
    ----------
    name : str
        Such as ``Setvar``.
    headers : mapping of str to str
        Each one line.
    """

    name: str
    headers: Mapping[str, str]


def variables(route: Route) -> dict[str, str]:
    """Return the channel variables of a route, `QUEUE_PRIO` among them.

    Raises
    ------
    DestinationError
        A name holds what a dialplan would read as its own.
    """
    for what, names in (("a skill's name", route.skills), ("an agent's id", route.avoid_agents)):
        for name in names:
            argument(what, name)
    argument("the queue's name", route.queue)
    named = {name.upper(): text for name, text in text_fields(route).items()}
    return {"QUEUE_PRIO": str(route.priority), **named}


def actions(
    route: Route, channel: str, *, waits_in: str | None = None, context: str | None = None
) -> tuple[Action, ...]:
    """Return what the manager interface is told of a route.

    Parameters
    ----------
    route : Route
        The decision.
    channel : str
        The caller's channel, such as ``PJSIP/trunk-00000007``.
    waits_in : str or None
        The queue in which they wait now. If it is the route's, their priority changes and they keep their place.
    context : str or None
        Dialplan context with one extension for each target (``queue``, ``supervisor``, ``voicebot``,
        ``callback``), to which they are led unless they keep their place. None: the dialplan reads the variables.

    Returns
    -------
    tuple of Action
        ``Setvar`` for each variable, then ``QueueChangePriorityCaller`` or ``Redirect``.

    Raises
    ------
    DestinationError
        A name holds a line break, or what a dialplan would read as its own.
    """
    caller = one_line("the channel", channel)
    steps = [
        Action(name="Setvar", headers={"Channel": caller, "Variable": name, "Value": text})
        for name, text in variables(route).items()
    ]
    if waits_in == route.queue:
        # Versions before Immediate existed ignore it, and move the caller when they are next looked at.
        headers = {"Queue": route.queue, "Caller": caller, "Priority": str(route.priority), "Immediate": "yes"}
        steps.append(Action(name="QueueChangePriorityCaller", headers=headers))
    elif context is not None:
        place = {"Context": argument("the context", context), "Exten": route.target.value, "Priority": "1"}
        steps.append(Action(name="Redirect", headers={"Channel": caller, **place}))
    return tuple(steps)


def requests(route: Route, channel_id: str, *, context: str | None = None) -> tuple[Request, ...]:
    """Return what the REST interface is asked for a route.

    Parameters
    ----------
    route : Route
        The decision.
    channel_id : str
        The caller's channel, by its id.
    context : str or None
        As for `actions`; the channel leaves the Stasis application for it. Queues are not known to this interface:
        for a caller who waits in one, use the manager interface.

    Returns
    -------
    tuple of Request
        One for each variable, then ``continue`` where a context is given.
    """
    channel = f"/channels/{quote(channel_id, safe='')}"
    asked = [
        Request(
            method="POST",
            path=f"{channel}/variable",
            body=msgspec.json.encode({"variable": name, "value": text}),
        )
        for name, text in variables(route).items()
    ]
    if context is not None:
        place = {"context": argument("the context", context), "extension": route.target.value, "priority": 1}
        asked.append(Request(method="POST", path=f"{channel}/continue", body=msgspec.json.encode(place)))
    return tuple(asked)


class Refusal(DestinationError):
    """An action that Asterisk refused.

    Attributes
    ----------
    message : str
        Asterisk's own word for it.
    """

    def __init__(self, action: Action, message: str) -> None:
        super().__init__(
            f"Asterisk refused {action.name}: {_shown(message)!r}; expected Success; "
            "the call may have ended, or the user lacks a write class"
        )
        self.message = message


async def act(manager: panoramisk.Manager, action: Action) -> Mapping[str, str]:
    """Send one action, and return the headers of its answer.

    Raises
    ------
    DestinationError
        Asterisk is not there or does not answer; a `Refusal` where it refuses.
    """
    protocol = manager.protocol
    if protocol is None or protocol.closed or not manager.authenticated:
        raise DestinationError(
            "Asterisk's manager interface is not logged in; expected a connected panoramisk.Manager; "
            "check its host, user name and secret"
        )
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            # one answer each: Originate would be waited for until the telephone is answered
            answer = await manager.send_action({"Action": action.name, **action.headers}, as_list=False)
    except TimeoutError:
        raise DestinationError(
            f"Asterisk did not answer {action.name} within {ANSWER_TIMEOUT_S:g} s; expected Success; "
            "check the connection of the manager interface"
        ) from None
    if not answer.success:
        raise Refusal(action, answer.message)
    headers: Mapping[str, str] = answer
    return headers


class Ami:
    """Routes to Asterisk by its manager interface.

    Parameters
    ----------
    manager : panoramisk.Manager
        Connected and logged in, with the write classes ``call`` and ``agent``. Its owner closes it.
    context : str or None
        As for `actions`.
    """

    def __init__(self, manager: panoramisk.Manager, *, context: str | None = None) -> None:
        self._manager = manager
        self._context = context

    async def send(self, route: Route, channel: str, *, waits_in: str | None = None) -> None:
        """Send a route; parameters as for `actions`.

        Raises
        ------
        DestinationError
            Asterisk is not there, does not answer, or refuses an action; those before it have been taken.
        """
        for action in actions(route, channel, waits_in=waits_in, context=self._context):
            await act(self._manager, action)


class Ari:
    """Routes to Asterisk by its REST interface, for a channel in a Stasis application.

    Parameters
    ----------
    client : httpx.AsyncClient
        With `base_url` such as ``https://pbx.example:8089/ari`` and the user's `auth`. Its owner closes it.
    context : str or None
        As for `requests`.
    """

    def __init__(self, client: httpx.AsyncClient, *, context: str | None = None) -> None:
        self._client = client
        self._context = context

    async def send(self, route: Route, channel_id: str) -> None:
        """Send a route; parameters as for `requests`.

        Raises
        ------
        DestinationError
            Asterisk cannot be reached or refuses a request; those before it have been taken.
        """
        for request in requests(route, channel_id, context=self._context):
            await deliver(self._client, request, engine="Asterisk")


def _shown(message: str) -> str:
    """Return an engine's own words without what may be a telephone number."""
    return re.sub(r"\+?\d{4,}", "...", message)[:120]
