"""The probability of an order that is published with clv: its measures, its card and its level."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.home import Home
from features.offline.snapshot_set import SnapshotSet
from models.measures import metrics
from models.registry.bundle import FittedModel
from models.registry.encoding import matrix
from models.registry.registry import Registry
from training.customers.dataset import columns_of
from training.customers.order_probability import TITLE, order_measures, order_sections


@pytest.fixture(scope="module")
def clv(trained_shop: Home) -> FittedModel:
    return Registry(trained_shop).champion("clv")


@pytest.fixture(scope="module")
def today(clv: FittedModel, built: SnapshotSet) -> pd.DataFrame:
    """The customers of today whom clv is about, with their scores."""
    everyone = built.everyone(built.current)
    eligible = everyone[everyone["orders_total"] >= 1]
    return eligible.assign(score=clv.score(columns_of(eligible)))


def parts_of(model: FittedModel, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    parts = model.parts(matrix(model.columns, columns_of(frame)), frame["score"].to_numpy())
    assert parts is not None
    return parts


def test_the_measures_of_the_probability_are_published_and_on_the_card(trained_shop: Home) -> None:
    registry = Registry(trained_shop)
    (version,) = registry.versions("clv")
    assert version.metrics["order_auc"] > 0.65
    assert version.metrics["order_brier"] < version.metrics["order_brier_base_rate"]
    assert 0.4 < version.metrics["order_calibration_slope"] < 2
    assert 0.6 < version.metrics["order_level_ratio"] < 1.6
    assert 0.5 < version.metrics["order_amount_ratio"] < 2
    (card,) = trained_shop.mlflow.rglob(f"{version.run_id}/**/card.md")
    assert f"## {TITLE}" in card.read_text()
    assert not any(name.startswith("order_") for name in registry.versions("propensity")[0].metrics)


def test_regular_customers_have_high_probabilities_and_the_level_is_the_shops(
    clv: FittedModel, today: pd.DataFrame
) -> None:
    probability, amount = parts_of(clv, today)
    regular = today["orders_365d"].to_numpy() >= 6
    assert probability[regular].mean() > probability[~regular].mean() + 0.2
    np.testing.assert_allclose(probability * amount, today["score"])
    assert 0.2 < probability.mean() < 0.95


def test_measures_are_those_of_the_published_parts(clv: FittedModel, today: pd.DataFrame) -> None:
    probability, amount = parts_of(clv, today)
    ordered = np.random.default_rng(0).random(len(today)) < probability
    frame = today.assign(label=np.where(ordered, 2 * amount, 0.0))
    measures = order_measures(clv, frame)
    assert measures["order_auc"] == metrics.auc(ordered.astype(float), probability)
    assert measures["order_level_ratio"] == pytest.approx(probability.sum() / ordered.sum())
    assert measures["order_amount_ratio"] == pytest.approx(0.5)
    share = ordered.mean()
    assert measures["order_brier_base_rate"] == pytest.approx(share * (1 - share))
    assert measures["order_calibration_slope"] == pytest.approx(1, abs=0.25)


def test_a_model_without_the_probability_has_no_measures(clv: FittedModel, today: pd.DataFrame) -> None:
    without = FittedModel("1", clv.manifest, clv.fitted, {})
    frame = today.assign(label=1.0)
    assert order_measures(without, frame) == {}
    assert order_sections(without, frame) == []
    assert order_measures(clv, frame) == {}  # everyone has ordered, so there is nothing to tell apart
