"""Predictions of a large request are stored as one row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add columns for a table within a row."""
    op.add_column("scores", sa.Column("many", sa.LargeBinary))
