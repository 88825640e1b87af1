"""What is counted, for Prometheus; with several processes, the counts of all of them."""

from __future__ import annotations

import os
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client learns that processes count together."""
_Mode = Literal["livesum", "livemax"]
_TICKS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_DELAYS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)


class Metrics:
    """One process's counts; names begin with ``emotion_triage_``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, told: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"emotion_triage_{name}", told, labels, registry=self.registry)

        def gauge(name: str, told: str, labels: tuple[str, ...] = (), mode: _Mode = "livesum") -> Gauge:
            return Gauge(f"emotion_triage_{name}", told, labels, registry=self.registry, multiprocess_mode=mode)

        def histogram(name: str, told: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"emotion_triage_{name}", told, registry=self.registry, buckets=buckets)

        self.calls = gauge("calls", "Calls now.", ("wire",))
        self.began = counter("calls_began", "Calls that began.", ("wire",))
        self.ended = counter("calls_ended", "Calls that ended, by how.", ("wire", "reason"))
        self.refused = counter("connections_refused", "Connections of wires refused, by why.", ("wire", "why"))
        self.faults = counter("wire_faults", "Connections that broke their protocol or fell silent.", ("wire",))
        self.passed_over = counter("messages_dropped", "Messages of wires that were passed over.", ("wire", "why"))
        self.changes = counter("stream_changes", "Changes of a stream that is heard on.", ("wire", "what"))
        self.audio_s = counter("audio_seconds", "Audio that came in.")
        self.lost_s = counter("lost_seconds", "Stream time without audio, whatever the cause.")
        self.dropped_s = counter("dropped_seconds", "Audio dropped because scoring fell behind.")
        self.passed_over_s = counter("passed_over_seconds", "Audio of calm callers passed over under too much load.")
        self.load_stage = gauge(
            "load_stage", "What is done less of for load: 0 nothing, 5 no new calls.", mode="livemax"
        )
        self.tick_s = histogram("tick_seconds", "Time that one pass over all calls took.", _TICKS_S)
        self.delay_s = histogram("event_delay_seconds", "From an event's audio to the event.", _DELAYS_S)
        self.levels = counter("levels", "Changes of level, by the level that began.", ("level",))
        self.routes = counter("routes", "Routes told to a destination, by outcome.", ("destination", "outcome"))
        self.monitors = gauge("monitors", "Supervisors on calls now, by what they do.", ("mode",))
        self.monitor_requests = counter(
            "monitor_requests", "Supervisors put on calls, by engine and outcome.", ("destination", "outcome")
        )
        self.decisions_waiting = gauge("decisions_waiting", "Decisions that wait to be logged.")
        self.decisions_lost = counter("decisions_lost", "Decisions lost because the ledger was away too long.")
        self.ledger_faults = counter("ledger_faults", "Times that the ledger could not be asked or written.")
        self.requests = counter("requests", "Requests of the API and the page, by status.", ("status",))

    def text(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        if os.environ.get(SHARED):
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
            return generate_latest(shared)
        return generate_latest(self.registry)
