"""What a hundred workers would do, computed from what one did with few recordings and with many."""

from __future__ import annotations

from benchmarks.archive.clusters import Figures
from benchmarks.detection.table import Table

__all__ = ["WORKERS_ON_PAPER", "projection"]

WORKERS_ON_PAPER = 100
AUDIO_BYTES_PER_S = 8000
"""Of one channel of G.711."""
GIGABIT_S = 1e9
LEAST = 1e-9


def projection(few: Figures, few_hours: float, many: Figures, hours: float) -> Table:
    """Compute a larger cluster's speed, traffic and load, each worker on a core of its own.

    What an hour of audio costs is the difference of the two runs, both on one worker: what is spent once, on starting
    and on the model, is in both.
    """
    one, n = 1, WORKERS_ON_PAPER
    names = ("workers_s", "client_s", "scheduler_s", "to_bytes", "from_bytes")
    work_s, client_s, scheduler_s, to, back = (
        max(LEAST, (getattr(many, name) - getattr(few, name)) / (hours - few_hours)) for name in names
    )
    per_s = 1 / work_s
    """Hours of audio that a worker scores in a second."""
    audio = 3600 * AUDIO_BYTES_PER_S
    told = (
        ("h of audio an hour", 3600 * per_s, 0),
        ("recordings read, Mbit/s", 8e-6 * audio * per_s, 1),
        ("told to workers, kbit/s", 8e-3 * to * per_s, 1),
        ("told by workers, kbit/s", 8e-3 * back * per_s, 1),
        ("of the client's core, %", 100 * client_s * per_s, 2),
        ("of the scheduler's core, %", 100 * scheduler_s * per_s, 2),
    )
    rows = [(name, *(f"{size * value:,.{digits}f}" for size in (one, n))) for name, value, digits in told]
    rows.append(("100,000 h take, h", *(f"{100_000 * work_s / 3600 / size:,.1f}" for size in (one, n))))
    costs = {"the client's core": client_s, "the scheduler's": scheduler_s}
    # where few recordings cost as much as many, the run was too short to tell
    fills = [(what, work_s / cost) for what, cost in costs.items() if cost > LEAST]
    fills.append(("a gigabit of storage", GIGABIT_S / (8 * audio * per_s)))
    limits = "; ".join(f"{what} is full at {workers:,.0f} workers" for what, workers in fills)
    return Table(
        "on paper, from the processor time and bytes that an hour more of audio cost on one worker",
        ("", "1 worker", f"{n} workers"),
        rows,
        f"a core for each worker. {limits}. A scheduler without work takes {100 * many.idle:.1f} % of a core",
    )
