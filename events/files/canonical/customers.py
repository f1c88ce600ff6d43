"""Rows of a list of customers → ``classified``, and traits of any mapping's rows → ``traits``."""

from __future__ import annotations

import duckdb

from core.storage import sql
from events.files import expressions
from events.files.canonical.rows import UNTIMELY
from events.files.mapping import Mapping
from events.files.reader import raw_column
from events.files.sections import CustomersSection


def classify_customers(
    connection: duckdb.DuckDBPyConnection, customers: CustomersSection, mapping: Mapping
) -> None:
    """Make ``classified`` of ``raw``."""
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
            WHEN {UNTIMELY} THEN 'unreadable'
            WHEN customer_id IS NULL THEN 'no_customer' END AS reason FROM parsed
        """
    )


def make_traits(connection: duckdb.DuckDBPyConnection, traits: dict[str, str]) -> None:
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
