"""Every wire over a real connection on loopback: a client that speaks it, and the faults of a network."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from emotion_triage.adapters import audiohook, chan_websocket, freeswitch
from emotion_triage.adapters.audiohook_signature import Upgrade
from emotion_triage.adapters.audiosocket import HANG_UP, AudioSocket, TcpSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.connection import Connection, Direct, Limits, Socket
from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import Ended, Started, Wire, WireEvent
from emotion_triage.adapters.rtp import Rtp, UdpSocket
from emotion_triage.adapters.twilio import MediaStream
from emotion_triage.audio.stream import encode_mulaw
from emotion_triage.call.triage import Call, Event, Triage
from emotion_triage.errors import WireError

websockets = pytest.importorskip("websockets")
from websockets.asyncio.client import ClientConnection, connect  # noqa: E402
from websockets.asyncio.server import ServerConnection, serve  # noqa: E402

CALL = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
UPGRADE = Upgrade(organization_id="d7934305", session_id=SESSION, correlation_id="e160e428")
LIMITS = Limits(gap_s=20.0)


class Owner:
    """An application and what it was told, call by call."""

    def __init__(self, triage: Triage) -> None:
        self.triage = triage
        self.events: list[Event] = []
        self.ends: list[Ended] = []
        self.faults: list[WireError] = []
        self.all_ended = asyncio.Event()
        self.sink = Direct(lambda call, events: self.events.extend(events))

    async def started(self, connection: Connection, event: Started) -> Call | None:
        return event.open(self.triage)

    async def noticed(self, connection: Connection, event: WireEvent) -> None:
        pass

    async def ended(self, connection: Connection, event: Ended) -> None:
        self.ends.append(event)

    async def run(self, socket: Socket, wire: Wire, limits: Limits = LIMITS) -> None:
        try:
            await Connection(socket, wire, self, self.sink, limits=limits).run()
        except WireError as error:
            self.faults.append(error)
        self.all_ended.set()

    async def over(self) -> None:
        await asyncio.wait_for(self.all_ended.wait(), 60)


Client = Callable[[ClientConnection, bytes], Awaitable[None]]


def packets(audio: bytes, size: int) -> list[bytes]:
    return [audio[start : start + size] for start in range(0, len(audio), size)]


def pcm16(samples: np.ndarray) -> bytes:
    return np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


async def over_websocket(
    triage: Triage, wire: Wire, client: Client, audio: bytes, subprotocol: str | None = None
) -> Owner:
    """Serve one connection of a client to its end."""
    owner = Owner(triage)

    async def connected(socket: ServerConnection) -> None:
        await owner.run(socket, wire)

    names: Any = [subprotocol] if subprotocol else None
    async with serve(connected, "127.0.0.1", 0, subprotocols=names) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", subprotocols=names) as socket:
            assert socket.subprotocol == subprotocol
            await client(socket, audio)
        await owner.over()
    return owner


async def over_tcp(triage: Triage, *streams: list[bytes], limits: Limits = LIMITS) -> Owner:
    """Serve some AudioSocket connections at once, each of which writes its pieces and goes."""
    owner = Owner(triage)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await owner.run(TcpSocket(reader, writer), AudioSocket(), limits)
        writer.close()

    async def client(port: int, pieces: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*(client(port, pieces) for pieces in streams), return_exceptions=True)
        await owner.over()
    return owner


def audiosocket_call(audio: bytes) -> bytes:
    frames = b"".join(b"\x10" + len(p).to_bytes(2, "big") + p for p in packets(audio, 320))
    return b"\x01\x00\x10" + CALL.bytes + frames + HANG_UP


def expected(triage: Triage, call_id: str, encoding: str, audio: bytes) -> list[Event]:
    call = triage.call(call_id, encoding=encoding)
    return [*call.push(audio), *call.flush()]


async def speak_twilio(socket: ClientConnection, audio: bytes) -> None:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound", "outbound"], "mediaFormat": form}
    await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
    await socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start}))
    for i, payload in enumerate(packets(audio, 160)):
        for track, sound in (("inbound", payload), ("outbound", bytes(160))):
            body = {"track": track, "chunk": str(i + 1), "timestamp": str(i * 20)}
            body["payload"] = base64.b64encode(sound).decode()
            await socket.send(json.dumps({"event": "media", "streamSid": "MZ1", "media": body}))
    await socket.send(json.dumps({"event": "stop", "streamSid": "MZ1", "stop": {}}))


async def speak_chan_websocket(socket: ClientConnection, audio: bytes) -> None:
    await socket.send("MEDIA_START connection_id:c channel:WebSocket/c/0x1 channel_id:17.1 format:ulaw ptime:20")
    for payload in packets(audio, 160):
        await socket.send(payload)


async def speak_freeswitch(socket: ClientConnection, audio: bytes) -> None:
    agent = np.random.default_rng(0).integers(-8000, 8000, len(audio) // 2, np.int16)
    both = np.stack([agent, np.frombuffer(audio, "<i2")], axis=1).astype("<i2").tobytes()
    await socket.send(json.dumps({"call_id": "7f1c", "caller": "+33123456789"}))
    for payload in packets(both, 640):
        await socket.send(payload)


async def speak_audiohook(socket: ClientConnection, audio: bytes) -> None:
    seq = 0

    async def say(kind: str, answer: str, **parameters: Any) -> dict[str, Any]:
        nonlocal seq
        seq += 1
        position = f"PT{sent / 8000}S"
        message = {"version": "2", "id": SESSION, "type": kind, "seq": seq, "serverseq": seq - 1, "position": position}
        await socket.send(json.dumps(message | {"parameters": parameters}))
        said: dict[str, Any] = json.loads(await socket.recv())
        assert (said["type"], said["seq"], said["clientseq"]) == (answer, seq, seq)
        return said

    sent = 0
    offered = [
        {"type": "audio", "format": "PCMU", "channels": channels, "rate": 8000}
        for channels in (["external", "internal"], ["external"], ["internal"])
    ]
    participant = {"id": "1", "ani": "+33123456789", "aniName": "J. Martin", "dnis": "+33987654321"}
    opened = await say(
        "open", "opened", organizationId="d7934305", conversationId="090eaa2f", participant=participant, media=offered
    )
    assert opened["parameters"]["media"] == [offered[1]]
    for i, payload in enumerate(packets(audio, 1600)):
        await socket.send(payload)
        sent += len(payload)
        if i % 25 == 0:
            await say("ping", "pong")
    await say("close", "closed", reason="end")


@pytest.mark.parametrize(
    ("wire", "client", "call_id", "encoding", "subprotocol"),
    [
        (MediaStream, speak_twilio, "CA1", "mulaw", None),
        (ChanWebSocket, speak_chan_websocket, "17.1", "mulaw", chan_websocket.SUBPROTOCOL),
        (lambda: audiohook.AudioHook(UPGRADE), speak_audiohook, "090eaa2f", "mulaw", None),
        (
            lambda: FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=1),
            speak_freeswitch,
            "7f1c",
            "pcm16",
            freeswitch.SUBPROTOCOL,
        ),
    ],
    ids=["twilio", "chan_websocket", "audiohook", "freeswitch"],
)
def test_a_websocket_call_is_push(
    triage: Triage,
    temper: np.ndarray,
    wire: Callable[[], Wire],
    client: Client,
    call_id: str,
    encoding: str,
    subprotocol: str | None,
) -> None:
    """A whole call through a real WebSocket makes the events of `Call.push` on the caller's bytes alone."""
    audio = encode_mulaw(temper) if encoding == "mulaw" else pcm16(temper)
    owner = asyncio.run(over_websocket(triage, wire(), client, audio, subprotocol))
    assert owner.faults == []
    assert owner.ends == [Ended(reason="hangup")]
    assert owner.events == expected(triage, call_id, encoding, audio)
    assert any(type(event).__name__ == "Escalation" for event in owner.events)


