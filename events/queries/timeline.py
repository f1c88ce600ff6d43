"""One customer's history, newest first and page by page, from the lake's bucket of that customer.

What arrived since is added, and the events of those who turned out to be this customer.

Pages are cut by position and not by number: an event's place is its time, kind and id, which no
later event changes. What is visible is what was known at one moment, as everywhere.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import duckdb
import pyarrow as pa

from core.home import Home
from core.storage.database import Database
from core.storage.sql import literal
from events import lake, warehouse
from events.identity import Identity, Merge
from events.queries.customer_orders import customer_orders, unreadable
from events.segment.orders import ORDERED
from events.taxonomy import OWN_CONTACTS

# Per kind the event table and its events: ``time``, an ``id`` unique at that time, and ``details``.
_FROM = "FROM events WHERE timestamp < $as_of AND received_at <= $as_of"
_KNOWN = " REPLACE (greatest(received_at, make_timestamp({0})) AS received_at)"  # since a merge
_LINE = "product_id := product_id, category := category, quantity := quantity, amount := amount::DOUBLE"
_NOT_SHOWN = ", ".join(map(literal, (*ORDERED, *OWN_CONTACTS)))  # shown as orders and contacts
_ORDER = "ORDER BY timestamp, product_id"
_ABOUT = "[kind, channel, reference, product_id, category, amount::VARCHAR, properties]"
_LAKE = {
    "order": (
        "order_lines",
        f"""
        SELECT min(timestamp) AS time, order_id AS id, struct_pack(
            order_id := order_id, amount := sum(amount)::DOUBLE, discount := sum(discount)::DOUBLE,
            lines := list(struct_pack({_LINE}, discount := discount::DOUBLE) {_ORDER})) AS details
        {_FROM} GROUP BY order_id
        """,
    ),
    "refund": (
        "refunds",
        f"""
        SELECT timestamp AS time, coalesce(order_id, '') AS id, struct_pack(
            order_id := order_id, amount := sum(amount)::DOUBLE,
            lines := list(struct_pack({_LINE}) {_ORDER})) AS details
        {_FROM} GROUP BY timestamp, order_id
        """,
    ),
    "trait": (
        "traits",
        f"""
        SELECT DISTINCT timestamp AS time, name || '=' || value AS id,
            struct_pack(name := name, value := value) AS details
        {_FROM} AND value IS NOT NULL
        """,
    ),
    "activity": (
        "activities",
        f"""
        SELECT DISTINCT timestamp AS time, name || ' ' || md5(to_json({_ABOUT})::VARCHAR) AS id, struct_pack(
            name := name, activity := kind, channel := channel, reference := reference,
            product_id := product_id, category := category, amount := amount::DOUBLE,
            properties := properties) AS details
        {_FROM} AND name NOT IN ({_NOT_SHOWN})
        """,
    ),
}
Kind = Literal["order", "refund", "trait", "activity"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Position(NamedTuple):
    """An event's place in a timeline: when it happened (UTC), its kind, its id at that time."""

    time: datetime
    kind: str
    id: str


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        details: what the kind tells: of an order and a refund its amounts and lines, of a trait
            its name and value, of an activity what it is about and its properties.
    """

    position: Position
    details: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Some events, the newest first, and the last one's place where older ones follow."""

    events: tuple[Event, ...]
    end: Position | None


@dataclass(frozen=True)
class _Sources:
    """Where a customer's events are: the lake, what arrived since, and the merges into the customer.

    Attributes:
        resolved: the tables that were read already: orders and refunds (:mod:`events.lake.order_book`), with
            those of merged customers; of a warehouse, all.
    """

    version: lake.Lake
    arrived: dict[str, pa.Table]
    merges: list[Merge]
    resolved: dict[str, pa.Table]


