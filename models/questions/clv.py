"""CLV: how much will this customer bring, after refunds, within the next year?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from features.groups.purchases import orders_total
from models.estimators.contest import money_blend
from models.questions.gates import LEVEL, WORST_SLICE
from models.questions.labels import net_revenue_within, order_kept_within
from models.questions.propensity import propensity
from models.questions.window_totals import revenue_by_cohort, revenue_in_windows
from models.spec import Baseline, Condition, CustomerModel, Gate

order_kept = replace(
    propensity,
    name="order_kept",
    question="Will this customer bring anything?",
    meaning="probability of net revenue above 0 within {days} days",
    label=order_kept_within,
    baselines=(),
    gates=(),
    tells_next_order=False,
)
clv = CustomerModel(
    name="clv",
    question="How much will this customer bring?",
    meaning="expected net revenue (paid less refunded, not below 0) within {days} days",
    kind="money",
    horizon=timedelta(days=365),
    shorter_horizons=(timedelta(days=270), timedelta(days=180), timedelta(days=90)),
    features=propensity.features,
    eligible=(Condition(orders_total, "has not ordered yet", at_least=1),),
    label=net_revenue_within,
    window_total=revenue_in_windows,
    cohorts=revenue_by_cohort,
    order=order_kept,
    estimator=money_blend,
    baselines=(
        Baseline("past_spend", lambda f, days: f["net_spend_365d"].clip(lower=0) * days / 365),
        *propensity.baselines,
    ),
    gates=(
        Gate("gini", "it must tell big spenders from small ones", at_least=0.3),
        Gate("gini_over_past_spend", "it must not rank clearly worse than past spend", at_least=-0.01),
        LEVEL,
        Gate("interval_coverage", "nine in ten outcomes must lie within their intervals", at_least=0.8),
        Gate("interval_coverage_top_decile", "so must those of the best tenth", at_least=0.75),
        *WORST_SLICE["money"],
    ),
)