def test_an_audiosocket_call_is_push(triage: Triage, temper: np.ndarray) -> None:
    """A whole call through a real TCP connection makes the events of `Call.push`, to the end of the stream."""
    audio = pcm16(temper)
    owner = asyncio.run(over_tcp(triage, packets(audiosocket_call(audio), 323)))
    assert (owner.faults, owner.ends) == ([], [Ended(reason="hangup")])
    assert owner.events == expected(triage, str(CALL), "pcm16", audio)


def test_a_client_that_writes_single_bytes(triage: Triage, temper: np.ndarray) -> None:
    """Bytes that come one by one make the same call."""
    audio = pcm16(temper[: 4 * 8000])
    owner = asyncio.run(over_tcp(triage, packets(audiosocket_call(audio), 1)))
    assert (owner.faults, owner.ends) == ([], [Ended(reason="hangup")])
    assert owner.events == expected(triage, str(CALL), "pcm16", audio)


def test_faults_stay_with_their_own_connection(triage: Triage, temper: np.ndarray) -> None:
    """Beside a cut frame, a wrong length, random bytes and ten megabytes of them, a call is what it would be alone."""
    audio = pcm16(temper)
    noise = np.random.default_rng(1).bytes(10_000_000)
    stream = audiosocket_call(audio)
    faulty = [[stream[:1000]], [stream[:19], b"\x10\x01\x41"], [noise[:1000]], [noise], [b"\x01\x00\x10" + noise[:5]]]
    owner = asyncio.run(over_tcp(triage, packets(stream, 323), *faulty))
    alone = expected(triage, str(CALL), "pcm16", audio)
    assert [event for event in owner.events if event in alone] == alone
    assert sorted(end.reason for end in owner.ends) == ["cut", "hangup"]
    assert len(owner.faults) == 1


