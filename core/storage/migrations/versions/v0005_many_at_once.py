"""Answers to large requests are kept together, one row for all customers of a request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make room for a table within a row."""
    op.add_column("scores", sa.Column("many", sa.LargeBinary))
