"""Keys can expire, be replaced and have rate limits; existing keys have no limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; a name has at most one key that is neither revoked nor replaced."""
    op.add_column("keys", sa.Column("expires", sa.Text))
    op.add_column("keys", sa.Column("replaced", sa.Text))
    op.add_column("keys", sa.Column("per_minute", sa.Integer))
    op.drop_index("living_names", "keys")
    current = sa.text("revoked IS NULL AND replaced IS NULL")
    op.create_index(
        "current_names", "keys", ["name"], unique=True, sqlite_where=current, postgresql_where=current
    )