def test_a_client_that_dribbles_is_given_up(triage: Triage) -> None:
    """Bytes that never make a frame are no sign of life."""

    async def dribble() -> Owner:
        owner = Owner(triage)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await owner.run(TcpSocket(reader, writer), AudioSocket(), Limits(idle_s=0.2))
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            for byte in audiosocket_call(b""):
                if owner.all_ended.is_set():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
            await owner.over()
            writer.close()
        return owner

    assert "no whole message for 0.2 s" in str(asyncio.run(dribble()).faults[0])


def test_a_message_of_ten_megabytes(triage: Triage) -> None:
    """A message beyond every limit ends its connection, by the library that reads it or by the wire."""

    async def speak(socket: ClientConnection, audio: bytes) -> None:
        await speak_chan_websocket(socket, audio)
        await socket.send(bytes(10_000_000))
        await socket.wait_closed()

    owner = asyncio.run(over_websocket(triage, ChanWebSocket(), speak, bytes(320), chan_websocket.SUBPROTOCOL))
    assert len(owner.faults) + sum(end.reason == "cut" for end in owner.ends) == 1


def test_a_connection_that_is_aborted(triage: Triage) -> None:
    """A WebSocket that dies without a close ends the call, and is no fault."""

    async def speak(socket: ClientConnection, audio: bytes) -> None:
        await speak_chan_websocket(socket, audio)
        socket.transport.abort()

    owner = asyncio.run(over_websocket(triage, ChanWebSocket(), speak, bytes(320), chan_websocket.SUBPROTOCOL))
    assert (owner.faults, owner.ends) == ([], [Ended(reason="cut")])


def test_an_rtp_call_is_push(triage: Triage, temper: np.ndarray) -> None:
    """Packets through a real UDP port, some swapped on the way, make the events of `Call.push`."""
    audio = encode_mulaw(temper)
    numbered = [
        b"\x80\x00" + (i % 65536).to_bytes(2, "big") + (i * 160).to_bytes(4, "big") + bytes(4) + payload
        for i, payload in enumerate(packets(audio, 160))
    ]
    for i in range(10, len(numbered) - 1, 7):
        numbered[i], numbered[i + 1] = numbered[i + 1], numbered[i]

    async def call() -> Owner:
        owner = Owner(triage)
        loop = asyncio.get_running_loop()
        transport, socket = await loop.create_datagram_endpoint(UdpSocket, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        running = asyncio.create_task(owner.run(socket, Rtp(call_id="7f1c")))
        sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port))
        for packet in numbered:
            sender.sendto(packet)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        socket.stop()
        await running
        assert socket.dropped == 0
        sender.close()
        transport.close()
        return owner

    owner = asyncio.run(call())
    assert (owner.faults, owner.ends) == ([], [Ended(reason="hangup")])
    assert owner.events == expected(triage, "7f1c", "mulaw", audio)
