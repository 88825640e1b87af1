"""A simulated centre, with and without protection: `python -m benchmarks.centre`."""
