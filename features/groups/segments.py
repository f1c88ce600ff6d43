"""Segments of customers: RFM, value tier, lifecycle stage and taste.

The boundaries (quantiles, the revenue that makes a tier, the centres of tastes) are computed from all
customers as of the first of each month and are valid until the next (:mod:`features.offline.boundaries`). So
a customer's segments change with their events, and once a month with the boundaries. Before the first
boundaries RFM segment, tier and taste are null.
"""

from __future__ import annotations

from dataclasses import dataclass
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

LAPSED_AFTER_DAYS = 180
LATE_AFTER_ONE_ORDER_DAYS = 90
LATE_AFTER_GAPS = 2.0
MIN_LATE_DAYS = 30
LOYAL_ORDERS = 4

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


@dataclass(frozen=True)
class Segment:
    """A segment as shown to people: its name in two languages, and its rule in words."""

    english: str
    chinese: str
    meaning: str


RFM = {
    "champions": Segment("Champions", "冠军客户", "ordered lately, often and for much"),
    "loyal": Segment("Loyal", "忠诚客户", "order often and for much, though not in the last weeks"),
    "potential_loyalists": Segment(
        "Potential loyalists", "潜力客户", "ordered lately, fairly often or for more"
    ),
    "newcomers": Segment("Newcomers", "新近客户", "ordered lately, seldom and for little"),
    "needs_attention": Segment("Needs attention", "需关注客户", "middling in all three"),
    "about_to_sleep": Segment(
        "About to sleep", "即将沉睡客户", "seldom, for little, and not in the last weeks"
    ),
    "cannot_lose": Segment(
        "Cannot lose", "重要挽留客户", "were among the best and have not ordered for long"
    ),
    "at_risk": Segment("At risk", "流失风险客户", "used to order fairly often, and have not for long"),
    "hibernating": Segment("Hibernating", "沉睡客户", "seldom, for little, and not for long"),
    "lost": Segment("Lost", "已流失客户", "seldom, for little, and not for longest"),
}
TIERS = {
    "A": Segment("A", "A 级", "bring most of the last year's net revenue, by the shop's setting for tier A"),
    "B": Segment("B", "B 级", "come next"),
    "C": Segment("C", "C 级", "brought something within the last year"),
    "D": Segment("D", "D 级", "brought nothing within the last year, after refunds"),
}
STAGES = {
    "prospect": Segment("Prospect", "潜在客户", "known, and has not ordered yet"),
    "new": Segment("New", "新客户", f"ordered once, at most {LATE_AFTER_ONE_ORDER_DAYS} days ago"),
    "repeat": Segment("Repeat", "复购客户", "ordered again, and is not late for the next order"),
    "loyal": Segment("Loyal", "忠诚客户", f"likewise, with {LOYAL_ORDERS} or more in 365 days"),
    "at_risk": Segment(
        "At risk",
        "流失风险",
        f"late for the next order: it is more than {LATE_AFTER_GAPS:g} of their median gaps ago, and"
        f" {MIN_LATE_DAYS} days; or {LATE_AFTER_ONE_ORDER_DAYS} days after a first order",
    ),
    "lapsed": Segment("Lapsed", "已流失", f"last ordered more than {LAPSED_AFTER_DAYS} days ago"),
}
# Recency counted from 5 (lately) to 1; the mean of frequency and money, rounded up, from 1 to 5.
_GRID = (
    ("lost", "lost", "at_risk", "at_risk", "cannot_lose"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    ("about_to_sleep", "about_to_sleep", "needs_attention", "loyal", "loyal"),
    ("newcomers", "potential_loyalists", "potential_loyalists", "champions", "champions"),
    ("newcomers", "potential_loyalists", "potential_loyalists", "champions", "champions"),
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
    """One row per customer with an order and kind of boundary: the number of bounds that their measure
    reaches.
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
    joined = measured.inner_join(standing, ["as_of", "kind"])
    reached = joined.count(where=joined.measure >= joined.bound)
    return joined.group_by([*KEYS, "kind"]).aggregate(reached=reached)


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


def _reached(places: ir.Table, kind: str) -> ir.IntegerValue:
    return places.reached.max(where=places.kind == kind)


@segments.feature(unit="score")
def recency_score(places: ir.Table) -> ir.IntegerValue:
    """How lately the customer ordered, in fifths of all buyers: 5 the latest; null without an order."""
    return 5 - _reached(places, "recency")


@segments.feature(unit="score")
def frequency_score(places: ir.Table) -> ir.IntegerValue:
    """How many orders so far, in fifths of all buyers: 5 the most; null without an order."""
    return 1 + _reached(places, "frequency")


@segments.feature(unit="score")
def monetary_score(places: ir.Table) -> ir.IntegerValue:
    """Paid less refunded so far, in fifths of all buyers: 5 the most; null without an order."""
    return 1 + _reached(places, "money")


@segments.feature(unit="segment")
def rfm_segment(
    recency_score: ir.IntegerValue, frequency_score: ir.IntegerValue, monetary_score: ir.IntegerValue
) -> ir.StringValue:
    """The RFM segment, from the three scores; null without an order."""
    worth = (frequency_score + monetary_score + 1) // 2
    named = [
        ((recency_score == recency) & (worth == place), name)
        for recency, row in enumerate(_GRID, 1)
        for place, name in enumerate(row, 1)
    ]
    return ibis.cases(*named)


@segments.feature(unit="tier")
def value_tier(places: ir.Table) -> ir.StringValue:
    """The value tier by net revenue of the last 365 days: A the most, D none; null without an order."""
    reached = _reached(places, "tier")
    return ibis.cases((reached == 3, "A"), (reached == 2, "B"), (reached == 1, "C"), (reached == 0, "D"))


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


@segments.feature(unit="taste")
def taste_cluster(tastes: ir.Table) -> ir.StringValue:
    """The taste nearest to how the customer's spend divides over categories, by its leading categories.

    Null when nothing was paid in a category that was known when tastes were last learnt.
    """
    return tastes.label.max()
