"""A process that writes contacts into a ledger, and says so after each: what the tests of faults start and kill.

``python ledger_writer.py URL PREFIX COUNT [--max-bytes N]``: the limit is on the size of any file it writes.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta

from emotion_triage.errors import LedgerError
from emotion_triage.ledger import Ledger
from emotion_triage.routing.contacts import Contact, Disposition
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy

KEY = b"a key for tests, 32 bytes or more"
STARTED_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
LINES_OF_CONTACT = 2
"""What `contact` leaves in the decision log: the agent's word that he was abused, and the question about it."""


def contact(prefix: str, i: int) -> Contact:
    """An abusive contact of a calm voice: an entry, its evidence, a verdict and a warning, all or nothing."""
    return Contact(
        contact_id=f"{prefix}-{i}",
        caller=f"+3312345{i % 500:04d}",
        agent_id=f"a-{i % 7}",
        started_at=STARTED_AT + timedelta(minutes=i),
        duration_s=200.0,
        peak=Level.CALM,
        disposition=Disposition.ABUSE,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("prefix")
    parser.add_argument("count", type=int)
    parser.add_argument("--max-bytes", type=int)
    parser.add_argument("--beside", help="prefix of another writer, of whose contacts every tenth is sent too")
    arguments = parser.parse_args()
    ledger = Ledger.open(arguments.url, policy=Policy.load(), key=KEY)
    print("open", flush=True)
    if arguments.max_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (arguments.max_bytes, arguments.max_bytes))
    for i in range(arguments.count):
        try:
            ledger.record(contact(arguments.prefix, i))
            if arguments.beside and i % 10 == 0:
                ledger.record(contact(arguments.beside, i))
        except LedgerError as error:
            sys.exit(f"LedgerError: {error}")
        print(f"{arguments.prefix}-{i}", flush=True)


if __name__ == "__main__":
    main()
