"""What decisions use of budgets, and the plans that were released."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the tables; decisions of earlier versions used nothing, since their money was not recorded."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "spending",
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("action_group", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("money_micros", sa.BigInteger, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_index("spending_by_state", "spending", ["state", "until_us"])
    op.create_table(
        "spent",
        sa.Column("rules", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("action", sa.Text, primary_key=True),
        sa.Column("action_group", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("contacts", sa.BigInteger, nullable=False),
        sa.Column("money_micros", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "plan_releases",
        sa.Column("n", key, primary_key=True, autoincrement=True),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("prices", sa.Text, nullable=False),
    )
    op.create_index("plan_releases_by_id", "plan_releases", ["plan_id"], unique=True)
