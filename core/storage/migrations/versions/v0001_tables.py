"""The first tables: customers and their journal, predictions, decisions and keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make them."""
    _customers()
    _journal()
    _scores()
    _decisions()
    _runs()
    op.create_table(
        "keys",
        sa.Column("n", _KEY, primary_key=True, autoincrement=True),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("revoked", sa.Text),
    )
    op.create_index("keys_by_prefix", "keys", ["prefix"], unique=True)
    lives = sa.text("revoked IS NULL")
    op.create_index("living_names", "keys", ["name"], unique=True, sqlite_where=lives, postgresql_where=lives)


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_key", _KEY, primary_key=True, autoincrement=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "customer_ids",
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("customer_key", _KEY, nullable=False),
    )
    op.create_index("ix_customer_ids_customer_key", "customer_ids", ["customer_key"])
    op.create_table(
        "merges",
        sa.Column("customer_key", _KEY, primary_key=True, autoincrement=False),
        sa.Column("into", _KEY, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_merges_into", "merges", ["into"])


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", _KEY, primary_key=True, autoincrement=False),
        sa.Column("customer_key", _KEY, nullable=False),
        sa.Column("received_at_us", sa.BigInteger, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
    )
    op.create_index("ix_journal_customer_key", "journal", ["customer_key"])
    op.create_table("journal_counter", sa.Column("last_seq", _KEY, nullable=False))
    op.create_table(
        "messages", sa.Column("digest", sa.LargeBinary, primary_key=True), sqlite_with_rowid=False
    )
    op.create_table(
        "quarantine",
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("received_at_us", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


def _scores() -> None:
    op.create_table(
        "feature_sets",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("names", sa.Text, nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("id", _KEY, primary_key=True, autoincrement=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("customer_key", _KEY, nullable=False),
        sa.Column("as_of_us", sa.BigInteger),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("feature_set", sa.BigInteger, nullable=False),
        sa.Column("vector", sa.Text, nullable=False),
        sa.Column("answers", sa.Text, nullable=False),
    )
    op.create_index("ix_scores_at_us", "scores", ["at_us"])
    op.create_table(
        "score_writers",
        sa.Column("session", sa.Text, primary_key=True),
        sa.Column("written", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
    )


def _decisions() -> None:
    op.create_table(
        "salts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "rules",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("n", _KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("customer_key", _KEY, nullable=False),
        sa.Column("channels", sa.Text, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("how", sa.Text, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("expected_value", sa.Double, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("channel", sa.Text),
        sa.Column("probabilities", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("decisions_by_id", "decisions", ["id"], unique=True)
    op.create_index("decisions_by_customer", "decisions", ["customer_key", "day"])
    op.create_table(
        "outcomes",
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("customer_key", _KEY, nullable=False),
    )
    op.create_index("ix_outcomes_customer_key", "outcomes", ["customer_key"])


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("n", _KEY, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("segment", sa.Text),
        sa.Column("channels", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
    )
    op.create_index("runs_by_id", "runs", ["id"], unique=True)
    op.create_table(
        "run_rows",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("decision", _KEY, nullable=False),
        sqlite_with_rowid=False,
    )
