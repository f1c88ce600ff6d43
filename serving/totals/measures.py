"""The measures whose totals are predicted, as data: from which models, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.estimator import Array
from models.estimators.level import PRIOR_SD
from models.questions.churn import churn
from models.questions.clv import clv
from models.questions.propensity import propensity
from models.registry.bundle import FittedModel
from serving.totals.outcomes import Outcomes, amounts, amounts_at_risk, probabilities

CUSTOMERS, MONEY = "customers", "currency"


@dataclass(frozen=True)
class Measure:
    """A quantity that is predicted for each customer and added up.

    Attributes:
        unit: ``customers``, or ``currency``.
        models: those of which a customer needs a score.
        meaning: with the horizons of the models by name.
        combine: the quantity from the outcomes that the models predict, in the order of ``models``.
    """

    name: str
    unit: str
    models: tuple[str, ...]
    meaning: str
    combine: Callable[..., Outcomes]

    def meaning_of(self, horizons: Mapping[str, int]) -> str:
        """The meaning at the models' horizons, in days."""
        return self.meaning.format(**horizons)


def _alone(outcomes: Outcomes) -> Outcomes:
    return outcomes


MEASURES: tuple[Measure, ...] = (
    Measure(
        "predicted_revenue",
        MONEY,
        (clv.name,),
        "Net revenue within {clv} days from the customers that clv scores: the sum of clv.",
        _alone,
    ),
    Measure(
        "revenue_at_risk",
        MONEY,
        (churn.name, clv.name),
        "The part of the predicted revenue of {clv} days that belongs to customers who place no order within"
        " {churn} days: the sum of churn times clv, of the customers that both score.",
        amounts_at_risk,
    ),
    Measure(
        "expected_churners",
        CUSTOMERS,
        (churn.name,),
        "Customers who place no order within {churn} days, of those that churn scores: the sum of churn.",
        _alone,
    ),
    Measure(
        "expected_buyers",
        CUSTOMERS,
        (propensity.name,),
        "Customers who order within {propensity} days, of those that propensity scores: the sum of"
        " propensity.",
        _alone,
    ),
)
MODEL_NAMES = tuple(dict.fromkeys(name for measure in MEASURES for name in measure.models))


def predicted_outcomes(model: FittedModel, scores: Array) -> Outcomes:
    """The outcomes that a version predicts for the customers with these scores.

    The deviation of its level is the prior's if it was not learnt.
    """
    sd = model.level.get("sd", PRIOR_SD)
    if model.name == clv.name:
        return amounts(scores, model.deviation(scores), sd)
    return probabilities(scores, sd)
