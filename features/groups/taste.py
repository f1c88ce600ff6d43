"""Tastes of customers: favourite categories, categories new to them, products bought again.

A window counts a line by its own day. Features of categories ignore lines without a category.
All amounts are before refunds.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup

taste = FeatureGroup("taste", fresh_for=timedelta(days=7))


@taste.table
def categories(order_lines: ir.Table) -> ir.Table:
    """One row per category bought: its first day and the spend on it."""
    lines = order_lines.filter(order_lines.category.notnull())
    return lines.group_by([*KEYS, "category"]).aggregate(
        days_ago=lines.days_ago.max(),
        spend=lines.amount.sum(),
        spend_90d=lines.amount.sum(where=lines.days_ago <= 90).fill_null(0),
    )


@taste.table
def products(order_lines: ir.Table) -> ir.Table:
    """One row per product bought: in how many orders."""
    return order_lines.group_by([*KEYS, "product_id"]).aggregate(orders=order_lines.order_id.nunique())


@taste.feature(unit="category")
def favourite_category(categories: ir.Table) -> ir.StringValue:
    """The category most was paid for so far, of equals the first by name; null when nothing was paid."""
    # The largest spend first and then the name: the least of both together.
    place = ibis.struct({"spend": -categories.spend, "category": categories.category})
    return place.min(where=categories.spend > 0)["category"]


@taste.feature(unit="share")
def favourite_category_share(categories: ir.Table) -> ir.FloatingValue:
    """Share of the spend in categories that went to the favourite one; null when nothing was paid."""
    return categories.spend.max().cast("float64") / categories.spend.sum().cast("float64").nullif(0)


@taste.feature(unit="categories", missing=0)
def distinct_categories(categories: ir.Table) -> ir.IntegerValue:
    """Different categories bought so far."""
    return categories.count()


@taste.feature(unit="share")
def new_category_share_90d(categories: ir.Table) -> ir.FloatingValue:
    """Share of the last 90 days' spend in categories that went to ones never bought before those days.

    Null when nothing was paid in a category in them.
    """
    new = categories.spend_90d.sum(where=categories.days_ago <= 90).fill_null(0)
    return new.cast("float64") / categories.spend_90d.sum().cast("float64").nullif(0)


@taste.feature(unit="days")
def days_since_new_category(categories: ir.Table) -> ir.IntegerValue:
    """Days since a category was last bought for the first time; null before any was."""
    return categories.days_ago.min()


@taste.feature(unit="share")
def repeat_product_share(products: ir.Table) -> ir.FloatingValue:
    """Share of the purchases that were not the first of their product; null without an order.

    A product counts once per order, so 0 says that no product was in two orders.
    """
    purchases = products.orders.sum()
    return (purchases - products.count()).cast("float64") / purchases.cast("float64").nullif(0)
