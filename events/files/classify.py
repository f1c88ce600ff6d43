"""Rows and a mapping → the canonical event tables, every row kept or set aside for one reason.

The reasons, the first that applies:

- ``unreadable``: a time, number, order or product that cannot be read, or a line torn apart wrongly;
- ``no_customer``; ``other_currency``; ``price_not_positive``;
- ``adjustment``: bookkeeping and not trade, by the mapping;
- ``not_a_sale``: a quantity or amount of 0 or below that is not a return;
- ``duplicate``: the same in every mapped column as another row; one of them is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from core.errors import PatronError
from core.storage import sql
from events.files.mapping import CategoryWords, CustomersSection, FileSection, Mapping, Match, OrdersSection
from events.files.reader import is_database, open_raw
from events.files.reader import raw_column as _column
from events.files.row_counts import Accounts

_NO_ONE = "('', 'nan', 'none', 'null', 'n/a', '-')"
# A time that no shop can mean, infinite ones among them.
_UNTIMELY = "(timestamp IS NULL OR NOT timestamp BETWEEN '1900-01-01' AND '2200-01-01')"
_ZONED = r":\d\d(\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"


def read(
    connection: duckdb.DuckDBPyConnection, place: str, mapping: Mapping, table: str | None = None
) -> Accounts:
    """Make ``order_lines``, ``refunds``, ``traits`` and ``set_aside`` of a file or database table.

    Returns:
        What became of every row.

    Raises:
        PatronError: it cannot be read, lacks a mapped column, or no row of it can be kept.
    """
    try:
        return _read(connection, place, mapping, table)
    except duckdb.Error as error:  # such as a time format that there is not
        first = str(error).splitlines()[0][:150]
        raise PatronError(
            f"{_named(place)} cannot be read by this mapping ({first}); nothing was imported"
        ) from error


def _read(connection: duckdb.DuckDBPyConnection, place: str, mapping: Mapping, table: str | None) -> Accounts:
    torn, ignored = open_raw(connection, place, mapping.file, mapping.columns(), table)
    if mapping.orders is not None:
        _judge_orders(connection, mapping.orders, mapping)
        told = mapping.orders.traits
    else:
        assert mapping.customers is not None
        _judge_customers(connection, mapping.customers, mapping)
        told = mapping.customers.traits
    set_aside = _set_aside(connection, place, torn)
    _traits(connection, told)
    _orders(connection, mapping.orders is not None)
    connection.execute("DROP TABLE raw")
    kept = {name: _count(connection, f"SELECT count(*) FROM {name}") for name in ("order_lines", "refunds")}
    if mapping.orders is None:
        kept = {"customers": _count(connection, "SELECT count(*) FROM judged WHERE reason IS NULL")}
    read_rows = _count(connection, "SELECT count(*) FROM judged") + torn
    return Accounts(read_rows, kept, set_aside, {"columns_ignored": len(ignored)} if ignored else {})


def _judge_orders(connection: duckdb.DuckDBPyConnection, orders: OrdersSection, mapping: Mapping) -> None:
    file, zone = mapping.file, mapping.shop.time_zone
    amount = _number(orders.amount, file) if orders.amount else "NULL::DOUBLE"
    quantity = _number(orders.quantity, file) if orders.quantity else "1::DOUBLE"
    price = _number(orders.unit_price, file) if orders.unit_price else "NULL::DOUBLE"
    total = "amount" if orders.amount else "quantity * price"
    returned = _matches(orders.returns, file) if orders.returns else f"quantity < 0 OR {total} < 0"
    order = _id(orders.order) if orders.order else "NULL::VARCHAR"
    product = _id(orders.product) if orders.product else "NULL::VARCHAR"
    received = _time(orders.received_at, orders.time_formats, zone) if orders.received_at else "timestamp"
    connection.execute(
        f"""
        CREATE TABLE judged AS
        WITH parsed AS (
            SELECT *, {_customer(orders.customer)} AS customer_id,
                {_time(orders.time, orders.time_formats, zone)} AS timestamp,
                {order} AS order_id,
                {product} AS product_id,
                {amount} AS amount, {quantity} AS quantity, {price} AS price,
                {_number(orders.discount, file) if orders.discount else "0::DOUBLE"} AS discount
            FROM raw),
        valued AS (SELECT *, {received} AS received_at, {total} AS total,
            coalesce({returned}, false) AS is_return, {_category(orders, file)} AS event_category FROM parsed)
        SELECT *, CASE
            WHEN {_UNTIMELY} OR total IS NULL OR NOT isfinite(total) OR abs(total) > 1e12
                OR quantity IS NULL OR NOT abs(quantity) <= 1e15 {_needed(orders)} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer'
            {_wrong_currency(orders, mapping)}
            WHEN {_worthless(orders)} THEN 'price_not_positive'
            WHEN coalesce({_matches(orders.adjustments, file)}, false) THEN 'adjustment'
            WHEN round(quantity) = 0 OR (NOT is_return AND (quantity < 0 OR total < 0)) THEN 'not_a_sale'
            {_twice(orders)}
        END AS reason FROM valued
        """
    )


def _needed(orders: OrdersSection) -> str:
    """What else must be readable, where it is mapped."""
    there = [name for name in ("order", "product") if getattr(orders, name)]
    return "".join(f" OR coalesce({name}_id, '') = ''" for name in there)


def _wrong_currency(orders: OrdersSection, mapping: Mapping) -> str:
    if orders.currency is None:
        return ""
    code = f"upper(trim({_column(orders.currency)}::VARCHAR))"
    return f"WHEN {code} IS DISTINCT FROM '{mapping.shop.currency}' THEN 'other_currency'"


def _worthless(orders: OrdersSection) -> str:
    limit = "<" if orders.free_lines == "keep" else "<="
    return f"price {limit} 0" if orders.unit_price else "total = 0" if limit == "<=" else "false"


def _twice(orders: OrdersSection) -> str:
    if orders.identical_lines == "all":
        return ""
    same = ", ".join(map(_column, orders.columns()))
    return f"WHEN row_number() OVER (PARTITION BY {same} ORDER BY row_number) > 1 THEN 'duplicate'"


def _judge_customers(
    connection: duckdb.DuckDBPyConnection, customers: CustomersSection, mapping: Mapping
) -> None:
    zone = mapping.shop.time_zone
    when = (
        _time(customers.time, customers.time_formats, zone)
        if customers.time
        else _local(f"TRY_CAST({sql.literal(str(customers.since))} AS TIMESTAMP)", zone)
    )
    connection.execute(
        f"""
        CREATE TABLE judged AS
        WITH parsed AS (
            SELECT *, {_customer(customers.customer)} AS customer_id, {when} AS timestamp FROM raw)
        SELECT *, timestamp AS received_at, NULL::VARCHAR AS order_id, CASE
            WHEN {_UNTIMELY} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer' END AS reason FROM parsed
        """
    )


def _orders(connection: duckdb.DuckDBPyConnection, any_orders: bool) -> None:
    """Make ``order_lines`` and ``refunds``, empty where the file has none."""
    columns = (
        "customer_id, timestamp, received_at, order_id, product_id,"
        " event_category AS category, round(abs(quantity))::BIGINT AS quantity,"
        " round(abs(total), 4) AS amount, discount"
    )
    if any_orders:
        connection.execute(
            f"CREATE TABLE order_lines AS SELECT {columns} FROM judged WHERE reason IS NULL AND NOT is_return"
        )
        connection.execute(
            f"CREATE TABLE refunds AS SELECT * EXCLUDE (discount, order_id), NULL::VARCHAR AS order_id,"
            f" false AS matched FROM (SELECT {columns} FROM judged WHERE reason IS NULL AND is_return)"
        )
        return
    empty = "NULL::VARCHAR AS order_id, NULL::VARCHAR AS product_id, NULL::VARCHAR AS category"
    start = f"SELECT customer_id, timestamp, received_at, {empty}, 0 AS quantity, 0 AS amount"
    connection.execute(f"CREATE TABLE order_lines AS {start}, 0 AS discount FROM judged LIMIT 0")
    connection.execute(f"CREATE TABLE refunds AS {start}, false AS matched FROM judged LIMIT 0")


def _traits(connection: duckdb.DuckDBPyConnection, told: dict[str, str]) -> None:
    """What rows tell of customers; repeated news is left out where events are merged."""
    parts = [
        f"SELECT customer_id, timestamp, received_at, {sql.literal(name)} AS name,"
        f" trim({_column(column)}::VARCHAR) AS value FROM judged WHERE reason IS NULL"
        f" AND lower(trim({_column(column)}::VARCHAR)) NOT IN {_NO_ONE}"
        for name, column in told.items()
    ] or ["SELECT customer_id, timestamp, received_at, '' AS name, '' AS value FROM judged LIMIT 0"]
    connection.execute(
        "CREATE TABLE traits AS SELECT customer_id, timestamp, min(received_at) AS received_at, name, value"
        f" FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL"
    )


def _set_aside(connection: duckdb.DuckDBPyConnection, place: str, torn: int) -> dict[str, int]:
    """Make ``set_aside``, which holds no customer, and count it by reason."""
    counts: dict[str, int] = dict(
        connection.execute(
            "SELECT reason, count(*) FROM judged WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    if torn:
        counts["unreadable"] = counts.get("unreadable", 0) + torn
    total = _count(connection, "SELECT count(*) FROM judged") + torn
    if sum(counts.values()) == total:
        said = ", ".join(f"{reason.replace('_', ' ')}: {n:,}" for reason, n in counts.items())
        raise PatronError(
            f"{_named(place)}: none of its {total:,} rows can be used ({said}); nothing was imported"
        )
    there = [row[0] for row in connection.execute("DESCRIBE judged").fetchall()]
    shown = [c for c in ("order_id", "product_id", "quantity", "amount", "price", "timestamp") if c in there]
    connection.execute(
        f"CREATE TABLE set_aside AS SELECT row_number, reason, {', '.join(shown)} FROM judged"
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


def _id(column: str) -> str:
    """An id as text; numbers that a spreadsheet gave a decimal point lose it."""
    return f"regexp_replace(trim({_column(column)}::VARCHAR), '^(\\d+)\\.0+$', '\\1')"


def _customer(column: str) -> str:
    text = _id(column)
    return f"CASE WHEN lower({text}) NOT IN {_NO_ONE} THEN {text} END"


def _number(column: str | None, file: FileSection) -> str:
    """A number, also with currency signs, thousands separators and the file's decimal mark."""
    text = f"trim({_column(column)}::VARCHAR)"
    bare = f"regexp_replace({text}, '[€$£¥￥元\\s\\x{{00A0}}\\x{{202F}}]|[A-Z]{{3}}', '', 'g')"
    if file.thousands:
        bare = f"replace({bare}, {sql.literal(file.thousands)}, '')"
    if file.decimal == ",":
        return f"TRY_CAST(replace({bare}, ',', '.') AS DOUBLE)"
    return f"coalesce(TRY_CAST({text} AS DOUBLE), TRY_CAST({bare} AS DOUBLE))"


