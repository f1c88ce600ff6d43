"""Measures of models, compared with brute force and scikit-learn, and properties for any data."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, mean_absolute_error
from sklearn.metrics import log_loss as sklearn_log_loss

from models.measures import metrics
from models.measures.metrics import Array


def array(values: object) -> Array:
    return np.array(values, dtype=np.float64)


SCORES = st.integers(-4, 4).map(float)  # few values, so that ties are common
BINARY = st.integers(0, 1).map(float)
MONEY = st.one_of(st.just(0.0), st.integers(1, 50_000).map(lambda cents: cents / 100))


def rows(outcome: st.SearchStrategy[float], most: int = 40) -> st.SearchStrategy[tuple[Array, Array]]:
    """Outcomes and scores of 2 customers or more, of which the outcomes are not all equal."""
    pairs = st.lists(st.tuples(outcome, SCORES), min_size=2, max_size=most)
    varied = pairs.filter(lambda result: len({y for y, _ in result}) > 1)
    return varied.map(lambda result: (array([y for y, _ in result]), array([s for _, s in result])))


def draw_scores(count: int, seed: int) -> tuple[Array, Array, Array]:
    """True probabilities, outcomes drawn from them, and an unrelated score."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(1.2, 3, count)
    return truth, (rng.random(count) < truth).astype(np.float64), rng.random(count)


# AUC


@given(rows(BINARY))
def test_auc_is_the_share_of_pairs_ranked_rightly_with_ties_as_half(data: tuple[Array, Array]) -> None:
    outcome, score = data
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in score[outcome == 1] for b in score[outcome == 0]
    ]
    assert metrics.auc(outcome, score) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(rows(BINARY))
def test_auc_of_the_opposite_score_or_the_opposite_outcome_is_one_less_it(data: tuple[Array, Array]) -> None:
    outcome, score = data
    result = metrics.auc(outcome, score)
    assert metrics.auc(outcome, -score) == pytest.approx(1 - result, abs=1e-12)
    assert metrics.auc(1 - outcome, score) == pytest.approx(1 - result, abs=1e-12)


def test_a_constant_score_has_an_auc_of_one_half() -> None:
    assert metrics.auc(array([0, 1, 1]), np.ones(3)) == 0.5


# Errors of probabilities and of money


def test_errors_are_those_of_scikit_learn() -> None:
    truth, outcome, _ = draw_scores(500, 1)
    assert metrics.brier(outcome, truth) == pytest.approx(brier_score_loss(outcome, truth))
    assert metrics.log_loss(outcome, truth) == pytest.approx(sklearn_log_loss(outcome, truth))
    assert metrics.mean_absolute_error(outcome, truth) == pytest.approx(mean_absolute_error(outcome, truth))


def test_errors_have_the_values_worked_out_by_hand() -> None:
    outcome, probability = array([1, 0, 1, 0]), array([0.9, 0.2, 0.5, 0.0])
    assert metrics.brier(outcome, probability) == pytest.approx((0.01 + 0.04 + 0.25 + 0) / 4)
    assert metrics.mean_absolute_error(array([10, 0]), array([7, 4])) == pytest.approx(3.5)
    assert metrics.total_ratio(array([10, 0, 10]), array([5, 10, 15])) == pytest.approx(1.5)
    assert np.isnan(metrics.total_ratio(np.zeros(2), np.ones(2)))


def test_the_log_loss_of_a_certain_and_wrong_probability_is_finite() -> None:
    assert metrics.log_loss(array([1]), array([0])) == pytest.approx(-np.log(1e-7), rel=1e-6)
    assert metrics.log_loss(array([1]), array([1])) == pytest.approx(0, abs=1e-6)


@given(st.floats(1e-6, 1 - 1e-6))
def test_sigmoid_is_the_inverse_of_logit(probability: float) -> None:
    assert metrics.sigmoid(metrics.logit(array([probability])))[0] == pytest.approx(probability, rel=1e-9)


def test_logit_and_sigmoid_stay_finite_at_both_ends() -> None:
    assert np.isfinite(metrics.logit(array([0, 1]))).all()
    assert metrics.sigmoid(array([-1e6, 0, 1e6])).tolist() == [0, 0.5, 1]


