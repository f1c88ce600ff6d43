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
    sa.Index("contacts_by_customer", "customer_key"),
)
reservations = sa.Table(
    "reservations",
    METADATA,
    *_columns(),
    sa.Column("until_us", sa.BigInteger, nullable=False),
    sa.Index("reservations_by_customer", "customer_key"),
)
