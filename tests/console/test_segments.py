"""The page of segments: the numbers of the API, by kind, with the grid and the flows."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
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


def test_a_cell_of_the_grid_leads_to_exactly_its_customers(client: httpx.Client) -> None:
    cells = client.get("/v1/segments").json()["rfm_grid"]
    page = client.get("/console/segments", params={"kind": "rfm_segment"}).text
    lists = re.findall(r'href="(/console/customers\?segment=rfm_cell%3A(\d)-(\d))">([\d,]+)<', page)
    counts = {(int(r), int(w)): int(n.replace(",", "")) for _, r, w, n in lists}
    assert counts == {(cell["recency"], cell["worth"]): cell["customers"] for cell in cells}
    by_segment: dict[str, list[str]] = {}
    for address, recency, worth, _ in lists[:: max(1, len(lists) // 5)]:
        cell = counts[int(recency), int(worth)]
        shown = client.get(address).text
        assert f"{cell:,} customer{'s' if cell != 1 else ''}<" in shown
        assert f"RFM grid: recency {recency}, worth {worth}" in shown
        query = {"segment": f"rfm_cell:{recency}-{worth}", "limit": 1000}
        rows = client.get("/v1/customers", params=query).json()["customers"]
        segment = next(
            c["segment"] for c in cells if (c["recency"], c["worth"]) == (int(recency), int(worth))
        )
        assert {row["segments"]["rfm_segment"] for row in rows} == {segment}
        by_segment.setdefault(segment, []).extend(row["customer_id"] for row in rows)
    for ids in by_segment.values():
        assert len(ids) == len(set(ids))


def test_a_list_names_its_filters_and_keeps_them(client: httpx.Client) -> None:
    query = {"segment": ["rfm_cell:5-5", "country:DE", "value_tier:A"], "sort": "-clv"}
    page = client.get("/console/customers", params=query).text
    assert page.count('type="hidden" name="segment"') == 2
    assert "RFM grid: recency 5, worth 5" in page
    (without,) = re.findall(r'href="/console/customers\?([^"]*)" aria-label="Remove the filter RFM', page)
    left = httpx.QueryParams(unescape(without))
    assert sorted(left.multi_items()) == [
        ("segment", "country:DE"), ("segment", "value_tier:A"), ("sort", "-clv"),
    ]  # fmt: skip


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
