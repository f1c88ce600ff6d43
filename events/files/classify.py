"""Rows and a mapping → the canonical event tables, every row is accepted or rejected for one reason.

The reasons, the first that applies:

- ``unreadable``: a time, number, order or product that cannot be read, or a line torn apart wrongly;
- ``no_customer``; ``other_currency``; ``price_not_positive``;
- ``adjustment``: bookkeeping and not trade, by the mapping;
- ``not_a_sale``: a quantity or amount of 0 or below that is not a return;
- ``duplicate``: the same in every mapped column as another row; the first is accepted.
"""

from __future__ import annotations

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files import expressions
from events.files.mapping import CustomersSection, Mapping, OrdersSection
from events.files.reader import is_database, open_raw, raw_column
from events.files.row_counts import RowCounts

# Times outside these years are errors of the file; infinite ones too.
_UNTIMELY = "(timestamp IS NULL OR NOT timestamp BETWEEN '1900-01-01' AND '2200-01-01')"


def read(
    connection: duckdb.DuckDBPyConnection, place: str, mapping: Mapping, table: str | None = None
) -> RowCounts:
    """Make ``order_lines``, ``refunds``, ``traits`` and ``set_aside`` of a file or database table.

    Returns:
        The count of rows by what became of them.

    Raises:
        PatronError: it cannot be read, lacks a mapped column, or every row is rejected.
    """
    try:
        return _read(connection, place, mapping, table)
    except duckdb.Error as error:  # an unknown time format, for example
        first = str(error).splitlines()[0][:150]
        raise PatronError(
            f"{_named(place)} cannot be read by this mapping ({first}); nothing was imported"
        ) from error


def _read(
    connection: duckdb.DuckDBPyConnection, place: str, mapping: Mapping, table: str | None
) -> RowCounts:
    raw = open_raw(connection, place, mapping.file, mapping.columns(), table)
    if mapping.orders is not None:
        _classify_orders(connection, mapping.orders, mapping)
        traits = mapping.orders.traits
    else:
        assert mapping.customers is not None
        _classify_customers(connection, mapping.customers, mapping)
        traits = mapping.customers.traits
    rejected = _rejected(connection, place, raw.torn)
    _traits(connection, traits)
    _orders(connection, mapping.orders is not None)
    connection.execute("DROP TABLE raw")
    events = {name: _count(connection, f"SELECT count(*) FROM {name}") for name in ("order_lines", "refunds")}
    if mapping.orders is None:
        events = {"customers": _count(connection, "SELECT count(*) FROM classified WHERE reason IS NULL")}
    read_rows = _count(connection, "SELECT count(*) FROM classified") + raw.torn
    notes = {"columns_ignored": len(raw.ignored)} if raw.ignored else {}
    return RowCounts(read_rows, events, rejected, notes, raw.format, raw.notes)


def _classify_orders(connection: duckdb.DuckDBPyConnection, orders: OrdersSection, mapping: Mapping) -> None:
    file, zone = mapping.file, mapping.shop.time_zone
    amount = expressions.number(orders.amount, file) if orders.amount else "NULL::DOUBLE"
    quantity = expressions.number(orders.quantity, file) if orders.quantity else "1::DOUBLE"
    price = expressions.number(orders.unit_price, file) if orders.unit_price else "NULL::DOUBLE"
    total = "amount" if orders.amount else "quantity * price"
    returned = expressions.matches(orders.returns, file) if orders.returns else f"quantity < 0 OR {total} < 0"
    order = expressions.identifier(orders.order) if orders.order else "NULL::VARCHAR"
    product = expressions.identifier(orders.product) if orders.product else "NULL::VARCHAR"
    received = "timestamp"
    if orders.received_at:
        received = expressions.moment(orders.received_at, orders.time_formats, zone)
    category = expressions.category(orders, file)
    connection.execute(
        f"""
        CREATE TABLE classified AS
        WITH parsed AS (
            SELECT *, {expressions.customer(orders.customer)} AS customer_id,
                {expressions.moment(orders.time, orders.time_formats, zone)} AS timestamp,
                {order} AS order_id,
                {product} AS product_id,
                {amount} AS amount, {quantity} AS quantity, {price} AS price,
                {expressions.number(orders.discount, file) if orders.discount else "0::DOUBLE"} AS discount
            FROM raw),
        valued AS (SELECT *, {received} AS received_at, {total} AS total,
            coalesce({returned}, false) AS is_return, {category} AS event_category FROM parsed)
        SELECT *, CASE
            WHEN {_UNTIMELY} OR total IS NULL OR NOT isfinite(total) OR abs(total) > 1e12
                OR quantity IS NULL OR NOT abs(quantity) <= 1e15 {_needed(orders)} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer'
            {_wrong_currency(orders, mapping)}
            WHEN {_nonpositive_price(orders)} THEN 'price_not_positive'
            WHEN coalesce({expressions.matches(orders.adjustments, file)}, false) THEN 'adjustment'
            WHEN round(quantity) = 0 OR (NOT is_return AND (quantity < 0 OR total < 0)) THEN 'not_a_sale'
            {_duplicate(orders)}
        END AS reason FROM valued
        """
    )


def _needed(orders: OrdersSection) -> str:
    """Conditions for the ids that are mapped and must be readable, as SQL."""
    mapped = [name for name in ("order", "product") if getattr(orders, name)]
    return "".join(f" OR coalesce({name}_id, '') = ''" for name in mapped)


