"""A supervisor on a call of Asterisk's, by ChanSpy: their telephone rings, and it spies.

It spies on the agent's channel, never on the caller's: what a supervisor says is then no part of the caller's audio.
https://docs.asterisk.org/Latest_API/API_Documentation/Dialplan_Applications/ChanSpy/
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import msgspec

from emotion_triage.destinations.asterisk import Action, Refusal, act
from emotion_triage.destinations.delivery import Request
from emotion_triage.destinations.fields import argument, one_line
from emotion_triage.destinations.monitoring import ALL, Leg, MonitorError, ask, decoded
from emotion_triage.errors import DestinationError
from emotion_triage.routing.supervision import Mode

if TYPE_CHECKING:
    import panoramisk

__all__ = ["AmiMonitor", "AriMonitor", "originate", "request"]

ENGINE = "Asterisk"
RING_MS = 30_000
NO_AGENT = "no agent is on the call; expected one; wait until the call is answered"
OPTIONS = {Mode.LISTEN: "qES", Mode.WHISPER: "qwES", Mode.JOIN: "qBES"}
"""ChanSpy's: no beep, an end with the spied channel; `w` is heard by it alone, `B` by both."""


def originate(leg: str, supervisor: str, agent: str, mode: Mode) -> Action:
    """Return the action that rings a supervisor and puts them on an agent's channel.

    Raises
    ------
    DestinationError
        A name holds a line break or a separator.
    """
    if "," in one_line("the agent's channel", agent):
        raise DestinationError("the agent's channel holds ','; expected one channel; check where it comes from")
    return Action(
        name="Originate",
        headers={
            "Channel": argument("the supervisor's extension", supervisor),
            "ChannelId": leg,
            "Application": "ChanSpy",
            "Data": f"{agent},{OPTIONS[mode]}",
            "CallerID": f"{mode} <{mode}>",
            "Timeout": str(RING_MS),
            "Async": "true",
        },
    )


class _Variable(msgspec.Struct, frozen=True):
    value: str


def request(leg: str, supervisor: str, agent: str, mode: Mode, context: str) -> Request:
    """Return what the REST interface is asked: the same, by an extension of the dialplan named after the mode."""
    body = {
        "endpoint": supervisor,
        "context": context,
        "extension": mode,
        "priority": 1,
        "channelId": leg,
        "callerId": f"{mode} <{mode}>",
        "timeout": RING_MS // 1000,
        "variables": {"TRIAGE_AGENT": agent},
    }
    return Request(method="POST", path="/channels", body=msgspec.json.encode(body))


class AmiMonitor:
    """One supervisor, by Asterisk's manager interface.

    Parameters
    ----------
    manager : panoramisk.Manager
        Connected and logged in, with the write classes ``call`` and ``originate``. Its owner closes it.
    supervisor : str
        Their telephone, such as ``PJSIP/2001``.
    """

    modes = ALL

    def __init__(self, manager: panoramisk.Manager, supervisor: str) -> None:
        self._manager = manager
        self._supervisor = supervisor

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Ring the supervisor; `call` is the caller's channel."""
        agent = await self._variable(one_line("the channel", call), "BRIDGEPEER")
        if not agent:
            raise MonitorError("alone", NO_AGENT)
        leg = f"triage-{uuid.uuid4()}"
        await self._ask(originate(leg, self._supervisor, agent.partition(",")[0], mode))

        async def there() -> bool:
            try:
                await self._variable(leg, "CHANNEL(state)")
            except MonitorError as error:
                if error.kind == "gone":
                    return False
                raise
            return True

        async def end() -> None:
            try:
                await self._ask(Action(name="Hangup", headers={"Channel": leg, "Cause": "16"}))
            except MonitorError as error:
                if error.kind != "gone":
                    raise

        return Leg(there, end)

    async def _variable(self, channel: str, name: str) -> str:
        return await self._ask(Action(name="Getvar", headers={"Channel": channel, "Variable": name}))

    async def _ask(self, action: Action) -> str:
        try:
            return str((await act(self._manager, action)).get("Value") or "")
        except Refusal as refusal:
            told = str(refusal.message).lower()
            if "no such channel" in told:
                raise MonitorError("gone", str(refusal)) from None
            raise MonitorError("forbidden" if "permission" in told else "refused", str(refusal)) from None
        except DestinationError as error:
            raise MonitorError("unreachable", str(error)) from None


class AriMonitor:
    """One supervisor, by Asterisk's REST interface.

    Parameters
    ----------
    client : httpx.AsyncClient
        With `base_url` such as ``https://pbx.example:8089/ari`` and the user's `auth`. Its owner closes it.
    supervisor : str
        Their telephone, such as ``PJSIP/2001``.
    context : str
        Dialplan context with the extensions ``listen``, ``whisper`` and ``join``: see docs/integrations/supervision.md.
    """

    modes = ALL

    def __init__(self, client: httpx.AsyncClient, supervisor: str, context: str) -> None:
        self._client = client
        self._supervisor = supervisor
        self._context = context

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Ring the supervisor; `call` is the caller's channel, by its id."""
        caller = f"/channels/{quote(call, safe='')}"
        await self._ask("GET", caller)
        peer = await self._ask("GET", f"{caller}/variable?variable=BRIDGEPEER", expected=(404,))
        agent = decoded(peer, _Variable, engine=ENGINE).value if peer.is_success else ""
        if not agent:
            raise MonitorError("alone", NO_AGENT)
        leg = f"triage-{uuid.uuid4()}"
        await ask(
            self._client, request(leg, self._supervisor, agent.partition(",")[0], mode, self._context), engine=ENGINE
        )

        async def there() -> bool:
            return (await self._ask("GET", f"/channels/{leg}", expected=(404,))).is_success

        async def end() -> None:
            await self._ask("DELETE", f"/channels/{leg}", expected=(404,))

        return Leg(there, end)

    async def _ask(self, method: str, path: str, expected: tuple[int, ...] = ()) -> httpx.Response:
        return await ask(self._client, Request(method=method, path=path, body=b""), engine=ENGINE, expected=expected)
