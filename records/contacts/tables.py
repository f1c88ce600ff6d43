"""The tables of contacts and reservations; migrations create them.

Both have a row per decision, with the tags of the action as they were when it was decided. A reservation
remains after its decision became a contact, so that the contact can be undone.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.storage.database import METADATA, Key


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("customer_key", Key, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("action_group", sa.Text),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("zone", sa.Text),  # the customer's time zone
    ]


contacts = sa.Table(
    "contacts",
    METADATA,
    *_columns(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("exported_us", sa.BigInteger),  # when it was exported, also if it was sent or shown later
    sa.Index("contacts_by_customer", "customer_key"),
    sa.Index("contacts_by_time", "at_us", "action"),
)
reservations = sa.Table(
    "reservations",
    METADATA,
    *_columns(),
    sa.Column("until_us", sa.BigInteger, nullable=False),
    sa.Index("reservations_by_customer", "customer_key"),
)
# What each decision uses of budgets, with the tags of its action as they were when it was decided.
spending = sa.Table(
    "spending",
    METADATA,
    sa.Column("decision_id", sa.Text, primary_key=True),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("action_group", sa.Text, nullable=False),  # empty for none
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("money_micros", sa.BigInteger, nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Index("spending_by_state", "state", "until_us"),
)
# The sums of what counts, so that no decision reads all others.
spent = sa.Table(
    "spent",
    METADATA,
    sa.Column("rules", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.Text, primary_key=True),
    sa.Column("action_group", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("contacts", sa.BigInteger, nullable=False),
    sa.Column("money_micros", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
plan_releases = sa.Table(
    "plan_releases",
    METADATA,
    sa.Column("n", Key, primary_key=True, autoincrement=True),
    sa.Column("plan_id", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("prices", sa.Text, nullable=False),
    sa.Index("plan_releases_by_id", "plan_id", unique=True),
)
