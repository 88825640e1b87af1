"""How many calls the whole server takes at once: ``emotion-triage serve`` with its ledger, asked as Prometheus asks it.

The server is the real one, in a process of its own, with a ledger in SQLite and the page's token; a generator process
speaks as Asterisk does, at the pace of real calls. All figures of the server come from its own ``/metrics``.

    delay     from when an event's audio came in to the event, from the server's histogram (the bucket's upper end)
    cores     processor seconds of the server for each second of the calls; above 1 it cannot keep up
    per call  processor milliseconds of the server for each second of one call
    dropped   audio that came in and was dropped because scoring fell behind, or never came in
    lateness  of the generator's own packets: where it is large, the generator was the limit, not the server
    memory    of the server, resident, at the first third and at the end

    python -m benchmarks.serve [--calls 100] [--seconds 60] [--quick] [--json]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import tempfile
import time
import uuid
from multiprocessing.connection import Connection

import httpx
import psutil

from benchmarks.audiosocket import LEAD_S, STAGGER_S, asked, generate, pin
from emotion_triage.server.config import Config
from emotion_triage.server.run import bound, serve

CALLS, SECONDS = 100, 60.0
TOKEN = "benchmark-token-0123456789"
CONFIG = """
[http]
port = 0
[limits]
max_calls = 5000
drain_s = 1
[ledger]
url = "sqlite:///{folder}/ledger.db"
key = {{ env = "BENCHMARK_KEY" }}
create = true
[[access]]
name = "benchmark"
kind = "machine"
token = {{ env = "BENCHMARK_TOKEN" }}
[wires.audiosocket]
port = 0
"""


def run_server(folder: str, pipe: Connection) -> None:
    pin(0)
    os.environ |= {"BENCHMARK_KEY": "k" * 32, "BENCHMARK_TOKEN": TOKEN}
    config = Config.parse(CONFIG.format(folder=folder))
    asyncio.run(serve(config, bound(config), started=lambda ports: pipe.send(tuple(ports))))


def value(text: str, name: str) -> float:
    found = re.search(rf"^emotion_triage_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def percentile_ms(text: str, share: float) -> float:
    """The upper end of the bucket of the delays' histogram below which `share` of them lie."""
    buckets = re.findall(r'^emotion_triage_event_delay_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    count = float(buckets[-1][1])
    return next(1e3 * float(end) for end, below in buckets if float(below) >= share * count)


def measure(calls: int, seconds: float) -> dict[str, float]:
    """Run server and generator once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        server = context.Process(target=run_server, args=(folder, theirs))
        server.start()
        pin(1)
        http_port, port = ours.recv()
        assert server.pid is not None
        process = psutil.Process(server.pid)
        now_s = time.monotonic() + LEAD_S
        began_s = {str(uuid.UUID(int=i + 1)): now_s + i * STAGGER_S / calls for i in range(calls)}
        before = process.cpu_times()
        sent = asyncio.run(generate(port, began_s, seconds, server.pid))
        after = process.cpu_times()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        text = httpx.get(f"http://127.0.0.1:{http_port}/metrics", headers=headers, timeout=30).text
        server.terminate()
        server.join()
    cpu_s = after.user + after.system - before.user - before.system
    heard_s = value(text, "audio_seconds_total")
    return {
        "calls": calls,
        "seconds": seconds,
        "events": value(text, "event_delay_seconds_count"),
        "delay_p50_ms": percentile_ms(text, 0.50),
        "delay_p99_ms": percentile_ms(text, 0.99),
        "dropped_s": value(text, "dropped_seconds_total") + max(0.0, calls * seconds - heard_s),
        "cores": cpu_s / seconds,
        "per_call_ms": 1e3 * cpu_s / (calls * seconds),
        "exit_code": float(server.exitcode or 0),
        **sent,
    }


def main() -> None:
    (calls, seconds), as_json = asked(__doc__, CALLS, SECONDS)
    figures = measure(calls, seconds)
    if as_json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:18} {figure:12,.2f}")


if __name__ == "__main__":
    main()
