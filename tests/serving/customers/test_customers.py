"""Which customers there are: lists by segment, page by page, from the present of the last build."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Clock
from features.groups import FEATURES
from features.offline import current as present
from features.offline import snapshots
from features.offline.segment_overview import KINDS
from features.offline.snapshot_set import SnapshotSet

Get = Callable[..., httpx.Response]
Facts = dict[str, dict[str, Any]]


def listed(get: Get, **params: Any) -> dict[str, Any]:
    response = get("/v1/customers", params=params)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def everyone(get: Get, limit: int, **params: Any) -> list[str]:
    """All ids, page by page."""
    ids: list[str] = []
    page = listed(get, limit=limit, **params)
    while True:
        ids += [customer["customer_id"] for customer in page["customers"]]
        assert len(page["customers"]) <= limit
        if page["next_cursor"] is None:
            assert len(ids) == page["total"]
            return ids
        assert len(page["customers"]) == limit
        page = listed(get, limit=limit, cursor=page["next_cursor"], **params)


def test_everyone_is_listed_once_whatever_the_size_of_pages(get: Get, present_facts: Facts) -> None:
    for limit in (1000, len(present_facts), 100, 7):
        assert everyone(get, limit) == list(present_facts)
    first = listed(get)
    assert first["features_as_of"] == "2024-07-01T09:30:00Z"
    assert first["total"] == len(present_facts)
    assert len(first["customers"]) == 100
    for customer in first["customers"]:
        facts = present_facts[customer["customer_id"]]
        assert customer["segments"] == {name: facts[name] for name in KINDS}


def test_several_segments_mean_that_all_apply(get: Get, present_facts: Facts) -> None:
    countries = {row["country"] for row in present_facts.values()}
    assert len(countries) > 2
    for country in countries:
        expected = [i for i, row in present_facts.items() if row["country"] == country]
        assert everyone(get, 50, segment=f"country:{country}") == expected
    both = [
        i
        for i, row in present_facts.items()
        if (row["country"], row["favourite_category"]) == ("DE", "books")
    ]
    assert both
    wanted = ["country:DE", "favourite_category:books", "country:DE"]
    assert everyone(get, 9, segment=wanted) == both
    assert everyone(get, 9, segment=["country:DE", "country:AT"]) == []


def test_a_list_that_is_asked_wrongly_is_refused_in_words(get: Get, refused: Any) -> None:
    for limit in ("0", "-1", "1001", "1e9", "NaN", ""):
        refused(get("/v1/customers", params={"limit": limit}), "limit: ")
    for segment in ("", ":", "country", "county:DE", "orders_total:1", "Country:DE", "\x00:a", "é:☃"):
        refused(get("/v1/customers", params={"segment": segment}), "features acquisition_channel, country,")
    for value in ("", "de", " DE", "DE\x00", "'; --", "客"):
        refused(get("/v1/customers", params={"segment": f"country:{value}"}), "there are AT, CH, DE")
    refused(get("/v1/customers", params={"segment": ["country:DE"] * 21}), "at most 20")
    refused(get("/v1/customers", params={"segments": "country:DE"}), "not permitted")
    for cursor in ("", "x", "A" * 5000, "eyJhZnRlcl9rZXkiOi0xfQ", "eyJhZnRlcl9rZXkiOjFlOTl9", "eyJhIjoxfQ"):
        refused(get("/v1/customers", params={"cursor": cursor}), "cursor: ")
    customer_id = listed(get, limit=1)["customers"][0]["customer_id"]
    timeline = get(f"/v1/customers/{customer_id}/timeline?limit=1").json()["next_cursor"]
    refused(get("/v1/customers", params={"cursor": timeline}), "cursor: ")


def test_pages_go_on_where_they_were_while_a_build_replaces_the_present(
    trained_copy: Home,
    answering: Any,
    present_facts: Facts,
) -> None:
    with answering(trained_copy) as get:
        first = listed(get, limit=50)
        shop = trained_copy.shop()
        trained_copy.write_shop(replace(shop, clock=Clock(shop.now() - timedelta(days=60))))
        snapshots.build(trained_copy, monthly=False)
        second = listed(get, limit=1000, cursor=first["next_cursor"])
        assert second["features_as_of"] == "2024-05-02T09:30:00Z"
        assert 50 < second["total"] < first["total"]
        ids = [customer["customer_id"] for page in (first, second) for customer in page["customers"]]
        assert ids == list(present_facts)[: len(ids)]
        assert len(ids) == second["total"]


def test_members_are_those_of_the_last_build_in_the_order_of_keys(
    built_shop: Home, built: SnapshotSet, copy_home: Callable[[Home], Home]
) -> None:
    profile = built.frame(FEATURES["country"].group, built.current).sort_values("customer_key")
    expected = profile.loc[profile["country"] == "DE", "customer_key"].tolist()
    assert present.members(built_shop, ["country:DE"]).tolist() == expected
    assert present.members(built_shop, []).tolist() == profile["customer_key"].tolist()
    with pytest.raises(present.NoSuchSegment, match="there are AT, CH, DE"):
        present.members(built_shop, ["country:XX"])
    home = copy_home(built_shop)
    (pointer,) = home.snapshots.glob("*/current.json")
    assert present.members(home, ["country:DE"]).tolist() == expected
    for damaged in ("not JSON", json.dumps({"as_of": "2024-07-01T09:30:00+00:00", "files": {}}), "{}"):
        pointer.write_text(damaged)
        os.utime(pointer, ns=(1, 1 + len(damaged)))
        with pytest.raises(PatronError, match="run `patron build`"):
            present.members(home, [])
    pointer.unlink()
    with pytest.raises(NothingThere, match="run `patron build`"):
        present.members(home, [])


def test_values_are_listed_only_where_they_are_few(shop_copy: Home) -> None:
    generation = shop_copy.snapshots / "g"
    generation.mkdir(parents=True)
    city = [f"city {i}" for i in range(present.FEW + 1)] + [None]
    tier = ["A", None, "B:1"] * 17 + ["A"]
    keys = list(range(5, 5 + len(city)))
    pq.write_table(pa.table({"customer_key": keys, "city": city}), generation / "a.parquet")
    some = pa.table({"customer_key": keys[1:], "value_tier": tier[1:], "n": keys[1:]})
    pq.write_table(some, generation / "b.parquet")
    files = {"places": generation / "a.parquet", "segments": generation / "b.parquet"}
    present.write_pointer(generation, datetime(2024, 7, 1, tzinfo=UTC), files, "UTC")
    now = present.load_current(shop_copy)
    with pytest.raises(present.NoSuchSegment) as given:
        now.members(["city:x"])
    assert str(given.value) == "no customer has that value of city"
    with pytest.raises(present.NoSuchSegment, match="there are A, B:1"):
        now.members(["value_tier:C"])
    tiers = [None, *tier[1:]]  # the first customer is not in the second file
    assert now.members(["value_tier:B:1"]).tolist() == [
        k for k, t in zip(keys, tiers, strict=True) if t == "B:1"
    ]
    assert now.segments(now.keys) == [{"value_tier": tier} for tier in tiers]
    assert now.segments(now.keys[:0]) == []
