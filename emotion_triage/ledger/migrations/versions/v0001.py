"""The first schema: contacts, human decisions, the decision log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.String(32), primary_key=True),
        sa.Column("pseudonym", sa.String(64), nullable=False, unique=True),
    )
    op.create_table(
        "entries",
        sa.Column("entry_id", sequence, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.String(32)),
        sa.Column("contact_id", sa.Text),
        sa.Column("agent_id", sa.Text),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("marked", sa.Boolean, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("entries_of_subject", "entries", ["subject_id", "at_us"])
    op.create_index("entries_of_agent", "entries", ["agent_id", "at_us"])
    op.create_index("marks_of_agent", "entries", ["agent_id", "marked", "at_us"])
    op.create_index("entries_of_contact", "entries", ["contact_id"])
    op.create_index("entries_of_kind", "entries", ["kind", "at_us"])
    op.create_index("entries_expiring", "entries", ["expires_at_us"])
    contacts = sa.text("kind = 'contact'")
    op.create_index(
        "one_contact_of_an_id",
        "entries",
        ["contact_id"],
        unique=True,
        sqlite_where=contacts,
        postgresql_where=contacts,
    )
    op.create_table(
        "decisions",
        sa.Column("seq", sequence, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("call_id", sa.Text),
        sa.Column("subject_id", sa.String(32)),
        sa.Column("salt", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_index("decisions_of_subject", "decisions", ["subject_id"])
    op.create_index("decisions_by_time", "decisions", ["at_us"])
    op.create_index("decisions_of_call", "decisions", ["call_id"])
    heads = op.create_table(
        "heads",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("first_digest", sa.String(64), nullable=False),
    )
    op.bulk_insert(meta, [{"key": "fingerprint", "value": ""}])
    before_the_first = "0" * 64
    op.bulk_insert(
        heads, [{"id": 1, "seq": 0, "digest": before_the_first, "first_seq": 1, "first_digest": before_the_first}]
    )
