"""Rows are signed: `Ledger.open` signs those that an older release left, since it alone has the key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Give each table whose rows can change a place for their signatures."""
    for table in ("subjects", "entries", "heads"):
        op.add_column(table, sa.Column("seal", sa.String(64)))
