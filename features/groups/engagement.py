"""Activities in the shop other than orders: visits, product views, searches, carts.

A visit is a run of such activities without a pause of 30 minutes; its day and hour are those of its
beginning. Repeated events count once. A cart is filled in one visit, and its time is that of the last
addition or step of the checkout. It is abandoned if no order follows within 24 hours, and counts as abandoned
from the second midnight on, so that a value changes only with an event or at midnight.
"""

from __future__ import annotations

from datetime import timedelta

import ibis
import ibis.expr.types as ir

from events.taxonomy import CARTS, VISITS
from features.group import KEYS, FeatureGroup

PAUSE = ibis.interval(minutes=30)
TIME_TO_ORDER = ibis.interval(hours=24)
JUDGED_AFTER_DAYS = 2

engagement = FeatureGroup("engagement", fresh_for=timedelta(days=2))


@engagement.table
def moments(activities: ir.Table) -> ir.Table:
    """One row per moment with an activity in the shop, and the number of its visit."""
    done = activities.filter(activities.kind.isin((*VISITS, *CARTS)))
    by_moment = done.group_by([*KEYS, "timestamp"]).aggregate(
        days_ago=done.days_ago.max(),
        hour=done.hour.max(),
        fills=done.kind.isin(("cart_added", "checkout")).max(),
    )
    window = ibis.window(group_by=list(KEYS), order_by=by_moment.timestamp)
    begins = (by_moment.timestamp - PAUSE >= by_moment.timestamp.lag().over(window)).fill_null(True)
    begun = by_moment.mutate(begins=begins.cast("int64"))
    so_far = ibis.window(group_by=list(KEYS), order_by=begun.timestamp, preceding=(None, 0))
    return begun.mutate(visit=begun.begins.sum().over(so_far))


@engagement.table
def visits(moments: ir.Table) -> ir.Table:
    """One row per visit: the day and hour it began, and when its cart was last filled, if at all."""
    return moments.group_by([*KEYS, "visit"]).aggregate(
        days_ago=moments.days_ago.max(),
        hour=moments.hour.argmin(moments.timestamp),
        filled_at=moments.timestamp.max(where=moments.fills),
        filled_days_ago=moments.days_ago.min(where=moments.fills),
    )


@engagement.table
def carts(visits: ir.Table, order_lines: ir.Table) -> ir.Table:
    """One row per cart that is old enough to be judged: whether an order followed."""
    filled = visits.filter(visits.filled_days_ago >= JUDGED_AFTER_DAYS)
    ordered = order_lines.select(*KEYS, ordered_at=order_lines.timestamp).distinct()
    joined = filled.left_join(
        ordered,
        [
            *(filled[key] == ordered[key] for key in KEYS),
            ordered.ordered_at >= filled.filled_at,
            ordered.ordered_at <= filled.filled_at + TIME_TO_ORDER,
        ],
    )
    with_orders = joined.select(
        *(filled[c] for c in (*KEYS, "filled_at", "filled_days_ago")), ordered.ordered_at
    )
    return with_orders.group_by([*KEYS, "filled_at"]).aggregate(
        days_ago=with_orders.filled_days_ago.min(), abandoned=with_orders.ordered_at.count() == 0
    )


@engagement.table
def views(activities: ir.Table) -> ir.Table:
    """One row per product and moment at which it was viewed."""
    viewed = activities.filter(activities.kind == "viewed")
    return viewed.group_by([*KEYS, "timestamp", "product_id"]).aggregate(
        days_ago=viewed.days_ago.max(), category=viewed.category.min()
    )


@engagement.table
def viewed_categories(views: ir.Table) -> ir.Table:
    """One row per category viewed in the last 90 days: how often, and its place among them."""
    recent = views.filter(views.days_ago <= 90, views.category.notnull())
    by_category = recent.group_by([*KEYS, "category"]).aggregate(views=recent.count())
    most_first = [by_category.views.desc(), by_category.category]
    return by_category.mutate(place=ibis.row_number().over(group_by=list(KEYS), order_by=most_first))


@engagement.table
def visit_hours(visits: ir.Table) -> ir.Table:
    """One row per hour of the day at which visits of the last 90 days began, and its place by number."""
    recent = visits.filter(visits.days_ago <= 90)
    by_hour = recent.group_by([*KEYS, "hour"]).aggregate(visits=recent.count())
    most_first = [by_hour.visits.desc(), by_hour.hour]
    return by_hour.mutate(place=ibis.row_number().over(group_by=list(KEYS), order_by=most_first))


