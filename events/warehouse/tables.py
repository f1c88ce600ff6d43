"""The event tables of a warehouse in the form of :mod:`events.schema`, as Ibis expressions.

The ids of customers become the keys of Patron's database, which are a temporary table of the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from core.home import Home
from core.storage.database import Database
from events.identity import stored_table
from events.schema import SCHEMAS, STORED, Events
from events.taxonomy import MEANINGS
from events.warehouse.columns import column_problems, require
from events.warehouse.local_time import MOMENT, local_time
from events.warehouse.mapping import TABLES, queries_of

if TYPE_CHECKING:
    from core.storage.warehouses.session import WarehouseSession

CUSTOMERS = {"customer_key": "int64", "customer_id": "string"}
"""The columns of the table of keys by id."""
_EPOCH = "1970-01-01"
_KINDS = [(name, meaning.kind) for name, meaning in MEANINGS.items()]
_CHANNELS = [(name, meaning.channel) for name, meaning in MEANINGS.items() if meaning.channel]


def read(home: Home, backend: WarehouseSession) -> Events:
    """The event tables of a home whose lake is a warehouse, in its session; see :func:`events.lake.read`.

    Raises:
        PatronError: the mapping or the warehouse cannot be used.
    """
    customers, sources = _customers(home), sources_of(home, backend)
    zone, tables = home.shop().time_zone, {}
    for name in SCHEMAS:
        if name in sources:
            rows = event_table(name, sources[name], customers, zone, backend.name)
            # By another name than the company's own table, which it would hide.
            tables[name] = backend.define(f"patron_{name}", rows)
        else:
            tables[name] = ibis.memtable([], schema=STORED[name])
    return Events(**tables)


def new_customer_ids(home: Home, backend: WarehouseSession) -> list[str]:
    """The ids of customers whom Patron's database does not know, by their first event."""
    sightings = [rows.select("customer_id", at=rows.timestamp) for rows in sources_of(home, backend).values()]
    seen = ibis.union(*sightings, distinct=False) if len(sightings) > 1 else sightings[0]
    first = seen.group_by("customer_id").aggregate(at=seen["at"].min())
    new = first.anti_join(_customers(home), "customer_id").order_by("at", "customer_id")
    ids: list[str] = backend.to_pyarrow(new.select("customer_id"))["customer_id"].to_pylist()
    return ids


def span(events: Events, backend: WarehouseSession) -> tuple[int, int | None, int | None]:
    """The number of orders, their first day, and the last day of an order or refund."""
    lines, refunds = events.order_lines, events.refunds
    counted = lines.aggregate(orders=lines.order_id.nunique(), first=lines.day.min(), last=lines.day.max())
    (row,) = backend.to_pyarrow(counted).to_pylist()
    (back,) = backend.to_pyarrow(refunds.aggregate(last=refunds.day.max())).to_pylist()
    days = [day for day in (row["last"], back["last"]) if day is not None]
    return row["orders"], row["first"], max(days, default=None)


def sources_of(home: Home, backend: WarehouseSession) -> dict[str, ir.Table]:
    """The rows of the home's queries, by event table, with those columns of ``TABLES`` that they have.

    Raises:
        PatronError: the mapping or the warehouse cannot be used.
    """
    queries = queries_of(home, backend.dialect)
    return {name: source_of(name, query, backend) for name, query in queries.items()}


def source_of(name: str, query: str, backend: WarehouseSession) -> ir.Table:
    """The rows of one query; see :func:`sources_of`."""
    present = backend.types_of(query)
    require(column_problems(name, present, backend.name))
    schema = {column: of.dtype for column, of in TABLES[name].items() if column in present}
    return backend.source(query, ibis.schema(schema))


def _customers(home: Home) -> ir.Table:
    """The keys of customers by id, as a table of the session."""
    with Database(home).reading() as connection:
        keys = stored_table(connection)
    return ibis.memtable(keys.select(list(CUSTOMERS)), schema=CUSTOMERS)


def event_table(name: str, rows: ir.Table, customers: ir.Table, zone: str, dialect: str) -> ir.Table:
    """An event table as ``STORED`` describes it.

    Args:
        rows: of the company's query. customers: their keys by id.
        zone: the shop's time zone. dialect: Ibis' name of the warehouse.
    """
    known = rows.inner_join(customers, "customer_id")
    there = local_time(dialect, zone, known.timestamp)
    day = there.date().delta(ibis.date(_EPOCH), unit="day").cast("int32")
    own = {"customer_key": known.customer_key, "day": day, "hour": there.hour()} | _defaults(name, known, day)
    columns = {}
    for column, dtype in STORED[name].items():
        value = own.get(column)
        if value is None:
            value = known[column] if column in known.columns else ibis.null()
        if column in TABLES[name] and TABLES[name][column].dtype == MOMENT and column in known.columns:
            value = local_time(dialect, "UTC", known[column])
        columns[column] = value.cast(dtype)
    return known.select(**columns)


def _defaults(name: str, rows: ir.Table, day: ir.IntegerValue) -> dict[str, ir.Value]:
    """What stands in for columns that are missing, or for an order without a number."""
    values: dict[str, ir.Value] = {}
    if name == "order_lines":
        own_order = rows.customer_key.cast("string") + "-" + day.cast("string")
        number = rows.order_id if "order_id" in rows.columns else ibis.null("string")
        values["order_id"] = ibis.coalesce(number, own_order)
    if name == "refunds":
        values["quantity"] = ibis.literal(1)
        values["matched"] = rows.order_id.notnull() if "order_id" in rows.columns else ibis.literal(False)
    if name == "activities":
        values["kind"] = rows.name.cases(*_KINDS, else_=ibis.null("string"))
        values["channel"] = rows.name.cases(*_CHANNELS, else_=ibis.null("string"))
    return {c: v for c, v in values.items() if c == "order_id" or c not in rows.columns}
