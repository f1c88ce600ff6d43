"""Propensity: will this customer order within the next 30 days?"""

from __future__ import annotations

from datetime import timedelta

from features.groups.profile import acquisition_channel, country, known_days, newsletter
from features.groups.purchases import (
    average_order_value,
    category_entropy,
    distinct_products,
    items_total,
    largest_order,
    median_gap_days,
    net_spend_365d,
    orders_30d,
    orders_90d,
    orders_365d,
    orders_total,
    overdue_ratio,
    recency_days,
    refund_share,
    spend_90d,
    spend_365d,
    spend_total,
    tenure_days,
)
from models.estimators.contest import probability_blend
from models.questions.gates import LEVEL, WORST_SLICE
from models.questions.labels import ordered_within
from models.questions.window_totals import buyers_in_windows
from models.spec import Baseline, Condition, CustomerModel, Gate

propensity = CustomerModel(
    name="propensity",
    question="Will this customer order soon?",
    meaning="calibrated probability of at least one order within {days} days",
    kind="probability",
    horizon=timedelta(days=30),
    features=(
        orders_total, orders_30d, orders_90d, orders_365d, recency_days, tenure_days,
        median_gap_days, overdue_ratio, spend_total, spend_90d, spend_365d, net_spend_365d,
        average_order_value, largest_order, items_total, distinct_products, category_entropy,
        refund_share, country, acquisition_channel, newsletter, known_days,
    ),
    eligible=(Condition(orders_total, "has not ordered yet", at_least=1),),
    label=ordered_within,
    window_total=buyers_in_windows,
    estimator=probability_blend,
    baselines=(
        Baseline("recency", lambda f, _days: -f["recency_days"]),
        Baseline("frequency", lambda f, _days: f["orders_365d"]),
    ),
    gates=(
        Gate("auc", "it must tell customers apart", at_least=0.6),
        Gate("auc_over_recency", "it must not be worse than recency alone", at_least=0.0),
        Gate("calibration_slope", "its probabilities must mean what they say", at_least=0.6, at_most=1.6),
        LEVEL,
        *WORST_SLICE["probability"],
    ),
    tells_next_order=True,
)  # fmt: skip
