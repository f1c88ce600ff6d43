"""Ids have one canonical spelling, merges can be undone, and a message id with two bodies is detected."""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def upgrade() -> None:
    """Add the tables of splits and conflicts; add the canonical spelling of each id."""
    op.add_column("customer_ids", sa.Column("origin_key", _KEY))
    op.create_table(
        "splits",
        sa.Column("customer_key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("other", _KEY, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.add_column("messages", sa.Column("content", sa.LargeBinary))
    op.create_table(
        "message_conflicts",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sqlite_with_rowid=False,
    )
    _fold_ids()


def _fold_ids() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT customer_id, customer_key FROM customer_ids ORDER BY customer_key, customer_id")
    ).all()
    known = {row[0] for row in rows}
    added: dict[str, int] = {}
    for customer_id, key in rows:
        folded = unicodedata.normalize("NFC", customer_id).strip(_BLANKS)
        if folded and folded not in known:
            added.setdefault(folded, key)
    if added:
        connection.execute(
            sa.text("INSERT INTO customer_ids (customer_id, customer_key) VALUES (:customer_id, :key)"),
            [{"customer_id": customer_id, "key": key} for customer_id, key in added.items()],
        )
