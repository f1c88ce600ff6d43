"""The events of one customer, read in the warehouse within a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from core.home import Home
from events.identity import Identity
from events.schema import SCHEMAS, STORED
from events.warehouse.backend import connect
from events.warehouse.tables import CUSTOMERS, event_table, sources_of

if TYPE_CHECKING:
    from core.storage.warehouses.session import WarehouseSession

MAX_SECONDS = 20  # of a query, which someone waits for
MAX_ROWS = 10_000
"""The most rows of an event table; an order or a refund of which some are beyond them is left out."""


def rows_of_customer(home: Home, customer_key: int) -> dict[str, pa.Table]:
    """The newest rows of a customer in each event table, with the columns of ``STORED``.

    Raises:
        PatronError: the mapping or the warehouse cannot be used.
    """
    tables = {name: ibis.schema(STORED[name]).to_pyarrow().empty_table() for name in SCHEMAS}
    if (customer_id := Identity(home).ids([customer_key]).get(customer_key)) is None:
        return tables
    backend = connect(home.warehouse)
    try:
        backend.limit_queries(MAX_SECONDS)
        return tables | _read(home, backend, customer_key, customer_id)
    finally:
        backend.disconnect()


def _read(home: Home, backend: WarehouseSession, key: int, customer_id: str) -> dict[str, pa.Table]:
    customers = ibis.memtable({"customer_key": [key], "customer_id": [customer_id]}, schema=CUSTOMERS)
    zone, tables = home.shop().time_zone, {}
    for name, source in sources_of(home, backend).items():
        own = source.filter(source.customer_id == customer_id)
        rows = event_table(name, own, customers, zone, backend.name)
        newest = backend.to_pyarrow(rows.order_by(rows.timestamp.desc()).limit(MAX_ROWS + 1))
        tables[name] = _whole(newest)
    return tables


def _whole(newest: pa.Table) -> pa.Table:
    """The first ``MAX_ROWS`` rows, without an order that goes on after them."""
    rest = newest.slice(MAX_ROWS)
    if not rest.num_rows or "order_id" not in newest.column_names:
        return newest.slice(0, MAX_ROWS)
    return newest.filter(pc.not_equal(newest["order_id"], rest["order_id"][0]))
