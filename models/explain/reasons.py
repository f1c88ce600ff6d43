"""Explains a score by the contribution of each feature, as text.

SHAP values are contributions to the raw score. Readers need points of probability or money, which are not
sums of such contributions. So the contributions are converted to the score's scale
(:mod:`models.estimators.attribution`); the base and all contributions add up to the score. Features that
state one fact (:mod:`models.explain.facts`) are one reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.group import Feature
from features.groups import FEATURES
from models.estimator import Array
from models.estimators.attribution import attributed
from models.explain.facts import facts_of
from models.explain.summary import rounded_points, signed, sum_of_money, sum_of_points
from models.explain.words import counted, is_missing, money, phrase
from models.registry.bundle import FittedModel
from models.registry.encoding import matrix

TOP = 4
MIN_EFFECT = 0.0005  # of probability: a twentieth of a point


@dataclass(frozen=True, slots=True)
class FeatureReason:
    """The contribution of one fact about a customer to a score: of a feature's value and of those that state
    the same.

    Attributes:
        feature: of the features that state the fact, the one with the largest contribution.
        value: its value; None if missing.
        contribution: of all of them, in the score's unit: probability, or the shop's currency.
        raw_contribution: of all of them, to the raw score.
        words: the value and the contribution as text.
        others: the other features whose contributions are included.
    """

    feature: str
    value: Any
    contribution: float
    raw_contribution: float
    words: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoreExplanation:
    """An explained score: ``base``, the contributions of ``reasons``, and ``rest`` add up to the score.

    Likewise ``bias``, the raw contributions of ``reasons``, and ``raw_rest`` add up to ``raw_score``, the
    score before it is converted to a probability or to money.

    Attributes:
        base: the model's score without any feature.
        reasons: the largest contributions by absolute value, in descending order.
        rest: the sum of all other contributions.
        summary: the sum as text, line by line: base, reasons, everything else, score.
    """

    base: float
    reasons: tuple[FeatureReason, ...]
    rest: float
    bias: float
    raw_score: float
    raw_rest: float
    summary: tuple[str, ...]


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
    names = [column.name for column in model.columns]
    x = matrix(model.columns, {name: [values[name]] for name in names})
    contributions = model.fitted.contributions(x)[0]
    base, parts = attribute(contributions, model.fitted.corrected)
    if model.manifest["complement"]:
        base, parts, contributions = 1 - base, -parts, -contributions
    raw, bias = contributions[:-1], float(contributions[-1])
    is_money = model.manifest["kind"] == "money"
    effect_of = effect_in_money(currency) if is_money else effect_in_points
    by_fact = sorted(facts_of(names, values), key=lambda places: -abs(parts[places].sum()))
    reasons = []
    for places in by_fact[:top]:
        contribution = float(parts[places].sum())
        if effect := effect_of(contribution):
            main = _main(places, parts, contribution)
            column = model.columns[main]
            value = None if is_missing(values[column.name]) else values[column.name]
            value_in_words = phrase(_meaning(column.name, known), column.unit, value, currency)
            others = tuple(names[place] for place in places if place != main)
            reasons.append(
                FeatureReason(
                    column.name,
                    value,
                    contribution,
                    float(raw[places].sum()),
                    f"{value_in_words}: {effect}",
                    others,
                )
            )
    rest = float(parts.sum()) - sum(reason.contribution for reason in reasons)
    raw_rest = float(raw.sum()) - sum(reason.raw_contribution for reason in reasons)
    shown = (base, [r.contribution for r in reasons], [r.words for r in reasons], base + float(parts.sum()))
    summary = sum_of_money(*shown, currency) if is_money else sum_of_points(*shown)
    return ScoreExplanation(base, tuple(reasons), rest, bias, float(contributions.sum()), raw_rest, summary)


def _main(places: Sequence[int], parts: Array, contribution: float) -> int:
    """Of a fact's features the one that is named: the largest contribution in the fact's direction."""
    return max(places, key=lambda place: (parts[place] * contribution > 0, abs(parts[place])))


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
    if abs(contribution) < MIN_EFFECT:
        return None
    return signed(contribution, counted(abs(rounded_points(contribution)), "points"))


def effect_in_money(currency: str) -> Callable[[float], str | None]:
    """``+120 EUR``; None for less than half a hundredth."""

    def effect(contribution: float) -> str | None:
        amount = money(abs(contribution), currency)
        return signed(contribution, amount) if abs(contribution) >= 0.005 else None

    return effect


def _meaning(name: str, known: Mapping[str, Feature]) -> str:
    """A feature's meaning; its name if the shop does not have the feature any more."""
    return known[name].meaning if name in known else name.replace("_", " ")
