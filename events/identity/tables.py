"""The tables of ids, merges and splits."""

from __future__ import annotations

import sqlalchemy as sa

from core.storage.database import METADATA, Key

ANONYMOUS = "anonymous:"
"""What the id of a device begins with."""

customers = sa.Table(
    "customers",
    METADATA,
    sa.Column("customer_key", Key, primary_key=True, autoincrement=True),
    sa.Column("customer_id", sa.Text, nullable=False),  # the id that responses name
    sqlite_autoincrement=True,
)
ids = sa.Table(
    "customer_ids",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("customer_key", Key, nullable=False, index=True),
    # The key under which the id's events are stored, where a merge made it another; else null.
    sa.Column("origin_key", Key),
)
# From ``at_us`` on (microseconds since 1970, UTC) the events of ``customer_key`` are ``into``'s too.
# There is one row per customer that is reached, so that no reader has to follow a chain.
merges = sa.Table(
    "merges",
    METADATA,
    sa.Column("customer_key", Key, primary_key=True, autoincrement=False),
    sa.Column("into", Key, primary_key=True, autoincrement=False, index=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),  # the journal's number of the message that merged them
)
# Customers that a person declared to be two: no message merges them.
splits = sa.Table(
    "splits",
    METADATA,
    sa.Column("customer_key", Key, primary_key=True, autoincrement=False),
    sa.Column("other", Key, primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
STORED_UNDER = sa.func.coalesce(ids.c.origin_key, ids.c.customer_key)
"""The key under which an id's events are stored."""
