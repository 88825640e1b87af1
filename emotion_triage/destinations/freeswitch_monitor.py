"""A supervisor on a call of FreeSWITCH's, by `eavesdrop` over the event socket: their telephone rings, and it listens.

It listens on the agent's leg, never on the caller's: `eavesdrop_whisper_bleg` is what that leg hears,
`eavesdrop_whisper_aleg` what is heard of it. Keys are off: whoever listens cannot begin to speak without being logged.
https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod-dptools/6586529/
"""

from __future__ import annotations

import uuid

from emotion_triage.destinations.freeswitch import REFUSALS, FreeSwitch, word
from emotion_triage.destinations.monitoring import ALL, Leg, MonitorError
from emotion_triage.errors import DestinationError
from emotion_triage.routing.supervision import Mode

__all__ = ["FreeSwitchMonitor", "originate"]

RING_S = 30
HEARD_BY = {
    Mode.LISTEN: "",
    Mode.WHISPER: ",eavesdrop_whisper_bleg=true",
    Mode.JOIN: ",eavesdrop_whisper_aleg=true,eavesdrop_whisper_bleg=true",
}
UNSET = frozenset({"", "_undef_"})


def originate(leg: str, supervisor: str, agent: str, mode: Mode) -> str:
    """Return the command that rings a supervisor and puts them on an agent's leg.

    Raises
    ------
    DestinationError
        A name is not one word, or holds what FreeSWITCH reads as its own.

    Examples
    --------
    >>> originate("s-1", "user/2001", "a-1", Mode.LISTEN).partition("}")[2]
    'user/2001 &eavesdrop(a-1)'
    """
    variables = (
        f"origination_uuid={leg},ignore_early_media=true,originate_timeout={RING_S},eavesdrop_enable_dtmf=false"
        f"{HEARD_BY[mode]}"
    )
    to = word("the supervisor's extension", supervisor)
    return f"originate {{{variables}}}{to} &eavesdrop({word('the agent', agent)})"


class FreeSwitchMonitor:
    """One supervisor, by FreeSWITCH's event socket.

    Parameters
    ----------
    switch : FreeSwitch
        Where to ask.
    supervisor : str
        Their telephone as a dial string, such as ``user/2001``.
    """

    modes = ALL

    def __init__(self, switch: FreeSwitch, supervisor: str) -> None:
        self._switch = switch
        self._supervisor = supervisor

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Ring the supervisor; `call` is the caller's channel, by its uuid."""
        agent = (await self._ask(f"uuid_getvar {word('the call', call)} signal_bond")).strip()
        if agent in UNSET:
            raise MonitorError("alone", "no agent is on the call; expected one; wait until the call is answered")
        leg = str(uuid.uuid4())
        await self._ask(originate(leg, self._supervisor, agent, mode), in_background=True)

        async def there() -> bool:
            return (await self._ask(f"uuid_exists {leg}")).strip() == "true"

        async def end() -> None:
            try:
                await self._ask(f"uuid_kill {leg}")
            except MonitorError as error:
                if error.kind != "gone":
                    raise

        return Leg(there, end)

    async def _ask(self, command: str, *, in_background: bool = False) -> str:
        try:
            (answer,) = await self._switch.ask(command, in_background=in_background)
        except DestinationError as error:
            refused = "refused the event socket's password" in str(error)
            raise MonitorError("forbidden" if refused else "unreachable", str(error)) from None
        if answer.startswith(REFUSALS):
            gone = "no such channel" in answer.lower()
            raise MonitorError(
                "gone" if gone else "refused",
                f"FreeSWITCH refused {command.partition(' ')[0]}; expected +OK; "
                + ("the call may have ended" if gone else "the command may be unknown or not allowed"),
            )
        return answer
