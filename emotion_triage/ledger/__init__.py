"""Contacts over time: a caller's standing, an agent's exposure, and what people decided. Extra ``[ledger]``.

Reading order: schema, seals, patience, withheld, intake, monitor_events, upkeep_events < store, spelling, log_events <
identity, projection, audit_log < verification, standings, fairness, exposures < reviews, labelled < queries <
coverage, commands < access < ledger.

Examples
--------
>>> import tempfile
>>> from datetime import datetime, timezone
>>> from emotion_triage.routing.contacts import Contact, Disposition
>>> from emotion_triage.routing.policy import Policy
>>> at = datetime(2026, 3, 2, 10, tzinfo=timezone.utc)
>>> folder = tempfile.TemporaryDirectory()
>>> with Ledger.open(f"sqlite:///{folder.name}/ledger.db", policy=Policy.load(), key=b"0" * 32) as ledger:
...     ledger.record(
...         Contact(
...             contact_id="c-1",
...             caller="+33 1 23 45 67 89",
...             agent_id="a-17",
...             started_at=at,
...             duration_s=300.0,
...             disposition=Disposition.ABUSE,
...         )
...     )
...     standing = ledger.standing("01 23 45 67 89", at=at.replace(hour=11))
>>> standing.state.value, standing.avoid_agents
('watch', ('a-17',))
>>> folder.cleanup()
"""

from emotion_triage.ledger.ledger import Ledger

__all__ = ["Ledger"]
