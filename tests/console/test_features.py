"""The catalogue of features and the page of each: what the champions' own references say."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from core.home import Home
from features.groups import FEATURES
from models.questions import MODELS
from models.registry.registry import Registry


def rows(client: httpx.Client, path: str, **query: str) -> list[dict[str, str]]:
    response = client.get(f"/console/export/{path}.csv", params=query)
    assert response.status_code == 200, path
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))


def test_every_feature_is_listed_with_its_meaning_and_the_models_that_read_it(
    client: httpx.Client, console_home: Home
) -> None:
    listed = {row["Name"]: row for row in rows(client, "features/features")}
    assert listed.keys() >= FEATURES.keys()
    assert listed["orders_90d"]["Meaning"] == "Orders placed in the last 90 days"
    assert FEATURES["orders_90d"].definition().startswith(listed["orders_90d"]["Definition"])
    read = set(Registry(console_home).champion("churn").features)
    assert {row["Name"] for row in rows(client, "features/features", model="churn")} == read


def test_features_are_searched_by_name_and_meaning_in_the_language(client: httpx.Client) -> None:
    matches = {row["Name"] for row in rows(client, "features/features", q="latest order")}
    assert "recency_days" in matches
    chinese = client.get("/console/features", params={"q": "距上次下单"}, headers={"accept-language": "zh"})
    assert "recency_days" in chinese.text
    assert "orders_total" not in chinese.text


@pytest.mark.parametrize("name", ["recency_days", "orders_90d", "average_order_value"])
def test_a_distribution_is_that_of_the_champion_at_training_time(
    name: str, client: httpx.Client, console_home: Home
) -> None:
    models = [m for m in MODELS if name in Registry(console_home).champion(m).features]
    reference = Registry(console_home).champion(models[0]).reference["columns"][name]
    shares = [float(row["Customers"]) for row in rows(client, f"features/{name}/distribution")]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([s for s in (*reference["shares"], reference["missing"]) if s > 0])


def test_a_feature_without_a_champion_and_one_that_does_not_exist_are_pages_too(client: httpx.Client) -> None:
    listed = rows(client, "features/features")
    unread = next(row["Name"] for row in listed if not row["Read by"])
    page = client.get(f"/console/features/{unread}")
    assert page.status_code == 200
    assert "no distribution is stored" in page.text
    missing = client.get("/console/features/<b>x")
    assert missing.status_code == 404
    assert "<b>x" not in missing.text
