"""The page of segments: the numbers of the API, by kind, with the grid and the flows."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import httpx
import pytest


def exported(client: httpx.Client, table: str, kind: str) -> list[dict[str, str]]:
    response = client.get(f"/console/export/segments/{table}.csv", params={"kind": kind})
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))


@pytest.fixture(scope="module")
def kinds(client: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    return {kind["name"]: kind["segments"] for kind in client.get("/v1/segments").json()["kinds"]}


@pytest.mark.parametrize("kind", ["lifecycle_stage", "rfm_segment", "value_tier", "taste_cluster"])
def test_segments_have_the_numbers_of_the_api(
    kind: str, kinds: dict[str, list[dict[str, Any]]], client: httpx.Client
) -> None:
    sizes, expected = (exported(client, table, kind) for table in ("segments", "expected"))
    assert [row["Segment"] for row in sizes] == [segment["english"] for segment in kinds[kind]]
    for row, segment in zip(sizes, kinds[kind], strict=True):
        assert float(row["Customers"]) == segment["customers"]
        assert float(row["Net revenue, 365 days"]) == pytest.approx(segment["net_spend_365d"])
    by_name = {segment["english"]: segment for segment in kinds[kind]}
    assert expected
    for row in expected:
        total = by_name[row["Segment"]]["predicted_revenue"]
        if total is not None:
            shown = [
                float(row[name]) for name in ("Expected revenue", "revenue: at least", "revenue: at most")
            ]
            assert shown == [total["expected"], total["low"], total["high"]]


def test_each_segment_leads_to_the_list_of_its_customers(
    kinds: dict[str, list[dict[str, Any]]], client: httpx.Client
) -> None:
    for kind, segments in kinds.items():
        page = client.get("/console/segments", params={"kind": kind}).text
        for segment in segments[:2]:
            query = httpx.QueryParams({"segment": segment["filter"]})
            assert f'href="/console/customers?{query}"' in page
            assert f"{segment['customers']:,} customer" in client.get(f"/console/customers?{query}").text


def test_the_cells_of_the_grid_add_up_to_the_rfm_segments(
    kinds: dict[str, list[dict[str, Any]]], client: httpx.Client
) -> None:
    cells = client.get("/v1/segments").json()["rfm_grid"]
    by_segment = {segment["name"]: segment["customers"] for segment in kinds["rfm_segment"]}
    for name, customers in by_segment.items():
        assert sum(cell["customers"] for cell in cells if cell["segment"] == name) == customers
    shown = [float(n) for row in exported(client, "grid", "rfm_segment") for n in [*row.values()][1:] if n]
    assert sorted(shown) == sorted(cell["customers"] for cell in cells)


def test_the_flows_between_stages_are_those_of_the_api(client: httpx.Client) -> None:
    moves = client.get("/v1/segments").json()["moves"]
    rows = {row["Stage"]: row for row in exported(client, "moves", "lifecycle_stage")}
    assert float(rows["At risk"]["Lapsed"]) == pytest.approx(moves["rates"]["at_risk"]["lapsed"])


def test_all_words_are_chinese_on_the_chinese_page(client: httpx.Client) -> None:
    for kind in ("lifecycle_stage", "rfm_segment", "value_tier"):
        page = client.get("/console/segments", params={"kind": kind}, headers={"accept-language": "zh"}).text
        page = re.sub(r"<[^>]*>", "", page)
        for english in ("ordered", "medians", "orders_365d", "At risk", "brought"):
            assert english not in page
    assert client.get("/console/segments", params={"kind": "none"}).status_code == 200
