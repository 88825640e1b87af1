"""All benchmarks of speed and size, one after the other, each in a process of its own: tables, JSON and a plot.

python -m benchmarks [--quick] [--json FILE] [--plot FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NAMES = ("throughput", "latency", "memory", "batch", "peers")
CURVES = (
    ("throughput", "push_many", "calls", "us a packet"),
    ("throughput", "rows", "rows a pass", "us a row"),
    ("batch", "score, by length", "minutes", "us a second"),
    ("memory", "hours through one call", "hour", "us a second"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a little of everything: shows that it runs, no more")
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument("--plot", type=Path, help="draw the growth curves there (matplotlib)")
    options = parser.parse_args()
    reports: dict[str, Any] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            print(f"== {name}\n", flush=True)
            path = Path(folder) / f"{name}.json"
            run = [
                sys.executable,
                "-m",
                f"benchmarks.{name}",
                "--json",
                str(path),
                *(["--quick"] if options.quick else []),
            ]
            if subprocess.run(run, check=False).returncode:
                failed.append(name)
            else:
                reports[name] = json.loads(path.read_text())
            print(flush=True)
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1) + "\n")
    if options.plot:
        draw(reports, options.plot)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def draw(reports: dict[str, Any], path: Path) -> None:
    """Draw cost against calls, rows, length and hours; flat is linear growth."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, every = plt.subplots(2, 2, figsize=(9.0, 6.5), layout="constrained")
    for axes, (name, title, x, y) in zip(every.flat, CURVES, strict=True):
        tables = reports.get(name, {}).get("tables", [])
        rows: list[dict[str, Any]] = next((table["rows"] for table in tables if table["title"].endswith(title)), [])
        axes.plot([row[x] for row in rows], [row[y] for row in rows], "o-")
        if x != "hour":
            axes.set_xscale("log")
        axes.set_ylim(bottom=0.0)
        axes.set(xlabel=x, ylabel=f"{y}, processor time", title=title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
