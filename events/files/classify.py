"""Rows and a mapping → the canonical event tables, every row is accepted or rejected for one reason.

The reasons, the first that applies:

- ``cancelled``: by the mapping, the sale did not happen;
- ``unreadable``: a time, number, order or product that cannot be read, or a line torn apart wrongly;
- ``no_customer``;
- ``other_currency``: an amount in another currency; ``no_rate``: the table of rates lacks its day;
- ``price_not_positive``;
- ``adjustment``: bookkeeping and not trade, by the mapping;
- ``not_a_sale``: a quantity or amount of 0 or below that is not a return;
- ``duplicate``: the same in every mapped column as another row; the first is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from core.errors import PatronError
from events.files.canonical import activities, customers, orders, rows
from events.files.mapping import Mapping
from events.files.rates import read_rates
from events.files.reader import open_raw
from events.files.readers.database import described
from events.files.readers.opening import first_line
from events.files.rejected_rows import make_set_aside, samples
from events.files.review.order_numbers import Repeated, repeated_numbers
from events.files.row_counts import RowCounts, in_words


@dataclass(frozen=True)
class Classified:
    """What a connection holds after a file was classified, beside the event tables.

    Attributes:
        counts: of the file's rows.
        repeated: order numbers that were used again.
        unmapped: columns that the mapping does not name; ``unmapped_hashes`` of ``classified`` has a hash
            of their cells.
    """

    counts: RowCounts
    repeated: Repeated
    unmapped: tuple[str, ...]


def read(
    connection: duckdb.DuckDBPyConnection,
    place: str,
    mapping: Mapping,
    table: str | None = None,
    folder: Path = Path(),
) -> Classified:
    """Make the event tables, ``classified`` and ``set_aside`` of a file or database table.

    Args:
        folder: the mapping's, to which the file of rates is relative.

    Raises:
        PatronError: it cannot be read, lacks a mapped column, or every row is rejected.
    """
    try:
        return _read(connection, place, mapping, table, folder)
    except duckdb.Error as error:  # an unknown time format, for example
        raise PatronError(
            f"{described(place, table)} cannot be read by this mapping ({first_line(error)});"
            " nothing was imported"
        ) from error


def _read(
    connection: duckdb.DuckDBPyConnection, place: str, mapping: Mapping, table: str | None, folder: Path
) -> Classified:
    if mapping.rates is not None:
        read_rates(connection, mapping.rates, folder)
    raw = open_raw(connection, place, mapping.file, mapping.columns(), table)
    if mapping.orders is not None:
        rows.classify_orders(connection, mapping.orders, mapping)
    elif mapping.activities is not None:
        activities.classify_activities(connection, mapping.activities, mapping)
    else:
        assert mapping.customers is not None
        customers.classify_customers(connection, mapping.customers, mapping)
    connection.execute("DROP TABLE raw")
    rejected = _rejected(connection, described(place, table), raw.torn, mapping)
    repeated, notes = Repeated(), {}
    section = mapping.orders or mapping.customers
    customers.make_traits(connection, section.traits if section else {})
    if mapping.orders is not None:
        repeated = repeated_numbers(connection, mapping.orders)
        notes = orders.make_tables(connection, mapping.orders, repeated.are_other_orders)
        accepted = _by_return(connection)
    else:
        orders.make_empty(connection)
        name = "customers"
        if mapping.activities is not None:
            activities.make_activities(connection, mapping.activities)
            name = "activities"
        accepted = {name: _count(connection, "SELECT count(*) FROM classified WHERE reason IS NULL")}
    if raw.ignored:
        notes["columns_ignored"] = len(raw.ignored)
    read_rows = _count(connection, "SELECT count(*) FROM classified") + raw.torn
    counts = RowCounts(read_rows, accepted, rejected, notes, raw.format, raw.notes)
    return Classified(counts, repeated, raw.hashed)


def _by_return(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The accepted rows of orders, by the table that they went into."""
    count = "SELECT count(*) FROM classified WHERE reason IS NULL AND {}"
    return {
        "order_lines": _count(connection, count.format("NOT is_return")),
        "refunds": _count(connection, count.format("is_return")),
    }


def _rejected(
    connection: duckdb.DuckDBPyConnection, source: str, torn: int, mapping: Mapping
) -> dict[str, int]:
    """Make ``set_aside``, without customers, of the rejected rows, and count them by reason.

    Args:
        source: the file or table, for a message.
    """
    counts: dict[str, int] = dict(
        connection.execute(
            "SELECT reason, count(*) FROM classified WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    if torn:
        counts["unreadable"] = counts.get("unreadable", 0) + torn
    make_set_aside(connection, torn, mapping)
    total = _count(connection, "SELECT count(*) FROM classified") + torn
    if sum(counts.values()) == total:
        raise PatronError(
            f"{source}: none of its {total:,} rows can be used ({in_words(counts)});"
            f" nothing was imported{samples(connection)}"
        )
    return counts


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