# Calibration


def test_the_logistic_line_is_scikit_learns_unpenalised_fit() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(0.5, 2, 2_000)
    outcome = (rng.random(2_000) < metrics.sigmoid(0.4 * z - 0.8)).astype(np.float64)
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], outcome)
    slope, intercept = metrics.logistic_line(outcome, z)
    assert slope == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
    assert intercept == pytest.approx(fitted.intercept_[0], abs=1e-4)


def test_the_calibration_slope_is_one_for_a_calibrated_model_below_for_an_overconfident_one() -> None:
    truth, outcome, _ = draw_scores(40_000, 3)
    assert metrics.calibration_slope(outcome, truth) == pytest.approx(1, abs=0.05)
    overconfident = metrics.sigmoid(2 * metrics.logit(truth))
    timid = metrics.sigmoid(0.5 * metrics.logit(truth))
    assert metrics.calibration_slope(outcome, overconfident) == pytest.approx(0.5, abs=0.03)
    assert metrics.calibration_slope(outcome, timid) == pytest.approx(2, abs=0.1)


def test_the_calibration_table_accounts_for_every_customer_from_the_lowest_scores_up() -> None:
    rng = np.random.default_rng(4)
    score, outcome = rng.permutation(np.linspace(0, 1, 103)), rng.random(103)
    table = metrics.calibration_table(outcome, score)
    assert [row["customers"] for row in table] == [11, 11, 11, *[10] * 7]
    assert [row["predicted"] for row in table] == sorted(row["predicted"] for row in table)
    lowest = np.argsort(score)[:11]
    assert table[0]["actual"] == pytest.approx(outcome[lowest].mean())
    assert sum(row["customers"] * row["actual"] for row in table) == pytest.approx(outcome.sum())
    assert sum(row["customers"] * row["predicted"] for row in table) == pytest.approx(score.sum())
    assert len(metrics.calibration_table(outcome[:3], score[:3])) == 3


# Gain, lift and Gini


@given(rows(MONEY, most=5))
def test_the_gain_curve_is_the_mean_over_all_orders_of_tied_customers(data: tuple[Array, Array]) -> None:
    outcome, score = data
    curves = []
    for order in permutations(range(len(score))):
        if all(score[a] >= score[b] for a, b in pairwise(order)):
            stored = np.concatenate([[0], np.cumsum(outcome[list(order)]) / outcome.sum()])
            curves.append(np.interp(np.linspace(0, 1, 101), np.linspace(0, 1, len(stored)), stored))
    assert metrics.gain_curve(outcome, score) == pytest.approx(np.mean(curves, axis=0), abs=1e-9)


@given(rows(MONEY))
def test_gini_is_the_mean_over_pairs_of_customers(data: tuple[Array, Array]) -> None:
    outcome, score = data
    above = np.sign(score[:, None] - score[None, :]).sum(axis=1)
    assert metrics.gini(outcome, score) == pytest.approx(
        float((outcome * above).sum() / outcome.sum() / len(score)), abs=1e-9
    )


@given(rows(BINARY))
def test_the_normalised_gini_of_a_yes_or_no_is_twice_the_auc_less_one(data: tuple[Array, Array]) -> None:
    outcome, score = data
    assert metrics.normalised_gini(outcome, score) == pytest.approx(
        2 * metrics.auc(outcome, score) - 1, abs=1e-9
    )


@given(rows(MONEY))
def test_the_normalised_gini_of_the_outcome_is_one_and_of_its_opposite_minus_one(
    data: tuple[Array, Array],
) -> None:
    outcome, score = data
    assert metrics.normalised_gini(outcome, outcome) == pytest.approx(1)
    assert metrics.normalised_gini(outcome, -outcome) == pytest.approx(-1)
    assert -1 - 1e-9 <= metrics.normalised_gini(outcome, score) <= 1 + 1e-9
    assert metrics.normalised_gini(outcome, np.full_like(outcome, 3)) == pytest.approx(0, abs=1e-12)


