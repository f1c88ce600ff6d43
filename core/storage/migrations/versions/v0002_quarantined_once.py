"""A message counts once in the quarantine too; those that waited before this step are not compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Know messages in the quarantine by their ids."""
    op.add_column("quarantine", sa.Column("digest", sa.LargeBinary))
    op.create_index("quarantine_by_digest", "quarantine", ["digest"], unique=True)
