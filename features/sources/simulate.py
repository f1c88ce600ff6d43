"""Source ``simulate``: a web shop whose customers' true rates are known.

Every customer has a random stream of their own and draws from it in the order of their life, so
a longer run repeats a shorter one exactly and adds to it. The laws are in
:mod:`features.sources.simulated_truth`; here customers live by them and leave events.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from features.progress import Progress, silent
from features.sources.simulated_truth import (
    CATEGORIES,
    PRODUCTS_PER_CATEGORY,
    Customer,
    Floats,
    Ints,
    Plan,
    ShopTime,
    draw_customer,
)

__all__ = ["Plan", "simulate"]

BATCH = 2000  # customers whose random numbers are held in memory at once
MAX_LINES = 5
LINE_SHARES = (0.36, 0.28, 0.19, 0.11, 0.06)  # of orders with 1, 2, ... lines
RETURN_DAYS = (3.0, 25.0)
# Where the uniform random numbers of an order are; the last six are one for each possible line.
DROPOUT, RETURNED, RETURN_WAIT, RETURN_DROPOUT, LATE, DELAY, REFUND_LATE, REFUND_DELAY, LINES = range(9)
WEIGHT, CATEGORY, QUANTITY, PRODUCT, OFFER, COMES_BACK = range(9, 9 + 6 * MAX_LINES, MAX_LINES)
DRAWS = 9 + 6 * MAX_LINES
# An odd factor maps serial numbers to order ids one to one, and they do not show the customer.
ID_FACTOR, ID_MASK = np.uint64(0x9E3779B97F4A7C15), np.uint64(2**48 - 1)

# How columns are handed to DuckDB (text unless said here) and how it stores them.
_ARROW = {
    **dict.fromkeys(("timestamp", "received_at", "dropped_out_at"), pa.timestamp("s")),
    **dict.fromkeys(("quantity", "amount", "discount"), pa.int64()),  # money in cents
    **dict.fromkeys(("purchase_rate_per_day", "dropout_probability", "order_value_mean"), pa.float64()),
    **dict.fromkeys(("refund_probability", "discount_sensitivity"), pa.float64()),
    "matched": pa.bool_(),
}
_TIME = "{0}::TIMESTAMP AS {0}"
_MONEY = "({0} * 0.01::DECIMAL(3, 2))::DECIMAL(18, 4) AS {0}"
_STORED_AS = {
    **dict.fromkeys(("timestamp", "received_at", "dropped_out_at"), _TIME),
    **dict.fromkeys(("amount", "discount"), _MONEY),
}


@dataclass
class _Batch:
    """What some customers did; ``refunds`` is infinite for orders that are kept."""

    numbers: list[int] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    dropouts: list[float] = field(default_factory=list)
    buyers: list[int] = field(default_factory=list)  # positions in ``customers``, one per order
    nth: list[int] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    refunds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    draws: list[Floats] = field(default_factory=list)


def simulate(
    connection: duckdb.DuckDBPyConnection, plan: Plan, until: datetime, progress: Progress = silent
) -> None:
    """Create ``order_lines``, ``refunds``, ``traits`` and ``truth``, as :func:`lake.write` reads them.

    Args:
        connection: where to create the tables.
        plan: the shop.
        until: emit the events with a timestamp before this moment (UTC if naive). News of the
            last of them may be received after it.
        progress: called with a message and the share done.

    ``truth`` has one row per customer: ``purchase_rate_per_day`` (orders a day while active, over
    the year and outside campaigns), ``dropout_probability`` (after each order; a refund adds
    ``plan.refund_dropout``), ``dropped_out_at`` (null while active; the arrival of who never
    orders), ``order_value_mean`` (currency, before discounts, up to the rounding to products'
    prices), ``refund_probability`` (per order), ``discount_sensitivity`` (0 to 1) and
    ``favourite_category``.
    """
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)
    time, prices = ShopTime.of(plan, until), _prices_cents()
    parts: defaultdict[str, list[pa.Table]] = defaultdict(list)
    expected = plan.customers * float(time.mass[-1]) / time.planned_mass
    done, more = 0, True
    while more:
        batch = _Batch()
        more = _live(batch, plan, time, range(done, done + BATCH))
        done += BATCH
        for name, columns in _tables(batch, plan, time, until, prices).items():
            parts[name].append(_before(until, columns))
        progress("simulating customers", min(done / max(expected, 1), 1.0))
    for name, tables in parts.items():
        _store(connection, name, pa.concat_tables(tables))


def _before(until: datetime, columns: dict[str, Any]) -> pa.Table:
    """The rows with a timestamp before ``until``: what comes later has not happened yet."""
    seconds = np.asarray(columns["timestamp"], np.int64)
    arrays = {name: pa.array(values, _ARROW.get(name, pa.string())) for name, values in columns.items()}
    return pa.table(arrays).take(np.flatnonzero(seconds < until.timestamp()))


def _store(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Create the table ``name``, by time, money as decimals in the shop's currency."""
    stored = [column for column in rows.column_names if (name, column) != ("truth", "timestamp")]
    select = ", ".join(_STORED_AS.get(column, "{0}").format(column) for column in stored)
    order = [c for c in ("timestamp", "customer_id", "order_id", "product_id", "name") if c in stored]
    connection.register("simulated", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT {select} FROM simulated ORDER BY {', '.join(order)}")
    connection.unregister("simulated")


def _live(batch: _Batch, plan: Plan, time: ShopTime, numbers: range) -> bool:
    """Let customers live to the end of time; False once one would arrive after it."""
    for number in numbers:
        rng = np.random.default_rng([plan.seed, number])
        customer = draw_customer(rng, plan, time, number)
        if customer is None:
            return False
        batch.numbers.append(number)
        batch.customers.append(customer)
        batch.dropouts.append(_order_until_dropout(batch, customer, rng, plan, time))
    return True


def _order_until_dropout(
    batch: _Batch, customer: Customer, rng: np.random.Generator, plan: Plan, time: ShopTime
) -> float:
    """Add a customer's orders to the batch; return when they drop out (may lie past the end)."""
    if np.isinf(customer.first_order):
        return customer.arrival
    lift = plan.campaign_lift * customer.discount_sensitivity
    mass = time.mass + lift * time.campaign_mass
    moment, active_until, nth = customer.first_order, float("inf"), 0
    gone_by = time.mass_at(mass, moment) if moment < time.end else 0.0
    while moment < time.end and moment < active_until:
        gap, noise, u = rng.standard_exponential(), rng.standard_normal(), rng.random(DRAWS)
        refund = float("inf")
        if u[RETURNED] < customer.refund_probability:
            refund = moment + RETURN_DAYS[0] + (RETURN_DAYS[1] - RETURN_DAYS[0]) * float(u[RETURN_WAIT])
            if u[RETURN_DROPOUT] < plan.refund_dropout:
                active_until = min(active_until, refund)
        sigma = plan.order_value_sigma
        batch.buyers.append(len(batch.customers) - 1)
        batch.nth.append(nth)
        batch.moments.append(moment)
        batch.refunds.append(refund)
        batch.values.append(customer.order_value_mean * np.exp(sigma * noise - sigma**2 / 2))
        batch.draws.append(u)
        if u[DROPOUT] < customer.dropout_probability:
            return moment
        gone_by += gap / customer.rate_per_day
        moment, nth = time.moment_of(mass, gone_by), nth + 1
    return active_until


def _tables(
    batch: _Batch, plan: Plan, time: ShopTime, until: datetime, prices: Ints
) -> dict[str, dict[str, Any]]:
    ids = [f"C{number:06d}" for number in batch.numbers]
    lines, refunds = _order_tables(batch, plan, time, prices, np.array(ids, object))
    return {
        "order_lines": lines,
        "refunds": refunds,
        "traits": _traits(batch, time, ids),
        "truth": _truth(batch, time, until, ids),
    }


def _prices_cents() -> Ints:
    """Prices by category and product, cheapest first, in even steps of the logarithm."""
    steps = np.linspace(0, 1, PRODUCTS_PER_CATEGORY)
    prices = [low * (high / low) ** steps for _, low, high in CATEGORIES.values()]
    return np.round(np.array(prices) * 20).astype(np.int64) * 5


def _order_tables(
    batch: _Batch, plan: Plan, time: ShopTime, prices: Ints, ids: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of ``order_lines`` and ``refunds``, amounts in cents."""
    u = np.array(batch.draws, float).reshape(-1, DRAWS)
    buyers = np.array(batch.buyers, np.int64)
    order, product, quantity, draws = _basket(batch, u, buyers, prices)
    category, moments = product // PRODUCTS_PER_CATEGORY, np.array(batch.moments, float)
    gross = quantity * prices.ravel()[product]
    sensitivity = np.array([c.discount_sensitivity for c in batch.customers])[buyers[order]]
    on_offer = time.in_campaign[moments.astype(np.int64)[order]] & (draws[0] < 0.3 + 0.7 * sensitivity)
    discount = np.where(on_offer, np.round(gross * plan.campaign_discount), 0).astype(np.int64)
    amount = gross - discount
    names = np.array(list(CATEGORIES), object)
    codes = np.array([f"{c}-{i + 1:02d}" for c in CATEGORIES for i in range(prices.shape[1])], object)
    serial = np.array(batch.numbers, np.uint64)[buyers] * np.uint64(2**16) + np.array(batch.nth, np.uint64)
    order_ids = np.array([f"{n:012x}" for n in (serial * ID_FACTOR & ID_MASK).tolist()], object)

    def columns(rows: Ints, seconds: Ints, delay: Ints) -> dict[str, Any]:
        return {
            "customer_id": ids[buyers[order[rows]]],
            "timestamp": seconds,
            "received_at": seconds + delay[order[rows]],
            "order_id": order_ids[order[rows]],
            "product_id": codes[product[rows]],
            "category": names[category[rows]],
        }

    every = np.arange(len(order))
    lines = columns(every, time.utc_seconds(moments)[order], _delays_s(plan, u[:, LATE], u[:, DELAY]))
    lines |= {"quantity": quantity, "amount": amount, "discount": discount}
    # The first line of a returned order always comes back; the others as it happens.
    first = np.diff(order, prepend=-1) > 0
    when = np.array(batch.refunds, float)[order]
    back = np.flatnonzero((when < time.end) & (first | (draws[1] < 0.5)))
    returned = np.where(draws[1][back] < 0.2, 1, quantity[back])
    delay = _delays_s(plan, u[:, REFUND_LATE], u[:, REFUND_DELAY])
    refunds = columns(back, time.utc_seconds(when[back]), delay)
    refunds |= {"quantity": returned, "amount": amount[back] * returned // quantity[back]}
    return lines, refunds | {"matched": np.ones(len(back), bool)}


def _basket(
    batch: _Batch, u: Floats, buyers: Ints, prices: Ints
) -> tuple[Ints, Ints, Ints, tuple[Floats, Floats]]:
    """Turn what an order is to cost into products: (order, product, quantity, two draws) by line.

    The value is divided among the lines; each buys, in a category of the customer's taste, a
    product whose price is close to its part.
    """

    def drawn(column: int) -> Floats:
        return u[:, column : column + MAX_LINES]

    taste = np.array([c.taste for c in batch.customers], float).reshape(-1, len(CATEGORIES))[buyers]
    lines = 1 + np.searchsorted(np.cumsum(LINE_SHARES)[:-1], u[:, LINES], "right")
    present = np.arange(MAX_LINES) < lines[:, None]
    weight = np.where(present, 0.3 + drawn(WEIGHT), 0.0)
    part = np.array(batch.values, float)[:, None] * 100 * weight / weight.sum(axis=1, keepdims=True)
    category = (drawn(CATEGORY)[:, :, None] >= taste[:, None, :-1]).sum(axis=2)
    quantity = np.searchsorted([0.82, 0.96], drawn(QUANTITY), "right") + 1
    lowest, highest = prices[category, 0], prices[category, -1]
    quantity = np.maximum(quantity, np.round(part / highest).astype(np.int64))
    step = np.log(highest / lowest) / (PRODUCTS_PER_CATEGORY - 1)
    rank = np.log(np.maximum(part / quantity, 1) / lowest) / step
    # Up to one and a half places off the fitting price, for variety.
    rank = np.clip(np.round(rank + 3 * drawn(PRODUCT) - 1.5), 0, PRODUCTS_PER_CATEGORY - 1)
    product = category * PRODUCTS_PER_CATEGORY + rank.astype(np.int64)
    # Lines of one order with the same product become one.
    key = (np.arange(len(u))[:, None] * prices.size + product)[present]
    unique, first, merged = np.unique(key, return_index=True, return_inverse=True)
    total = np.bincount(merged, quantity[present], len(unique)).astype(np.int64)
    draws = (drawn(OFFER)[present][first], drawn(COMES_BACK)[present][first])
    return unique // prices.size, unique % prices.size, total, draws


def _delays_s(plan: Plan, u: Floats, v: Floats) -> Ints:
    """See :func:`simulated_truth.delay_s`."""
    return np.where(u < plan.late_share, 5 * 5760**v, 0).astype(np.int64)


def _traits(batch: _Batch, time: ShopTime, ids: list[str]) -> dict[str, Any]:
    rows: list[tuple[str, float, int, str, str]] = []
    for customer_id, customer, dropout in zip(ids, batch.customers, batch.dropouts, strict=True):
        delay, later = customer.traits_delay_s
        said = str(customer.newsletter).lower()
        told = {"country": customer.country, "channel": customer.channel, "newsletter": said}
        rows += [(customer_id, customer.arrival, delay, name, value) for name, value in told.items()]
        change = customer.newsletter_change
        if customer.newsletter and customer.unsubscribes:
            change = min(change, dropout + customer.unsubscribe_wait_days)
        if change < time.end:
            rows.append((customer_id, change, later, "newsletter", str(not customer.newsletter).lower()))
    customer_ids, moments, delays, names, values = zip(*rows, strict=True) if rows else [()] * 5
    seconds = time.utc_seconds(np.array(moments, float))
    return {
        "customer_id": customer_ids,
        "timestamp": seconds,
        "received_at": seconds + np.array(delays, np.int64),
        "name": names,
        "value": values,
    }


def _truth(batch: _Batch, time: ShopTime, until: datetime, ids: list[str]) -> dict[str, Any]:
    """The table ``truth``, with ``timestamp`` (the arrival), which is not stored."""
    customers, moments = batch.customers, np.array(batch.dropouts, float)
    known = moments < time.end
    known[known] = time.utc_seconds(moments[known]) < until.timestamp()
    dropped_out = np.full(len(moments), None, object)
    dropped_out[known] = time.utc_seconds(moments[known])
    return {
        "customer_id": ids,
        "timestamp": time.utc_seconds(np.array([c.arrival for c in customers], float)),
        "purchase_rate_per_day": [c.rate_per_day for c in customers],
        "dropout_probability": [c.dropout_probability for c in customers],
        "dropped_out_at": dropped_out,
        "order_value_mean": [c.order_value_mean for c in customers],
        "refund_probability": [c.refund_probability for c in customers],
        "discount_sensitivity": [c.discount_sensitivity for c in customers],
        "favourite_category": [c.favourite_category for c in customers],
    }
