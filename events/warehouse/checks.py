"""Whether the rows of a company's queries are what the event tables need: one pass over each table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from core.home import Home
from events.identity.customer_ids import BLANKS, PLACEHOLDERS, ZEROES
from events.taxonomy import MEANINGS
from events.warehouse.columns import MappingProblem, column_problems
from events.warehouse.local_time import MOMENT
from events.warehouse.mapping import TABLES, queries_of
from events.warehouse.tables import source_of

if TYPE_CHECKING:
    from core.storage.warehouses.session import WarehouseSession

_KNOWN_KINDS = {meaning.kind for meaning in MEANINGS.values()}


def check(home: Home, backend: WarehouseSession) -> tuple[dict[str, int], list[MappingProblem]]:
    """The number of rows of each event table, and what is wrong with them.

    The rows of a table whose columns are wrong are not read.

    Raises:
        PatronError: the mapping or the warehouse cannot be used.
    """
    rows: dict[str, int] = {}
    problems: list[MappingProblem] = []
    now = home.shop().now() if home.settings_file.exists() else home.wall()
    for table, query in queries_of(home, backend.dialect).items():
        wrong = column_problems(table, backend.types_of(query), backend.name)
        if not wrong:
            rows[table], wrong = _row_problems(table, source_of(table, query, backend), now, backend)
        problems += wrong
    return rows, problems


def _row_problems(
    table: str, rows: ir.Table, now: datetime, backend: WarehouseSession
) -> tuple[int, list[MappingProblem]]:
    """The number of rows, and what is wrong with some of them."""
    conditions = _conditions(table, rows, now)
    counts = {f"count_{i}": rows.count(where=wrong) for i, (_, wrong, _) in enumerate(conditions)}
    if "message_id" in rows.columns:
        counts["repeated"] = rows.message_id.count() - rows.message_id.nunique()
    (row,) = backend.to_pyarrow(rows.aggregate(rows=rows.count(), **counts)).to_pylist()
    problems = [
        MappingProblem.of(table, column, f"{advice} ({row[f'count_{i}']:,} of {row['rows']:,} rows)")
        for i, (column, _, advice) in enumerate(conditions)
        if row[f"count_{i}"]
    ]
    if row.get("repeated"):
        text = f"repeats ids; select each message once ({row['repeated']:,} of {row['rows']:,} rows)"
        problems.append(MappingProblem.of(table, "message_id", text))
    return row["rows"], problems


def _conditions(table: str, rows: ir.Table, now: datetime) -> list[tuple[str, ir.BooleanValue, str]]:
    """Columns, what is wrong with a row, and what to do."""
    moment = ibis.literal(now.astimezone(UTC), MOMENT)
    conditions = [
        (name, rows[name].isnull(), "is null; leave these rows out, or select a value")
        for name, column in TABLES[table].items()
        if column.required
    ]
    for name in ("timestamp", "received_at"):
        late = "is in the future, where no feature sees it; correct it at its source"
        conditions.append((name, rows[name] > moment, late))
    ids = rows.customer_id
    bare = ids.strip()
    placeholder = bare.lower().isin(["", *PLACEHOLDERS]) | bare.re_search(f"^{ZEROES}$")
    conditions.append(
        ("customer_id", placeholder, "names no customer, such as null or 0; leave these rows out")
    )
    conditions.append(
        (
            "customer_id",
            ids.re_search(f"^[{BLANKS}]|[{BLANKS}]$") & ~placeholder,
            "has blanks around it, so that one customer has two ids; select trim(customer_id)",
        )
    )
    if table == "refunds":
        conditions.append(("amount", rows.amount <= 0, "is 0 or below; select the money given back, above 0"))
    if "kind" in rows.columns:
        unknown = rows.kind.notnull() & ~rows.kind.isin(sorted(_KNOWN_KINDS))
        kinds = "is no kind of event; see docs/events.md, or select null where there is none"
        conditions.append(("kind", unknown, kinds))
    if "properties" in rows.columns:
        broken = rows.properties.notnull() & rows.properties.try_cast("json").isnull()
        conditions.append(("properties", broken, "is no JSON; select a JSON object, or null"))
    return conditions
