"""Orders with more than one fact: reading the facts, resolving them, and replacing the stored rows.

A fact is a version of an order, a refund or a cancellation. Most orders have one fact, and their rows are
read unchanged; the others are listed by :class:`Settled` and resolved by :mod:`events.lake.order_versions`.
Facts of merged customers count for both customers, so that a refund of a customer matches an order made on
their device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from core.calendar import moment
from events.identity import Merge
from events.lake.order_facts import LineFact, OrderMoney, RefundFact, limit_versions
from events.lake.order_versions import resolve
from events.schema import FACTS, STORED

TABLES = ("order_lines", "refunds")
STORED_TYPES = {name: ibis.schema(STORED[name]).to_pyarrow() for name in TABLES}
FACT_TYPES = {name: ibis.schema(FACTS[name]).to_pyarrow() for name in TABLES}
StoredRows = Callable[[str, pa.Array], pa.Table]
"""Called with a table's name (``order_lines``, ``refunds``, or a table of facts) and order ids; returns the
rows.
"""


def facts_table(name: str) -> str:
    """The lake's table of facts, for orders whose rows do not contain all facts."""
    return {"order_lines": "order_line_facts", "refunds": "refund_facts"}[name]


@dataclass(frozen=True)
class Settled:
    """Resolved orders with more than one fact.

    Attributes:
        order_ids: the orders whose rows in the lake and among later events must be left out.
        tables: the rows that replace them, with the columns of ``STORED``.
        facts: the facts of the orders whose rows do not contain them all, with the columns of ``FACTS``.
        orders: the customer, the number and the money of each order.
    """

    order_ids: pa.Array
    tables: Mapping[str, pa.Table]
    facts: Mapping[str, pa.Table]
    orders: Sequence[tuple[int, str, OrderMoney]] = ()


@dataclass
class _Facts:
    lines: list[LineFact] = field(default_factory=list)
    refunds: list[RefundFact] = field(default_factory=list)


def as_stored(name: str, facts: pa.Table) -> pa.Table:
    """Facts as rows of the lake's table, for orders with one fact."""
    if name not in TABLES:
        return facts
    table = facts.select(STORED_TYPES[name].names[:-1])
    return table.append_column("replaced_at", pa.nulls(table.num_rows, pa.timestamp("us")))


def settle(
    stored: StoredRows,
    arrived: Mapping[str, pa.Table],
    merges: Sequence[Merge] = (),
    further: pa.Array | None = None,
    customer_keys: Collection[int] | None = None,
) -> Settled:
    """Resolve the orders with several facts among stored rows and later events.

    Args:
        arrived: facts of ``order_lines`` and ``refunds`` that are not in the lake yet.
        merges: merges of customers, whose facts are then shared.
        further: additional orders to resolve, such as those united by merges.
        customer_keys: only these customers; by default all that have facts.
    """
    lines, refunds = arrived["order_lines"], arrived["refunds"]
    named = [lines["order_id"], refunds["order_id"]] + ([] if further is None else [further])
    ids = _distinct(named)
    if not len(ids):
        return _nothing()
    rows = {name: stored(name, ids) for table in TABLES for name in (table, facts_table(table))}
    known = [table["order_id"] for table in rows.values()]
    order_ids = _distinct([*known, _repeated(lines), *named[1:]])
    if not len(order_ids):
        return _nothing()
    tail = {name: table.filter(pc.is_in(table["order_id"], order_ids)) for name, table in arrived.items()
            if name in TABLES}  # fmt: skip
    return _resolved(order_ids, _collected(rows, tail), merges, customer_keys)


def resolve_facts(facts: Mapping[str, pa.Table]) -> Settled:
    """Resolve orders from all of their facts, without regard to merges."""
    nothing = {
        name: schema.empty_table()
        for table in TABLES
        for name, schema in ((table, STORED_TYPES[table]), (facts_table(table), FACT_TYPES[table]))
    }
    rows = {name: table.cast(FACT_TYPES[name]) for name, table in facts.items()}
    return _resolved(
        _distinct([table["order_id"] for table in rows.values()]), _collected(nothing, rows), (), None
    )


def _nothing() -> Settled:
    empty = {name: schema.empty_table() for name, schema in STORED_TYPES.items()}
    facts = {name: schema.empty_table() for name, schema in FACT_TYPES.items()}
    return Settled(pa.array([], pa.string()), empty, facts)