@given(rows(MONEY), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(data: tuple[Array, Array], random: object) -> None:
    outcome, score = data
    order = np.arange(len(score))
    random.shuffle(order)  # type: ignore[attr-defined]
    bought = (outcome > np.median(outcome)).astype(np.float64)
    measures: list[Callable[[Array, Array], float]] = [
        metrics.gini, metrics.normalised_gini, metrics.lift_at,
        metrics.mean_absolute_error, metrics.total_ratio,
    ]  # fmt: skip
    for measure in measures:
        assert measure(outcome[order], score[order]) == pytest.approx(measure(outcome, score), abs=1e-9)
    if 0 < bought.sum() < len(bought):
        assert metrics.auc(bought[order], score[order]) == pytest.approx(metrics.auc(bought, score))
    assert metrics.gain_curve(outcome[order], score[order]) == pytest.approx(
        metrics.gain_curve(outcome, score), abs=1e-9
    )


@given(rows(MONEY))
def test_the_gain_curve_runs_from_none_to_all_and_never_falls(data: tuple[Array, Array]) -> None:
    curve = metrics.gain_curve(*data)
    assert len(curve) == 101
    assert curve[0] == 0
    assert curve[100] == pytest.approx(1)
    assert (np.diff(curve) >= -1e-12).all()


def test_tied_customers_share_their_outcome_equally() -> None:
    outcome = array([100, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert metrics.lift_at(outcome, np.zeros(10)) == pytest.approx(1)
    assert metrics.lift_at(outcome, array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])) == pytest.approx(5)
    assert metrics.lift_at(outcome, outcome) == pytest.approx(10)
    assert metrics.lift_at(outcome, -outcome) == pytest.approx(0)
    assert metrics.lift_at(outcome, outcome, 0.5) == pytest.approx(2)


def test_without_any_outcome_the_gain_is_the_diagonal_and_gini_zero() -> None:
    assert metrics.gain_curve(np.zeros(3), array([1, 2, 3])) == pytest.approx(np.linspace(0, 1, 101))
    assert metrics.gini(np.zeros(3), array([1, 2, 3])) == 0
    assert metrics.normalised_gini(np.zeros(3), array([1, 2, 3])) == 0
    assert metrics.gini(array([]), array([])) == 0


# The paired bootstrap


def test_the_bootstrap_is_the_same_each_time_and_has_the_sign_of_the_better_score() -> None:
    truth, outcome, noise = draw_scores(400, 5)
    origins = [(outcome[:200], truth[:200], noise[:200]), (outcome[200:], truth[200:], noise[200:])]
    mean, low, high = metrics.paired_bootstrap(origins, metrics.auc, draws=200)
    assert (mean, low, high) == metrics.paired_bootstrap(origins, metrics.auc, draws=200)
    assert (mean, low, high) != metrics.paired_bootstrap(origins, metrics.auc, draws=200, seed=1)
    by_hand = np.mean([metrics.auc(y, a) - metrics.auc(y, b) for y, a, b in origins])
    assert mean == pytest.approx(by_hand)
    assert 0 < low < mean < high
    turned = [(y, b, a) for y, a, b in origins]
    assert metrics.paired_bootstrap(turned, metrics.auc, draws=200) == pytest.approx((-mean, -high, -low))


def test_the_bootstrap_of_a_score_against_itself_has_no_width() -> None:
    truth, outcome, _ = draw_scores(100, 6)
    assert metrics.paired_bootstrap([(outcome, truth, truth)], metrics.auc, draws=50) == (0, 0, 0)


def test_the_bootstrap_interval_covers_the_true_difference_about_nineteen_times_in_twenty() -> None:
    # The difference of two mean absolute errors, whose truth is known: each error is |N(0, s)|.
    def closeness(outcome: Array, prediction: Array) -> float:
        return -metrics.mean_absolute_error(outcome, prediction)

    covered = 0
    truth = (1.0 - 0.8) * np.sqrt(2 / np.pi)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        outcome = np.zeros(150)
        ours, theirs = rng.normal(0, 0.8, 150), rng.normal(0, 1.0, 150)
        _, low, high = metrics.paired_bootstrap([(outcome, ours, theirs)], closeness, draws=200)
        covered += low <= truth <= high
    assert 51 <= covered <= 60
