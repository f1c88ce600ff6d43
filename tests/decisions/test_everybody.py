"""Rules over all customers of a built shop: sizes, and the same answer as customer by customer."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.home import Home
from decisions.everybody import load_everybody
from decisions.rules.conditions import rule_of
from decisions.rules.evaluation import RuleInput, evaluate
from decisions.rules.tree import terms
from events.identity import Identity

RULES = {
    text: rule_of(text)
    for text in (
        "value_tier in (A, B) and orders_365d >= 2",
        "not newsletter or country = DE",
        "recency_days between 30 and 200 or recency_days is not known",
        "average_order_value > 60.5",
        "anniversary within 30 days",
        "churn > 0.5",
    )
}


def test_everybody_matches_as_each_customer_does(
    built_shop: Home, present_facts: dict[str, dict[str, Any]]
) -> None:
    read = [term for rule in RULES.values() for term in terms(rule)]
    everybody = load_everybody(built_shop, read)
    assert everybody.unscored == ("churn",)
    inside = everybody.matching(RULES)
    ids = Identity(built_shop).ids(everybody.keys.tolist())
    facts = [present_facts[ids[key]] for key in everybody.keys.tolist()]
    assert len(facts) == len(present_facts)
    for text, rule in RULES.items():
        expected = [
            evaluate(rule, RuleInput(row, {}, everybody.today, everybody.facts_day)) is True for row in facts
        ]
        assert inside[text].tolist() == expected, text
        assert text == "churn > 0.5" or 0 < np.sum(inside[text]) < len(facts)
    assert everybody.matching({}) == {}
