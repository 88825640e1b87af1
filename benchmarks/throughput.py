"""How many calls one core serves: packets of 20 ms of mu-law to events, many calls a tick and one call at a time.

Real speech with pauses where EMOTION_TRIAGE_CORPORA names corpora, the synthetic caller elsewhere. Steps of the calls
are spread evenly over the ticks, as calls begin at any time. Time is processor time; ``calls`` is how many of them fit
into a core in real time; ``/ FFT`` is the cost of a packet over that of one 512-point real FFT in the same run.

    python -m benchmarks.throughput [--quick] [--json FILE]
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks._callers import PACKET, PACKET_S, Callers, callers
from benchmarks._report import Table, calibrate_us, main, quantiles_ms
from emotion_triage.call.sharding import Shards
from emotion_triage.call.triage import Call, Triage
from emotion_triage.prosody.frames import FRAME_LENGTH
from emotion_triage.prosody.lld import lld
from emotion_triage.prosody.vad import STEP_FRAMES

N_CALLS = (1, 10, 100, 500, 1000, 2000, 5000)
ROWS = (1, 4, 16, 64, 256, 1024, 4096)
PACKETS, QUICK_PACKETS = 250_000, 20_000
"""Of all calls together, for each figure."""
TICKS = (50, 1000)
"""At least one step of every call, at most 20 s."""
SPREAD_CALLS = 500


def run(quick: bool) -> tuple[list[Table], Callers]:
    """Return all tables."""
    triage = Triage.load()
    audio = callers(64 if quick else 500, 20.0)
    return [
        many(triage, audio, N_CALLS[:4] if quick else N_CALLS, QUICK_PACKETS if quick else PACKETS),
        alone(triage, audio, 4 if quick else 50),
        rows(audio, ROWS[:5] if quick else ROWS),
        spread(triage, audio, 100 if quick else 250),
    ], audio


def opened(triage: Triage, audio: Callers, n_calls: int) -> list[Call]:
    """Calls whose steps are spread over the ticks."""
    calls = [triage.call(f"call-{i}") for i in range(n_calls)]
    for i, call in enumerate(calls):
        call.push(audio.codes[i % len(audio.codes), : (i % STEP_FRAMES) * PACKET].tobytes())
    return calls


def ticks(triage: Triage, audio: Callers, n_calls: int, n_ticks: int) -> tuple[list[float], list[float]]:
    """Processor and wall time of each tick, in seconds."""
    calls = opened(triage, audio, n_calls)
    packets = audio.packets(n_ticks)
    each = [packets[i % len(packets)] for i in range(n_calls)]
    spent, passed = [], []
    for tick in range(n_ticks):
        chunks = [(call, codes[tick]) for call, codes in zip(calls, each, strict=True)]
        began, began_wall = time.process_time(), time.perf_counter()
        triage.push_many(chunks)
        spent.append(time.process_time() - began)
        passed.append(time.perf_counter() - began_wall)
    return spent, passed


def many(triage: Triage, audio: Callers, n_calls: tuple[int, ...], n_packets: int) -> Table:
    """Cost against the number of calls."""
    found = []
    for n in n_calls:
        n_ticks = int(np.clip(n_packets // n, *TICKS))
        fft_us = calibrate_us()
        spent, passed = ticks(triage, audio, n, n_ticks)
        packet_us = sum(spent) / n / n_ticks * 1e6
        fft_us = (fft_us + calibrate_us()) / 2
        found.append(
            (n, packet_us, packet_us / fft_us, PACKET_S * 1e6 / packet_us, *quantiles_ms(spent), *quantiles_ms(passed))
        )
    columns = ("calls", "us a packet", "/ FFT", "calls a core", "tick p50 ms", "tick p99 ms", "p50 wall", "p99 wall")
    return Table("push_many", columns, found, "a packet of each call a tick; p50 and p99 of processor and of wall time")


def alone(triage: Triage, audio: Callers, n_calls: int) -> Table:
    """One call after the other, packet by packet."""
    packets = audio.packets(500)
    spent = []
    for i in range(n_calls):
        call = triage.call("call")
        began = time.process_time()
        for packet in packets[i % len(packets)]:
            call.push(packet)
        spent.append((time.process_time() - began) / len(packets[0]))
    packet_us = float(np.median(spent)) * 1e6
    row = (packet_us, packet_us / calibrate_us(), PACKET_S * 1e6 / packet_us)
    return Table("push, one call at a time", ("us a packet", "/ FFT", "calls a core"), [row])


def rows(audio: Callers, sizes: tuple[int, ...]) -> Table:
    """Cost of a row against how many are described in one pass."""
    frames = audio.samples().reshape(-1)[: 64 * FRAME_LENGTH * 200].reshape(-1, FRAME_LENGTH)
    frames = np.random.default_rng(0).permutation(frames)
    found = []
    for n in sizes:
        spent = []
        for start in range(0, min(len(frames), 200 * n) - n + 1, n):
            began = time.process_time()
            lld(frames[start : start + n])
            spent.append(time.process_time() - began)
        row_us = float(np.median(spent)) / n * 1e6
        found.append((n, row_us, row_us / calibrate_us()))
    return Table("rows", ("rows a pass", "us a row", "/ FFT"), found)


def spread(triage: Triage, audio: Callers, n_ticks: int) -> Table:
    """The same calls on one core, in two threads and in two processes: wall time."""
    packets = audio.packets(n_ticks)
    each = [packets[i % len(packets)] for i in range(SPREAD_CALLS)]

    def one(calls: list[Call], codes: list[list[bytes]]) -> None:
        for tick in range(n_ticks):
            triage.push_many([(call, of_call[tick]) for call, of_call in zip(calls, codes, strict=True)])

    calls = opened(triage, audio, SPREAD_CALLS)
    began = time.perf_counter()
    one(calls, each)
    passed = {"one thread": time.perf_counter() - began}
    calls = opened(triage, audio, SPREAD_CALLS)
    with ThreadPoolExecutor(2) as pool:
        began = time.perf_counter()
        list(pool.map(one, (calls[::2], calls[1::2]), (each[::2], each[1::2])))
        passed["two threads"] = time.perf_counter() - began
    with Shards(2) as shards:
        for call in opened(triage, audio, SPREAD_CALLS):
            shards.add(call)
        began = time.perf_counter()
        for tick in range(n_ticks):
            shards.push_many([(f"call-{i}", codes[tick]) for i, codes in enumerate(each)])
        passed["two processes (Shards)"] = time.perf_counter() - began
    found = [
        (name, wall_s / n_ticks * 1e3, passed["one thread"] / wall_s, SPREAD_CALLS * n_ticks * PACKET_S / wall_s)
        for name, wall_s in passed.items()
    ]
    columns = ("how", "ms a tick", "times as fast", "calls in real time")
    return Table(f"{SPREAD_CALLS} calls on more than one core", columns, found, "wall time, whatever else is running")


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
