"""Texts that name a product or a category: filled per customer, or the action is not offered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.home import Home
from events.files.products import import_products
from events.identity import Identity
from serving.decisions.to_file import RecommendRequest, recommend_everyone
from serving.plans.to_file import plan_everyone

ACTIONS = """
margin = 0.4
holdout_share = 0.0
exploration_share = 0.0

[[actions]]
name = "product_mail"
channel = "app"
cost = 0.01
discount = 0.01
text = { en = "Have a look at {product}: {discount} off", zh = "{product}，{discount}" }
effect = { on = "propensity", plus = 0.3 }

[[actions]]
name = "category_post"
channel = "post"
cost = 0.02
text = { en = "More of {category}, {{ first_name }}" }
effect = { on = "propensity", plus = 0.2 }
"""


@pytest.fixture(scope="module")
def home(ranked_shop: Home, copy_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    copied: Home = copy_trained(ranked_shop, tmp_path_factory.mktemp("offers") / "home")
    copied.actions.write_text(ACTIONS, encoding="utf-8")
    return copied


def test_the_text_names_the_product_that_is_ranked_first(home: Home, answering: Any, tmp_path: Path) -> None:
    customer = Identity(home).table()["customer_id"].to_pylist()[0]
    with answering(home) as ask:
        (best,) = ask(f"/v1/customers/{customer}/products?limit=1").json()["products"]
        catalogue = tmp_path / "products.csv"
        catalogue.write_text(f"id,title,link,price\n{best['product_id']},Lamp,https://shop.example/l,9.50\n")
        import_products(home, str(catalogue))
        path = f"/v1/customers/{customer}/next-best-actions"
        made = ask(path, method="POST", json={"preview": True}).json()
        (category,) = ask(f"/v1/customers/{customer}/categories?limit=1").json()["categories"]
        zh = ask(path, method="POST", json={"preview": True, "language": "zh"}).json()
    texts = {option["action"]: option["text"] for option in (made["chosen"], *made["runners_up"])}
    assert texts["product_mail"] == "Have a look at Lamp: 1 % off"
    assert texts["category_post"] == f"More of {category['category']}, {{{{ first_name }}}}"
    assert made["offer"]["category"] == category["category"]
    product = made["offer"]["product"]
    assert (product["product_id"], product["url"], product["price"]) == (
        best["product_id"], "https://shop.example/l", 9.5,
    )  # fmt: skip
    texts = {option["action"]: option["text"] for option in (zh["chosen"], *zh["runners_up"])}
    assert texts["product_mail"] == "Lamp，9.9 折"


def test_the_rows_of_a_run_have_filled_texts(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "run.ndjson"
    recommend_everyone(home, RecommendRequest(out=out, segment="value_tier:A"))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    texts = {row["action_text"] for row in rows if row["action"] == "product_mail"}
    assert len(texts) > 1
    assert not any("{product}" in text for text in texts)


def test_the_rows_of_a_plan_have_filled_texts(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "plan.ndjson"
    plan_everyone(home, out, None, "value_tier:B", None, "en")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    texts = {row["action_text"] for row in rows if row["action"] == "product_mail"}
    assert len(texts) > 1
    assert all(text.endswith(": 1 % off") and "{product}" not in text for text in texts)


def test_without_a_ranking_the_action_is_not_offered(trained_copy: Home, answering: Any) -> None:
    trained_copy.actions.write_text(ACTIONS, encoding="utf-8")
    customer = Identity(trained_copy).table()["customer_id"].to_pylist()[0]
    with answering(trained_copy) as ask:
        path = f"/v1/customers/{customer}/next-best-actions"
        made = ask(path, method="POST", json={"preview": True}).json()
    assert made["chosen"]["action"] == "nothing"
    refused = {option["action"]: (option["stage"], option["why"]) for option in made["not_offered"]}
    assert refused["product_mail"] == (
        "suitable", "there is no product to recommend in its text",
    )  # fmt: skip
    assert "no category to recommend" in refused["category_post"][1]
