"""Contacts are counted over a time, and remember when they were exported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the moment of the export, and the index by time."""
    op.add_column("contacts", sa.Column("exported_us", sa.BigInteger))
    op.execute("UPDATE contacts SET exported_us = at_us WHERE kind = 'exported'")
    op.create_index("contacts_by_time", "contacts", ["at_us", "action"])