@engagement.feature(unit="visits", missing=0)
def visits_7d(visits: ir.Table) -> ir.IntegerValue:
    """Visits to the shop in the last 7 days."""
    return visits.count(where=visits.days_ago <= 7)


@engagement.feature(unit="visits", missing=0)
def visits_30d(visits: ir.Table) -> ir.IntegerValue:
    """Visits to the shop in the last 30 days."""
    return visits.count(where=visits.days_ago <= 30)


@engagement.feature(unit="visits", missing=0)
def visits_90d(visits: ir.Table) -> ir.IntegerValue:
    """Visits to the shop in the last 90 days."""
    return visits.count(where=visits.days_ago <= 90)


@engagement.feature(unit="days")
def days_since_visit(visits: ir.Table) -> ir.IntegerValue:
    """Days since the latest visit began; null when there was none."""
    return visits.days_ago.min()


@engagement.feature(unit="ratio")
def visit_trend(visits_30d: ir.IntegerValue, visits_90d: ir.IntegerValue) -> ir.FloatingValue:
    """Visits of the last 30 days over the mean of 30 days in the last 90: above 1, more than usual.

    At most 3; null without a visit in 90 days.
    """
    return (visits_30d * 3).cast("float64") / visits_90d.cast("float64").nullif(0)


@engagement.feature(unit="hour")
def usual_visit_hour(visit_hours: ir.Table) -> ir.IntegerValue:
    """The shop's hour of the day (0 to 23) at which most visits of the last 90 days began.

    Of equals the earliest; null without a visit in 90 days.
    """
    return visit_hours.hour.max(where=visit_hours.place == 0)


@engagement.feature(unit="views", missing=0)
def product_views_30d(views: ir.Table) -> ir.IntegerValue:
    """Times a product was viewed in the last 30 days."""
    return views.count(where=views.days_ago <= 30)


@engagement.feature(unit="products", missing=0)
def products_viewed_90d(views: ir.Table) -> ir.IntegerValue:
    """Different products viewed in the last 90 days."""
    return views.product_id.nunique(where=views.days_ago <= 90)


@engagement.feature(unit="category")
def most_viewed_category_90d(viewed_categories: ir.Table) -> ir.StringValue:
    """The category whose products were viewed most in the last 90 days, of equals the first by name."""
    return viewed_categories.category.max(where=viewed_categories.place == 0)


@engagement.feature(unit="share")
def most_viewed_category_share_90d(viewed_categories: ir.Table) -> ir.FloatingValue:
    """Share of the last 90 days' views of products with a category that the most viewed category has."""
    whole = viewed_categories.views.sum().cast("float64")
    return viewed_categories.views.max().cast("float64") / whole


@engagement.feature(unit="searches", missing=0)
def searches_30d(activities: ir.Table) -> ir.IntegerValue:
    """Searches for products in the last 30 days."""
    return activities.timestamp.nunique(where=(activities.kind == "searched") & (activities.days_ago <= 30))


@engagement.feature(unit="share")
def cart_visit_share_90d(visits: ir.Table) -> ir.FloatingValue:
    """Share of the last 90 days' visits in which a cart was filled; null without a visit in them."""
    filled = visits.count(where=(visits.days_ago <= 90) & visits.filled_at.notnull())
    return filled.cast("float64") / visits.count(where=visits.days_ago <= 90).cast("float64").nullif(0)


@engagement.feature(unit="carts", missing=0)
def carts_90d(visits: ir.Table) -> ir.IntegerValue:
    """Visits of the last 90 days in which a cart was filled, or a checkout begun."""
    return visits.count(where=visits.filled_days_ago <= 90)


@engagement.feature(unit="carts", missing=0)
def abandoned_carts_90d(carts: ir.Table) -> ir.IntegerValue:
    """Carts filled in the last 90 days, today and yesterday left out, that no order followed in 24 hours."""
    return carts.count(where=carts.abandoned & (carts.days_ago <= 90))


@engagement.feature(unit="share")
def cart_abandonment_share_90d(carts: ir.Table) -> ir.FloatingValue:
    """Share of the carts filled in the last 90 days, today and yesterday left out, that were abandoned.

    Null when none was filled in them.
    """
    abandoned = carts.count(where=carts.abandoned & (carts.days_ago <= 90))
    return abandoned.cast("float64") / carts.count(where=carts.days_ago <= 90).cast("float64").nullif(0)


@engagement.feature(unit="days")
def days_since_abandoned_cart(carts: ir.Table) -> ir.IntegerValue:
    """Days since the latest cart that was abandoned; null when none ever was."""
    return carts.days_ago.min(where=carts.abandoned)
