"""Prices that customers pay, and their use of discounts.

The list price is the price paid plus the discount. An order has a discount if any of its lines has one; its
day is its first. All amounts are before refunds.
"""

from __future__ import annotations

from datetime import timedelta

import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup

price = FeatureGroup("price", fresh_for=timedelta(days=2))


@price.table
def orders(order_lines: ir.Table) -> ir.Table:
    """One row per order: its first day, the amount paid and the discount."""
    return order_lines.group_by([*KEYS, "order_id"]).aggregate(
        days_ago=order_lines.days_ago.max(),
        amount=order_lines.amount.sum(),
        discount=order_lines.discount.sum().fill_null(0),
    )


@price.table
def unit_prices(order_lines: ir.Table) -> ir.Table:
    """One row per line that was not free: the price paid per item."""
    paid = order_lines.filter(order_lines.amount > 0, order_lines.quantity > 0)
    return paid.select(*KEYS, unit_price=paid.amount.cast("float64") / paid.quantity.cast("float64"))


def _over(part: ir.Value, whole: ir.Value) -> ir.FloatingValue:
    """A quotient of exact sums; null when the whole is 0 or there is none."""
    return part.cast("float64") / whole.cast("float64").nullif(0)


@price.feature(unit="share")
def discount_share(orders: ir.Table) -> ir.FloatingValue:
    """Share of the list price so far that was let off; null when that price is 0 or without an order."""
    return _over(orders.discount.sum(), orders.amount.sum() + orders.discount.sum())


@price.feature(unit="share")
def discount_share_365d(orders: ir.Table) -> ir.FloatingValue:
    """Share of the list price of the last 365 days' orders that was let off; null when that price is 0."""
    recent = orders.days_ago <= 365
    discount = orders.discount.sum(where=recent)
    return _over(discount, orders.amount.sum(where=recent) + discount)


@price.feature(unit="share")
def full_price_share(order_lines: ir.Table) -> ir.FloatingValue:
    """Share of what was paid so far that went to lines without a discount; null when nothing was paid."""
    full = order_lines.discount.fill_null(0) == 0
    return _over(order_lines.amount.sum(where=full).fill_null(0), order_lines.amount.sum())


@price.feature(unit="ratio")
def discounted_order_ratio(orders: ir.Table) -> ir.FloatingValue:
    """Mean paid for orders with a discount over the mean of those without: above 1, larger ones.

    Null until there are orders of both kinds, or when nothing was paid for those without.
    """
    off, full = orders.discount > 0, orders.discount == 0
    discounted = orders.amount.sum(where=off).cast("float64") * orders.count(where=full)
    return discounted / (orders.amount.sum(where=full).cast("float64") * orders.count(where=off)).nullif(0)


@price.feature(unit="days")
def days_since_discounted_order(orders: ir.Table) -> ir.IntegerValue:
    """Days since the latest order with a discount; null when there was none."""
    return orders.days_ago.min(where=orders.discount > 0)


@price.feature(unit="currency")
def average_unit_price(order_lines: ir.Table) -> ir.FloatingValue:
    """Mean paid per item so far, free items included; null without an order."""
    return _over(order_lines.amount.sum(), order_lines.quantity.sum())


@price.feature(unit="ratio")
def unit_price_ratio(unit_prices: ir.Table) -> ir.FloatingValue:
    """Highest price paid for one item over the lowest, free ones aside; null when nothing was paid."""
    return unit_prices.unit_price.max() / unit_prices.unit_price.min()
