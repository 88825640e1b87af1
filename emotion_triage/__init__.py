"""Hears anger and distress in a caller's voice as it streams, and routes the call."""

__version__ = "0.1.0"
