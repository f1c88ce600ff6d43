"""The page of plans shows the plan that the API makes."""

from __future__ import annotations

import httpx

from console.words.messages import Translator


def test_a_plan_is_that_of_the_api_with_what_one_more_would_bring(client: httpx.Client) -> None:
    empty = client.get("/console/plan").text
    assert 'name="budget"' in empty
    assert "<table" not in empty
    plan = client.post("/v1/plans", json={"budget": 50, "rows": 1}).json()
    page = client.get("/console/plan?budget=50").text
    words = Translator("en", "UTC", "EUR")
    assert words.money(plan["value"]) in page
    assert words.number(plan["contacts"]) in page
    (budget,) = [budget for budget in plan["budgets"] if budget["name"] == "budget"]
    assert (f"would bring {words.money(budget['price'])}" in page) == budget["binding"]
    assert plan["rows"][0]["customer_id"] in page
    chinese = client.get("/console/plan?budget=50&segment=value_tier:A", headers={"accept-language": "zh"})
    assert "预期收益" in chinese.text


def test_an_amount_that_is_none_is_said_on_the_page(client: httpx.Client) -> None:
    for query in ("budget=-5", "budget=<b>", "budget=nan", "budget=5&segment=nobody:x"):
        response = client.get(f"/console/plan?{query}")
        assert response.status_code == 200
        assert 'role="alert"' in response.text
        assert "<b>" not in response.text
