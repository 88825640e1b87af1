"""Connections of routing engines: AudioSocket on a port of its own, the others over WebSocket at ``/wires``."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from emotion_triage.adapters import chan_websocket, freeswitch, twilio_signature
from emotion_triage.adapters.audiohook import AudioHook
from emotion_triage.adapters.audiohook_signature import Nonces, Once, verify
from emotion_triage.adapters.audiosocket import HANG_UP, AudioSocket, TcpSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.connection import Connection, Socket
from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import Hidden, Wire
from emotion_triage.adapters.twilio import MediaStream
from emotion_triage.errors import ConfigError, WireError
from emotion_triage.server.crowd import SPARE
from emotion_triage.server.engines import Secret, Wires
from emotion_triage.server.listeners import Listener
from emotion_triage.server.live_calls import PARTING_S, CallHandler, HangUp, LiveCalls

__all__ = ["AudioSocketServer", "WebSocketWires"]

log = logging.getLogger(__name__)

READ_BYTES = 65536
SUBPROTOCOLS = {"chan_websocket": chan_websocket.SUBPROTOCOL, "freeswitch": freeswitch.SUBPROTOCOL}


async def attend(
    live_calls: LiveCalls,
    name: str,
    stream: Socket,
    wire: Wire,
    hang_up: HangUp,
    *,
    begin_s: float | None,
    listen_s: float | None = None,
) -> None:
    """Serve one connection to its end; a fault of it is one line in the log and touches no other."""
    connection = Connection(
        stream, wire, CallHandler(live_calls, name), live_calls.batcher, limits=live_calls.session_limits
    )
    live_calls.enter(name, connection, hang_up, begin_s)
    enough = None
    if listen_s is not None:
        loop = asyncio.get_running_loop()
        enough = loop.call_later(listen_s, lambda: loop.create_task(connection.close()))
    try:
        await connection.run()
    except WireError as error:
        live_calls.metrics.faults.labels(name).inc()
        call = connection.call.call_id if connection.call else None
        log.warning("connection given up: %s", error, extra={"wire": name, "call": call})
    finally:
        if enough is not None:
            enough.cancel()
        live_calls.leave(connection)
        for why, n_messages in connection.dropped_by.items():
            live_calls.metrics.passed_over.labels(name, why).inc(n_messages)


class AudioSocketServer:
    """What Asterisk's AudioSocket connects to.

    Parameters
    ----------
    live_calls : LiveCalls
        Takes the calls.
    listen_s : float or None
        As in the configuration.
    """

    def __init__(self, live_calls: LiveCalls, listen_s: float | None) -> None:
        self._live_calls = live_calls
        self._listen_s = listen_s
        self._open = 0

    def listener(self, bound: socket.socket, yields: Callable[[], bool]) -> Listener:
        """Begin to accept connections; where it `yields`, other processes have the first go at them."""

        def protocol() -> asyncio.StreamReaderProtocol:
            loop = asyncio.get_running_loop()
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), self.connected, loop=loop)

        return Listener(bound, protocol, self._admit, farewell=HANG_UP, yields=yields)

    def _admit(self) -> bool:
        return self._open < self._live_calls.config.limits.max_calls + SPARE

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""

        async def hang_up() -> None:
            # what was read already is heard, then the stream is at its end
            transport: Any = writer.transport  # it reads too
            transport.pause_reading()
            reader.feed_eof()

        self._open += 1
        try:
            if self._live_calls.refusal("audiosocket") is None:
                stream, begin_s = TcpSocket(reader, writer), self._live_calls.config.limits.begin_s
                await attend(
                    self._live_calls,
                    "audiosocket",
                    stream,
                    AudioSocket(),
                    hang_up,
                    begin_s=begin_s,
                    listen_s=self._listen_s,
                )
            else:
                writer.write(HANG_UP)
            # a stream whose end we made has nothing more to be read: its place is free at once
            await _part(reader, writer)
        finally:
            self._open -= 1
            writer.close()


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the peer read our last frame: closing before its own was read would take it away again."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PARTING_S):
            if writer.can_write_eof():
                writer.write_eof()
            while await reader.read(READ_BYTES):
                pass


class _Peer:
    """A WebSocket of Starlette as a `Socket`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._over = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while not self._over.is_set():
            message = await self._websocket.receive()
            if message["type"] != "websocket.receive":
                return
            text, data = message.get("text"), message.get("bytes")
            yield text if text is not None else data or b""

    async def hang_up(self) -> None:
        """Close the connection; reading it then ends."""
        self._over.set()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it went by itself
            await self._websocket.close(1001)

    async def send(self, message: bytes | str, /) -> None:
        if isinstance(message, str):
            await self._websocket.send_text(message)
        else:
            await self._websocket.send_bytes(message)


