"""The portrait of a customer, from facts and scores: measures, reasons and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.calendar import date_of, day_of
from core.shop import Shop
from decisions.reasons import Language
from features.group import Feature
from features.groups import FEATURES
from features.offline.current import SEGMENTS
from models.explain.words import band, is_missing
from models.questions.churn import churn
from models.questions.clv import clv
from models.questions.leads import leads
from models.questions.next_order import HORIZON_DAYS, MIN_ORDERS, Rates, own_rhythm, rates_of
from models.questions.propensity import propensity
from models.questions.subscription_churn import subscription_churn
from models.registry.bundle import FittedModel
from records.batches import BOUNDS, ORDER_PARTS
from serving.customers.portrait_text import describe
from serving.customers.schemas import Fact, Measures, Portrait
from serving.customers.timeline_schemas import CustomerContact
from serving.scores.explainer import explained
from serving.scores.schemas import ExplainedScore
from serving.scores.score import Score, ScoredCustomer

_MONEY_DIGITS = 4  # as events hold it
_NO_ORDER = "has not ordered yet"
_NO_INTERVAL = "this version of clv tells no interval"
_NO_PARTS = "this version of clv has no probability of an order"
# The marketers' names of scores, and of their horizons.
_SCORES = {
    propensity.name: ("order_probability", "order_horizon_days"),
    churn.name: ("churn_probability", "churn_horizon_days"),
    clv.name: ("predicted_clv", "predicted_clv_horizon_days"),
    leads.name: ("first_order_probability", "first_order_horizon_days"),
    subscription_churn.name: ("subscription_churn_probability", "subscription_churn_horizon_days"),
}
_ValueOrReason = tuple[Any, str | None]  # a value, or None and why


def portray(
    entry: ScoredCustomer,
    models: Mapping[str, FittedModel],
    shop: Shop,
    language: Language,
    known: Mapping[str, Feature] = FEATURES,
    contacts: Sequence[CustomerContact] = (),
) -> Portrait:
    """The portrait of a known customer.

    Args:
        entry: the customer's scores and all facts.
        models: those that answer, by name.
        known: the shop's features, by name.
        contacts: the customer's newest ones.
    """
    facts = {name: None if is_missing(value) else value for name, value in entry.facts.items()}
    features = [known[name] for name in facts if name in known]
    measured = measures(entry, facts, models, shop)
    ranks = ranks_of(entry.scores)
    by_group: dict[str, dict[str, Fact]] = {}
    for f in features:
        unit = shop.currency if f.unit == "currency" else f.unit
        fact = Fact(value=facts[f.name], unit=unit, meaning=f.meaning)
        by_group.setdefault(f.group.name, {})[f.name] = fact
    segments = {name: facts[name] for name in by_group.get(SEGMENTS, {}) if known[name].dtype == "string"}
    return Portrait(
        **measured.model_dump(),
        customer_id=entry.customer_id,
        reason=entry.reason,
        features_as_of=entry.features_as_of,
        currency=shop.currency,
        portrait=describe(entry.customer_id, facts, measured, shop.currency, language, ranks),
        stage=facts.get("lifecycle_stage"),
        segments=segments,
        scores={
            name: explained(score, models.get(name), facts, shop.currency, known)
            for name, score in entry.scores.items()
        },
        bands={
            name: band(score.percentile, language)
            for name, score in entry.scores.items()
            if score.percentile is not None
        },
        facts=by_group or None,
        contacts=[*contacts],
    )


def ranks_of(scores: Mapping[str, Score | ExplainedScore]) -> dict[str, float]:
    """The percentiles of scores by the marketers' names of them."""
    return {
        _SCORES[name][0]: score.percentile
        for name, score in scores.items()
        if name in _SCORES and score.percentile is not None
    }


def measures(
    entry: ScoredCustomer, facts: Mapping[str, Any], models: Mapping[str, FittedModel], shop: Shop
) -> Measures:
    """The numbers that marketers know, and for each that is null the reason."""
    as_of = entry.features_as_of or shop.now()
    rates = rates_of(models[propensity.name].manifest) if propensity.name in models else None
    day, today = day_of(as_of, shop.time_zone), shop.today()
    values = _history(facts, day) | {
        "expected_date_of_next_order": _next_order(facts, rates, today - day, today)
    }
    if entry.reason is not None:
        values = dict.fromkeys(values, (None, entry.reason))
    horizons = {"next_order_horizon_days": HORIZON_DAYS if rates else None}
    for model, (name, horizon) in _SCORES.items():
        score = entry.scores.get(model, Score(None, reason=entry.reason or f"{model} was never trained"))
        values[name] = (score.score, score.reason)
        horizons[horizon] = models[model].manifest["horizon_days"] if model in models else None
    worth = entry.scores[clv.name]
    for name in BOUNDS:
        values[f"predicted_clv_{name}"] = (getattr(worth, name), worth.reason or _NO_INTERVAL)
    for name in ORDER_PARTS:
        values[f"predicted_clv_{name}"] = (getattr(worth, name), worth.reason or _NO_PARTS)
    historic, predicted = values["historic_clv"], values["predicted_clv"]
    values["total_clv"] = (
        _total(historic[0], predicted[0]),
        (historic if historic[0] is None else predicted)[1],
    )
    missing = {name: str(why) for name, (value, why) in values.items() if value is None}
    return Measures(**{name: value for name, (value, _) in values.items()}, **horizons, missing=missing)


def _history(facts: Mapping[str, Any], day: int) -> dict[str, _ValueOrReason]:
    """What was, by features that describe the shop's ``day``."""
    orders, recency, tenure = facts.get("orders_total"), facts.get("recency_days"), facts.get("tenure_days")
    known_days = max((days for days in (facts.get("known_days"), tenure) if days is not None), default=None)
    net = _total(facts.get("spend_total"), facts.get("refunded_total"), -1)
    gap: float | None = None
    if orders and orders > 1 and recency is not None and tenure is not None:
        gap = (tenure - recency) / (orders - 1)
    return {
        "known_since": (None if known_days is None else date_of(day - known_days), "nothing is dated"),
        "historic_number_of_orders": (orders, _NO_ORDER),
        "historic_clv": (net, _NO_ORDER),
        "average_order_value": (facts.get("average_order_value"), _NO_ORDER),
        "average_days_between_orders": (gap, "has ordered once" if orders == 1 else _NO_ORDER),
    }


def _next_order(facts: Mapping[str, Any], rates: Rates | None, later: int, today: int) -> _ValueOrReason:
    """The day of the next order, from today on, or why none is told: by the shop's rates, else by own rhythm.

    Args:
        later: days from those that the facts describe to ``today``.
    """
    orders, recency, tenure = facts.get("orders_total"), facts.get("recency_days"), facts.get("tenure_days")
    if not orders or recency is None or tenure is None:
        return None, _NO_ORDER
    if recency + later > HORIZON_DAYS:
        return None, f"has lapsed: no order in the last {HORIZON_DAYS} days"
    if rates is not None:
        return date_of(today + int(rates.wait(orders, recency + later, tenure + later))), None
    if orders < MIN_ORDERS:
        return None, f"fewer than {MIN_ORDERS} orders make no rhythm"
    wait = int(own_rhythm(orders, recency + later, facts["median_gap_days"]))
    due = date_of(today + wait)
    if wait < 0:
        return None, f"overdue: by the customer's own rhythm it was due on {due.isoformat()}"
    return due, None


def _total(first: float | None, second: float | None, sign: int = 1) -> float | None:
    return None if first is None or second is None else round(first + sign * second, _MONEY_DIGITS)
