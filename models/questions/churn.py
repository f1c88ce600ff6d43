"""Churn: will this customer, who ordered lately, stop ordering?

Non-contractual: customers do not give notice, so churn is defined by a time without an order.
"""

from __future__ import annotations

from datetime import timedelta

from features.groups.purchases import recency_days
from features.groups.segment_rules import LAPSED_AFTER_DAYS
from models.estimators.contest import probability_blend
from models.questions.labels import lapsed_within
from models.questions.propensity import propensity
from models.spec import Baseline, Condition, CustomerModel

churn = CustomerModel(
    name="churn",
    question="Will this active customer stop ordering?",
    meaning="calibrated probability of no order within {days} days",
    kind="probability",
    horizon=timedelta(days=180),
    shorter_horizons=(timedelta(days=120), timedelta(days=90), timedelta(days=60)),
    features=propensity.features,
    eligible=(
        Condition(
            recency_days,
            f"has no order in the last {LAPSED_AFTER_DAYS} days, so has lapsed already or never begun",
            at_most=LAPSED_AFTER_DAYS,
        ),
    ),
    label=lapsed_within,
    estimator=probability_blend,
    baselines=(Baseline("recency", lambda f, _days: f["recency_days"]),),
    gates=propensity.gates,
    complement_of=propensity,
)
