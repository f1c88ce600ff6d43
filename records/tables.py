"""The tables of the score log and of the decision log; migrations create them."""

from __future__ import annotations

import sqlalchemy as sa

from core.storage.database import METADATA, Key

# The id is a digest of the names, so a writer knows it without a query.
feature_sets = sa.Table(
    "feature_sets",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("names", sa.Text, nullable=False),
)
scores = sa.Table(
    "scores",
    METADATA,
    sa.Column("id", Key, primary_key=True, autoincrement=True),
    sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("customer_key", Key, nullable=False),
    sa.Column("as_of_us", sa.BigInteger),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("feature_set", sa.BigInteger, nullable=False),
    sa.Column("vector", sa.Text, nullable=False),
    sa.Column("answers", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, index=True),
    sa.Column("moments", sa.Text),
    sa.Column("context", sa.Text),
    # All predictions of a large request; such a row has no customer and no vector.
    sa.Column("many", sa.LargeBinary),
)
writers = sa.Table(
    "score_writers",
    METADATA,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
)
salts = sa.Table(
    "salts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # one row
    sa.Column("salt", sa.LargeBinary, nullable=False),
)
rules = sa.Table(
    "rules",
    METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)
decisions = sa.Table(
    "decisions",
    METADATA,
    sa.Column("n", Key, primary_key=True, autoincrement=True),  # never used twice
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("customer_key", Key, nullable=False),
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
    sa.Index("decisions_by_id", "id", unique=True),
    sa.Index("decisions_by_customer", "customer_key", "day"),
    sqlite_autoincrement=True,
)
outcomes = sa.Table(
    "outcomes",
    METADATA,
    sa.Column("decision_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("customer_key", Key, nullable=False, index=True),
)
# From ``at_us`` on, the customers of a rotation whose draw is below the share are in the holdout.
holdout_phases = sa.Table(
    "holdout_phases",
    METADATA,
    sa.Column("n", Key, primary_key=True, autoincrement=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("rotation", sa.Integer, nullable=False),
    sa.Column("share", sa.Double, nullable=False),
)
# A customer takes part from the first decision in a rotation on.
holdout_draws = sa.Table(
    "holdout_draws",
    METADATA,
    sa.Column("rotation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("customer_key", Key, primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("draw", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)
# The orders after a contact; an order belongs to one decision.
conversions = sa.Table(
    "conversions",
    METADATA,
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("customer_key", Key, primary_key=True, autoincrement=False),
    sa.Column("decision_id", sa.Text, nullable=False, index=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("net", sa.Double, nullable=False),
    sa.Column("discount", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)
# Requests of runs of earlier versions; records/runs.py makes jobs of them.
runs = sa.Table(
    "runs",
    METADATA,
    sa.Column("n", Key, primary_key=True, autoincrement=True),
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
    sa.Index("runs_by_id", "id", unique=True),
)
run_rows = sa.Table(
    "run_rows",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("decision", Key, nullable=False),
    sqlite_with_rowid=False,
)
idempotency_keys = sa.Table(
    "idempotency_keys",
    METADATA,
    sa.Column("caller", sa.Text, primary_key=True),
    sa.Column("operation", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("at_s", sa.Double, nullable=False, index=True),
    sa.Column("created", sa.Boolean, nullable=False),
    sqlite_with_rowid=False,
)
