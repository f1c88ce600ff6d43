"""Explains a score by the contribution of each feature, as text.

SHAP values are contributions to the raw score. Readers need points of probability or money, which are not
sums of such contributions. So the contributions are converted to the score's scale
(:mod:`models.estimators.attribution`); the base and all contributions add up to the score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.group import Feature
from features.groups import FEATURES
from models.estimators.attribution import attributed
from models.explain.words import counted, is_missing, money, phrase
from models.registry.bundle import FittedModel
from models.registry.encoding import matrix
from models.spec import Array

TOP = 4
_POINT = 0.01


@dataclass(frozen=True, slots=True)
class FeatureReason:
    """The contribution of one feature's value to a score.

    Attributes:
        value: the feature's value; None if missing.
        contribution: in the score's unit: probability, or the shop's currency.
        raw_contribution: to the raw score.
        words: the value and the contribution as text.
    """

    feature: str
    value: Any
    contribution: float
    raw_contribution: float
    words: str


@dataclass(frozen=True, slots=True)
class ScoreExplanation:
    """An explained score: ``base``, the contributions of ``reasons``, and ``rest`` add up to the score.

    Likewise ``bias``, the raw contributions of ``reasons``, and ``raw_rest`` add up to ``raw_score``, the
    score before it is converted to a probability or to money.

    Attributes:
        base: the model's score without any feature.
        reasons: the largest contributions by absolute value, in descending order.
        rest: the sum of all other contributions.
    """

    base: float
    reasons: tuple[FeatureReason, ...]
    rest: float
    bias: float
    raw_score: float
    raw_rest: float


def explain(
    model: FittedModel,
    values: Mapping[str, Any],
    currency: str,
    top: int = TOP,
    known: Mapping[str, Feature] = FEATURES,
) -> ScoreExplanation:
    """Explain a model's score of one customer.

    Args:
        values: the customer's features by name; None for missing ones.
        currency: the shop's.
        top: the maximum number of reasons; negligible ones are left out.
        known: the shop's features by name, for their meanings.
    """
    x = matrix(model.columns, {column.name: [values[column.name]] for column in model.columns})
    contributions = model.fitted.contributions(x)[0]
    base, parts = attribute(contributions, model.fitted.corrected)
    if model.manifest["complement"]:
        base, parts, contributions = 1 - base, -parts, -contributions
    raw, bias = contributions[:-1], float(contributions[-1])
    effect_of = effect_in_money(currency) if model.manifest["kind"] == "money" else effect_in_points
    reasons = []
    for i in np.argsort(-np.abs(parts), kind="stable")[:top]:
        column, contribution = model.columns[i], float(parts[i])
        if effect := effect_of(contribution):
            value = None if is_missing(values[column.name]) else values[column.name]
            value_in_words = phrase(_meaning(column.name, known), column.unit, value, currency)
            reasons.append(
                FeatureReason(column.name, value, contribution, float(raw[i]), f"{value_in_words}: {effect}")
            )
    rest = float(parts.sum()) - sum(reason.contribution for reason in reasons)
    raw_rest = float(raw.sum()) - sum(reason.raw_contribution for reason in reasons)
    return ScoreExplanation(base, tuple(reasons), rest, bias, float(contributions.sum()), raw_rest)


def attribute(contributions: Array, corrected: Callable[[Array], Array]) -> tuple[float, Array]:
    """Convert contributions to a raw score to contributions to the score.

    Args:
        contributions: what each feature adds to the raw score, and last the base.
        corrected: converts raw scores to scores.

    Returns:
        The base, and the contribution of each feature; together they add up to the score.
    """
    parts = attributed(contributions[None, :], corrected)[0]
    return float(parts[-1]), parts[:-1]


def effect_in_points(contribution: float) -> str | None:
    """``+12 points`` of probability; None for less than a twentieth of a point."""
    points = contribution / _POINT
    digits = 0 if abs(points) >= 0.95 else 1
    return _signed(points, counted(abs(round(points, digits)), "points")) if abs(points) >= 0.05 else None


def effect_in_money(currency: str) -> Callable[[float], str | None]:
    """``+120 EUR``; None for less than half a hundredth."""

    def effect(contribution: float) -> str | None:
        amount = money(abs(contribution), currency)
        return _signed(contribution, amount) if abs(contribution) >= 0.005 else None

    return effect


def _signed(value: float, amount: str) -> str:
    return f"{'+' if value > 0 else '−'}{amount}"


def _meaning(name: str, known: Mapping[str, Feature]) -> str:
    """A feature's meaning; its name if the shop does not have the feature any more."""
    return known[name].meaning if name in known else name.replace("_", " ")
