"""What a packet costs on its way from the network's bytes to a call's, wire by wire.

Processor time of one 20 ms packet, the median of some runs: through the wire's parser alone, and through the parser and
the connection that drives it to where a call's audio is kept. Neither the network library nor scoring is in it.

    python -m benchmarks.wires [--quick] [--json FILE]
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from benchmarks._report import Table, main
from emotion_triage.adapters.audiohook import AudioHook
from emotion_triage.adapters.audiohook_signature import Upgrade
from emotion_triage.adapters.audiosocket import AudioSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.connection import Connection
from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import Ended, Started, Wire
from emotion_triage.adapters.rtp import Rtp
from emotion_triage.adapters.twilio import MediaStream
from emotion_triage.call.triage import Call, Triage

N_PACKETS, QUICK_PACKETS = 5000, 200
RUNS, QUICK_RUNS = 7, 1
SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
UPGRADE = Upgrade(organization_id="d7934305", session_id=SESSION, correlation_id="e160e428")
Message = bytes | str


def audiosocket(packets: Sequence[bytes]) -> list[Message]:
    """Frames of 320 bytes of linear audio."""
    return [b"\x01\x00\x10" + bytes(16), *(b"\x10\x01\x40" + packet * 2 for packet in packets)]


def twilio(packets: Sequence[bytes]) -> list[Message]:
    """Media messages of one track."""
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"callSid": "CA1", "tracks": ["inbound"], "mediaFormat": form}
    head = [{"event": "connected"}, {"event": "start", "streamSid": "MZ1", "start": start}]
    media = (
        {
            "event": "media",
            "sequenceNumber": str(i + 2),
            "streamSid": "MZ1",
            "media": {
                "track": "inbound",
                "chunk": str(i + 1),
                "timestamp": str(20 * i),
                "payload": base64.b64encode(packet).decode(),
            },
        }
        for i, packet in enumerate(packets)
    )
    return [json.dumps(message) for message in (*head, *media)]


def rtp(packets: Sequence[bytes]) -> list[Message]:
    """Packets of one source."""
    return [struct.pack(">BBHII", 0x80, 0, i % 2**16, 160 * i % 2**32, 10) + packet for i, packet in enumerate(packets)]


def chan_websocket(packets: Sequence[bytes]) -> list[Message]:
    """Binary messages of mu-law."""
    return ["MEDIA_START connection_id:c channel:WebSocket/c/0x1 channel_id:17.1 format:ulaw", *packets]


def freeswitch(packets: Sequence[bytes]) -> list[Message]:
    """Binary messages of linear audio."""
    return ['{"call_id": "7f1c"}', *(packet * 2 for packet in packets)]


def audiohook(packets: Sequence[bytes]) -> list[Message]:
    """Binary messages of mu-law, 20 ms each; Genesys sends 100 to 200 ms."""
    media = [{"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}]
    asked = {"organizationId": "d7934305", "conversationId": "c1", "media": media}
    head = {"version": "2", "id": SESSION, "type": "open", "seq": 1, "serverseq": 0, "position": "PT0S"}
    return [json.dumps(head | {"parameters": asked}), *packets]


WIRES: dict[str, tuple[Callable[[], Wire], Callable[[Sequence[bytes]], list[Message]]]] = {
    "AudioSocket": (AudioSocket, audiosocket),
    "Twilio": (MediaStream, twilio),
    "RTP": (lambda: Rtp(call_id="7f1c"), rtp),
    "chan_websocket": (ChanWebSocket, chan_websocket),
    "FreeSWITCH": (lambda: FreeSwitch(sample_rate_hz=8000, mix="mono"), freeswitch),
    "AudioHook": (lambda: AudioHook(UPGRADE), audiohook),
}


class Played:
    """A socket whose messages lie there already."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages

    async def __aiter__(self) -> AsyncIterator[Message]:
        for message in self._messages:
            yield message

    async def send(self, message: Message, /) -> None:
        """Send nothing."""


class Everything:
    """An application that opens each call, and a sink that counts its audio."""

    def __init__(self, triage: Triage) -> None:
        self._triage = triage
        self.n_bytes = 0

    async def started(self, connection: Connection, event: Started) -> Call:
        """Open the call."""
        return event.open(self._triage)

    async def noticed(self, connection: Connection, event: object) -> None:
        """Nothing beside the audio matters here."""

    async def ended(self, connection: Connection, event: Ended) -> None:
        """Nothing is left to do."""

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        """Count a chunk."""
        self.n_bytes += len(chunk)

    async def finish(self, call: Call) -> None:
        """Score nothing."""


def parsed_s(wire: Wire, messages: list[Message]) -> float:
    """Processor time of the parser alone."""
    began_s = time.process_time()
    for message in messages:
        for _ in wire.receive(message):
            pass
    return time.process_time() - began_s


def driven_s(wire: Wire, messages: list[Message], triage: Triage, n_packets: int) -> float:
    """Processor time of the parser and the connection; every packet has to arrive."""
    everything = Everything(triage)
    connection = Connection(Played(messages), wire, everything, everything)
    began_s = time.process_time()
    asyncio.run(connection.run())
    spent_s = time.process_time() - began_s
    assert everything.n_bytes % (160 * n_packets) == 0
    assert everything.n_bytes
    return spent_s


def run(quick: bool) -> tuple[list[Table], None]:
    """Measure every wire."""
    n_packets, runs = (QUICK_PACKETS, QUICK_RUNS) if quick else (N_PACKETS, RUNS)
    chance = np.random.default_rng(0)
    packets = [chance.bytes(160) for _ in range(n_packets)]
    triage = Triage.load()
    rows = []
    for name, (make, spoken) in WIRES.items():
        messages = spoken(packets)
        parsed = np.median([parsed_s(make(), messages) for _ in range(runs)])
        driven = np.median([driven_s(make(), messages, triage, n_packets) for _ in range(runs)])
        rows.append((name, 1e6 * float(parsed) / n_packets, 1e6 * float(driven) / n_packets))
    return [Table("the way of a packet", ("wire", "parser, us a packet", "with the connection"), rows)], None


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
