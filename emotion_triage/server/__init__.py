"""Every wire, the ledger, routes out, an API and the pages of supervisors and agents in one server (extra ``[serve]``).

Reading order: metrics, engines, crowd, listeners, board, overload < config, http, vitals, nonces < auth, batcher,
descriptors, evidence < links, calls < schemas, ledger_client, dispatcher < requests, streams, monitor_engines <
agent_schemas, monitors < verdicts, live_calls < queues, siblings, wires < rtp < agents < api < endpoints, drawing,
words < panel_words, screens < openapi, console, judging, team < page, panel < headers, web < app < run < logs
< processes.
"""

from importlib.util import find_spec

from emotion_triage.errors import MissingExtraError

for package in ("itsdangerous", "jinja2", "prometheus_client", "starlette", "uvicorn", "websockets"):
    if find_spec(package) is None:
        raise MissingExtraError(
            f"the server needs {package}, which is not installed; install the extra 'serve', see docs/install.md"
        )
