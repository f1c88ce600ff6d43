"""One customer: the portrait, scores with reasons, next best actions and the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException

from console.catalogue_names import action_names, channel_name
from console.page import ConsolePage, Content, PageTable, TableColumn, Visit
from console.personal.customers import next_best_actions, read_customer
from console.words.features import feature_name, feature_value, trait_name
from console.words.messages import Translator
from console.words.sentences import sentence
from core.errors import PatronError
from features.group import Feature
from features.groups import features_of
from serving.access.scopes import Scope
from serving.customers.schemas import Portrait
from serving.customers.timeline_schemas import TimelineEvent
from serving.scores.schemas import ExplainedScore

EVENTS = 30
FLAGS = {"true": True, "false": False}
"""The values of traits that are truth values."""


def load(visit: Visit) -> Content:
    """A customer by the key in the path.

    Raises:
        HTTPException: 404: nobody has this key.
    """
    customer = read_customer(visit, visit.path["customer_key"], EVENTS)
    return Content(
        {
            "customer": customer.portrait,
            "scores": _scores(visit, customer.portrait),
            "actions": _actions(visit, customer.key),
            "events": [_event(visit.words, event) for event in customer.events],
            "problem": customer.problem,
        },
        {"facts": _facts(visit, customer.portrait)},
        str(customer.key),
    )


PAGE = ConsolePage(
    "customer", "/customers/{customer_key}", Scope.CUSTOMERS, load, False, "looked at a customer"
)


def _scores(visit: Visit, portrait: Portrait) -> list[dict[str, Any]]:
    """The scores as text, each with its reasons in words."""
    words, known, shown = visit.words, features_of(visit.home), []
    for name, score in portrait.scores.items():
        money = name == "clv"
        write = words.money if money else words.percent
        shown.append(
            {
                "name": name,
                "value": None if score.score is None else write(score.score),
                "low": None if score.low is None else write(score.low),
                "high": None if score.high is None else write(score.high),
                "band": portrait.bands.get(name),
                "rank": score.rank,
                "percentile": score.percentile,
                "reason": score.reason,
                "summary": _summary(words, score, known),
            }
        )
    return shown


def _actions(visit: Visit, key: int) -> dict[str, Any]:
    """The next best actions, or why there are none."""
    try:
        decision = next_best_actions(visit, key)
    except (PatronError, HTTPException) as error:
        reason = error.detail if isinstance(error, HTTPException) else str(error)
        return {"reason": reason, "decision": None, "names": {}}
    names = action_names(visit.home, visit.words.language)
    chosen = decision.chosen.channel
    channel = channel_name(chosen, visit.words.language) if chosen else ""
    return {"reason": None, "decision": decision, "names": names, "channel": channel}


def _event(words: Translator, event: TimelineEvent) -> dict[str, Any]:
    """An event of the timeline: its time, its kind, and what happened; ``data`` are the shop's own words."""
    shown = {"time": event.time, "kind": words.choice("event", event.kind), "text": "", "data": ""}
    match event.kind:
        case "order" | "refund":
            return shown | {"text": words.money(event.amount)}
        case "trait":
            value = feature_value(words, event.name, "", FLAGS.get(event.value, event.value))
            return shown | {"text": trait_name(words, event.name), "data": value}
        case "contact":
            return shown | {"data": event.action}
    if event.activity is None:
        return shown | {"data": event.name}
    return shown | {"text": words.choice("activity", event.activity)}


def _summary(words: Translator, score: ExplainedScore, known: Mapping[str, Feature]) -> list[str]:
    """The sum that explains a score; in Chinese the reasons are written from their values."""
    if words.language == "en":
        return score.summary
    lines = list(score.summary)
    for i, reason in enumerate(score.reasons, 1):
        feature = known.get(reason.feature)
        lines[i] = words(
            "customer.contribution",
            feature=feature_name(words, reason.feature, known),
            value=words("features.missing")
            if reason.value is None
            else feature_value(words, reason.feature, feature.unit if feature else "", reason.value),
            effect=sentence(words, reason.words.rpartition(": ")[2]),
        )
    return lines


def _facts(visit: Visit, portrait: Portrait) -> PageTable:
    words, known = visit.words, features_of(visit.home)
    rows = [
        {
            "name": feature_name(words, name, known),
            "address": f"/console/features/{name}" if name in known else "",
            "value": feature_value(words, name, known[name].unit if name in known else "", fact.value),
            "code": name,
        }
        for facts in (portrait.facts or {}).values()
        for name, fact in facts.items()
    ]
    columns = [
        TableColumn("name", "customer.fact", "long", link="address"),
        TableColumn("value", "customer.value", "data"),
        TableColumn("code", "features.name", "code"),
    ]
    return PageTable("customer.facts", columns, rows)
