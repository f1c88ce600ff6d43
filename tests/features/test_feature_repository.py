"""Feast's own SDK opens the feature store of a home."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import feast
import pandas as pd
import pytest

from core.errors import PatronError
from core.home import Home
from core.settings import FeatureSettings
from features import customer_keys, snapshot
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline.snapshot_set import SnapshotSet

PAGE = Path(__file__).parents[2] / "docs" / "data-scientists.md"


def test_the_documented_example_returns_what_snapshot_returns(
    built_shop: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    (example,) = (block for block in blocks if "FeatureStore" in block)
    monkeypatch.setenv("PATRON_HOME", str(built_shop.path))
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    ids, features = ["C000001", "C000002"], ["orders_90d", "recency_days"]
    assert list(names["keys"]) == ids

    history = names["history"].set_index("customer_key").loc[list(names["keys"].values()), features]
    then = snapshot(pd.DataFrame({"customer_id": ids, "as_of": "2024-03-01"}), features, built_shop)
    assert history.astype(float).to_numpy().tolist() == then[features].astype(float).to_numpy().tolist()

    now = built_shop.shop().now()
    present = snapshot(pd.DataFrame({"customer_id": ids, "as_of": now}), features, built_shop)
    assert {name: names["now"][name] for name in features} == present[features].to_dict("list")


def test_unknown_ids_have_no_key(built_shop: Home) -> None:
    assert list(customer_keys(["C000003", "nobody", "C000001"], built_shop)) == ["C000003", "C000001"]


def test_feast_cannot_change_the_views(built_shop: Home, copy_home: Callable[[Home], Home]) -> None:
    home = copy_home(built_shop)
    store = feast.FeatureStore(repo_path=str(home.feast))
    views = [view.name for view in store.list_feature_views()]
    with pytest.raises(PatronError, match="`patron build` registers"):
        store.apply([], objects_to_delete=store.list_feature_views(), partial=False)  # as `feast apply` does
    with pytest.raises(PatronError, match="`patron build` registers"):
        store.teardown()
    again = feast.FeatureStore(repo_path=str(home.feast))
    assert [view.name for view in again.list_feature_views()] == views
    assert Store(home).reader(["orders_total"])([1]).as_of != [None]


def test_the_file_has_no_password(
    built_shop: Home, built: SnapshotSet, copy_home: Callable[[Home], Home], redis_address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home, address = copy_home(built_shop), redis_address.replace("redis://", "redis://:@")
    Store(home, FeatureSettings(online_store=address)).apply(GROUPS, built.folders)
    written = (home.feast / "feature_store.yaml").read_text()
    assert "address: ${PATRON_ONLINE_STORE}" in written
    assert address not in written
    monkeypatch.setenv("PATRON_ONLINE_STORE", address)
    assert feast.FeatureStore(repo_path=str(home.feast)).config.online_store.address == address
