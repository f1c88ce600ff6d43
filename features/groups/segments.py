"""Segments of customers: RFM, value tier, lifecycle stage and taste.

The boundaries (quantiles, the revenue that makes a tier, the centres of tastes) are computed from all
customers as of the first of each month and are valid until the next (:mod:`features.offline.boundaries`). So
a customer's segments change with their events, and once a month with the boundaries. Fifths are relative to
the shop, and limited by days and orders, which are not. :mod:`features.groups.segment_rules` has the names
and the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from features.group import KEYS, FeatureGroup
from features.groups.purchases import (
    median_gap_days,
    net_spend_365d,
    orders_365d,
    orders_total,
    recency_days,
    refunded_total,
    spend_total,
)
from features.groups.segment_rules import (
    GRID,
    LAPSED_AFTER_DAYS,
    LATE_AFTER_GAPS,
    LATE_AFTER_ONE_ORDER_DAYS,
    LOYAL_ORDERS,
    MIN_LATE_DAYS,
    RECENCY_LIMITS,
    WORTH_LIMITS,
)

segments = FeatureGroup(
    "segments",
    fresh_for=timedelta(days=2),
    reads=(
        orders_total,
        recency_days,
        median_gap_days,
        orders_365d,
        spend_total,
        refunded_total,
        net_spend_365d,
    ),
)


@segments.table
def standing(population: ir.Table, boundaries: ir.Table) -> ir.Table:
    """The boundaries valid at each moment: the latest of each kind."""
    moments = population.select("as_of").distinct()
    so_far = moments.join(boundaries, boundaries.valid_from <= moments.as_of)
    latest = so_far.group_by("as_of", "kind").aggregate(valid_from=so_far.valid_from.max())
    return so_far.inner_join(latest, ["as_of", "kind", "valid_from"])


@segments.table
def places(facts: ir.Table, standing: ir.Table) -> ir.Table:
    """One row per customer with an order and kind of boundary: their measure, and the number of bounds that
    it reaches; null before there are boundaries.
    """
    buyers = facts.filter(facts.orders_total > 0)
    measures = {
        "recency": buyers.recency_days,
        "frequency": buyers.orders_total,
        "money": buyers.spend_total - buyers.refunded_total,
        "tier": buyers.net_spend_365d,
    }
    parts = [
        buyers.select(*KEYS, kind=ibis.literal(kind), measure=value.cast("float64"))
        for kind, value in measures.items()
    ]
    measured = ibis.union(*parts, distinct=False)
    joined = measured.left_join(standing, ["as_of", "kind"])
    return joined.group_by([*KEYS, "kind"]).aggregate(
        measure=joined.measure.max(),
        reached=(joined.measure >= joined.bound).cast("int64").sum(),
    )


@segments.table
def shares(order_lines: ir.Table) -> ir.Table:
    """One row per category in which a customer paid: its share of the customer's spend so far."""
    lines = order_lines.filter(order_lines.category.notnull(), order_lines.amount > 0)
    spent = lines.group_by([*KEYS, "category"]).aggregate(spend=lines.amount.sum())
    # Decimals until the last, whose sum does not depend on the order of rows.
    whole = spent.spend.sum().over(group_by=list(KEYS)).cast("float64")
    return spent.mutate(share=spent.spend.cast("float64") / whole)


@segments.table
def tastes(shares: ir.Table, standing: ir.Table) -> ir.Table:
    """One row per customer: the taste with the nearest centre (Euclidean); of equals the first by label."""
    centres = standing.filter(standing.kind == "taste")
    length = centres.group_by("as_of", "label").aggregate(length=(centres.bound * centres.bound).sum())
    near = shares.inner_join(centres, ["as_of", "category"])
    products = near.group_by([*KEYS, "label"]).aggregate(product=(near.share * near.bound).sum())
    both = products.inner_join(length, ["as_of", "label"])
    # |x - c|² less the customer's own |x|²; rounded, so that equals stay equal in any order of rows.
    distance = (both.length - 2 * both["product"]).round(9)
    # The least of both together, since a window that ranks them takes several times as long.
    place = ibis.struct({"distance": distance, "label": both.label})
    return both.group_by(list(KEYS)).aggregate(nearest=place.min()).mutate(label=lambda t: t.nearest["label"])


def _place(places: ir.Table, kind: str) -> tuple[ir.IntegerValue, ir.FloatingValue]:
    """The number of bounds of a kind that a customer's measure reaches, and the measure."""
    of_kind = places.kind == kind
    return places.reached.max(where=of_kind), places.measure.max(where=of_kind)


def _limited(value: ir.IntegerValue, lowest: ir.Value, highest: ir.Value) -> ir.IntegerValue:
    """A value within limits; null where it is null."""
    return ibis.cases((value < lowest, lowest), (value > highest, highest), else_=value)


