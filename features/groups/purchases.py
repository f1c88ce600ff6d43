"""Orders and refunds: frequency, amount, recency, variety, share refunded.

A window of n days covers the n full days before as_of, and the day of as_of until then.
Spend is the amount paid, after discounts and before refunds; net spend is after refunds.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from events.schema import MONEY
from features.group import KEYS, FeatureGroup

purchases = FeatureGroup("purchases", fresh_for=timedelta(days=2))


@purchases.table
def orders(order_lines: ir.Table) -> ir.Table:
    """One row per order: its first day, the amount paid and the number of items.

    ``day`` counts days since 1970-01-01, which was a Thursday.
    """
    return order_lines.group_by([*KEYS, "order_id"]).aggregate(
        days_ago=order_lines.days_ago.max(),
        day=order_lines.day.min(),
        amount=order_lines.amount.sum(),
        items=order_lines.quantity.sum(),
    )


@purchases.table
def gaps(orders: ir.Table) -> ir.Table:
    """One row per order but the first: the days since the customer's previous order."""
    window = ibis.window(group_by=list(KEYS), order_by=[orders.days_ago.desc(), orders.order_id])
    gap = orders.mutate(gap_days=orders.days_ago.lag().over(window) - orders.days_ago)
    return gap.filter(gap.gap_days.notnull())


@purchases.table
def tastes(order_lines: ir.Table) -> ir.Table:
    """One row per category a customer paid for: its share of their spend."""
    lines = order_lines.filter(order_lines.category.notnull())
    spent = lines.group_by([*KEYS, "category"]).aggregate(spend=lines.amount.sum())
    whole = ibis.window(group_by=list(KEYS))
    return spent.filter(spent.spend > 0).mutate(
        share=lambda t: t.spend.cast("float64") / t.spend.sum().over(whole).cast("float64")
    )


@purchases.feature(unit="orders", missing=0)
def orders_total(orders: ir.Table) -> ir.IntegerValue:
    """Orders placed so far."""
    return orders.count()


@purchases.feature(unit="orders", missing=0)
def orders_30d(orders: ir.Table) -> ir.IntegerValue:
    """Orders placed in the last 30 days."""
    return orders.count(where=orders.days_ago <= 30)


@purchases.feature(unit="orders", missing=0)
def orders_90d(orders: ir.Table) -> ir.IntegerValue:
    """Orders placed in the last 90 days."""
    return orders.count(where=orders.days_ago <= 90)


@purchases.feature(unit="orders", missing=0)
def orders_365d(orders: ir.Table) -> ir.IntegerValue:
    """Orders placed in the last 365 days."""
    return orders.count(where=orders.days_ago <= 365)


@purchases.feature(unit="days")
def recency_days(orders: ir.Table) -> ir.IntegerValue:
    """Days since the latest order."""
    return orders.days_ago.min()


@purchases.feature(unit="days")
def tenure_days(orders: ir.Table) -> ir.IntegerValue:
    """Days since the first order."""
    return orders.days_ago.max()


@purchases.feature(unit="currency", missing=0)
def spend_total(orders: ir.Table) -> ir.FloatingValue:
    """Paid so far, before refunds."""
    return orders.amount.sum()


@purchases.feature(unit="currency", missing=0)
def spend_90d(orders: ir.Table) -> ir.FloatingValue:
    """Paid in the last 90 days, before refunds."""
    return orders.amount.sum(where=orders.days_ago <= 90)


@purchases.feature(unit="currency", missing=0)
def spend_365d(orders: ir.Table) -> ir.FloatingValue:
    """Paid in the last 365 days, before refunds."""
    return orders.amount.sum(where=orders.days_ago <= 365)


@purchases.feature(unit="currency")
def largest_order(orders: ir.Table) -> ir.FloatingValue:
    """Paid for the largest order so far."""
    return orders.amount.max()


@purchases.feature(unit="items", missing=0)
def items_total(orders: ir.Table) -> ir.IntegerValue:
    """Items bought so far."""
    return orders.items.sum()


@purchases.feature(unit="products", missing=0)
def distinct_products(order_lines: ir.Table) -> ir.IntegerValue:
    """Different products bought so far."""
    return order_lines.product_id.nunique()


