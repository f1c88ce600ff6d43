"""The standing decision of a customer: made today for the same request, and not settled or over since."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import micros
from records.contacts import ledger
from records.tables import decisions, outcomes

SETTLED = ("accepted", "rejected", ledger.NOT_SENT)
"""The outcomes after which a decision is no longer valid."""
# Compiled once, since it runs for each customer.
_STANDING = (
    sa.select(decisions)
    .where(
        decisions.c.customer_key == sa.bindparam("key"),
        decisions.c.day == sa.bindparam("today"),
        decisions.c.channels == sa.bindparam("channels"),
        decisions.c.rules == sa.bindparam("digest"),
        ~sa.exists().where(outcomes.c.decision_id == decisions.c.id, outcomes.c.kind.in_(SETTLED)),
        ~ledger.is_over(decisions.c.id, sa.bindparam("now")),
    )
    .order_by(decisions.c.n.desc())
    .limit(1)
)


def find_standing(
    connection: sa.Connection, key: int, day: int, channels: str, rules: str, now: datetime
) -> sa.Row[Any] | None:
    """The row of the decision; None if there is none.

    Args:
        day: the shop's day. channels: the requested channels as JSON. rules: the digest of the rules.
        now: by the shop's clock.
    """
    parameters = {"key": key, "today": day, "channels": channels, "digest": rules, "now": micros(now)}
    return connection.execute(_STANDING, parameters).first()