def _wrong_currency(orders: OrdersSection, mapping: Mapping) -> str:
    if orders.currency is None:
        return ""
    code = f"upper(trim({raw_column(orders.currency)}::VARCHAR))"
    return f"WHEN {code} IS DISTINCT FROM '{mapping.shop.currency}' THEN 'other_currency'"


def _nonpositive_price(orders: OrdersSection) -> str:
    limit = "<" if orders.free_lines == "keep" else "<="
    return f"price {limit} 0" if orders.unit_price else "total = 0" if limit == "<=" else "false"


def _duplicate(orders: OrdersSection) -> str:
    if orders.identical_lines == "all":
        return ""
    same = ", ".join(map(raw_column, orders.columns()))
    return f"WHEN row_number() OVER (PARTITION BY {same} ORDER BY row_number) > 1 THEN 'duplicate'"


def _classify_customers(
    connection: duckdb.DuckDBPyConnection, customers: CustomersSection, mapping: Mapping
) -> None:
    zone = mapping.shop.time_zone
    when = (
        expressions.moment(customers.time, customers.time_formats, zone)
        if customers.time
        else expressions.local_moment(f"TRY_CAST({sql.literal(str(customers.since))} AS TIMESTAMP)", zone)
    )
    connection.execute(
        f"""
        CREATE TABLE classified AS
        WITH parsed AS (
            SELECT *, {expressions.customer(customers.customer)} AS customer_id, {when} AS timestamp FROM raw)
        SELECT *, timestamp AS received_at, NULL::VARCHAR AS order_id, CASE
            WHEN {_UNTIMELY} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer' END AS reason FROM parsed
        """
    )


def _orders(connection: duckdb.DuckDBPyConnection, any_orders: bool) -> None:
    """Make ``order_lines`` and ``refunds``; empty if the mapping has no orders."""
    columns = (
        "customer_id, timestamp, received_at, order_id, product_id,"
        " event_category AS category, round(abs(quantity))::BIGINT AS quantity,"
        " round(abs(total), 4) AS amount, discount"
    )
    if any_orders:
        connection.execute(
            f"CREATE TABLE order_lines AS SELECT {columns} FROM classified"
            " WHERE reason IS NULL AND NOT is_return"
        )
        connection.execute(
            f"CREATE TABLE refunds AS SELECT * EXCLUDE (discount, order_id), NULL::VARCHAR AS order_id,"
            f" false AS matched FROM (SELECT {columns} FROM classified WHERE reason IS NULL AND is_return)"
        )
        return
    empty = "NULL::VARCHAR AS order_id, NULL::VARCHAR AS product_id, NULL::VARCHAR AS category"
    start = f"SELECT customer_id, timestamp, received_at, {empty}, 0 AS quantity, 0 AS amount"
    connection.execute(f"CREATE TABLE order_lines AS {start}, 0 AS discount FROM classified LIMIT 0")
    connection.execute(f"CREATE TABLE refunds AS {start}, false AS matched FROM classified LIMIT 0")


def _traits(connection: duckdb.DuckDBPyConnection, traits: dict[str, str]) -> None:
    """Make ``traits`` of the mapped columns; unchanged values are removed when events are merged."""
    parts = [
        f"SELECT customer_id, timestamp, received_at, {sql.literal(name)} AS name,"
        f" trim({raw_column(column)}::VARCHAR) AS value FROM classified WHERE reason IS NULL"
        f" AND lower(trim({raw_column(column)}::VARCHAR)) NOT IN {expressions.NO_ONE}"
        for name, column in traits.items()
    ] or ["SELECT customer_id, timestamp, received_at, '' AS name, '' AS value FROM classified LIMIT 0"]
    connection.execute(
        "CREATE TABLE traits AS SELECT customer_id, timestamp, min(received_at) AS received_at, name, value"
        f" FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL"
    )


def _rejected(connection: duckdb.DuckDBPyConnection, place: str, torn: int) -> dict[str, int]:
    """Make ``set_aside``, without customers, of the rejected rows, and count them by reason."""
    counts: dict[str, int] = dict(
        connection.execute(
            "SELECT reason, count(*) FROM classified WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    if torn:
        counts["unreadable"] = counts.get("unreadable", 0) + torn
    total = _count(connection, "SELECT count(*) FROM classified") + torn
    if sum(counts.values()) == total:
        reasons = ", ".join(f"{reason.replace('_', ' ')}: {n:,}" for reason, n in counts.items())
        raise PatronError(
            f"{_named(place)}: none of its {total:,} rows can be used ({reasons}); nothing was imported"
        )
    columns = [row[0] for row in connection.execute("DESCRIBE classified").fetchall()]
    shown = [
        c for c in ("order_id", "product_id", "quantity", "amount", "price", "timestamp") if c in columns
    ]
    connection.execute(
        f"CREATE TABLE set_aside AS SELECT row_number, reason, {', '.join(shown)} FROM classified"
        " WHERE reason IS NOT NULL ORDER BY row_number"
    )
    if torn:
        connection.execute(
            "INSERT INTO set_aside BY NAME SELECT DISTINCT line AS row_number, 'unreadable' AS reason"
            " FROM reject_errors"
        )
    return counts


def _named(place: str) -> str:
    """A place without a database's password."""
    return "the database's table" if is_database(place) else place


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
