"""Plans of a trained shop: within budgets, as single decisions would choose, and without a trace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from core.home import Home
from decisions.plans.problem import NOTHING_CHOSEN, Infeasible
from records.decisions import DecisionLog
from records.tables import decisions, salts
from serving.decisions.decider import Decider
from serving.plans.planner import PlannedShop, plan_shop
from serving.plans.to_file import plan_everyone
from serving.scores.scorer import open_scorer

HEAD = "margin = 0.4\nholdout_share = 0.1\nexploration_share = 0.0\n"
ACTIONS = """
[[actions]]
name = "letter"
channel = "post"
cost = 0.5
effect = { on = "propensity", plus = 0.1 }

[[actions]]
name = "coupon"
channel = "email"
cost = 0.01
discount = 0.05
rule = "newsletter and recency_days <= 400"
effect = { on = "propensity", times = 1.6 }

[[actions]]
name = "call"
channel = "phone"
cost = 2.0
rule = "churn > 30%"
effect = { on = "churn", times = 0.8 }
"""
BUDGETS = """
[[budgets]]
name = "march"
money = 60.0

[[budgets]]
name = "paper"
action = "letter"
contacts = 40

[channels.phone]
capacity_per_day = 5
"""


@pytest.fixture(scope="module")
def home(trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: Any) -> Home:
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("plans") / "home")
    home.actions.write_text(HEAD + ACTIONS + BUDGETS)
    with DecisionLog(home) as log, log.writing() as connection:
        connection.execute(sa.update(salts).values(salt=bytes(32)))
    return home


def planned(home: Home, money: float | None = None) -> PlannedShop:
    with DecisionLog(home) as log:
        decider = Decider(open_scorer(home, None), log)
        rules = decider.rules()
        return plan_shop(decider, decider.question(rules, None, "test"), rules, None, money)


def test_a_plan_keeps_to_budgets_and_capacities_and_leaves_no_trace(home: Home) -> None:
    plan = planned(home)
    uses = {(use.name, use.kind): use for use in plan.plan.constraints}
    assert uses["march", "money"].used <= 60
    assert uses["paper", "contacts"].used <= 40
    assert uses["phone", "contacts"].used <= 5
    assert uses["march", "money"].binding
    assert plan.plan.expense == pytest.approx(plan.expense.sum(), rel=1e-5)
    assert plan.plan.expense > 50
    assert plan.plan.gap < 0.02
    with DecisionLog(home) as log, log.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(decisions)).scalar() == 0


def test_without_budgets_a_plan_chooses_as_single_decisions_do(home: Home) -> None:
    text = home.actions.read_text()
    home.actions.write_text(HEAD + ACTIONS)
    try:
        plan = planned(home)
        names = [action.name for action in plan.rules.actions]
        by_key = {
            key: "nothing" if row == NOTHING_CHOSEN else names[row]
            for key, row in zip(plan.customers, plan.plan.choice.tolist(), strict=True)
        }
        sample = dict(list(plan.customers.items())[:150])
        with DecisionLog(home) as log:
            decider = Decider(open_scorer(home, None), log)
            made = decider.decide(sample, decider.question(plan.rules, None, "test"), plan.rules)
            differing = {d.customer_key for d in made if d.choice.action != by_key[d.customer_key]}
            assert differing == set()
            values = dict(zip(plan.customers, plan.value, strict=True))
            for decision in made:
                expected = decision.choice.expected_value
                assert values[decision.customer_key] == pytest.approx(expected, rel=1e-4, abs=1e-4)
            # Who got an action today has had its contact: the plan leaves it out.
            contacted = {d.customer_key for d in made if d.choice.channel is not None}
            again = planned(home)
            left = dict(zip(again.customers, again.plan.choice.tolist(), strict=True))
            assert contacted
            assert {left[key] for key in contacted} == {NOTHING_CHOSEN}
            with log.writing() as connection:
                for table in ("reservations", "decisions"):
                    connection.execute(sa.text(f"DELETE FROM {table}"))
    finally:
        home.actions.write_text(text)


def test_the_command_reports_what_binds_and_writes_who_gets_what(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "plan.ndjson"
    done, lines = plan_everyone(home, out, 20.0, None, None, "en")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == done["contacts"]
    assert Counter(row["action"] for row in rows) == {a["action"]: a["customers"] for a in done["actions"]}
    assert sum(row["expense"] for row in rows) == pytest.approx(done["expense"], rel=1e-4)
    assert done["expense"] <= 20
    assert "budget budget: " in "\n".join(lines)
    assert "binding, one more would bring" in "\n".join(lines)
    assert lines[-1] == "  this is a preview: nothing was reserved or sent"


def test_a_plan_that_cannot_be_met_says_why(home: Home) -> None:
    with pytest.raises(Infeasible, match="the budget budget is 0"):
        planned(home, 0.0)


def test_plans_are_made_over_http(
    home: Home,
    answering: Callable[[Home], AbstractContextManager[Callable[..., httpx.Response]]],
    refused: Callable[..., None],
) -> None:
    with answering(home) as ask:
        answer = ask("/v1/plans", method="POST", json={"budget": 20, "rows": 3, "language": "zh"})
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert made["expense"] <= 20
        values = [row["expected_value"] for row in made["rows"]]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert {budget["name"] for budget in made["budgets"]} == {"budget", "march", "paper", "phone"}
        refused(ask("/v1/plans", method="POST", json={"budget": 0}), "budget")
        refused(ask("/v1/plans", method="POST", json={"segment": "value_tier:Z"}), "segment: ")