def _time(column: str | None, formats: Sequence[str], zone: str) -> str:
    """A moment in UTC: with a zone as it says, without one in the shop's."""
    text = f"trim({_column(column)}::VARCHAR)"
    if formats:
        zoned = [f for f in formats if re.search("%z", f, re.IGNORECASE)]
        naive = [f for f in formats if f not in zoned]
        instants = [f"timezone('UTC', {_strptime(text, zoned)})"] if zoned else []
        locals_ = [_local(_strptime(text, naive), zone)] if naive else []
        return f"coalesce({', '.join(instants + locals_)})"
    instant = f"timezone('UTC', TRY_CAST({text} AS TIMESTAMPTZ))"
    local = _local(f"TRY_CAST({text} AS TIMESTAMP)", zone)
    return f"CASE WHEN regexp_matches({text}, '{_ZONED}') THEN {instant} ELSE {local} END"


def _strptime(text: str, formats: Sequence[str]) -> str:
    return f"try_strptime({text}, [{', '.join(map(sql.literal, formats))}])"


def _local(moment: str, zone: str) -> str:
    return f"timezone('UTC', timezone({sql.literal(zone)}, {moment}))"


def _matches(match: Match | None, file: FileSection) -> str:
    if match is None:
        return "false"
    text, tests = f"{_column(match.column)}::VARCHAR", []
    if match.starts_with is not None:
        tests.append(f"starts_with({text}, {sql.literal(match.starts_with)})")
    if match.one_of:
        tests.append(f"trim({text}) IN ({', '.join(map(sql.literal, match.one_of))})")
    if match.negative:
        tests.append(f"{_number(match.column, file)} < 0")
    return f"({' OR '.join(tests) or 'false'})"


def _category(orders: OrdersSection, file: FileSection) -> str:
    if orders.category is not None:
        return f"nullif(trim({_column(orders.category)}::VARCHAR), '')"
    if orders.category_words is None:
        return "NULL::VARCHAR"
    return _by_words(orders.category_words, file)


def _by_words(by: CategoryWords, file: FileSection) -> str:
    text = _column(by.column)
    patterns = {name: sql.literal(rf"\b({words})S?\b") for name, words in by.words.items()}
    cases = "".join(
        f" WHEN regexp_matches({text}, {pattern}) THEN {sql.literal(name)}"
        for name, pattern in patterns.items()
    )
    return f"CASE WHEN {_matches(by.none_for, file)} THEN NULL{cases} ELSE {sql.literal(by.other)} END"
