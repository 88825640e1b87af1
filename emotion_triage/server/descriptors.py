"""File descriptors: enough for every call before the first connection, whatever the API's connections take."""

from __future__ import annotations

import logging
import resource

from emotion_triage.errors import ConfigError
from emotion_triage.server.config import Config
from emotion_triage.server.crowd import SPARE

__all__ = ["for_http"]

log = logging.getLogger(__name__)

ELSEWHERE = 192
"""For the ledger, destinations, other processes, the model and the logs."""
FEWEST_HTTP = 16


def for_http(config: Config) -> int:
    """Raise the process's limit as far as needed and allowed; return how many connections HTTP may have.

    The calls of the wires keep their own: HTTP has what is left, `http.max_connections` at most.

    Raises
    ------
    ConfigError
        The system allows fewer than the calls need.
    """
    # beside its calls, each of the two listeners may have some connections that it is about to refuse
    kept = config.limits.max_calls + ELSEWHERE + 2 * SPARE
    wanted = kept + config.http.max_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _raised(soft, hard, wanted)
    left = wanted - kept if allowed >= wanted else allowed - kept
    if left < FEWEST_HTTP:
        raise ConfigError(
            f"the process may open {allowed} files; expected {kept + FEWEST_HTTP} or more for "
            f"limits.max_calls = {config.limits.max_calls}; set LimitNOFILE={wanted} in its unit, or lower max_calls"
        )
    if left < config.http.max_connections:
        log.warning(
            "the process may open %d files: http has %d connections instead of %d; set LimitNOFILE=%d in its unit",
            allowed,
            left,
            config.http.max_connections,
            wanted,
        )
    return left


def _raised(soft: int, hard: int, wanted: int) -> int:
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    aim = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if aim <= soft:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    except (OSError, ValueError):  # some systems have a lower limit that they do not name
        return soft
    return aim
