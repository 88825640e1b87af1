"""Benchmarks: each prints the figures that the project claims."""
