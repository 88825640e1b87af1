"""A telephone call end to end: SIP and RTP by sipp on loopback, into the RTP adapter, out to a route."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from emotion_triage.adapters.connection import Connection, Direct
from emotion_triage.adapters.protocol import Ended, Started, WireEvent
from emotion_triage.adapters.rtp import Rtp, UdpSocket
from emotion_triage.audio.stream import encode_mulaw
from emotion_triage.call.triage import Call, Event, Triage
from emotion_triage.destinations.asterisk import variables
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.rules import Route

Telephone = Callable[[bytes, int], Awaitable[None]]


class Owner:
    def __init__(self, triage: Triage) -> None:
        self.triage = triage
        self.events: list[Event] = []
        self.ends: list[Ended] = []

    async def started(self, connection: Connection, event: Started) -> Call | None:
        return event.open(self.triage)

    async def noticed(self, connection: Connection, event: WireEvent) -> None:
        pass

    async def ended(self, connection: Connection, event: Ended) -> None:
        self.ends.append(event)


async def listen(owner: Owner, telephone: Telephone, audio: bytes) -> Connection:
    """Let a caller's media go to the adapter; return once he hung up."""
    loop = asyncio.get_running_loop()
    transport, udp = await loop.create_datagram_endpoint(UdpSocket, local_addr=("127.0.0.1", 0))
    connection = Connection(
        udp, Rtp(call_id="sip-call"), owner, Direct(lambda call, events: owner.events.extend(events))
    )
    running = asyncio.create_task(connection.run())
    await telephone(audio, transport.get_extra_info("sockname")[1])
    udp.stop()
    await running
    transport.close()
    return connection


def test_a_sip_call_is_routed(triage: Triage, temper: np.ndarray, telephone: Telephone) -> None:
    """A caller who loses his temper over SIP and G.711 escalates, and Asterisk is told to serve him sooner."""
    audio = encode_mulaw(temper[4 * 8000 : 18 * 8000])
    owner = Owner(triage)
    connection = asyncio.run(listen(owner, telephone, audio))
    assert owner.ends == [Ended(reason="hangup")]
    assert connection.call is not None
    heard_s = connection.call.position_s - connection.call.lost_s
    assert heard_s == pytest.approx(len(audio) / 8000, abs=0.5)
    assert Level.ESCALATED in [event.level for event in owner.events if isinstance(event, Escalation)]
    first = triage.call("sip-call").route
    highest = max((event for event in owner.events if isinstance(event, Route)), key=lambda route: route.priority)
    assert int(variables(highest)["QUEUE_PRIO"]) > int(variables(first)["QUEUE_PRIO"])
    assert variables(highest)["TRIAGE_QUEUE"] != variables(first)["TRIAGE_QUEUE"]
