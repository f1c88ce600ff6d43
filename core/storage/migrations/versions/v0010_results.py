"""The lasting holdout, and the orders that followed decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the phases and draws of the holdout, and the conversions."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "holdout_phases",
        sa.Column("n", key, primary_key=True, autoincrement=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("rotation", sa.Integer, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
    )
    op.create_table(
        "holdout_draws",
        sa.Column("rotation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("customer_key", key, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("draw", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "conversions",
        sa.Column("order_id", sa.Text, primary_key=True),
        sa.Column("customer_key", key, primary_key=True, autoincrement=False),
        sa.Column("decision_id", sa.Text, nullable=False, index=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("net", sa.Double, nullable=False),
        sa.Column("discount", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
