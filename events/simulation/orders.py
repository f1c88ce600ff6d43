"""Orders and refunds of the simulated customers: baskets of products, discounts, returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from events.simulation.truth import CATEGORIES, PRODUCTS_PER_CATEGORY, Customer, Floats, Ints, Plan, ShopTime

MAX_LINES = 5
LINE_SHARES = (0.36, 0.28, 0.19, 0.11, 0.06)  # of orders with 1, 2, ... lines
RETURN_DAYS = (3.0, 25.0)
# The columns of an order's uniform random numbers; the last six are one for each possible line.
DROPOUT, RETURNED, RETURN_WAIT, RETURN_DROPOUT, LATE, DELAY, REFUND_LATE, REFUND_DELAY, LINES = range(9)
WEIGHT, CATEGORY, QUANTITY, PRODUCT, OFFER, COMES_BACK = range(9, 9 + 6 * MAX_LINES, MAX_LINES)
DRAWS = 9 + 6 * MAX_LINES
# An odd factor maps serial numbers to order ids one to one, and they do not show the customer.
ID_FACTOR, ID_MASK = np.uint64(0x9E3779B97F4A7C15), np.uint64(2**48 - 1)


@dataclass
class Batch:
    """The events of some customers; ``refunds`` is infinite for orders that are not returned.

    ``draws`` contains the uniform random numbers of each order.
    """

    numbers: list[int] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    dropouts: list[float] = field(default_factory=list)
    buyers: list[int] = field(default_factory=list)  # positions in ``customers``, one per order
    nth: list[int] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    refunds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    draws: list[Floats] = field(default_factory=list)


def prices_cents() -> Ints:
    """Prices by category and product, cheapest first, in even steps of the logarithm."""
    steps = np.linspace(0, 1, PRODUCTS_PER_CATEGORY)
    prices = [low * (high / low) ** steps for _, low, high in CATEGORIES.values()]
    return np.round(np.array(prices) * 20).astype(np.int64) * 5


def order_tables(
    batch: Batch, plan: Plan, time: ShopTime, prices: Ints, ids: Any
) -> tuple[dict[str, Any], dict[str, Any], Ints]:
    """The columns of ``order_lines`` and ``refunds``, amounts in cents, and each order's first product."""
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
    lines = columns(every, time.utc_seconds(moments)[order], delays_s(plan, u[:, LATE], u[:, DELAY]))
    lines |= {"quantity": quantity, "amount": amount, "discount": discount}
    # The first line of a returned order is always returned; the others at random.
    first = np.diff(order, prepend=-1) > 0
    when = np.array(batch.refunds, float)[order]
    back = np.flatnonzero((when < time.end) & (first | (draws[1] < 0.5)))
    returned = np.where(draws[1][back] < 0.2, 1, quantity[back])
    delay = delays_s(plan, u[:, REFUND_LATE], u[:, REFUND_DELAY])
    refunds = columns(back, time.utc_seconds(when[back]), delay)
    refunds |= {"quantity": returned, "amount": amount[back] * returned // quantity[back]}
    return lines, refunds | {"matched": np.ones(len(back), bool)}, product[first]


def _basket(
    batch: Batch, u: Floats, buyers: Ints, prices: Ints
) -> tuple[Ints, Ints, Ints, tuple[Floats, Floats]]:
    """Turn order values into products: (order, product, quantity, two draws) by line.

    The value is divided among the lines; each line is a product, from a category of the customer's taste,
    whose price is close to its part of the value.
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
    # Up to one and a half places away from the fitting price, for variety.
    rank = np.clip(np.round(rank + 3 * drawn(PRODUCT) - 1.5), 0, PRODUCTS_PER_CATEGORY - 1)
    product = category * PRODUCTS_PER_CATEGORY + rank.astype(np.int64)
    # Lines of one order with the same product are combined.
    key = (np.arange(len(u))[:, None] * prices.size + product)[present]
    unique, first, merged = np.unique(key, return_index=True, return_inverse=True)
    total = np.bincount(merged, quantity[present], len(unique)).astype(np.int64)
    draws = (drawn(OFFER)[present][first], drawn(COMES_BACK)[present][first])
    return unique // prices.size, unique % prices.size, total, draws


def delays_s(plan: Plan, u: Floats, v: Floats) -> Ints:
    """See :func:`simulated_truth.delay_s`."""
    return np.where(u < plan.late_share, 5 * 5760**v, 0).astype(np.int64)
