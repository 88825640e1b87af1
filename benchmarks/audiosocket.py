"""How many calls one process hears at once: AudioSocket over TCP, at the pace of real calls.

A server process runs the AudioSocket adapter, gathers what came in each tick and scores it with one `push_many`. A
generator process speaks as Asterisk does: a UUID, then 320 bytes every 20 ms for each call. On Linux each has a core to
itself, as far as the machine is idle. All calls are one synthetic caller, calm and angry by turns.

    delay     from when the last sample behind an event was due, to the event; the clock of both processes is the same
    lateness  of the generator's own packets: where it is large, the generator was the limit, not the server
    cores     processor seconds of the server for each second of the calls; above 1 it cannot keep up
    scoring   the part of it that push_many takes
    dropped   bytes sent and never given to a call
    memory    of the server, resident, at the first third and at the end

    python -m benchmarks.audiosocket [--calls 300] [--seconds 300] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import time
import uuid
from array import array
from multiprocessing.connection import Connection as Pipe
from typing import Literal

import numpy as np
import psutil

from emotion_triage.adapters.audiosocket import HANG_UP, AudioSocket, TcpSocket
from emotion_triage.adapters.connection import Connection
from emotion_triage.adapters.protocol import Ended, Started
from emotion_triage.call.triage import Call, Event, Triage
from emotion_triage.routing.escalation import Escalation
from emotion_triage.synthesis.speech import synthetic_speech

CALLS, SECONDS = 300, 300.0
QUICK_CALLS, QUICK_SECONDS = 10, 8.0
FRAME_BYTES, FRAME_S = 320, 0.02
TICK_S = 0.1
TARGET_S = 0.5
STAGGER_S = 1.0
LEAD_S = 3.0


class Gathered:
    """What came in one tick, of all calls, to one `push_many`."""

    def __init__(self, triage: Triage, began_s: dict[str, float]) -> None:
        self.triage = triage
        self.began_s = began_s
        self.waiting: dict[Call, bytearray] = {}
        self.delays_s = array("d")
        self.n_escalations = 0
        self.n_bytes = 0
        self.busy_s = 0.0

    def deliver(self, call: Call, chunk: bytes, at: int) -> None:
        """Keep a chunk for the next tick; TCP loses nothing, so that `at` follows from what came before."""
        self.waiting.setdefault(call, bytearray()).extend(chunk)

    async def finish(self, call: Call) -> None:
        """Push what is left of a call."""
        self.push()
        call.flush()

    def push(self) -> None:
        began_s = time.process_time()
        waiting, self.waiting = self.waiting, {}
        chunks = [(call, bytes(chunk)) for call, chunk in waiting.items()]
        for (call, chunk), events in zip(chunks, self.triage.push_many(chunks), strict=True):
            self.n_bytes += len(chunk)
            self.note(call, events)
        self.busy_s += time.process_time() - began_s

    def note(self, call: Call, events: list[Event]) -> None:
        now_s = time.monotonic()
        self.delays_s.extend(now_s - self.began_s[call.call_id] - event.time_s for event in events)
        self.n_escalations += sum(isinstance(event, Escalation) for event in events)

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.push()


class Everyone:
    """An application that opens every call."""

    def __init__(self, triage: Triage) -> None:
        self.triage = triage

    async def started(self, connection: Connection, event: Started) -> Call:
        return event.open(self.triage)

    async def noticed(self, connection: Connection, event: object) -> None:
        """Nothing beside the audio matters here."""

    async def ended(self, connection: Connection, event: Ended) -> None:
        """The sink has what matters."""


def pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def serve(pipe: Pipe) -> None:
    """Run the server until told to stop; report what it heard."""
    pin(0)
    asyncio.run(served(pipe))


async def served(pipe: Pipe) -> None:
    triage = Triage.load()
    everyone = Everyone(triage)
    began_s: dict[str, float] = {}
    sink = Gathered(triage, began_s)
    late = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal late
        connection = Connection(TcpSocket(reader, writer), AudioSocket(), everyone, sink)
        try:
            await connection.run()
        finally:
            late += connection.dropped
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    ticking = asyncio.create_task(sink.tick())
    pipe.send(server.sockets[0].getsockname()[1])
    plan, seconds = await asyncio.to_thread(pipe.recv)
    began_s |= plan
    began_cpu_s = time.process_time()
    await asyncio.to_thread(pipe.recv)
    ticking.cancel()
    delays_ms = 1e3 * np.asarray(sink.delays_s)
    pipe.send(
        {
            "events": len(delays_ms),
            "escalations": sink.n_escalations,
            "delay_p50_ms": float(np.percentile(delays_ms, 50)),
            "delay_p99_ms": float(np.percentile(delays_ms, 99)),
            "delay_max_ms": float(delays_ms.max()),
            "heard_bytes": sink.n_bytes,
            "late_packets": late,
            "cores": (time.process_time() - began_cpu_s) / seconds,
            "scoring": sink.busy_s / seconds,
        }
    )


def caller_bytes() -> bytes:
    """A minute of one caller, 16 bits at 8 kHz."""
    moods: tuple[Literal["calm", "angry"], ...] = ("calm", "angry", "calm", "angry")
    speech = [synthetic_speech(15.0, mood=mood, seed=seed) for seed, mood in enumerate(moods)]
    return (np.clip(np.concatenate(speech), -1, 1) * 32767).astype("<i2").tobytes()


async def speak(port: int, name: uuid.UUID, audio: bytes, start: int, began_s: float, seconds: float) -> list[float]:
    """Be one call; return how late each packet went out."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x01\x00\x10" + name.bytes)
    lateness_s = []
    for frame in range(round(seconds / FRAME_S)):
        due_s = began_s + (frame + 1) * FRAME_S
        await asyncio.sleep(due_s - time.monotonic())
        at = (start + frame * FRAME_BYTES) % (len(audio) - FRAME_BYTES)
        writer.write(b"\x10\x01\x40" + audio[at : at + FRAME_BYTES])
        lateness_s.append(time.monotonic() - due_s)
    writer.write(HANG_UP)
    await writer.drain()
    await reader.read()
    writer.close()
    return lateness_s


