"""Source ``simulate``: a web shop whose customers' true rates are known.

Every customer has a random stream of their own and draws from it in chronological order, so a longer run
repeats a shorter one exactly and adds to it. The distributions are in :mod:`events.simulation.truth`; this
module generates the events.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.progress import Progress, silent
from events.simulation.activities import Habits, activity_columns
from events.simulation.feedback import feedback_columns
from events.simulation.orders import (
    DRAWS,
    DROPOUT,
    RETURN_DAYS,
    RETURN_DROPOUT,
    RETURN_WAIT,
    RETURNED,
    Batch,
    order_tables,
    prices_cents,
)
from events.simulation.subscriptions import Subscriber, subscribers, subscription_columns
from events.simulation.truth import Customer, Ints, Plan, ShopTime, draw_customer

__all__ = ["Plan", "simulate"]

BATCH = 2000  # customers whose random numbers are held in memory at once

_ENDS = ("dropped_out_at", "subscriptions_ended_at")

# The types in which columns are passed to DuckDB (text by default), and in which it stores them.
_ARROW = {
    **dict.fromkeys(("timestamp", "received_at", *_ENDS), pa.timestamp("s")),
    **dict.fromkeys(("quantity", "amount", "discount"), pa.int64()),  # money in cents
    **dict.fromkeys(("purchase_rate_per_day", "dropout_probability", "order_value_mean"), pa.float64()),
    **dict.fromkeys(("refund_probability", "discount_sensitivity"), pa.float64()),
    **dict.fromkeys(
        ("open_probability", "click_probability", "subscription_leave_probability"), pa.float64()
    ),
    "matched": pa.bool_(),
}
_TIME = "{0}::TIMESTAMP AS {0}"
_MONEY = "({0} * 0.01::DECIMAL(3, 2))::DECIMAL(18, 4) AS {0}"
_STORED_AS = {
    **dict.fromkeys(("timestamp", "received_at", *_ENDS), _TIME),
    **dict.fromkeys(("amount", "discount"), _MONEY),
}


def simulate(
    connection: duckdb.DuckDBPyConnection, plan: Plan, until: datetime, progress: Progress = silent
) -> None:
    """Create the event tables and ``truth``, as :func:`lake.write` reads them.

    Args:
        connection: where to create the tables.
        plan: the shop.
        until: emit the events with a timestamp before this moment (UTC if naive). The last ones may be
            received after it.
        progress: called with a message and the share done.

    ``truth`` has one row per customer: ``purchase_rate_per_day`` (orders a day while active, over
    the year and outside campaigns), ``dropout_probability`` (after each order; a refund adds
    ``plan.refund_dropout``), ``dropped_out_at`` (null while active; for customers who never order, their
    arrival), ``order_value_mean`` (currency, before discounts, up to the rounding to products'
    prices), ``refund_probability`` (per order), ``discount_sensitivity`` (0 to 1), ``open_probability``
    and ``click_probability`` (see :class:`Habits`), ``favourite_category``, and of subscribers
    ``subscription_leave_probability`` (see :class:`Subscriber`) and ``subscriptions_ended_at`` (the end of
    the last that was paid; null while they stay).
    """
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)
    time, prices = ShopTime.of(plan, until), prices_cents()
    parts: defaultdict[str, list[pa.Table]] = defaultdict(list)
    expected = plan.customers * float(time.arrival_mass[-1]) / time.planned_mass
    done, more = 0, True
    while more:
        batch = Batch()
        more = _live(batch, plan, time, range(done, done + BATCH))
        done += BATCH
        for name, columns in _tables(batch, plan, time, until, prices):
            parts[name].append(_before(until, columns))
        progress("simulating customers", min(done / max(expected, 1), 1.0))
    for name, tables in parts.items():
        _store(connection, name, pa.concat_tables(tables))


def _before(until: datetime, columns: dict[str, Any]) -> pa.Table:
    """The rows with a timestamp before ``until``: what comes later has not happened yet."""
    seconds = np.asarray(columns["timestamp"], np.int64)
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values, _ARROW.get(name, pa.string()))
        for name, values in columns.items()
    }
    return pa.table(arrays).take(np.flatnonzero(seconds < until.timestamp()))


def _store(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Create the table ``name``, sorted by time, with money as decimals in the shop's currency."""
    stored = [column for column in rows.column_names if (name, column) != ("truth", "timestamp")]
    select = ", ".join(_STORED_AS.get(column, "{0}").format(column) for column in stored)
    order = [c for c in ("timestamp", "customer_id", "order_id", "product_id", "name") if c in stored]
    connection.register("simulated", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT {select} FROM simulated ORDER BY {', '.join(order)}")
    connection.unregister("simulated")


def _live(batch: Batch, plan: Plan, time: ShopTime, numbers: range) -> bool:
    """Simulate customers up to the end of time; return False once a customer would arrive after it."""
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
    batch: Batch, customer: Customer, rng: np.random.Generator, plan: Plan, time: ShopTime
) -> float:
    """Add a customer's orders to the batch; return when they drop out, possibly after the end."""
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
    batch: Batch, plan: Plan, time: ShopTime, until: datetime, prices: Ints
) -> list[tuple[str, dict[str, Any]]]:
    """Tables by name; parts with the same name belong to one table."""
    ids = [f"C{number:06d}" for number in batch.numbers]
    array, habits = np.array(ids, object), Habits.of(plan, batch.numbers)
    holders = subscribers(batch, plan, time)
    lines, refunds, products = order_tables(batch, plan, time, prices, array)
    return [
        ("order_lines", lines),
        ("refunds", refunds),
        ("traits", _traits(batch, time, ids)),
        ("activities", activity_columns(batch, habits, plan, time, array, products)),
        ("activities", subscription_columns(holders, time, ids)),
        ("activities", feedback_columns(batch, plan, time, array, products)),
        ("truth", _truth(batch, habits, holders, time, until, ids)),
    ]