@purchases.feature(unit="days")
def median_gap_days(gaps: ir.Table) -> ir.FloatingValue:
    """Median number of days between one order and the next; null before the second order."""
    return gaps.gap_days.median()


@purchases.feature(unit="days")
def longest_gap_days(gaps: ir.Table) -> ir.IntegerValue:
    """Most days between one order and the next; null before the second order."""
    return gaps.gap_days.max()


@purchases.feature(unit="days")
def gap_spread_days(gaps: ir.Table) -> ir.FloatingValue:
    """Standard deviation (of a sample) of the days between orders; null before the third order."""
    days, n = gaps.gap_days.cast("int64"), gaps.count()
    # From integers, without rounding, so the order of rows does not matter.
    deviations = n * (days * days).sum() - days.sum() * days.sum()
    return (deviations.cast("float64") / (n * (n - 1)).cast("float64").nullif(0)).sqrt()


@purchases.feature(unit="share")
def weekend_share(orders: ir.Table) -> ir.FloatingValue:
    """Share of the orders begun on a Saturday or Sunday of the shop; null without an order."""
    # Mondays are 0, also before 1970, whichever sign an engine gives the remainder.
    weekday = (orders.day % 7 + 10) % 7
    return orders.count(where=weekday >= 5).cast("float64") / orders.count().cast("float64")


@purchases.feature(unit="bits")
def category_entropy(tastes: ir.Table) -> ir.FloatingValue:
    """Shannon entropy of the spend over product categories: 0 when all went to one."""
    bits = tastes.share * (1 / tastes.share).log2()
    # As decimals, so that their sum does not depend on the order of rows.
    return bits.cast("decimal(18, 15)").sum().cast("float64")


@purchases.feature(unit="currency", missing=0)
def refunded_total(refunds: ir.Table) -> ir.FloatingValue:
    """Money given back so far."""
    return refunds.amount.sum()


@purchases.feature(unit="currency", missing=0)
def refunded_365d(refunds: ir.Table) -> ir.FloatingValue:
    """Money given back in the last 365 days."""
    return refunds.amount.sum(where=refunds.days_ago <= 365)


@purchases.feature(unit="days")
def days_since_refund(refunds: ir.Table) -> ir.IntegerValue:
    """Days since money was last given back; null when none ever was."""
    return refunds.days_ago.min()


@purchases.feature(unit="share")
def refund_share(refunded_total: ir.FloatingValue, spend_total: ir.FloatingValue) -> ir.FloatingValue:
    """Share of what was paid so far that was given back; null without an order."""
    return refunded_total / spend_total.nullif(0)


@purchases.feature(unit="currency", missing=0)
def net_spend_365d(spend_365d: ir.FloatingValue, refunded_365d: ir.FloatingValue) -> ir.FloatingValue:
    """Paid in the last 365 days less the money given back in them; below 0 when more came back."""
    # As decimals, since the difference of two large sums of floats is inexact.
    return spend_365d.cast(MONEY) - refunded_365d.cast(MONEY)


@purchases.feature(unit="currency")
def average_order_value(spend_total: ir.FloatingValue, orders_total: ir.IntegerValue) -> ir.FloatingValue:
    """Mean amount paid per order; null without an order."""
    return spend_total / orders_total.nullif(0)


@purchases.feature(unit="ratio")
def overdue_ratio(recency_days: ir.IntegerValue, median_gap_days: ir.FloatingValue) -> ir.FloatingValue:
    """Days since the latest order over the median gap, at least a day: above 1, later than usual."""
    return recency_days / ibis.ifelse(median_gap_days < 1, 1.0, median_gap_days)


@purchases.feature(unit="ratio")
def spend_trend(spend_90d: ir.FloatingValue, spend_365d: ir.FloatingValue) -> ir.FloatingValue:
    """Paid in the last 90 days over the mean of 90 days in the last 365: above 1, more than usual.

    At most 365 / 90, when all of it falls into the last 90 days; null when nothing was paid in 365.
    """
    return spend_90d / (spend_365d * (90 / 365)).nullif(0)
