"""The canonical event tables, into which every source is converted and from which features are computed.

Amounts are in the shop's currency, as decimals, so that sums do not depend on the order of rows.
Every table has ``customer_key`` (the internal customer), ``timestamp`` (when it happened, UTC),
``received_at`` (when the company could know it, UTC) and ``day`` (the shop's local day of
``timestamp``, as days since 1970-01-01).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import ibis
import ibis.expr.types as ir

MONEY = "decimal(18, 4)"
COMMON = {
    "customer_key": "int64",
    "timestamp": "timestamp(6)",
    "received_at": "timestamp(6)",
    "day": "int32",
}
SCHEMAS: dict[str, dict[str, str]] = {
    # One product of one order. ``amount`` is the price paid for the line, after ``discount``.
    "order_lines": COMMON
    | {
        "order_id": "string",
        "product_id": "string",
        "category": "string",
        "quantity": "int64",
        "amount": MONEY,
        "discount": MONEY,
    },
    # Refunded money. ``matched``: whether the order line that was returned is known.
    "refunds": COMMON
    | {
        "order_id": "string",
        "product_id": "string",
        "category": "string",
        "quantity": "int64",
        "amount": MONEY,
        "matched": "boolean",
    },
    # A trait of a customer: ``name`` (country, channel, ...) and its ``value``.
    "traits": COMMON | {"name": "string", "value": "string"},
    # Any other event of a customer: a page viewed, a cart filled, a message sent or opened, a complaint.
    # ``name`` is the event's name, ``kind`` its meaning (see events.taxonomy; null if unknown) and
    # ``channel`` its channel (email, web ...). ``reference`` is the id of its object (a message, a cart, a
    # subscription, a ticket), ``properties`` the JSON of the event's properties, and ``hour`` the shop's
    # local hour (0 to 23).
    "activities": COMMON
    | {
        "hour": "int32",
        "name": "string",
        "kind": "string",
        "channel": "string",
        "reference": "string",
        "product_id": "string",
        "category": "string",
        "amount": MONEY,
        "properties": "string",
    },
}
# The tables of orders have versions: a row is valid until ``replaced_at`` (UTC), when a later version of its
# order arrived; null if none did. The definitions of features do not read the column.
STORED = {
    name: schema | ({"replaced_at": "timestamp(6)"} if "order_id" in schema else {})
    for name, schema in SCHEMAS.items()
}
# The facts about orders, as they arrived: see events.lake.order_versions. All lines of one ``version`` (the
# journal's number of the message or import) belong together; those without a version are the first one.
# ``stated_at`` orders the versions; ``updated`` marks versions of orders that were placed before.
FACTS = {
    "order_lines": SCHEMAS["order_lines"]
    | {"stated_at": "timestamp(6)", "version": "int64", "updated": "boolean"},
    # A refund without ``amount`` is the order's price of the product, or the rest of the order.
    "refunds": SCHEMAS["refunds"] | {"version": "int64", "cancelled": "boolean"},
}
# The columns that the lake adds to those of a source, which has ``customer_id`` instead of the key.
OWN_COLUMNS = ("customer_key", "day", "hour")
# The boundaries of segments, valid from ``valid_from`` on: see features.offline.boundaries. A bound is the
# least value of the upper part; the centre of a taste has a row per ``category``, with its share.
BOUNDARIES = {
    "valid_from": "timestamp(6)",
    "kind": "string",
    "label": "string",
    "category": "string",
    "bound": "float64",
}
# The opinions in the texts of activities: see features.text.opinions. ``content`` is the calibrated
# probability that the author is content and ``confidence`` that of the likelier label, both null without a
# classifier; ``topics`` are names, each between commas.
OPINIONS = COMMON | {
    "kind": "string",
    "reference": "string",
    "product_id": "string",
    "content": "decimal(7, 6)",
    "confidence": "decimal(7, 6)",
    "topics": "string",
}
# The merges of customers and their moments: see events.identity.
MERGES = {"customer_key": "int64", "into": "int64", "at": "timestamp(6)"}
POPULATION = {"customer_key": "int64", "as_of": "timestamp(6)", "as_of_day": "int32"}


@dataclass(frozen=True)
class Events:
    """The event tables as Ibis expressions, on any engine, with opinions and boundaries.

    :mod:`features.text.opinions` and :mod:`features.offline.boundaries` add the last two. The events of
    merged customers are in the tables under both keys.

    Attributes:
        merges: the merges of customers; None if there are none.
        replaced_lines: the order lines that a later version of their order replaces, where ``order_lines``
            has only the others; None where the column ``replaced_at`` tells them apart.
    """

    order_lines: ir.Table
    refunds: ir.Table
    traits: ir.Table
    activities: ir.Table = field(default_factory=lambda: ibis.memtable([], schema=SCHEMAS["activities"]))
    opinions: ir.Table = field(default_factory=lambda: ibis.memtable([], schema=OPINIONS))
    boundaries: ir.Table = field(default_factory=lambda: ibis.memtable([], schema=BOUNDARIES))
    merges: ir.Table | None = None
    replaced_lines: ir.Table | None = None

    @classmethod
    def unbound(cls) -> Events:
        """Tables without data, from which definitions are compiled and hashed."""
        tables = SCHEMAS | {"opinions": OPINIONS, "boundaries": BOUNDARIES}
        tables |= {"replaced_lines": SCHEMAS["order_lines"]}
        return cls(**{name: ibis.table(schema, name=name) for name, schema in tables.items()})

    def items(self) -> Iterator[tuple[str, ir.Table]]:
        """Each event table with its name."""
        for name in SCHEMAS:
            yield name, getattr(self, name)

    def known_at(self, moment: datetime) -> Events:
        """Only the events that had happened before ``moment`` and had arrived by then."""
        cut = ibis.literal(moment.replace(tzinfo=None), "timestamp(6)")
        tables = dict(self.items()) | {"opinions": self.opinions}
        return replace(
            self,
            **{n: _known_at(table, cut) for n, table in tables.items()},
            boundaries=self.boundaries.filter(self.boundaries.valid_from <= cut),
            merges=None if self.merges is None else self.merges.filter(self.merges["at"] <= cut),
        )


def _known_at(events: ir.Table, cut: ir.TimestampScalar) -> ir.Table:
    known = events.filter(events.timestamp < cut, events.received_at <= cut)
    if "replaced_at" not in events.columns:
        return known
    return known.mutate(replaced_at=(known.replaced_at <= cut).ifelse(known.replaced_at, ibis.null()))


def latest(events: ir.Table) -> ir.Table:
    """Only the rows that no later version of their order replaces."""
    if "replaced_at" not in events.columns:
        return events
    return events.filter(events.replaced_at.isnull()).drop("replaced_at")


def visible(events: ir.Table, population: ir.Table) -> ir.Table:
    """Each (customer, as_of) of the population with the events that had happened and arrived by then.

    Adds ``days_ago``: the shop's days between the event and ``as_of``, 0 on the same day.
    """
    seen = _received(events, population)
    if "replaced_at" in events.columns:
        seen = seen.filter(seen.replaced_at.isnull() | (seen.replaced_at > seen.as_of)).drop("replaced_at")
    return seen


def replaced(events: Events, population: ir.Table) -> ir.Table:
    """As :func:`visible`, the order lines that had been replaced by a later version of their order.

    They are not part of any order, but they are evidence that the customer existed.
    """
    if events.replaced_lines is not None:
        return _received(events.replaced_lines, population)
    lines = events.order_lines
    if "replaced_at" not in lines.columns:
        return _received(lines.filter(False), population)
    seen = _received(lines.filter(lines.replaced_at.notnull()), population)
    return seen.filter(seen.replaced_at <= seen.as_of).drop("replaced_at")


def _received(events: ir.Table, population: ir.Table) -> ir.Table:
    joined = population.inner_join(events, "customer_key")
    seen = joined.filter(joined.timestamp < joined.as_of, joined.received_at <= joined.as_of)
    return seen.mutate(days_ago=seen.as_of_day - seen.day)


def following(events: ir.Table, population: ir.Table, days: int) -> ir.Table:
    """Each (customer, as_of) with the events of the ``days`` days from ``as_of`` on.

    Of orders that were corrected or cancelled later, the latest version counts.
    """
    joined = population.inner_join(latest(events), "customer_key")
    return joined.filter(joined.timestamp >= joined.as_of, joined.day - joined.as_of_day < days)
