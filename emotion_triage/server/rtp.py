"""RTP calls: each has a port of its own, opened when the signalling names the call and closed when it tells its end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Mapping
from itertools import chain

from emotion_triage.adapters.rtp import Rtp, UdpSocket
from emotion_triage.errors import WireError
from emotion_triage.server.engines import RtpWire
from emotion_triage.server.live_calls import LiveCalls
from emotion_triage.server.requests import Refused
from emotion_triage.server.wires import attend

__all__ = ["RtpPorts"]

WIRE = "rtp"


class RtpPorts:
    """The ports of this process's RTP calls; the system keeps those of its siblings apart from them.

    Parameters
    ----------
    live_calls : LiveCalls
        Takes the calls.
    """

    def __init__(self, live_calls: LiveCalls) -> None:
        self._live_calls = live_calls
        self._calls: dict[str, tuple[UdpSocket, asyncio.Task[None]]] = {}
        # a port rests as long as possible, so that late packets of one call do not begin the next
        self._after = 0

    def __contains__(self, call_id: object) -> bool:
        """Return whether a call has a port, be it heard already or not."""
        return call_id in self._calls

    def open(self, call_id: str, parameters: Mapping[str, str]) -> int:
        """Open a port for a call and return it; the call begins with its first packet.

        Raises
        ------
        Refused
            RTP is not configured, the call's name cannot be one, the call is here already, or there is no port for it.
        """
        settings = self._live_calls.config.wires.rtp
        if settings is None:
            raise Refused(404, "RTP is not served here; expected a table [wires.rtp] in the configuration")
        known = self._live_calls.calls.find(call_id)
        if call_id in self or (known is not None and known.ended is None):
            raise Refused(409, "the call is here already; expected each once")
        try:
            wire = Rtp(call_id=call_id, event_type=settings.event_type, parameters=parameters)
        except WireError as error:
            raise Refused(400, str(error)) from None
        if why := self._live_calls.refusal(WIRE):
            raise Refused(503, f"no call is taken now: {why}; expected a server with a place")
        bound = self._bound(settings)
        udp = UdpSocket(settings.networks)
        self._calls[call_id] = udp, asyncio.create_task(self._serve(call_id, udp, wire, bound))
        port: int = bound.getsockname()[1]
        return port

    async def close(self, call_id: str) -> None:
        """End a call: what came is heard, then its port is closed.

        Raises
        ------
        Refused
            No such call has a port here.
        """
        if call_id not in self:
            raise Refused(404, "no such call has a port; expected one that was given by POST /api/calls/CALL/rtp")
        udp, task = self._calls[call_id]
        udp.stop()
        await asyncio.wait((task,))

    async def _serve(self, call_id: str, udp: UdpSocket, wire: Rtp, bound: socket.socket) -> None:
        async def hang_up() -> None:
            udp.stop()

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: udp, sock=bound)
        try:
            # the API gave the port, for a call that may still ring
            await attend(self._live_calls, WIRE, udp, wire, hang_up, begin_s=None)
        finally:
            transport.close()
            del self._calls[call_id]
            for why, n_datagrams in (("late", udp.dropped), ("stray", udp.foreign)):
                if n_datagrams:
                    self._live_calls.metrics.passed_over.labels(WIRE, why).inc(n_datagrams)

    def _bound(self, settings: RtpWire) -> socket.socket:
        for port in self._in_turn(settings.ports):
            bound = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_DGRAM)
            try:
                bound.bind((settings.host, port))
            except OSError as error:
                bound.close()
                if error.errno == errno.EADDRINUSE:
                    continue
                raise Refused(
                    503, f"{settings.host} port {port}: cannot be opened ({error.strerror}); expected a port of ours"
                ) from None
            bound.setblocking(False)
            self._after = port
            return bound
        raise Refused(503, "every port of wires.rtp has a call; expected more of them, from first_port to last_port")

    def _in_turn(self, ports: range) -> Iterator[int]:
        later = range(max(ports.start, self._after + 2), ports.stop, 2)
        return chain(later, range(ports.start, min(later.start, ports.stop), 2))
