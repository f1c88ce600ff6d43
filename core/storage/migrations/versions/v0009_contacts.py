"""Contacts and reservations have tables; limits count them instead of decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add both tables. Earlier decisions count as contacts, since nobody knows whether they were sent."""
    for name in ("contacts", "reservations"):
        op.create_table(
            name,
            sa.Column("decision_id", sa.Text, primary_key=True),
            sa.Column("customer_key", _KEY, nullable=False),
            sa.Column("action", sa.Text, nullable=False),
            sa.Column("action_group", sa.Text),
            sa.Column("channel", sa.Text, nullable=False),
            sa.Column("purpose", sa.Text, nullable=False),
            sa.Column("at_us", sa.BigInteger, nullable=False),
            sa.Column("zone", sa.Text),
            sa.Column("kind", sa.Text, nullable=False)
            if name == "contacts"
            else sa.Column("until_us", sa.BigInteger, nullable=False),
        )
        op.create_index(f"{name}_by_customer", name, ["customer_key"])
    columns = "decision_id, customer_key, action, channel, purpose, at_us, kind"
    op.execute(
        f"INSERT INTO contacts ({columns}) SELECT id, customer_key, action, channel, 'marketing', at_us,"
        " 'assumed' FROM decisions WHERE channel IS NOT NULL"
    )
