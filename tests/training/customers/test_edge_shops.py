"""Shops that double and that die, on the command line: their scores suit what the shop does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.home import Home
from models.estimator import Array
from models.registry.registry import Registry

Run = Callable[..., tuple[int, str, str]]
Sales = list[tuple[str, date, float]]
START = date(2022, 1, 1)


def sales(first_days: Array, last_days: Array) -> Sales:
    """Orders of about 30 EUR, by each customer from a first to a last day, counted from ``START``."""
    rng = np.random.default_rng(5)
    orders = []
    for who, (first, last) in enumerate(zip(first_days, last_days, strict=True)):
        day, pause = float(first), 1 / max(rng.gamma(1.2, 1 / 48), 1e-3)
        while day < last:
            paid = round(float(rng.lognormal(np.log(26), 0.5)), 2)
            orders.append((f"C{who:04}", START + timedelta(days=int(day)), paid))
            day += rng.exponential(pause)
    return orders


@pytest.fixture
def doubling(tmp_path: Path, import_sales: Callable[[Path, Sales], Home]) -> tuple[Home, Sales]:
    """Two years in which each quarter has twice the new customers of the one before."""
    rng = np.random.default_rng(1)
    quarter = np.repeat(np.arange(8), 4 * 2 ** np.arange(8))
    first = 91 * quarter + rng.uniform(0, 91, len(quarter))
    orders = sales(first, np.minimum(first + rng.exponential(300, len(first)), 728))
    return import_sales(tmp_path, orders), orders


@pytest.fixture
def dying(tmp_path: Path, import_sales: Callable[[Path, Sales], Home]) -> Home:
    """Two years; in the second all customers leave, and there is one order in the last five months."""
    rng = np.random.default_rng(2)
    first = rng.uniform(0, 450, 400)
    orders = sales(first, np.minimum(first + rng.exponential(400, 400), 450 + rng.exponential(30, 400)))
    before = [order for order in orders if order[1] < START + timedelta(days=580)]
    return import_sales(tmp_path, [*before, ("C0001", START + timedelta(days=730), 20.0)])


def scores(run: Run, home: Home, model: str, out: Path) -> Array:
    """Everyone's scores by the only version, as champion."""
    if not Registry(home).versions(model)[0].champion:
        assert run(home, "promote", model, "1", "--force", "--why", "its scores are tested")[0] == 0
    code, _, errors = run(home, "score", "--model", model, "--out", out)
    assert code == 0, errors
    column: Array = pq.read_table(out)[model].drop_null().to_numpy()
    return column


@pytest.mark.slow
def test_a_shop_that_doubles_each_quarter_gets_a_horizon_for_which_its_early_months_suffice(
    doubling: tuple[Home, Sales], tmp_path: Path, run_patron: Run
) -> None:
    home, orders = doubling
    code, _, errors = run_patron(home, "train", "clv")
    assert code in (0, 3), errors
    version = Registry(home).versions("clv")[0]
    days = Registry(home).open("clv", "1").manifest["horizon_days"]
    assert days == 90  # not 270, for which the test's fit would have a few dozen customers
    assert version.metrics["gini"] > 0.3
    last = max(day for _, day, _ in orders)
    lately = sum(paid for _, day, paid in orders if day > last - timedelta(days=days))
    assert 0.4 < scores(run_patron, home, "clv", tmp_path / "s.parquet").sum() / lately < 2.5


@pytest.mark.slow
def test_a_shop_that_dies_gets_low_scores_and_its_gates_say_that_there_are_no_outcomes(
    dying: Home, tmp_path: Path, run_patron: Run
) -> None:
    code, _, errors = run_patron(dying, "train", "propensity")
    assert (code, errors) == (3, "")
    failed = "; ".join(Registry(dying).versions("propensity")[0].failed_gates)
    assert failed.startswith("auc cannot be computed from the outcomes of the test: it must tell customers")
    assert " is nan" not in failed
    assert scores(run_patron, dying, "propensity", tmp_path / "s.parquet").sum() < 10