@segments.feature(unit="score")
def recency_score(places: ir.Table) -> ir.IntegerValue:
    """How lately the customer ordered, in fifths of all buyers: 5 the latest; null without an order.

    At most 3 after 90 days and at most 2 after 180, and at least 3 up to 30 days.
    """
    reached, days = _place(places, "recency")
    lowest = ibis.ifelse(days <= MIN_LATE_DAYS, 3, 1)
    highest = ibis.cases((days > LAPSED_AFTER_DAYS, 2), (days > LATE_AFTER_ONE_ORDER_DAYS, 3), else_=5)
    return _limited(5 - reached, lowest, highest)


@segments.feature(unit="score")
def frequency_score(places: ir.Table) -> ir.IntegerValue:
    """How many orders so far, in fifths of all buyers: 5 the most; null without an order.

    1 with one order, at most 3 with two, and at most 4 with three.
    """
    reached, orders = _place(places, "frequency")
    highest = ibis.cases((orders == 1, 1), (orders < LOYAL_ORDERS, orders + 1), else_=5)
    return _limited(1 + reached, ibis.literal(1), highest)


@segments.feature(unit="score")
def monetary_score(places: ir.Table) -> ir.IntegerValue:
    """Paid less refunded so far, in fifths of all buyers: 5 the most; null without an order.

    1 if nothing is left after refunds.
    """
    reached, money = _place(places, "money")
    return _limited(1 + reached, ibis.literal(1), ibis.ifelse(money > 0, 5, 1))


@segments.feature(unit="tier")
def value_tier(places: ir.Table) -> ir.StringValue:
    """The value tier by net revenue of the last 365 days: A the most, D none; null without an order."""
    reached, money = _place(places, "tier")
    return ibis.cases((money <= 0, "D"), (reached == 3, "A"), (reached == 2, "B"), (money > 0, "C"))


@segments.feature(unit="stage", missing="prospect")
def lifecycle_stage(
    orders_total: ir.IntegerValue,
    recency_days: ir.IntegerValue,
    median_gap_days: ir.FloatingValue,
    orders_365d: ir.IntegerValue,
) -> ir.StringValue:
    """Where the customer stands: prospect, new, repeat, loyal, at_risk or lapsed."""
    usual = (median_gap_days * LATE_AFTER_GAPS).fill_null(float(LATE_AFTER_ONE_ORDER_DAYS))
    late_after = ibis.ifelse(usual < MIN_LATE_DAYS, float(MIN_LATE_DAYS), usual)
    return ibis.cases(
        (orders_total == 0, "prospect"),
        (recency_days > LAPSED_AFTER_DAYS, "lapsed"),
        (recency_days > late_after, "at_risk"),
        (orders_total == 1, "new"),
        (orders_365d >= LOYAL_ORDERS, "loyal"),
        else_="repeat",
    )


@segments.feature(unit="segment")
def rfm_segment(
    recency_score: ir.IntegerValue,
    frequency_score: ir.IntegerValue,
    monetary_score: ir.IntegerValue,
    lifecycle_stage: ir.StringValue,
    value_tier: ir.StringValue,
) -> ir.StringValue:
    """The RFM segment, from the three scores within the limits of stage and tier; null without an order."""
    recency, worth = grid_place(recency_score, frequency_score, monetary_score, lifecycle_stage, value_tier)
    named = [
        ((recency == row) & (worth == column), name)
        for row, names in enumerate(GRID, 1)
        for column, name in enumerate(names, 1)
    ]
    return ibis.cases(*named)


def grid_place(
    recency_score: ir.IntegerValue,
    frequency_score: ir.IntegerValue,
    monetary_score: ir.IntegerValue,
    lifecycle_stage: ir.StringValue,
    value_tier: ir.StringValue,
) -> tuple[ir.IntegerValue, ir.IntegerValue]:
    """The row and the column of ``GRID`` in which a customer is: recency and worth, 1 to 5."""
    recency = _limited(recency_score, *_limits(lifecycle_stage, RECENCY_LIMITS))
    worth = (frequency_score + monetary_score + 1) // 2
    worth = _limited(worth, *_limits(lifecycle_stage, WORTH_LIMITS))
    # Tier A is not "for little". Tier D is not "for much", unless that was before the last year.
    worth = ibis.cases(
        ((value_tier == "A") & (worth < 3), 3),
        ((value_tier == "D") & (lifecycle_stage != "lapsed") & (worth > 3), 3),
        else_=worth,
    )
    return recency, worth


def _limits(stage: ir.StringValue, limits: Mapping[str, tuple[int, int]]) -> tuple[ir.Value, ir.Value]:
    """The lowest and the highest value of a stage; 1 and 5 for a stage without limits."""
    lowest = [(stage == name, low) for name, (low, _) in limits.items() if low > 1]
    highest = [(stage == name, high) for name, (_, high) in limits.items() if high < 5]
    return ibis.cases(*lowest, else_=1), ibis.cases(*highest, else_=5)


@segments.feature(unit="taste")
def taste_cluster(tastes: ir.Table) -> ir.StringValue:
    """The taste nearest to how the customer's spend divides over categories, by its leading categories.

    Null when nothing was paid in a category that was known when tastes were last learnt.
    """
    return tastes.label.max()
