"""How fast a caller's standing is found among many contacts, and whether that depends on how many there are.

A SQLite ledger is filled with contacts of 20 per caller on average, one in ten abusive; then the standings of callers
drawn at random are asked on one core. The peer is the same join by hand, through `sqlite3` alone and without making
anything of the rows: what no ledger can beat.

    python -m benchmarks.ledger [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from sqlalchemy import insert

from emotion_triage.ledger import Ledger
from emotion_triage.ledger.identity import Identity
from emotion_triage.ledger.projection import ContactBody, micros
from emotion_triage.ledger.queries import KNOWN, Queries
from emotion_triage.ledger.schema import entries, subjects
from emotion_triage.routing.contacts import Disposition
from emotion_triage.routing.policy import Policy

SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (1_000, 10_000)
QUESTIONS, QUICK_QUESTIONS = 20_000, 500
ASKED_AT_ONCE = 500
CONTACTS_PER_CALLER = 20
ABUSIVE_SHARE = 0.1
TARGET_PER_S = 2_000
KEY = b"a key for benchmarks, 32 bytes or more"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BY_HAND = """
SELECT e.kind, e.contact_id, e.agent_id, e.at_us, e.body FROM subjects s
JOIN entries e ON e.subject_id = s.subject_id WHERE s.pseudonym = ?
"""


def caller(number: int) -> str:
    return f"+331{number:08d}"


def fill(ledger: Ledger, first: int, last: int, chance: random.Random) -> None:
    """Add the contacts from one number to another, in bulk: `record` would wait for the disk after each."""
    identity = Identity([KEY], ledger.policy.protection.region)
    known = range(first // CONTACTS_PER_CALLER, last // CONTACTS_PER_CALLER)
    with ledger.store.write() as connection:
        connection.execute(
            insert(subjects),
            [{"subject_id": f"{each:032x}", "pseudonym": identity.pseudonym(caller(each))} for each in known],
        )
        for start in range(first, last, 10_000):
            connection.execute(
                insert(entries), [row(each, last, chance) for each in range(start, min(start + 10_000, last))]
            )
        Queries(connection, ledger.seal).sign_all()


def row(number: int, of: int, chance: random.Random) -> dict[str, object]:
    abusive = chance.random() < ABUSIVE_SHARE
    at = NOW - timedelta(seconds=chance.uniform(0, 180 * 86_400))
    body = ContactBody(
        started_at=at, duration_s=0.0, disposition=Disposition.ABUSE if abusive else Disposition.OK, queue="general"
    )
    return {
        "kind": "contact",
        "subject_id": f"{chance.randrange(of // CONTACTS_PER_CALLER):032x}",
        "contact_id": f"c-{number}",
        "agent_id": f"a-{chance.randrange(60)}",
        "at_us": micros(at),
        "recorded_at_us": micros(NOW),
        "expires_at_us": micros(NOW + timedelta(days=180)),
        "marked": abusive,
        "body": msgspec.json.encode(body).decode(),
    }


def per_s(asked: Callable[[str], object], callers: list[str]) -> float:
    start_s = time.process_time()  # of one core: what else runs on the machine does not count
    for each in callers:
        asked(each)
    return len(callers) / (time.process_time() - start_s)


def plan(ledger: Ledger) -> Iterator[str]:
    with ledger.store.read() as connection:
        text = KNOWN.params(pseudonym="p").compile(connection.engine, compile_kwargs={"literal_binds": True})
        yield from (each[3] for each in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SIZES[-1]} contacts rather than {SIZES[-1]}")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sizes = QUICK_SIZES if arguments.quick else SIZES
    questions = QUICK_QUESTIONS if arguments.quick else QUESTIONS
    chance, filled = random.Random(4), 0
    measured: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "ledger.db")
        with Ledger.open(f"sqlite:///{file}", policy=Policy.load(), key=KEY) as ledger:
            by_hand = sqlite3.connect(file)
            identity = Identity([KEY], ledger.policy.protection.region)
            for size in sizes:
                fill(ledger, filled, size, chance)
                filled = size
                ours, theirs = [], []
                for _ in range(questions // ASKED_AT_ONCE):  # in turn, so that both meet the same machine
                    callers = [caller(chance.randrange(size // CONTACTS_PER_CALLER)) for _ in range(ASKED_AT_ONCE)]
                    ours.append(per_s(lambda each: ledger.standing(each, at=NOW), callers))
                    theirs.append(
                        per_s(lambda each: by_hand.execute(BY_HAND, (identity.pseudonym(each),)).fetchall(), callers)
                    )
                rates = [len(each) / sum(1 / rate for rate in each) for each in (ours, theirs)]
                measured.append(
                    {
                        "contacts": size,
                        "standings_per_s": rates[0],
                        "by_hand_per_s": rates[1],
                        "ratio": rates[0] / rates[1],
                    }
                )
            by_hand.close()
            steps = list(plan(ledger))
    if arguments.json:
        print(json.dumps({"standing": measured, "plan": steps, "target_per_s": TARGET_PER_S}))
        return
    print("of one core:\n contacts   standings/s   by hand/s   ratio")
    for each in measured:
        ours_per_s, theirs_per_s = each["standings_per_s"], each["by_hand_per_s"]
        print(f"{each['contacts']:>9,.0f}   {ours_per_s:>11,.0f}   {theirs_per_s:>9,.0f}   {each['ratio']:.2f}")
    print(
        f"{measured[-1]['contacts'] / measured[0]['contacts']:.0f} times the contacts: "
        f"{measured[-1]['standings_per_s'] / measured[0]['standings_per_s']:.2f} of the speed; "
        f"target {TARGET_PER_S:,} a second"
    )
    print("plan: " + "; ".join(steps))


if __name__ == "__main__":
    main()
