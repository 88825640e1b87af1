"""Logs as one JSON object a line, without telephone numbers and without secrets."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from emotion_triage.ledger.log_events import without_numbers

__all__ = ["JsonLines", "Sparing", "log_to_stderr"]

MAX_KINDS = 1000
_OURS = (
    "call",
    "calls",
    "wire",
    "level",
    "route",
    "rule",
    "destination",
    "reason",
    "by",
    "ports",
    "status",
    "left_out",
)


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


class Sparing(logging.Filter):
    """Lets through so many lines of one kind a second, where somebody outside can cause them: warnings and errors.

    What is left out is counted, and the next line of its kind tells how many there were.

    Parameters
    ----------
    a_second : int
        Lines of one kind.
    """

    def __init__(self, a_second: int = 20) -> None:
        super().__init__()
        self._a_second = a_second
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        if record.levelno < logging.WARNING:
            return True
        # of a message of several lines only the first is its kind's
        kind = record.name, str(record.msg).partition("\n")[0]
        began_s, lines = self._kinds.get(kind, (record.created, 0))
        if record.created - began_s >= 1.0:
            if lines > self._a_second:
                record.left_out = lines - self._a_second
            began_s, lines = record.created, 0
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[kind] = began_s, lines + 1
        return lines < self._a_second


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every log of this process to standard error, as JSON lines; libraries only their warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("emotion_triage").setLevel(level)
