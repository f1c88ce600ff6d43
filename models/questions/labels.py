"""Labels: outcomes after as_of, as Ibis expressions."""

from __future__ import annotations

import ibis.expr.types as ir

from events.schema import Events, following
from features.group import KEYS
from features.groups.subscription import active_subscriptions, subscription


def ordered_within(events: Events, population: ir.Table, days: int) -> ir.Table:
    """1 for customers who placed an order in the ``days`` days from as_of on, else 0."""
    orders = following(events.order_lines, population, days)
    buyers = orders.group_by(KEYS).aggregate(lines=orders.count())
    who = population.select(*KEYS)
    joined = who.left_join(buyers, KEYS)
    return joined.select(*(who[k] for k in KEYS), label=joined.lines.notnull().cast("float64"))


def lapsed_within(events: Events, population: ir.Table, days: int) -> ir.Table:
    """1 for customers who placed no order in the ``days`` days from as_of on, else 0."""
    ordered = ordered_within(events, population, days)
    return ordered.mutate(label=1 - ordered.label)


def days_until_order(events: Events, population: ir.Table, days: int) -> ir.Table:
    """Days from as_of to the next order, 0 on the day itself; null without an order within ``days`` days."""
    orders = following(events.order_lines, population, days)
    waits = orders.group_by(KEYS).aggregate(wait=(orders.day - orders.as_of_day).min())
    who = population.select(*KEYS)
    joined = who.left_join(waits, KEYS)
    return joined.select(*(who[k] for k in KEYS), label=joined.wait.cast("float64"))


def net_revenue_within(events: Events, population: ir.Table, days: int) -> ir.Table:
    """Paid less refunded in the ``days`` days from as_of on, in currency, and at least 0."""
    paid = following(events.order_lines, population, days)
    back = following(events.refunds, population, days)
    moved = paid.select(*KEYS, "amount").union(back.select(*KEYS, amount=-back.amount))
    net = moved.group_by(KEYS).aggregate(net=moved.amount.sum().cast("float64"))
    who = population.select(*KEYS)
    joined = who.left_join(net, KEYS)
    return joined.select(*(who[k] for k in KEYS), label=joined.net.fill_null(0.0).clip(lower=0.0))


def order_kept_within(events: Events, population: ir.Table, days: int) -> ir.Table:
    """1 for customers with net revenue above 0 in the ``days`` days from as_of on, else 0."""
    money = net_revenue_within(events, population, days)
    return money.mutate(label=(money.label > 0).cast("float64"))


def unsubscribed_within(events: Events, population: ir.Table, days: int) -> ir.Table:
    """1 for customers without an active subscription at the end of the ``days`` days from as_of on, else 0.

    Active subscriptions are computed as by the feature, from the events up to then. A customer who replaces a
    subscription by another has not left.
    """
    joined = population.inner_join(events.activities, "customer_key")
    activities = joined.filter(joined.day - joined.as_of_day < days)
    then = activities.mutate(days_ago=activities.as_of_day + days - activities.day)
    state = subscription.compute(events, population, [active_subscriptions], {"activities": then})
    return state.select(*KEYS, label=(state.active_subscriptions == 0).cast("float64"))
