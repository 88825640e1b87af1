"""Every wire, the ledger, routes out, an API and the supervisor's page in one server (extra ``[serve]``).

Reading order: metrics, engines, crowd, listeners, board, overload < config, http, vitals < auth, batcher, descriptors,
evidence < calls < schemas, ledger_client, dispatcher < requests, streams, monitor_engines < monitors < verdicts,
live_calls < queues, siblings, wires < rtp < api < endpoints, drawing, words < openapi, console < page < headers,
nonces, web < app < run < logs < processes.
"""

from importlib.util import find_spec

from emotion_triage.errors import MissingExtraError

for package in ("itsdangerous", "jinja2", "prometheus_client", "starlette", "uvicorn", "websockets"):
    if find_spec(package) is None:
        raise MissingExtraError(
            f"the server needs {package}, which is not installed; install the extra 'serve', see docs/install.md"
        )
