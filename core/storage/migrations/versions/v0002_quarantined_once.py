"""Deduplicate messages in the quarantine; those stored before this step are not compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the message ids to the quarantine."""
    op.add_column("quarantine", sa.Column("digest", sa.LargeBinary))
    op.create_index("quarantine_by_digest", "quarantine", ["digest"], unique=True)
