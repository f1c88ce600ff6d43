"""The stored conversions: orders that followed contacts, with what is left of them after refunds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from core.calendar import micros, moment
from records.decisions import DecisionLog
from records.tables import conversions

_BATCH = 5000  # rows of a statement


@dataclass(frozen=True, slots=True)
class Conversion:
    """An order that followed a contact.

    Attributes:
        at: when it was placed.
        net: what was paid less what was refunded, in currency. discount: given on it, in currency.
    """

    order_id: str
    customer_key: int
    decision_id: str
    at: datetime
    net: float
    discount: float


def replace_all(log: DecisionLog, rows: Iterable[Conversion]) -> int:
    """Store exactly these conversions; returns how many rows were added, changed or removed.

    Orders change: they are refunded or cancelled, or belong to another customer after a merge. Stored again,
    the same rows change nothing.
    """
    new = {(row.order_id, row.customer_key): row for row in rows}
    with log.writing() as connection:
        stored = {(row.order_id, row.customer_key): row for row in _read(connection, None)}
        gone = [key for key, row in stored.items() if new.get(key) != row]
        added = [row for key, row in new.items() if stored.get(key) != row]
        if gone:
            named = sa.delete(conversions).where(
                conversions.c.order_id == sa.bindparam("o"), conversions.c.customer_key == sa.bindparam("k")
            )
            connection.execute(named, [{"o": order, "k": key} for order, key in gone])
        for start in range(0, len(added), _BATCH):
            connection.execute(sa.insert(conversions), [_row(row) for row in added[start : start + _BATCH]])
    return len({*gone, *((row.order_id, row.customer_key) for row in added)})


def of_decision(log: DecisionLog, decision_id: str) -> list[Conversion]:
    """The conversions of a decision, in the order in which they were placed."""
    with log.reading() as connection:
        return _read(connection, decision_id)


def _read(connection: sa.Connection, decision_id: str | None) -> list[Conversion]:
    statement = sa.select(conversions).order_by(conversions.c.at_us, conversions.c.order_id)
    if decision_id is not None:
        statement = statement.where(conversions.c.decision_id == decision_id)
    return [
        Conversion(row.order_id, row.customer_key, row.decision_id, moment(row.at_us), row.net, row.discount)
        for row in connection.execute(statement)
    ]


def _row(row: Conversion) -> dict[str, object]:
    columns = asdict(row)
    return columns | {"at_us": micros(columns.pop("at"))}