class WebSocketWires:
    """What the engines that speak WebSocket connect to.

    Parameters
    ----------
    live_calls : LiveCalls
        Takes the calls; its configuration says which wires there are.
    nonces : Once, optional
        Where signatures that were taken are kept; left out, in memory, as one process may.

    Raises
    ------
    ConfigError
        A secret is not there, or Genesys' is not base64.
    """

    def __init__(self, live_calls: LiveCalls, nonces: Once | None = None) -> None:
        self._live_calls = live_calls
        wires, limit = live_calls.config.wires, live_calls.config.limits.max_message_bytes
        self._tokens: dict[str, str] = {}
        self._protocols: dict[str, Callable[[], Wire]] = {}
        if wires.chan_websocket:
            self._tokens["chan_websocket"] = wires.chan_websocket.token.read()
            self._protocols["chan_websocket"] = lambda: ChanWebSocket(max_message_bytes=limit)
        self._signed: tuple[str, Hidden[str]] | None = None
        if twilio := wires.twilio:
            if twilio.token:
                self._tokens["twilio"] = twilio.token.read()
            if twilio.auth_token and twilio.public_url:
                self._signed = twilio.public_url.rstrip("/"), Hidden(twilio.auth_token.read())
            self._protocols["twilio"] = lambda: MediaStream(max_message_bytes=limit)
        if switch := wires.freeswitch:
            self._tokens["freeswitch"] = switch.token.read()

            def forked() -> FreeSwitch:
                return FreeSwitch(
                    sample_rate_hz=switch.sample_rate_hz,
                    mix=switch.mix,
                    caller_channel=switch.caller_channel,
                    max_message_bytes=limit,
                )

            try:
                forked()
            except WireError as error:
                raise ConfigError(f"wires.freeswitch: {error}") from None
            self._protocols["freeswitch"] = forked
        self._genesys_keys = _genesys_keys(wires)
        self._nonces = nonces or Nonces()

    async def connected(self, websocket: WebSocket) -> None:
        """Serve one connection, once it has shown who it is."""
        name = websocket.path_params["name"]
        known = name in self._protocols or (name == "genesys" and self._genesys_keys)
        if not known:
            await _refuse(websocket, 404, "there is no such wire")
            return
        try:
            if name == "twilio":
                self._check_twilio(websocket)
            wire = self._genesys(websocket) if name == "genesys" else self._protocols[name]()
        except WireError as error:
            self._live_calls.metrics.refused.labels(name, "signature").inc()
            log.warning("connection refused: %s", error, extra={"wire": name})
            await _refuse(websocket, 401, "the signature is not valid")
            return
        if name in self._tokens and not _shows(websocket, self._tokens[name]):
            self._live_calls.metrics.refused.labels(name, "token").inc()
            log.warning("connection refused: wrong token", extra={"wire": name})
            await _refuse(websocket, 401, "the token is not valid")
            return
        if why := self._live_calls.refusal(name):
            await _refuse(websocket, 503, why)
            return
        asked = SUBPROTOCOLS.get(name)
        await websocket.accept(subprotocol=asked if asked in websocket.scope.get("subprotocols", ()) else None)
        peer = _Peer(websocket)
        try:
            await attend(
                self._live_calls, name, peer, wire, peer.hang_up, begin_s=self._live_calls.config.limits.begin_s
            )
        finally:
            # the peer may be gone already, in the word of any library
            try:
                await websocket.close()
            except Exception:
                log.debug("connection was closed by its peer", extra={"wire": name})

    def _check_twilio(self, websocket: WebSocket) -> None:
        if self._signed is not None:
            public_url, auth_token = self._signed
            signature = websocket.headers.get(twilio_signature.HEADER, "")
            twilio_signature.verify(signature, public_url + _target(websocket), auth_token=auth_token)

    def _genesys(self, websocket: WebSocket) -> AudioHook:
        upgrade = verify(
            dict(websocket.headers),
            _target(websocket),
            keys=self._genesys_keys,
            nonces=self._nonces,
            now_s=time.time(),
        )
        return AudioHook(upgrade, max_message_bytes=self._live_calls.config.limits.max_message_bytes)


def _target(websocket: WebSocket) -> str:
    """Return path and query, as in the request line."""
    query = websocket.scope.get("query_string", b"").decode("latin-1")
    path: str = websocket.scope.get("raw_path", websocket.url.path.encode()).decode("latin-1")
    return f"{path}?{query}" if query else path


def _genesys_keys(wires: Wires) -> dict[str, Hidden[bytes]]:
    if wires.genesys is None:
        return {}
    return {wires.genesys.api_key: Hidden(_decoded(wires.genesys.client_secret))}


def _decoded(secret: Secret) -> bytes:
    try:
        return base64.b64decode(secret.read(), validate=True)
    except binascii.Error:
        raise ConfigError(
            "wires.genesys.client_secret: got what is not base64, expected it as Genesys has it"
        ) from None


def _shows(websocket: WebSocket, token: str) -> bool:
    """Return whether a request carries a token: as bearer, as basic password, or at the end of its path."""
    scheme, _, value = websocket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except binascii.Error:
            value = ""
    elif scheme.lower() != "bearer":
        value = websocket.path_params.get("token", "")
    return hmac.compare_digest(value.encode(), token.encode())


async def _refuse(websocket: WebSocket, status: int, why: str) -> None:
    await websocket.send_denial_response(PlainTextResponse(why, status_code=status))
