"""A clock that is frozen before the last event: customers who come later do not exist yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.home import Home
from core.shop import Clock
from events import lake
from events.files.imports import import_file
from events.identity import Identity
from features.offline.existing_customers import ExistingCustomers
from records.score_jobs import ScoreJobStore
from serving.score_jobs.scoring import create_job
from serving.scores.scorer import open_scorer


@pytest.fixture(scope="module")
def earlier(
    trained_shop: Home, copy_trained: Callable[[Home, Path], Home], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, list[str], list[str]]:
    """The trained shop with its clock a year earlier, and who exists then and who comes later."""
    home = copy_trained(trained_shop, tmp_path_factory.mktemp("earlier") / "home")
    shop = home.shop()
    clock = shop.now() - timedelta(days=365)
    home.write_shop(replace(shop, clock=Clock(clock)))
    events = lake.read(home, lake.connect())
    sightings = [
        table.select("customer_key", "timestamp", "received_at").to_pandas()
        for table in (events.order_lines, events.traits, events.activities)
    ]
    moment = np.datetime64(clock.replace(tzinfo=None))
    seen = {
        key
        for rows in sightings
        for key in rows.loc[(rows["timestamp"] < moment) & (rows["received_at"] <= moment), "customer_key"]
    }
    ids = Identity(home).table().to_pylist()
    existing = [row["customer_id"] for row in ids if row["customer_key"] in seen]
    later = [row["customer_id"] for row in ids if row["customer_key"] not in seen]
    assert min(len(existing), len(later)) > 50
    return home, existing, later


def test_only_those_who_exist_are_looked_up(earlier: tuple[Home, list[str], list[str]]) -> None:
    home, existing, later = earlier
    customers = ExistingCustomers(home)
    assert sorted(customers.keys([*existing, *later])) == sorted(existing)
    assert customers.keys(later[:1]) == {}
    assert customers.table()["customer_id"].to_pylist() == existing
    keys = np.concatenate(list(customers.everyone(100))).tolist()
    assert keys == customers.table()["customer_key"].to_pylist()


def test_everybody_exists_where_the_clock_stands_after_the_events(trained_shop: Home) -> None:
    customers = ExistingCustomers(trained_shop)
    assert customers.table() == Identity(trained_shop).table()
    assert customers.later == frozenset()


def test_later_customers_are_unknown_to_the_service(
    earlier: tuple[Home, list[str], list[str]], answering: Any, refused: Any
) -> None:
    home, existing, later = earlier
    with answering(home) as ask:
        body = {"customer_ids": [later[0], existing[0]], "models": ["clv"]}
        entries = ask("/v1/scores", method="POST", json=body).json()["customers"]
        assert [entry["known"] for entry in entries] == [False, True]
        assert entries[0]["scores"]["clv"]["score"] is None
        for path in (f"/v1/customers/{later[0]}", f"/v1/customers/{later[0]}/timeline"):
            refused(ask(path), "unknown customer", 404)
        actions = f"/v1/customers/{later[0]}/next-best-actions"
        refused(ask(actions, method="POST", json={}), "unknown customer", 404)
        assert ask(f"/v1/customers/{existing[0]}/timeline").status_code == 200


def test_bulk_work_leaves_them_out(earlier: tuple[Home, list[str], list[str]]) -> None:
    home, existing, _ = earlier
    scorer = open_scorer(home, None)
    try:
        job = create_job(ScoreJobStore(home), scorer.champions, ["clv"], segment=None, origin="test")
        assert job.total == len(existing)
    finally:
        scorer.close()


def test_an_import_as_of_a_day_has_the_customers_of_that_day(
    tmp_path: Path, small_retail: Callable[..., Path]
) -> None:
    home = Home(tmp_path / "home")
    file = small_retail(
        [
            ("1", "A", 1, pd.Timestamp("2011-03-01 12:00"), 2.5, 17850),
            ("2", "A", 1, pd.Timestamp("2011-06-01 12:00"), 2.5, 17851),
            ("3", "A", 1, pd.Timestamp("2011-06-01 12:00"), 2.5, 17850),
        ]
    )
    import_file(home, str(file), "online-retail", as_of="2011-04-01")
    assert list(ExistingCustomers(home).keys(["17850", "17851"])) == ["17850"]
    import_file(home, str(file), "online-retail")
    assert list(ExistingCustomers(home).keys(["17850", "17851"])) == ["17850", "17851"]
