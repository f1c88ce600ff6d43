"""The released plans, whose prices of budgets steer single decisions until the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.calendar import micros
from core.storage.database import insert
from records.contacts.tables import plan_releases


def record(
    connection: sa.Connection, plan_id: str, at: datetime, prices: Sequence[Mapping[str, Any]]
) -> bool:
    """Record that a plan was released; returns False if it was before.

    Args:
        at: by the shop's clock. prices: of its budgets, as plain data.
    """
    row = {"plan_id": plan_id, "at_us": micros(at), "prices": json.dumps(list(prices))}
    statement = insert(connection, plan_releases).values(row).on_conflict_do_nothing()
    return connection.execute(statement.returning(plan_releases.c.n)).first() is not None


def is_released(connection: sa.Connection, plan_id: str) -> bool:
    """Whether a plan was released."""
    known = sa.select(plan_releases.c.n).where(plan_releases.c.plan_id == plan_id)
    return connection.execute(known).first() is not None


def newest_prices(connection: sa.Connection) -> list[dict[str, Any]]:
    """The prices of the newest released plan, as plain data; none without one."""
    newest = sa.select(plan_releases.c.prices).order_by(plan_releases.c.n.desc()).limit(1)
    prices = connection.execute(newest).scalar()
    return [] if prices is None else list(json.loads(prices))
