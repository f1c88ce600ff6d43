"""The rows that the last import rejected: their reasons, and what was written in them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from core.errors import PatronError
from core.home import Home
from core.storage import sql
from core.storage.duckdb_engine import connect
from events import lake
from events.files import expressions
from events.files.canonical.rows import UNTIMELY
from events.files.drafting import hints
from events.files.mapping import Mapping
from events.files.sections import listed

REPORT_ROWS = 20
MAX_TEXT = 60
"""Characters of a cell that are shown."""
MAX_SAMPLES = 5
HIDDEN = "(not shown: it may name a person)"
_COLUMNS = ("order_id", "product_id", "quantity", "amount", "price", "timestamp")


def report(home: Home, per_reason: int = REPORT_ROWS) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The first rejected rows of each reason, without their customers.

    Returns:
        The columns' names and the rows, by reason and position in the file; times are in the shop's zone.
    """
    cursor = connect().con.execute(
        "SELECT * FROM read_parquet(?) QUALIFY row_number() OVER (PARTITION BY reason ORDER BY row_number)"
        " <= ? ORDER BY reason, row_number",
        [str(file(home)), per_reason],
    )
    zone = ZoneInfo(home.shop().time_zone)
    rows = [tuple(_local(value, zone) for value in row) for row in cursor.fetchall()]
    return [column[0] for column in cursor.description], rows


def _local(value: Any, zone: ZoneInfo) -> Any:
    """A time of the report in the shop's zone; other values as they are."""
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC).astimezone(zone).isoformat(" ", "seconds")


def file(home: Home) -> Path:
    """The Parquet file of the rejected rows.

    Raises:
        PatronError: no row was rejected.
    """
    path = lake.current(home).folder / "set_aside.parquet"
    if not path.exists():
        raise PatronError(f"no import into {home.path} set anything aside")
    return path


def make_set_aside(connection: duckdb.DuckDBPyConnection, torn: int, mapping: Mapping) -> None:
    """Make ``set_aside`` of the rejected rows of ``classified``.

    Its ``text`` shows, as written, what of the row could not be used. It has no column of the customer.

    Args:
        torn: how many lines could not be taken apart into columns.
    """
    columns = [row[0] for row in connection.execute("DESCRIBE classified").fetchall()]
    shown = "".join(f", {column}" for column in _COLUMNS if column in columns)
    connection.execute(
        f"CREATE TABLE set_aside AS SELECT row_number, reason{shown}, {_text(mapping)} AS text"
        " FROM classified WHERE reason IS NOT NULL ORDER BY row_number"
    )
    if torn:
        connection.execute(
            "INSERT INTO set_aside BY NAME SELECT line AS row_number, 'unreadable' AS reason,"
            " 'the line: ' || lower(min(error_type::VARCHAR)) AS text FROM reject_errors GROUP BY line"
        )


def samples(connection: duckdb.DuckDBPyConnection) -> str:
    """Some texts that could not be used, for the end of a message; "" where there are none."""
    texts = connection.execute(
        "SELECT text, min(row_number) AS first FROM set_aside WHERE text IS NOT NULL AND text <> ''"
        f" GROUP BY text ORDER BY first LIMIT {MAX_SAMPLES}"
    ).fetchall()
    return "".join(f"\n  row {first}: {text}" for text, first in texts)


def _text(mapping: Mapping) -> str:
    """The cells that a row was rejected for, with their columns' names, as SQL."""
    tests: list[tuple[str, str, str | tuple[str, ...] | None]]
    tests = [("unreadable", UNTIMELY, _time_columns(mapping))]
    if mapping.orders is not None:
        orders, money = mapping.orders, "NOT coalesce(isfinite({0}) AND abs({0}) <= 1e12, false)"
        for role, column in (
            ("amount", orders.amount),
            ("price", orders.unit_price),
            ("quantity", orders.quantity),
        ):
            tests.append(("unreadable", money.format(role), column))
        if orders.discount and orders.discount_as == "share":
            tests.append(("unreadable", "discount IS NULL", orders.discount))
        tests.append(("unreadable", "total IS NULL", orders.order_total))
        for role in ("order", "product"):
            tests.append(("unreadable", f"coalesce({role}_id, '') = ''", getattr(orders, role)))
        for reason in ("other_currency", "no_rate"):
            tests += [(reason, "true", c) for c in (orders.amount, orders.unit_price, orders.currency)]
    if mapping.activities is not None:
        tests.append(("unreadable", "amount IS NULL", mapping.activities.amount))
        tests.append(("unreadable", "event_name IS NULL", mapping.activities.name))
    cells = [
        f"CASE WHEN reason = '{reason}' AND {test} THEN {sql.literal(' '.join(listed(columns)) + ': ')}"
        f" || {_shown(columns, is_time=columns == _time_columns(mapping))} END"
        for reason, test, columns in tests
        if columns is not None
    ]
    return f"nullif(concat_ws('; ', {', '.join(cells)}), '')" if cells else "NULL::VARCHAR"


def _shown(columns: str | tuple[str, ...], *, is_time: bool) -> str:
    """The text of a cell as far as it names nobody, as SQL.

    A wrong mapping may take a column of people for one of times or amounts.
    """
    if any(hints.PERSONAL.search(name) for name in listed(columns)):
        return sql.literal(HIDDEN)
    text = f"coalesce({expressions.moment_text(columns)}, '')"
    nameless = f"NOT contains({text}, '@')"
    if is_time:  # a column most of whose texts are no times may be one of names, which have no digits
        mostly_times = f"(SELECT avg(({UNTIMELY})::INT) FROM classified) < 0.5"
        nameless += f" AND ({mostly_times} OR {text} = '' OR regexp_matches({text}, '[0-9]'))"
    return f"CASE WHEN {nameless} THEN left({text}, {MAX_TEXT}) ELSE {sql.literal(HIDDEN)} END"


def _time_columns(mapping: Mapping) -> str | tuple[str, ...] | None:
    section = mapping.orders or mapping.customers or mapping.activities
    return section.time if section else None
