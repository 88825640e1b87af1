"""A supervisor on a call of Asterisk's, by ChanSpy through the manager interface: their telephone rings, and it spies.

It spies on the agent's channel, never on the caller's: what a supervisor says is then no part of the caller's audio.
https://docs.asterisk.org/Latest_API/API_Documentation/Dialplan_Applications/ChanSpy/
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from emotion_triage.destinations.asterisk import Action, Refusal, act
from emotion_triage.destinations.fields import argument, one_line
from emotion_triage.destinations.monitoring import ALL, Leg, MonitorError
from emotion_triage.errors import DestinationError
from emotion_triage.routing.supervision import Mode

if TYPE_CHECKING:
    import panoramisk

__all__ = ["AmiMonitor", "originate"]

RING_MS = 30_000
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
            raise MonitorError("alone", "no agent is on the call; expected one; wait until the call is answered")
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
