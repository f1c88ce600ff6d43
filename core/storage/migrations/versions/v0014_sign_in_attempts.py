"""Attempts to sign in, by network address, so that all processes count them together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "sign_in_attempts",
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column("began_us", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("is_reported", sa.Boolean, nullable=False),
    )
