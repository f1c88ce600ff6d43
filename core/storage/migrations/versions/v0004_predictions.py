"""Predictions can be read by their id; earlier ones have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the id of a prediction, the moments of its features, and the values sent with the request."""
    for name in ("prediction_id", "moments", "context"):
        op.add_column("scores", sa.Column(name, sa.Text))
    op.create_index("ix_scores_prediction_id", "scores", ["prediction_id"])
