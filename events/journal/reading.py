"""Reading the journal: the events and the customers of the messages after a number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import ibis
import pyarrow as pa
import sqlalchemy as sa

from core.calendar import moment
from core.storage.database import Database, among
from events.identity import merges
from events.journal.schema import journal, messages, newest
from events.schema import FACTS, SCHEMAS

_ANY_OF_CUSTOMER = "SELECT seq FROM journal WHERE customer_key = ? AND seq > ? LIMIT 1"
_LINE, _REFUND = (len(SCHEMAS[name]) - 1 for name in ("order_lines", "refunds"))


def last(database: Database) -> int:
    """The number of the newest message; 0 if there was none."""
    with database.reading() as connection:
        return newest(connection)


def last_received(database: Database) -> datetime | None:
    """When the newest message was received; None if the journal has none, since the lake holds all."""
    statement = sa.select(journal.c.received_at_us).order_by(journal.c.seq.desc()).limit(1)
    with database.reading() as connection:
        received_at_us: int | None = connection.execute(statement).scalar()
    return None if received_at_us is None else moment(received_at_us)


@dataclass(frozen=True)
class Changes:
    """What changed after a number of the journal.

    Attributes:
        upto: the newest number.
        customer_keys: the customers of the messages, ascending, without the merged ones.
        merged: the customers who were merged into others.
        received_at_us: when the latest message was received, microseconds since 1970; 0 without messages.
    """

    upto: int
    customer_keys: list[int]
    merged: list[int]
    received_at_us: int


def changes(database: Database, after: int) -> Changes:
    """What the messages after a number changed."""
    with database.reading() as connection:
        upto = newest(connection)
        within = journal.c.seq > after, journal.c.seq <= upto
        stored = connection.execute(sa.select(journal.c.customer_key).where(*within).distinct()).scalars()
        keys = _current(connection, set(stored))
        merged = connection.execute(
            sa.select(merges.c.customer_key).where(merges.c.seq > after, merges.c.seq <= upto).distinct()
        ).scalars().all()  # fmt: skip
        latest = connection.execute(sa.select(sa.func.max(journal.c.received_at_us)).where(*within)).scalar()
        return Changes(upto, sorted(keys - set(merged)), sorted(merged), latest or 0)


def _current(connection: sa.Connection, keys: set[int]) -> set[int]:
    """Those customers who were never merged, and those whom the others became."""
    of = merges.c.customer_key
    into = sa.select(merges.c.into).where(among(connection, of, sorted(keys))).distinct()
    everyone = keys | set(connection.execute(into).scalars())
    gone = sa.select(of).where(among(connection, of, sorted(everyone))).distinct()
    return everyone - set(connection.execute(gone).scalars())


def oldest(database: Database, after: int) -> int | None:
    """When the first message after a number was received, microseconds since 1970; None if none came."""
    statement = (
        sa.select(journal.c.received_at_us).where(journal.c.seq > after).order_by(journal.c.seq).limit(1)
    )
    with database.reading() as connection:
        received_at_us: int | None = connection.execute(statement).scalar()
        return received_at_us


def tail(
    database: Database, after: int, upto: int | None = None, customer_keys: Sequence[int] | None = None
) -> dict[str, pa.Table]:
    """The events after a number: per event table its rows, with the columns and types of ``SCHEMAS``.

    Orders and refunds are as they were stated, with the columns of ``FACTS``.

    Args:
        upto: the last number. customer_keys: only these customers' own events.
    """
    if customer_keys is not None and len(customer_keys) == 1:  # part of every decision
        any_row = database.first(_ANY_OF_CUSTOMER, (int(customer_keys[0]), after))
        if any_row is None:
            return tables(())
    statement = sa.select(journal.c.seq, journal.c.customer_key, journal.c.events).where(
        journal.c.seq > after
    )
    statement = statement if upto is None else statement.where(journal.c.seq <= upto)
    with database.reading() as connection:
        if customer_keys is not None:
            keys = [int(key) for key in customer_keys]
            statement = statement.where(among(connection, journal.c.customer_key, keys))
        rows = connection.execute(statement.order_by(journal.c.seq)).all()
    return tables(rows)


def tables(stored: Iterable[Sequence[Any]]) -> dict[str, pa.Table]:
    """Rows of (seq, customer_key, events as JSON) as event tables."""
    rows: dict[str, list[list[Any]]] = {name: [] for name in SCHEMAS}
    for seq, key, events in stored:
        for name, part in json.loads(events).items():
            if name == "order_lines":  # the last value of a row, a flag, stands only where it is true
                rows[name] += [[key, *row[:_LINE], row[0], seq, len(row) > _LINE] for row in part]
            elif name == "refunds":
                rows[name] += [[key, *row[:_REFUND], seq, len(row) > _REFUND] for row in part]
            else:
                rows[name] += [[key, *row] for row in part]
    return {name: _table(name, part) for name, part in rows.items()}


def _table(name: str, rows: list[list[Any]]) -> pa.Table:
    schema = _schema(name)
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    arrays = [_array(values, column.type) for column, values in zip(schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


@cache
def _schema(name: str) -> pa.Schema:
    return ibis.schema(FACTS.get(name, SCHEMAS[name])).to_pyarrow()


def _array(values: Sequence[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(dtype):
        values = [None if value is None else Decimal(value) for value in values]
    return pa.array(values, dtype)


def arrived(database: Database) -> int:
    """How many messages were ever stored, including those that the lake contains."""
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one()
