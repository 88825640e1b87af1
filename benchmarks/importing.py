"""What `import emotion_triage` costs beyond numpy.

Each run is a fresh interpreter that imports numpy first and then the package, and takes the time of each
alone; the first run, which may compile byte code, is thrown away. Printed: the median, its range, and the
ratio to numpy's.

    python -m benchmarks.importing [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

RUNS, QUICK_RUNS = 31, 5
BUDGET_MS = 100.0
PROBE = """
import time
a = time.perf_counter()
import numpy
b = time.perf_counter()
import emotion_triage
for name in getattr(emotion_triage, "__all__", ()):
    getattr(emotion_triage, name)
c = time.perf_counter()
print((b - a) * 1e3, (c - b) * 1e3)
"""


def measure_ms(runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds that numpy, and then the package with all its public names, took to import, run by run."""
    numpy_ms, package_ms = [], []
    for _ in range(runs + 1):
        out = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
        first, second = map(float, out.split())
        numpy_ms.append(first)
        package_ms.append(second)
    return numpy_ms[1:], package_ms[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs rather than {RUNS}")
    numpy_ms, package_ms = measure_ms(QUICK_RUNS if parser.parse_args().quick else RUNS)
    ratios = [ours / theirs for ours, theirs in zip(package_ms, numpy_ms, strict=True)]
    print(f"import numpy                         {statistics.median(numpy_ms):6.1f} ms")
    print(
        f"import emotion_triage, all names     {statistics.median(package_ms):6.1f} ms beyond numpy"
        f" ({min(package_ms):.1f} to {max(package_ms):.1f}), {statistics.median(ratios):.2f} x numpy;"
        f" budget {BUDGET_MS:.0f} ms"
    )


if __name__ == "__main__":
    main()
