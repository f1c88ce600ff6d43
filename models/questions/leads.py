"""Leads: will this prospect, who has not ordered yet, place a first order?"""

from __future__ import annotations

from datetime import timedelta

from features.groups.contacts import (
    clicked_90d,
    contacts_30d,
    days_since_click,
    days_since_open,
    email_open_rate_90d,
    opened_90d,
    unsubscribed_email,
)
from features.groups.engagement import (
    abandoned_carts_90d,
    cart_visit_share_90d,
    carts_90d,
    days_since_abandoned_cart,
    days_since_visit,
    product_views_30d,
    products_viewed_90d,
    searches_30d,
    visit_trend,
    visits_7d,
    visits_30d,
    visits_90d,
)
from features.groups.profile import acquisition_channel, country, known_days, newsletter
from features.groups.purchases import orders_total
from models.estimators.trees import CalibratedTrees
from models.questions.gates import WORST_SLICE
from models.questions.labels import ordered_within
from models.spec import Baseline, Condition, CustomerModel, Gate

leads = CustomerModel(
    name="leads",
    question="Will this prospect place a first order?",
    meaning="calibrated probability of a first order within {days} days",
    kind="probability",
    horizon=timedelta(days=60),
    shorter_horizons=(timedelta(days=30),),
    features=(
        visits_7d, visits_30d, visits_90d, days_since_visit, visit_trend, product_views_30d,
        products_viewed_90d, searches_30d, carts_90d, cart_visit_share_90d, abandoned_carts_90d,
        days_since_abandoned_cart, contacts_30d, opened_90d, clicked_90d, email_open_rate_90d,
        days_since_open, days_since_click, unsubscribed_email,
        acquisition_channel, country, newsletter, known_days,
    ),
    eligible=(Condition(orders_total, "has ordered already, so is no prospect", at_most=0),),
    label=ordered_within,
    estimator=CalibratedTrees,
    baselines=(
        Baseline("visits", lambda f, _days: f["visits_90d"]),
        Baseline("newness", lambda f, _days: -f["known_days"]),
    ),
    gates=(
        Gate("auc", "it must tell prospects apart", at_least=0.6),
        Gate("auc_over_visits", "it must not be clearly worse than counting visits", at_least=-0.02),
        # First orders are few, so the slope is uncertain: only a clearly overconfident model is refused.
        Gate("calibration_slope", "its probabilities must not be far too bold", at_least=0.5),
        *WORST_SLICE["probability"],
    ),
)  # fmt: skip
