"""The id of the home to which the database belongs; the first write of a home stores it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table of one row."""
    op.create_table("home_id", sa.Column("id", sa.Text, nullable=False))
