"""Routes out: a `Route` in the terms of a routing engine, one file an engine (extra ``[destinations]``).

Reading order: delivery, fields < asterisk, connect, freeswitch, genesys, taskrouter, webhook.

Each file holds a pure translation and a thin asynchronous sender. A sender raises one `DestinationError` when the
engine does not take the route, and changes nothing else; `delivery.outcome` returns that error instead.
"""

from importlib.util import find_spec

from emotion_triage.errors import MissingExtraError

for package in ("httpx", "stamina", "standardwebhooks"):
    if find_spec(package) is None:
        raise MissingExtraError(
            f"routes out need {package}, which is not installed; install the extra 'destinations', see docs/install.md"
        )
