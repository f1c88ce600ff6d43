"""The two parts of money: their product, their bounds, and reloading."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.estimator import Array
from models.estimators.blend import BlendPart, FittedBlend
from models.estimators.intervals import fit_intervals
from models.estimators.line import fit_line
from models.order_probability import OrderProbability, bounded, open_order_probability
from models.registry.bundle import FittedModel
from models.registry.row_score import score_row

COUNT = 2_000


@pytest.fixture(scope="module")
def rows() -> tuple[Array, Array, Array]:
    """Features, expected money and actual money of customers; the lowest money brought nothing."""
    rng = np.random.default_rng(4)
    x = rng.lognormal(2, 1, (COUNT, 2))
    chance = x[:, 0] / (x[:, 0] + 40)
    money = chance * 10 * x[:, 1]
    outcome = np.where(rng.random(COUNT) < chance, 10 * x[:, 1] * rng.lognormal(0, 0.5, COUNT), 0.0)
    outcome[money < np.quantile(money, 0.2)] = 0.0
    return x, money, outcome


@pytest.fixture(scope="module")
def fitted(rows: tuple[Array, Array, Array]) -> FittedBlend:
    x, _, outcome = rows
    line = fit_line("logistic", x, (0, 1), (outcome > 0).astype(np.float64))
    return FittedBlend("probability", {"line": BlendPart(line)}, 1.0, 0.0)


def test_the_parts_are_those_of_a_plain_loop(rows: tuple[Array, Array, Array], fitted: FittedBlend) -> None:
    x, money, outcome = rows
    order = bounded(fitted, money, outcome)
    probability, amount = order.parts(x, money)
    edges = np.unique(np.quantile(money, np.linspace(0, 1, 11)[1:-1])).tolist()
    raised = 0
    for i, own in enumerate(fitted.predict(x).tolist()):
        above = [edge for edge in edges if edge > money[i]]
        alike = [
            o for m, o in zip(money.tolist(), outcome.tolist(), strict=True) if not above or m < above[0]
        ]
        first = next(e for e in [*edges, np.inf] if outcome[money < e].any())
        largest = max(alike) or outcome[money < first].max()
        least = min(money[i] / largest, 1.0)
        assert probability[i] == pytest.approx(max(own, least), rel=1e-9)
        assert amount[i] == pytest.approx(money[i] / max(own, least), rel=1e-9)
        assert amount[i] <= largest * (1 + 1e-9)
        raised += own < least
    assert 0 < raised < COUNT / 5  # the bound matters, and is not the rule
    np.testing.assert_allclose(probability * amount, money, rtol=1e-12)


def test_a_row_alone_has_the_same_parts_and_so_has_what_was_reloaded(
    rows: tuple[Array, Array, Array], fitted: FittedBlend
) -> None:
    x, money, outcome = rows
    order = bounded(fitted, money, outcome)
    together = order.parts(x, money)
    again = open_order_probability(order.to_files())
    assert again is not None
    for one in (order, again):
        alone = [one.parts(x[i : i + 1], money[i : i + 1]) for i in range(100)]
        for part, all_rows in enumerate(together):
            assert [float(parts[part][0]) for parts in alone] == all_rows[:100].tolist()
    assert again.to_files() == order.to_files()
    assert open_order_probability(fitted.to_files()) is None


@pytest.mark.parametrize("with_ratios", [False, True])
def test_the_scores_of_single_rows_are_those_of_arrays_to_the_last_bit(
    rows: tuple[Array, Array, Array], fitted: FittedBlend, with_ratios: bool
) -> None:
    x, money, outcome = rows
    x = np.concatenate([x, np.zeros((1, 2)), np.full((1, 2), 1e9), np.full((1, 2), np.nan)])
    line = fit_line("normal", x[:COUNT], (0, 1), np.log(money))
    blend = FittedBlend("money", {"line": BlendPart(line)}, 1.0, 0.0)
    blend = replace(blend, intervals=fit_intervals(outcome, money))
    order = bounded(fitted, money, outcome)
    if with_ratios:
        order = replace(order, low_ratios=tuple(np.linspace(0.2, 0.9, 11).tolist()), high_ratio=1.5)
    percentiles = np.quantile(blend.predict(x), np.linspace(0, 1, 101)).tolist()
    for order_or_none, complement in ((order, False), (None, False), (None, True)):
        manifest = {"complement": complement, "score_percentiles": percentiles}
        model = FittedModel("1", manifest, blend, {}, order_or_none)
        scores = model.score_matrix(x)
        parts = model.parts(x, scores)
        arrays = [scores, model.percentiles(scores), *(model.interval(scores, parts) or ()), *(parts or ())]
        expected = np.column_stack(arrays)
        assert order_or_none is None or (expected[:, -2] > 0.95).any()
        for row, numbers in zip(x, expected.tolist(), strict=True):
            assert [value for value in score_row(model, row) if value is not None] == numbers


@pytest.mark.parametrize("money", [0.0, 1e-300, 1e12])
def test_extreme_money_has_a_probability_and_an_amount(fitted: FittedBlend, money: float) -> None:
    order = OrderProbability(fitted, (10.0,), (50.0, 500.0))
    for x in (np.zeros((1, 2)), np.full((1, 2), 1e12), np.full((1, 2), np.nan)):
        probability, amount = order.parts(x, np.array([money]))
        assert 0 < probability[0] <= 1
        assert np.isfinite(amount[0])
        assert probability[0] * amount[0] == pytest.approx(money)


def test_bounds_of_almost_certain_orders_contain_nine_in_ten(fitted: FittedBlend) -> None:
    rng = np.random.default_rng(7)
    count = 40_000
    probability = rng.choice([0.5, 0.9, 0.96, 0.99, 1.0], count)
    amount = rng.lognormal(4, 1, count)
    outcome = np.where(rng.random(count) < probability, amount * rng.lognormal(-0.125, 0.5, count), 0.0)
    order = OrderProbability(fitted, (), (1e9,)).with_ratios(
        probability, probability * amount, outcome, sd=0.0
    )
    reloaded = open_order_probability(order.to_files())
    assert reloaded == order
    bounds = np.zeros(count), 0.001 * amount
    low, high = order.bounds(bounds, (probability, amount))
    for value in (0.5, 0.9):
        own = probability == value
        assert not low[own].any()
        assert (high[own] == bounds[1][own]).all()
    for value in (0.96, 0.99, 1.0):
        own = probability == value
        assert low[own].min() > 0
        assert (outcome < low)[own].mean() == pytest.approx(0.05, abs=0.012)
        assert (outcome > high)[own].mean() == pytest.approx(0.05, abs=0.012)
    alone = [
        order.bounds((low[:1], high[:1]), (probability[i : i + 1], amount[i : i + 1])) for i in range(50)
    ]
    assert all(np.isfinite(bound).all() for pair in alone for bound in pair)


def test_a_doubtful_level_widens_the_bounds_of_almost_certain_orders(fitted: FittedBlend) -> None:
    rng = np.random.default_rng(8)
    sure = np.full(5_000, 0.98)
    amount = rng.lognormal(4, 1, 5_000)
    outcome = amount * rng.lognormal(0, 0.3, 5_000)
    order = OrderProbability(fitted, (), (1e9,))
    ratios = [order.with_ratios(sure, sure * amount, outcome, sd) for sd in (0.0, 0.3)]
    assert ratios[1].low_ratios[-1] < ratios[0].low_ratios[-1]
    assert ratios[1].high_ratio > ratios[0].high_ratio
    few = order.with_ratios(sure[:99], (sure * amount)[:99], outcome[:99], 0.0)
    assert few is order  # too few to learn from
    bounds = np.zeros(5_000), amount
    assert order.bounds(bounds, (sure, amount)) is bounds
