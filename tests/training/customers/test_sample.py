"""The sample of customers on whose rows a model is fitted if those of all are too many."""

from __future__ import annotations

from dataclasses import replace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from commands.reporting import version_line
from core.home import Home
from core.storage import duckdb_engine
from features.offline.populations import OFFSET, PRIME, draw
from features.offline.snapshot_set import SnapshotSet
from features.workspace import Workspace
from models.questions import MODELS
from models.registry.versions import SAMPLE_SHARE, ModelVersion
from training.customers.backtest import Preparation, backtest, fit, prepare
from training.customers.dataset import columns_of, gather
from training.customers.order_probability import with_order
from training.customers.sample import CustomerSample


@pytest.fixture(scope="module")
def workspace(built_shop: Home, built: SnapshotSet) -> Workspace:
    return Workspace(built_shop, built)


@pytest.fixture
def half(built: SnapshotSet, monkeypatch: pytest.MonkeyPatch) -> CustomerSample:
    """The sample of half of the rows, which the setting forces."""
    rows = sum(built.customers(as_of) for as_of in built.as_ofs)
    monkeypatch.setenv("PATRON_TRAINING_ROWS", str(rows // 2))
    sample = CustomerSample.of(built)
    assert sample is not None
    assert sample.share == pytest.approx(0.5, abs=1e-3)
    return sample


def test_customers_are_drawn_by_the_fifth_power_of_their_key_modulo_a_prime() -> None:
    keys = [*range(1, 20_001), PRIME - 1, 2**31, 2**40 + 7, 2**62]
    table = ibis.memtable(pa.table({"customer_key": pa.array(keys, "int64")}))
    drawn = duckdb_engine.connect().to_pyarrow(draw(table.customer_key)).to_pylist()
    assert drawn == [pow(key + OFFSET, 5, PRIME) for key in keys]
    assert len(set(drawn[:20_001])) == 20_001  # keys below the prime
    shares = np.array(drawn[:20_000]).reshape(20, 1_000) / PRIME
    assert np.abs((shares < 0.5).mean(axis=1) - 0.5).max() < 0.06  # a thousand keys in a row are half drawn
    assert np.corrcoef(shares.ravel()[1:], shares.ravel()[:-1])[0, 1] == pytest.approx(0, abs=0.02)


def test_a_training_says_that_it_used_a_sample() -> None:
    version = ModelVersion("churn", "1", "run", (), {"auc": 0.71, SAMPLE_SHARE: 0.159}, champion=True)
    assert version_line(version) == (
        "churn version 1: auc 0.710 on a later time, by a sample of 15.9% of the customers; champion"
    )


def test_a_shop_of_few_rows_has_no_sample(workspace: Workspace) -> None:
    assert CustomerSample.of(workspace.snapshots) is None
    data = prepare(workspace, MODELS["propensity"]).data
    assert data.sample is None
    assert data.totals is not None
    assert data.totals.outcomes == {}


@pytest.mark.parametrize("name", ["propensity", "clv"])
def test_the_level_of_a_sample_is_that_of_all_customers(
    name: str, workspace: Workspace, half: CustomerSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, now = replace(MODELS[name], minimum_customers=100), workspace.snapshots.current
    drawn = prepare(workspace, model)
    monkeypatch.delenv("PATRON_TRAINING_ROWS")
    whole = prepare(workspace, model)
    same_features(drawn, whole)
    assert 0.4 < len(drawn.data.frame) / len(whole.data.frame) < 0.6
    today = gather(workspace.store, drawn.model, [now], drawn.split.horizon_days, now).frame
    expected, actual = (fit(each.data, each.complement, "final") for each in (whole, drawn))
    level, own = (fitted.fitted.chosen["level"] for fitted in (expected, actual))
    assert own == pytest.approx(level, rel=1e-8)
    assert actual.score(columns_of(today)).sum() == pytest.approx(level["total"], rel=1e-6)
    assert actual.manifest["sample"] == {"share": half.share}
    assert "sample" not in expected.manifest
    if name == "clv":
        orders = [
            with_order(workspace.home, each.data, fitted).order
            for each, fitted in ((whole, expected), (drawn, actual))
        ]
        totals = [order.fitted.chosen["level"]["total"] for order in orders if order is not None]
        assert totals[0] == pytest.approx(totals[1], rel=1e-8)


def same_features(drawn: Preparation, whole: Preparation) -> None:
    """The rows of a sample are those of its customers among all rows, at every moment."""
    keys = drawn.data.frame["customer_key"].unique()
    inside = whole.data.frame["customer_key"].isin(keys)
    rows = whole.data.frame[inside].reset_index(drop=True).drop(columns="label")
    pd.testing.assert_frame_equal(drawn.data.frame.drop(columns="label"), rows)
    assert drawn.data.current is not None
    assert whole.data.current is not None
    pd.testing.assert_frame_equal(drawn.data.current, whole.data.current)


def test_the_test_is_on_customers_of_the_sample_and_its_level_that_of_all(
    workspace: Workspace, half: CustomerSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(workspace, MODELS["propensity"])
    drawn = backtest(workspace, prepared)
    assert set(drawn.frame["customer_key"]) <= set(prepared.data.frame["customer_key"])
    monkeypatch.delenv("PATRON_TRAINING_ROWS")
    whole = prepare(workspace, MODELS["propensity"])
    level = backtest(workspace, whole).fitted.fitted.chosen["level"]
    assert drawn.fitted.fitted.chosen["level"] == pytest.approx(level, rel=1e-8)


def test_the_digest_is_that_of_the_sample(workspace: Workspace, half: CustomerSample) -> None:
    data = prepare(workspace, MODELS["propensity"]).data
    assert prepare(workspace, MODELS["propensity"]).data.digest() == data.digest()
    other = replace(half, share=half.share / 2)
    assert replace(data, sample=other).digest() != data.digest()
    smaller = gather(workspace.store, data.model, [workspace.snapshots.as_ofs[0]], 30, data.known_at, other)
    assert set(smaller.frame["customer_key"]) < set(data.frame["customer_key"])
    assert f"{half.share:.1%} of the customers" in half.sentence