def _distinct(columns: Sequence[pa.ChunkedArray | pa.Array]) -> pa.Array:
    chunks = [chunk.cast(pa.string()) for column in columns for chunk in getattr(column, "chunks", [column])]
    return pc.unique(pa.chunked_array(chunks, pa.string())).drop_null()


def _repeated(lines: pa.Table) -> pa.ChunkedArray:
    """The orders with several versions among these lines, or with a version that changes another."""
    versions = lines.group_by("order_id").aggregate(
        [("version", "min"), ("version", "max"), ("updated", "any")]
    )
    several = pc.or_(pc.not_equal(versions["version_min"], versions["version_max"]), versions["updated_any"])
    return versions.filter(several)["order_id"]


def _collected(
    stored: Mapping[str, pa.Table], arrived: Mapping[str, pa.Table]
) -> dict[str, dict[int, _Facts]]:
    """The facts per order and customer: the stored facts if there are any, else the stored rows."""
    orders: dict[str, dict[int, _Facts]] = defaultdict(lambda: defaultdict(_Facts))

    def add(name: str, table: pa.Table, skipped: Collection[tuple[int, str]] = ()) -> None:
        make = LineFact if name == "order_lines" else RefundFact
        for values in zip(*(column.to_pylist() for column in table.columns), strict=True):
            fact = make(*values)
            if (fact.customer_key, fact.order_id) not in skipped:
                facts = orders[fact.order_id][fact.customer_key]
                (facts.lines if name == "order_lines" else facts.refunds).append(fact)  # type: ignore[arg-type]

    for name in TABLES:
        add(name, stored[facts_table(name)].select(FACT_TYPES[name].names))
    stated = {(key, order_id) for order_id, customers in orders.items() for key in customers}
    for name in TABLES:
        rows = stored[name].select(FACT_TYPES[name].names[:10])
        for column in FACT_TYPES[name].names[10:]:
            rows = rows.append_column(column, pa.nulls(rows.num_rows))
        add(name, rows, stated)
        add(name, arrived[name].select(FACT_TYPES[name].names))
    return orders


def _resolved(
    order_ids: pa.Array,
    orders: Mapping[str, Mapping[int, _Facts]],
    merges: Sequence[Merge],
    customer_keys: Collection[int] | None,
) -> Settled:
    into: dict[int, list[Merge]] = defaultdict(list)
    for merge in merges:
        into[merge.customer_key].append(merge)
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    facts: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    resolved = []
    for order_id, customers in orders.items():
        for key, stated in _by_customer(customers, into).items():
            if customer_keys is not None and key not in customer_keys:
                continue
            lines = limit_versions(stated.lines)
            money = resolve(lines, stated.refunds)
            resolved.append((key, order_id, money))
            rows["order_lines"] += money.lines
            rows["refunds"] += money.refunds
            if not money.plain:
                facts["order_lines"] += lines
                facts["refunds"] += stated.refunds
    return Settled(
        order_ids,
        {name: _table(rows[name], schema) for name, schema in STORED_TYPES.items()},
        {name: _table(facts[name], schema) for name, schema in FACT_TYPES.items()},
        resolved,
    )


def _by_customer(
    customers: Mapping[int, _Facts], into: Mapping[int, Sequence[Merge]]
) -> Mapping[int, _Facts]:
    """The facts of an order by customer, including those of merged customers, as known since the merge."""
    if not any(key in into for key in customers):
        return customers
    together: dict[int, _Facts] = defaultdict(_Facts)
    for key, facts in customers.items():
        together[key].lines.extend(facts.lines)
        together[key].refunds.extend(facts.refunds)
        for merge in into.get(key, ()):
            at = moment(merge.at_us).replace(tzinfo=None)
            theirs = together[merge.into]
            # Lines of two customers without a number are two versions.
            lines = [line._replace(version=-key) if line.version is None else line for line in facts.lines]
            theirs.lines.extend(_known_since(at, merge.into, lines))
            theirs.refunds.extend(_known_since(at, merge.into, facts.refunds))
    return together


def _known_since(at: datetime, key: int, facts: Iterable[Any]) -> list[Any]:
    return [fact._replace(customer_key=key, received_at=max(fact.received_at, at)) for fact in facts]


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
