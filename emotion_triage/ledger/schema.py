"""The tables of the ledger. `subjects` is the only place where a pseudonym stands; nowhere stands a number.

A `seal` signs its row with a key derived from the ledger's (`emotion_triage.ledger.seals`): a row whose seal does not
fit was written by something else and counts for nothing. The log's lines need none: the head signs the last digest.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, text

__all__ = ["decisions", "entries", "heads", "meta", "metadata", "subjects"]

metadata = MetaData()

# SQLite numbers rows by itself only under this very type.
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the ledger as a whole, as the fingerprint of its keys."""

subjects = Table(
    "subjects",
    metadata,
    Column("subject_id", String(32), primary_key=True),
    Column("pseudonym", String(64), nullable=False, unique=True),
    Column("seal", String(64)),
)
"""One row per caller who has a record: a random name, and the keyed hash by which they are found."""

entries = Table(
    "entries",
    metadata,
    Column("entry_id", _SEQUENCE, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject_id", String(32)),
    Column("contact_id", Text),
    Column("agent_id", Text),
    Column("at_us", BigInteger, nullable=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("marked", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", String(64)),
    Index("entries_of_subject", "subject_id", "at_us"),
    Index("marks_of_agent", "agent_id", "marked", "kind", "at_us", "contact_id"),
    Index("entries_of_contact", "contact_id"),
    Index("entries_of_kind", "kind", "at_us"),
    Index("entries_expiring", "expires_at_us"),
    Index(
        "one_contact_of_an_id",
        "contact_id",
        unique=True,
        sqlite_where=text("kind = 'contact'"),
        postgresql_where=text("kind = 'contact'"),
    ),
)
"""What happened and what people decided, appended; times in microseconds since 1970 UTC.

A body never changes. What is said of a contact before the contact arrives is linked to its caller and agent then.
`marked` are the entries that may weigh on an agent: a contact that somebody called abusive, evidence that escalated or
asks a person, what was said of a contact. They are few, so that an agent's are found at once.
"""

decisions = Table(
    "decisions",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("call_id", Text),
    Column("subject_id", String(32)),
    Column("salt", Text),
    Column("body", Text),
    Column("commitment", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("decisions_of_subject", "subject_id"),
    Index("decisions_by_time", "at_us"),
    Index("decisions_of_call", "call_id"),
)
"""The decision log: each line's digest covers the one before; salt and body go when a caller is forgotten."""

heads = Table(
    "heads",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("first_digest", String(64), nullable=False),
    Column("seal", String(64)),
)
"""The ends of the decision log: its last line, and where it begins once old lines were pruned."""
