"""Actions on category propensity in a shop with the model of categories: one customer, and everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.home import Home
from decisions.values.valuation import Valuer
from models.categories.published import CategoryRanking
from models.registry.registry import Registry
from records.decisions import Decision, DecisionLog
from serving.decisions.decider import Decider
from serving.plans.planner import build_problem
from serving.rankings.ranking import CATEGORIES
from serving.scores.scorer import open_scorer

FILE = """
margin = 0.4
exploration_share = 0.0
[[actions]]
name = "voucher"
channel = "app"
cost = 0.01
discount = 0.05
effect = {{ on = "category", category = "{category}", times = 1.5 }}
[[actions]]
name = "favourite"
channel = "app"
cost = 0.01
effect = {{ on = "category", plus = 0.02 }}
[[actions]]
name = "typo"
channel = "app"
cost = 0.01
effect = {{ on = "category", category = "no such", plus = 0.02 }}
"""


@pytest.fixture
def ranking(ranked_shop: Home) -> CategoryRanking:
    return CATEGORIES.open_champion(Registry(ranked_shop))


@pytest.fixture
def home(ranked_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path: Path) -> Home:
    return copy_trained(ranked_shop, tmp_path / "home")


def decide(home: Home, category: str, count: int = 40) -> tuple[Decider, dict[int, Decision]]:
    """Previews for the first customers."""
    home.actions.write_text(FILE.format(category=category))
    with DecisionLog(home) as log:
        decider = Decider(open_scorer(home, None), log)
        rules = decider.rules()
        table = decider.scorer.identity.table().slice(0, count)
        customers = dict(
            zip(table["customer_key"].to_pylist(), table["customer_id"].to_pylist(), strict=True)
        )
        previews = decider.preview(customers, decider.question(rules, None, "test"), rules)
    return decider, dict(zip(customers, previews, strict=True))


def test_values_are_those_of_the_ranking_for_one_customer_and_for_all(
    home: Home, ranking: CategoryRanking
) -> None:
    category = str(ranking.history.categories["category"].iloc[0])
    decider, previews = decide(home, category)
    rules = decider.rules()
    keys = [*previews]
    with DecisionLog(home) as log:
        decider.log = log
        _, (chunk,) = build_problem(decider, decider.question(rules, None, "test"), rules, keys)
    values = Valuer(rules).values(chunk.value_inputs({}))
    rows = ranking.rank(keys, None).to_pandas().set_index(["customer_key", "category"])["score"]
    row = {action.name: i for i, action in enumerate(rules.actions)}
    seen = 0
    for place, (key, decision) in enumerate(previews.items()):
        choice = decision.choice
        if not ranking.knows(key):
            assert {why[0][0] for why in choice.reasons["not_offered"].values()} == {
                "no_category_orders", "unknown_category",
            }  # fmt: skip
            assert np.isnan(values.value[:, place]).all()
            continue
        seen += 1
        assert choice.scores[f"category:{category}"]["score"] == pytest.approx(rows[key, category])
        assert choice.scores["category"]["score"] == pytest.approx(rows[key].max())
        assert choice.facts["most_probable_category"] == rows[key].idxmax()
        options = {option["action"]: option["value"] for option in choice.reasons["runners_up"]}
        options[choice.action] = choice.expected_value
        for name in ("voucher", "favourite"):
            assert options[name] == pytest.approx(values.value[row[name], place], rel=1e-12)
        amount, before = choice.facts[f"category_order_value:{category}"], rows[key, category]
        after = min(1.0, 1.5 * before)
        orders = -np.log1p(-before) / before
        expected = ((after - before) * 0.4 - after * 0.05) * orders * amount - 0.01
        assert options["voucher"] == pytest.approx(expected, rel=1e-6)
        assert choice.reasons["not_offered"]["typo"] == [["unknown_category", {"category": "no such"}]]
    assert seen > 10


def test_without_a_model_the_actions_are_not_offered_and_the_answer_says_why(
    trained_copy: Home,
) -> None:
    _, previews = decide(trained_copy, "tea", count=3)
    for decision in previews.values():
        assert decision.choice.action == "nothing"
        (why,) = {why[0][0] for why in decision.choice.reasons["not_offered"].values()}
        assert why == "no_category_model"