class Timeline:
    """Reads customers' histories from a home; it may be used by many threads."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._backend = lake.connect()
        self._backend.con.execute("SET threads = 1")  # a bucket is small, and requests run abreast
        self._own = threading.local()
        self._database = Database(home) if home.has_database else None

    def page(
        self,
        customer_key: int,
        as_of: datetime,
        limit: int,
        below: Position | None = None,
        kinds: Sequence[Kind] = KINDS,
    ) -> Page:
        """The newest events of a customer, as known at ``as_of``.

        Args:
            below: only events that stand below this position, which is the last page's ``end``.

        Raises:
            PatronError: the lake is missing or cannot be read, or the warehouse.
        """
        # Nothing at as_of or later is visible, so its beginning stands above everything.
        start = below or Position(as_of, "", "")
        events: list[Event] = []
        sources = self._sources(customer_key, kinds)
        for kind in kinds:
            events += self._events(kind, sources, customer_key, as_of, start, limit + 1)
        events.sort(key=lambda event: event.position, reverse=True)
        shown = tuple(events[:limit])
        return Page(shown, shown[-1].position if len(events) > limit else None)

    def _sources(self, customer_key: int, kinds: Sequence[Kind]) -> _Sources:
        if warehouse.is_in_warehouse(self._home):
            rows = warehouse.rows_of_customer(self._home, customer_key)
            return _Sources(lake.current(self._home), {}, [], rows)
        arrived: dict[str, pa.Table] = {}
        merges: list[Merge] = []
        if self._database is None:
            version = lake.current(self._home)
        else:
            merges = Identity(self._home, self._database).merges(into=[customer_key])
            keys = [customer_key, *(merge.customer_key for merge in merges)]
            version, arrived = lake.arrived(self._home, self._database, keys)
        orders = {}
        if {"order", "refund"} & {*kinds}:
            orders = customer_orders(
                self._cursor(), version, arrived, merges, customer_key, refunds="refund" in kinds
            )
        return _Sources(version, arrived, merges, orders)

    def _events(
        self, kind: str, source: _Sources, customer_key: int, as_of: datetime, below: Position, count: int
    ) -> list[Event]:
        table, events = _LAKE[kind]
        cursor = self._cursor()
        parts, files, arrived = self._parts(table, source, customer_key)
        try:
            if arrived is not None:
                cursor.register("arrived", arrived)
            rows = cursor.execute(
                f"WITH events AS ({' UNION ALL BY NAME '.join(parts)})"
                f" SELECT time, id, details FROM ({events})"
                " WHERE (time, $kind, id) < ($below_time, $below_kind, $below_id)"
                " ORDER BY time DESC, id DESC LIMIT $count",
                files | {
                    "as_of": _naive(as_of), "kind": kind,
                    "below_time": _naive(below.time), "below_kind": below.kind, "below_id": below.id,
                    "count": count,
                },
            ).fetchall()  # fmt: skip
        except duckdb.Error as error:
            raise unreadable(source.version, table) from error
        return [
            Event(Position(time.replace(tzinfo=UTC), kind, id), _details(details))
            for time, id, details in rows
        ]

    def _parts(
        self, table: str, source: _Sources, customer_key: int
    ) -> tuple[list[str], dict[str, str], pa.Table | None]:
        """SQL of a table's events, the files that it reads, and the table ``arrived`` in it."""
        if (resolved := source.resolved.get(table)) is not None:
            has_versions = "replaced_at" in resolved.column_names
            valid = "replaced_at IS NULL OR replaced_at > $as_of" if has_versions else "true"
            return [f"SELECT * FROM arrived WHERE {valid}"], {}, resolved
        arrived = source.arrived.get(table)
        sources = [(customer_key, None), *((merge.customer_key, merge.at_us) for merge in source.merges)]
        parts, files = [], {}
        for i, (key, at_us) in enumerate(sources):
            known = "" if at_us is None else _KNOWN.format(at_us)
            files[f"file{i}"] = str(lake.bucket_file(source.version.folder, table, key))
            parts.append(f"SELECT *{known} FROM read_parquet($file{i}) WHERE customer_key = {key}")
            if arrived is not None and arrived.num_rows:
                parts.append(f"SELECT *{known} FROM arrived WHERE customer_key = {key}")
        return parts, files, arrived if arrived is not None and arrived.num_rows else None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own: a DuckDB connection answers one thread at a time."""
        if not hasattr(self._own, "cursor"):
            self._own.cursor = self._backend.con.cursor()
        cursor: duckdb.DuckDBPyConnection = self._own.cursor
        return cursor


def _details(details: dict[str, Any]) -> dict[str, Any]:
    """Details with an activity's properties as an object in place of its text."""
    if "properties" not in details:
        return details
    return details | {"properties": json.loads(details["properties"] or "{}")}


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