async def generate(port: int, began_s: dict[str, float], seconds: float, server_pid: int) -> dict[str, float]:
    """Speak all calls at once; return lateness, and the server's memory once a second."""
    audio, chance = caller_bytes(), np.random.default_rng(1)
    starts = chance.integers(0, len(audio) // FRAME_BYTES, len(began_s)) * FRAME_BYTES
    server, memory_mib = psutil.Process(server_pid), []

    async def watch() -> None:
        while True:
            memory_mib.append(server.memory_info().rss / 2**20)
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch())
    speaking = [
        speak(port, uuid.UUID(name), audio, int(start), began, seconds)
        for (name, began), start in zip(began_s.items(), starts, strict=True)
    ]
    lateness_ms = 1e3 * np.concatenate(await asyncio.gather(*speaking))
    watching.cancel()
    return {
        "lateness_p99_ms": float(np.percentile(lateness_ms, 99)),
        "memory_third_mib": memory_mib[len(memory_mib) // 3],
        "memory_end_mib": memory_mib[-1],
    }


def measure(calls: int, seconds: float) -> dict[str, float]:
    """Run both processes once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    pin(1)
    port = ours.recv()
    assert server.pid is not None
    now_s = time.monotonic() + LEAD_S
    began_s = {str(uuid.UUID(int=i + 1)): now_s + i * STAGGER_S / calls for i in range(calls)}
    ours.send((began_s, seconds))
    sent = asyncio.run(generate(port, began_s, seconds, server.pid))
    ours.send("stop")
    got = ours.recv()
    server.join()
    dropped = calls * round(seconds / FRAME_S) * FRAME_BYTES - got.pop("heard_bytes")
    return {"calls": calls, "seconds": seconds, **got, "dropped_bytes": dropped, **sent}


def asked(description: str, calls: int, seconds: float) -> tuple[tuple[int, float], bool]:
    """How many calls of what length the command line asks for, and whether as JSON."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--calls", type=int, default=calls, help="calls at once")
    parser.add_argument("--seconds", type=float, default=seconds, help="length of each call")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CALLS} calls of {QUICK_SECONDS:g} s")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    chosen = parser.parse_args()
    return (QUICK_CALLS, QUICK_SECONDS) if chosen.quick else (chosen.calls, chosen.seconds), chosen.json


def main() -> None:
    (calls, seconds), as_json = asked(__doc__, CALLS, SECONDS)
    figures = measure(calls, seconds)
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:18} {value:12,.2f}" if isinstance(value, float) else f"{name:18} {value:12,}")
    holds = figures["dropped_bytes"] == 0 and figures["delay_p99_ms"] <= 1e3 * TARGET_S
    print(f"target: nothing dropped, 99 in 100 events within {TARGET_S * 1e3:.0f} ms: {'holds' if holds else 'missed'}")


if __name__ == "__main__":
    main()
