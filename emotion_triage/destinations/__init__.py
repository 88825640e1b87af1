"""Routes out: a `Route` in the terms of a routing engine, one file an engine (extra ``[destinations]``).

Reading order: delivery, fields < asterisk, connect, freeswitch, genesys, taskrouter, webhook <
monitoring < asterisk_monitor, connect_monitor, freeswitch_monitor, genesys_monitor, twilio_monitor.

Each file holds a pure translation and a thin asynchronous sender. A sender raises one `DestinationError` when the
engine does not take the route, and changes nothing else; `delivery.outcome` returns that error instead.
`monitoring` says what a supervisor on a call asks of an engine; each engine's own way is in the files after it.
"""

from importlib.util import find_spec

from emotion_triage.errors import MissingExtraError

for package in ("httpx", "stamina", "standardwebhooks"):
    if find_spec(package) is None:
        raise MissingExtraError(
            f"routes out need {package}, which is not installed; install the extra 'destinations', see docs/install.md"
        )
