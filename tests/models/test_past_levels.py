"""The levels of a version's training months, for scores as of the past."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.estimator import FitContext
from models.estimators.blend import FittedBlend
from models.estimators.contest import money_blend, probability_blend
from models.estimators.past_levels import PastLevels
from models.registry.encoding import days_of

MONTHS = np.array([0, 30, 60, 90, 120, 150])
TODAY, HORIZON, CUSTOMERS = 210, 30, 400
FACTORS = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0])  # the months' outcomes per customer


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, money and day of each row; months have levels of their own."""
    rng = np.random.default_rng(5)
    days = np.repeat(MONTHS, CUSTOMERS)
    x = rng.lognormal(0, 1, (len(days), 2))
    ordered = rng.random(len(days)) < np.minimum(0.9, 0.2 * np.repeat(FACTORS, CUSTOMERS))
    return x, np.where(ordered, 10 * x[:, 0], 0.0), days


def fitted(rows: tuple[np.ndarray, np.ndarray, np.ndarray], kind: str) -> FittedBlend:
    x, money, days = rows
    estimator = money_blend() if kind == "money" else probability_blend()
    y = money if kind == "money" else (money > 0).astype(float)
    context = FitContext(("a", "b"), days, HORIZON, TODAY, x[:CUSTOMERS])
    return estimator.fit(x, y, np.arange(len(y)), [], context)


@pytest.mark.parametrize("kind", ["money", "probability"])
def test_the_total_as_of_each_training_month_is_the_actual_one(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], kind: str
) -> None:
    x, money, days = rows
    y = money if kind == "money" else (money > 0).astype(float)
    model = FittedBlend.from_files(fitted(rows, kind).to_files())
    predicted, now = model.predict_as_of(x, days), model.predict(x)
    assert [predicted[days == m].sum() for m in MONTHS] == pytest.approx(
        [y[days == m].sum() for m in MONTHS], rel=1e-6
    )
    np.testing.assert_array_equal(model.predict_as_of(x, np.full(len(x), TODAY)), now)
    np.testing.assert_array_equal(model.predict_as_of(x, np.full(len(x), TODAY + 40)), now)
    for month in MONTHS:  # the ranking of a day is that of the present
        own = days == month
        assert (np.argsort(predicted[own], kind="stable") == np.argsort(now[own], kind="stable")).all()


def test_levels_between_months_lie_between_theirs() -> None:
    levels = PastLevels((0, 30, 90), (0.5, -0.4, 0.0))
    assert levels.of(np.array([-5, 0, 15, 30, 60, 90, 200])) == pytest.approx(
        [0.5, 0.5, 0.05, -0.4, -0.2, 0, 0]
    )


def test_a_month_without_outcomes_and_a_version_without_levels_have_those_of_the_present(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, money, days = rows
    model = fitted((x, np.where(days == 60, 0.0, money), days), "money")
    assert model.past is not None
    assert 60 not in model.past.days
    files = model.to_files()
    earlier = FittedBlend(model.kind, model.parts, model.slope, model.intercept)
    np.testing.assert_array_equal(earlier.predict_as_of(x, days), model.predict(x))
    assert b'"past"' in files["parameters.json"]
    assert b'"past"' not in earlier.to_files()["parameters.json"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kathmandu"])
def test_midnights_of_every_zone_have_their_day(zone: str) -> None:
    midnights = pd.date_range("2024-01-01", "2025-01-01", freq="D", tz=zone)
    assert days_of(pd.Series(midnights)).tolist() == list(range(19723, 19723 + len(midnights)))
    assert days_of(pd.Series(midnights.strftime("%Y-%m-%dT%H:%M:%S%z")))[0] == 19723
