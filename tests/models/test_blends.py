"""Blends of trees and lines: selection, calibration, contributions, and reloading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.estimator import Array, FitContext
from models.estimators.attribution import attributed
from models.estimators.blend import FittedBlend, log_probability
from models.estimators.calibration import common_line, money_slope
from models.estimators.candidates import CANDIDATES, LINE_FEATURES, Recipe
from models.estimators.contest import Blend, money_blend, probability_blend
from models.estimators.holdouts import by_customer, by_time
from models.estimators.intervals import fit_intervals
from models.estimators.line import Regression, fit_line
from models.estimators.opening import open_fitted
from models.estimators.trees import FittedTrees, MoneyTrees
from models.measures import metrics

MONTH = 30
MONTHS, CUSTOMERS = 8, 250
Rows = tuple[Array, Array, NDArray[np.int64], FitContext]


def rows(kind: str, seed: int = 0) -> Rows:
    """Customers at monthly moments: those who ordered much and lately order again, for the same amounts."""
    rng = np.random.default_rng(seed)
    count = MONTHS * CUSTOMERS
    orders, recency = rng.poisson(3, count) + 1.0, rng.exponential(60, count).round()
    value = rng.lognormal(4, 0.8, count)
    x = np.column_stack([orders, recency, recency + rng.integers(0, 200, count), orders * value, value])
    chance = metrics.sigmoid(np.log(orders) - np.log1p(recency) + 2)
    y = (rng.random(count) < chance).astype(np.float64)
    if kind == "money":
        y *= value * rng.lognormal(0, 0.5, count)
    customers, days = np.tile(np.arange(CUSTOMERS), MONTHS), np.repeat(np.arange(MONTHS) * MONTH, CUSTOMERS)
    return x, y, customers, FitContext(LINE_FEATURES, days, MONTH, MONTHS * MONTH)


def blend(kind: str) -> Blend:
    return replace(money_blend() if kind == "money" else probability_blend(), rounds=30)


KINDS = pytest.mark.parametrize("kind", ["probability", "money"])


@KINDS
def test_the_best_blend_on_inner_splits_is_selected_and_reloads_exactly(kind: str) -> None:
    x, y, customers, request = rows(kind)
    fitted = blend(kind).fit(x, y, customers, [], request)
    inner = fitted.chosen["inner"]
    assert set(inner) == set(CANDIDATES[kind])
    assert fitted.chosen["by_time"]
    assert inner[fitted.chosen["candidate"]] == max(inner.values())
    assert {n: part.weight for n, part in fitted.parts.items()} == CANDIDATES[kind][
        fitted.chosen["candidate"]
    ]
    again = open_fitted(fitted.to_files())
    assert isinstance(again, FittedBlend)
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    assert again.to_files() == fitted.to_files() == blend(kind).fit(x, y, customers, [], request).to_files()
    assert again.intervals == fitted.intervals
    assert (fitted.intervals is None) == (kind == "probability")


@KINDS
@pytest.mark.parametrize("candidate", [0, 1, -1])
def test_a_single_row_scores_as_in_a_batch_and_its_contributions_add_up(kind: str, candidate: int) -> None:
    x, y, _, _ = rows(kind)
    x[::7, 2] = np.nan
    weights = [*CANDIDATES[kind].values()][candidate]
    learnt = fitted_with(kind, weights, x, y)
    assert len(learnt.parts) == len(weights)
    alone = np.concatenate([learnt.predict(row[None, :]) for row in x[:50]])
    np.testing.assert_array_equal(alone, learnt.predict(x)[:50])
    result = learnt.contributions(x)
    assert result.shape == (len(x), x.shape[1] + 1)
    np.testing.assert_allclose(result.sum(axis=1), learnt.raw(x), rtol=0, atol=1e-9)


def fitted_with(kind: str, weights: Mapping[str, float], x: Array, y: Array) -> FittedBlend:
    """A blend of the parts of one candidate, whether it is the best or not."""
    recipe = Recipe(kind, 20, blend(kind).parameters, (), (0, 1, 2, 3, 4))
    parts = {name: recipe.part(name, recipe.learn(name, x, y), weight) for name, weight in weights.items()}
    return FittedBlend(kind, parts, 0.9, 0.1)


def test_without_moments_trees_are_chosen_on_folds_of_customers() -> None:
    x, y, customers, _ = rows("money")
    fitted = blend("money").fit(x, y, customers, [])
    assert not fitted.chosen["by_time"]
    assert not any("line" in name for name in fitted.parts)
    assert fitted.intervals is not None
    for split in by_customer(customers):
        assert not set(customers[split.learnt]) & set(customers[split.held_out])


def test_inner_splits_use_only_data_known_then() -> None:
    _, y, _, request = rows("probability")
    wide = replace(request, horizon_days=2 * MONTH)
    for question in (request, wide):
        splits = by_time(question, y, "probability")
        assert len(splits) > 1
        for split in splits:
            assert split.day is not None
            assert (question.days[split.held_out] == split.day).all()
            assert (question.days[split.learnt] + question.horizon_days <= split.day).all()
    assert (
        by_time(replace(request, horizon_days=7 * MONTH), y, "probability") == []
    )  # one moment is no choice
    assert by_time(request, np.zeros_like(y), "probability") == []


def test_later_outcomes_change_no_inner_split() -> None:
    x, y, customers, request = rows("money")
    early = request.days < 4 * MONTH
    part = replace(request, days=request.days[early], today=5 * MONTH)
    one = blend("money").fit(x[early], y[early], customers[early], [], part)
    other = y.copy()
    other[~early] *= 50
    two = blend("money").fit(x[early], other[early], customers[early], [], part)
    assert one.to_files() == two.to_files()


# Lines


def test_a_line_finds_the_coefficients_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(1)
    x = rng.lognormal(2, 1, (20_000, 2))
    eta = 0.5 + 0.8 * np.log1p(x[:, 0]) - 0.4 * np.log1p(x[:, 1])
    outcomes = {
        "normal": eta + rng.normal(0, 0.3, len(eta)),
        "logistic": (rng.random(len(eta)) < metrics.sigmoid(eta)).astype(np.float64),
        "tweedie": rng.poisson(np.exp(eta)).astype(np.float64),
    }
    for family, y in outcomes.items():
        line = fit_line(family, x, (0, 1), y)  # type: ignore[arg-type]
        np.testing.assert_allclose(np.array(line.coefficients) / line.scale, [0.8, -0.4], atol=0.06)
        assert Regression.from_dict(line.as_dict()) == line


def test_a_line_does_not_extrapolate() -> None:
    x = np.linspace(0, 100, 200)[:, None]
    line = fit_line("normal", x, (0,), np.log1p(x[:, 0]))
    np.testing.assert_allclose(line.raw(np.array([[1e9]])), line.raw(np.array([[100.0]])), rtol=1e-8)
    np.testing.assert_array_equal(line.raw(np.array([[np.nan], [-5.0]])), line.raw(np.zeros((2, 1))))


def test_attributions_add_up_to_the_function() -> None:
    rng = np.random.default_rng(2)
    raw = rng.normal(size=(50, 4))
    result = attributed(raw, log_probability)
    np.testing.assert_allclose(result.sum(axis=1), log_probability(raw.sum(axis=1)), atol=1e-9)
    np.testing.assert_allclose(result[:, -1], log_probability(raw[:, -1]))


# Slopes and levels


def test_the_common_slope_is_not_flattened_by_the_levels_of_splits() -> None:
    rng = np.random.default_rng(3)
    raw = [rng.normal(0, 1, 20_000) for _ in range(2)]
    outcome = [
        (rng.random(len(z)) < metrics.sigmoid(1.5 * z + a)).astype(float)
        for z, a in zip(raw, (-2, 2), strict=True)
    ]
    slope, intercepts = common_line("probability", outcome, raw)
    assert slope == pytest.approx(1.5, abs=0.05)
    np.testing.assert_allclose(intercepts, [-2, 2], atol=0.08)
    pooled = metrics.logistic_line(np.concatenate(outcome), np.concatenate(raw))[0]
    assert pooled < 1.2
    assert common_line("probability", outcome[:1], raw[:1])[0] == pytest.approx(
        metrics.logistic_line(outcome[0], raw[0])[0], abs=1e-4
    )


def test_a_split_with_a_higher_weight_counts_more_for_the_slope() -> None:
    rng = np.random.default_rng(5)
    raw = [rng.normal(0, 1, 5_000) for _ in range(2)]
    outcome = [
        (rng.random(len(z)) < metrics.sigmoid(slope * z)).astype(float)
        for z, slope in zip(raw, (0.5, 1.5), strict=True)
    ]
    equal = common_line("probability", outcome, raw)[0]
    heavier = common_line("probability", outcome, raw, [1, 9])[0]
    repeated = common_line("probability", [outcome[0], *9 * [outcome[1]]], [raw[0], *9 * [raw[1]]])[0]
    assert equal + 0.2 < heavier < 1.5
    assert heavier == pytest.approx(repeated, abs=1e-3)


def test_the_slope_of_money_is_the_power_by_which_predictions_are_off() -> None:
    rng = np.random.default_rng(4)
    truth = rng.lognormal(3, 1, 50_000)
    outcome = rng.gamma(2, truth / 2) * (rng.random(len(truth)) < 0.5)
    assert money_slope(outcome, truth) == pytest.approx(1, abs=0.03)
    assert money_slope(outcome, truth**2) == pytest.approx(0.5, abs=0.02)
    assert money_slope(100 * outcome, 7 * truth) == pytest.approx(money_slope(outcome, truth), abs=1e-3)


# Intervals


def test_intervals_cover_held_out_customers_overall_and_among_the_best() -> None:
    rng = np.random.default_rng(5)
    score = rng.lognormal(3, 1, 40_000)
    spread = np.where(score > np.quantile(score, 0.9), 0.2, 1.0)  # the best are surer
    outcome = score * rng.lognormal(0, spread) * (rng.random(len(score)) < 0.8)
    result = fit_intervals(outcome[::2], score[::2])
    low, high = result.of(score[1::2])
    assert (low <= score[1::2]).all()
    assert (score[1::2] <= high).all()
    top = score[1::2] > np.quantile(score, 0.9)
    y = outcome[1::2]
    assert metrics.coverage(y, low, high) == pytest.approx(0.9, abs=0.015)
    assert metrics.coverage(y[top], low[top], high[top]) == pytest.approx(0.9, abs=0.03)


def test_trees_alone_reload_exactly_and_have_no_intervals() -> None:
    x, y, customers, _ = rows("money")
    fitted = MoneyTrees(rounds=3).fit(x, y, customers, [])
    again = open_fitted(fitted.to_files())
    assert isinstance(again, FittedTrees)
    assert again.intervals is None
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
