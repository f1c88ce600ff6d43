"""Features that state one fact about a customer, so that a fact is one reason for a score.

How many orders a customer placed in 30, 90 and 365 days is one fact, and a person who reads it three times
takes it for three. An explanation adds up the contributions of these features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LAST_ORDER = ("recency_days", "overdue_ratio")
FACTS: tuple[tuple[str, ...], ...] = (
    LAST_ORDER,
    ("orders_total", "orders_30d", "orders_90d", "orders_365d"),
    ("spend_total", "spend_90d", "spend_365d", "net_spend_365d", "spend_trend"),
    ("average_order_value", "largest_order"),
    ("items_total", "distinct_products"),
    ("tenure_days", "known_days"),
    ("median_gap_days", "longest_gap_days", "gap_spread_days"),
    ("category_entropy", "distinct_categories"),
    ("refund_share", "refunded_total", "refunded_365d", "days_since_refund"),
    ("visits_7d", "visits_30d", "visits_90d", "days_since_visit", "visit_trend"),
    ("product_views_30d", "products_viewed_90d"),
    ("carts_90d", "cart_visit_share_90d"),
    ("abandoned_carts_90d", "cart_abandonment_share_90d", "days_since_abandoned_cart"),
    ("contacts_7d", "contacts_30d", "contacts_90d", "emails_90d", "days_since_contact"),
    ("opened_30d", "opened_90d", "open_rate_90d", "email_open_rate_90d", "days_since_open"),
    ("clicked_90d", "click_rate_90d", "days_since_click"),
    ("unsubscribed_email", "days_since_opt_out"),
    ("renewing_subscriptions", "days_since_cancellation"),
    ("subscription_tenure_days", "subscription_renewals"),
)
"""By fact, the features that state it; any other feature is a fact of its own."""
WINDOW_DAYS = {"orders_30d": 30, "orders_90d": 90, "orders_365d": 365, "spend_90d": 90, "spend_365d": 365}
"""The windows of features that are 0 because the latest order was before them."""

_FACT_OF = {name: fact for fact in FACTS for name in fact}


def facts_of(names: Sequence[str], values: Mapping[str, Any]) -> list[list[int]]:
    """The places of features in ``names``, by fact, in the order of each fact's first feature.

    Args:
        values: the customer's features by name; the latest order states also that there was none since.
    """
    recency = values.get("recency_days") if "recency_days" in names else None
    by_fact: dict[tuple[str, ...], list[int]] = {}
    for place, name in enumerate(names):
        implied = recency is not None and recency > WINDOW_DAYS.get(name, recency) and values[name] == 0
        fact = LAST_ORDER if implied else _FACT_OF.get(name, (name,))
        by_fact.setdefault(fact, []).append(place)
    return list(by_fact.values())
