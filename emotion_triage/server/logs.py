"""Logs as one JSON object a line, without telephone numbers and without secrets."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from emotion_triage.ledger.log_events import without_numbers

__all__ = ["JsonLines", "log_to_stderr"]

_OURS = ("call", "calls", "wire", "level", "route", "rule", "destination", "reason", "by", "ports", "status")


class JsonLines(logging.Formatter):
    """A record as a line of JSON: time, level, event, and what was given beside it.

    Only named fields are written, and numbers that look like a telephone's are taken out of every one but the call's
    own name, which is none (`emotion_triage.routing.call_ids.safe_call_id`).

    Examples
    --------
    >>> record = logging.makeLogRecord({"msg": "refused %s", "args": ("+33 1 23 45 67 89",), "levelname": "INFO"})
    >>> "23 45" in JsonLines().format(record), "[number]" in JsonLines().format(record)
    (False, True)
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": without_numbers(record.getMessage()),
        }
        for name in _OURS:
            value = getattr(record, name, None)
            if value is not None:
                told[name if name != "level" else "caller_level"] = (
                    without_numbers(value) if isinstance(value, str) and name != "call" else value
                )
        if record.exc_info:
            told["trace"] = without_numbers(self.formatException(record.exc_info))
        return msgspec.json.encode(told).decode()


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every log of this process to standard error, as JSON lines; libraries only their warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("emotion_triage").setLevel(level)
