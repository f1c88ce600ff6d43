"""The table of the audit log."""

from __future__ import annotations

import sqlalchemy as sa

from core.storage.database import METADATA, Key

audit_log = sa.Table(
    "audit_log",
    METADATA,
    sa.Column("n", Key, primary_key=True, autoincrement=False),  # without gaps, from 1
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)
