"""Subscription churn: will this subscriber hold no subscription any more?

Contractual: a customer leaves by notice or by not renewing, so churn is an observed event.
"""

from __future__ import annotations

from datetime import timedelta

from features.groups.contacts import (
    days_since_open,
    days_since_opt_out,
    email_open_rate_90d,
    unsubscribed_email,
)
from features.groups.engagement import days_since_visit, visit_trend, visits_30d, visits_90d
from features.groups.profile import acquisition_channel, country, known_days, newsletter
from features.groups.purchases import (
    days_since_refund,
    orders_30d,
    orders_90d,
    orders_365d,
    overdue_ratio,
    recency_days,
    refund_share,
    spend_365d,
)
from features.groups.subscription import (
    active_subscriptions,
    days_since_cancellation,
    renewing_subscriptions,
    subscription_days_left,
    subscription_monthly_amount,
    subscription_period_months,
    subscription_renewals,
    subscription_tenure_days,
    subscriptions_ended,
)
from models.estimators.contest import probability_blend
from models.questions.gates import WORST_SLICE
from models.questions.labels import unsubscribed_within
from models.spec import Baseline, Condition, CustomerModel, Gate

FAR_DAYS = 9999  # for a subscription paid without an end date

subscription_churn = CustomerModel(
    name="subscription_churn",
    question="Will this subscriber's subscriptions end?",
    meaning="calibrated probability that no subscription is active {days} days from now",
    kind="probability",
    horizon=timedelta(days=60),
    shorter_horizons=(timedelta(days=30),),
    features=(
        subscription_tenure_days, subscription_renewals, subscription_days_left, subscription_period_months,
        subscription_monthly_amount, active_subscriptions, renewing_subscriptions, subscriptions_ended,
        days_since_cancellation, recency_days, overdue_ratio, orders_30d, orders_90d, orders_365d, spend_365d,
        refund_share, days_since_refund, visits_30d, visits_90d, days_since_visit, visit_trend,
        email_open_rate_90d, days_since_open, days_since_opt_out, unsubscribed_email,
        acquisition_channel, country, newsletter, known_days,
    ),
    eligible=(
        Condition(
            renewing_subscriptions,
            "holds no subscription that goes on: none is active, or notice was given",
            at_least=1,
        ),
    ),
    label=unsubscribed_within,
    estimator=probability_blend,
    baselines=(
        Baseline("term_end", lambda f, _days: -f["subscription_days_left"].fillna(FAR_DAYS)),
        Baseline("silence", lambda f, _days: f["days_since_visit"]),
    ),
    gates=(
        Gate("auc", "it must tell subscribers apart", at_least=0.6),
        Gate("auc_over_term_end", "it must not be worse than the days to the end of the term", at_least=0.0),
        Gate("auc_over_silence", "it must not be worse than the days since a visit", at_least=0.0),
        Gate("calibration_slope", "its probabilities must mean what they say", at_least=0.6, at_most=1.6),
        *WORST_SLICE["probability"],
    ),
)  # fmt: skip