def _traits(batch: Batch, time: ShopTime, ids: list[str]) -> dict[str, Any]:
    rows: list[tuple[str, float, int, str, str]] = []
    for customer_id, customer, dropout in zip(ids, batch.customers, batch.dropouts, strict=True):
        delay, later = customer.traits_delay_s
        newsletter = str(customer.newsletter).lower()
        traits = {"country": customer.country, "channel": customer.channel, "newsletter": newsletter}
        rows += [(customer_id, customer.arrival, delay, name, value) for name, value in traits.items()]
        change = customer.newsletter_changes_at(dropout)
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


def _truth(
    batch: Batch, habits: Habits, holders: list[Subscriber | None],
    time: ShopTime, until: datetime, ids: list[str],
) -> dict[str, Any]:  # fmt: skip
    """The table ``truth``, with ``timestamp`` (the arrival), which is not stored."""
    customers = batch.customers
    return {
        "customer_id": ids,
        "timestamp": time.utc_seconds(np.array([c.arrival for c in customers], float)),
        "purchase_rate_per_day": [c.rate_per_day for c in customers],
        "dropout_probability": [c.dropout_probability for c in customers],
        "dropped_out_at": _come_true(batch.dropouts, time, until),
        "order_value_mean": [c.order_value_mean for c in customers],
        "refund_probability": [c.refund_probability for c in customers],
        "discount_sensitivity": [c.discount_sensitivity for c in customers],
        "open_probability": habits.open_probability,
        "click_probability": habits.click_probability,
        "favourite_category": [c.favourite_category for c in customers],
        "subscription_leave_probability": [member and member.leave_probability for member in holders],
        "subscriptions_ended_at": _come_true([m.ended if m else np.inf for m in holders], time, until),
    }


def _come_true(moments: list[float], time: ShopTime, until: datetime) -> NDArray[np.object_]:
    """Moments as seconds since 1970-01-01 UTC; None for those not before ``until``."""
    at = np.array(moments, float)
    known = at < time.end
    known[known] = time.utc_seconds(at[known]) < until.timestamp()
    seconds = np.full(len(at), None, object)
    seconds[known] = time.utc_seconds(at[known])
    return seconds
