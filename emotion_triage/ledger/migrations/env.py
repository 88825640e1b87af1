"""Run by alembic, and only by it: applies the missing versions on the connection that `Store` hands over."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
