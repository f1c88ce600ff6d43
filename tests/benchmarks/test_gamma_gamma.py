"""Gamma-gamma and lifetime value: against plain formulas, simulated customers, and at the edges."""

from __future__ import annotations

from math import inf, lgamma, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clv.forecasts import conditional_expected_purchases
from benchmarks.clv.gamma_gamma import GammaGamma, fit_gamma_gamma, log_likelihood
from benchmarks.clv.intervals import confidence_intervals, prediction_interval
from benchmarks.clv.lifetime_value import expected_lifetime_value
from benchmarks.clv.summary import Summary
from core.errors import PatronError
from models.btyd.bg_nbd import BgNbd
from models.estimator import Array

TRUTH = GammaGamma(6.25, 3.74, 15.44)
PARAMETER = st.floats(0.1, 20)
MODELS = st.builds(GammaGamma, PARAMETER, PARAMETER, PARAMETER)
CUSTOMERS = st.lists(st.tuples(st.integers(1, 30), st.floats(0.01, 1000)), min_size=1, max_size=8).map(
    lambda rows: np.array(rows, np.float64).T
)


@pytest.fixture(scope="module")
def simulated() -> tuple[Array, Array]:
    """Repeat purchases and their mean value of 5,000 customers of TRUTH."""
    rng = np.random.default_rng(1)
    frequency = rng.geometric(0.3, 5_000).astype(np.float64)
    rate = rng.gamma(TRUTH.q, 1 / TRUTH.v, 5_000)
    return frequency, rng.gamma(TRUTH.p * frequency, 1 / (rate * frequency))


@pytest.fixture(scope="module")
def fitted(simulated: tuple[Array, Array]) -> GammaGamma:
    return fit_gamma_gamma(*simulated)


def plain(model: GammaGamma, x: float, mean: float) -> float:
    """The logarithm of equation 1a, of one customer."""
    p, q, v = model.p, model.q, model.v
    return (
        lgamma(p * x + q) - lgamma(p * x) - lgamma(q) + q * log(v)
        + (p * x - 1) * log(mean) + p * x * log(x) - (p * x + q) * log(v + x * mean)
    )  # fmt: skip


@given(MODELS, CUSTOMERS)
def test_the_likelihood_is_equation_1a_of_each_customer(model: GammaGamma, who: Array) -> None:
    expected = sum(plain(model, x, mean) for x, mean in who.T.tolist())
    assert model.log_likelihood(*who) == pytest.approx(expected, rel=1e-8, abs=1e-7)


@given(MODELS, CUSTOMERS)
def test_the_derivatives_are_the_finite_differences(model: GammaGamma, who: Array) -> None:
    weight, step = np.arange(1.0, who.shape[1] + 1), 1e-5
    _, gradient, curvature = log_likelihood(model.logs, *who, weight)
    for i, change in enumerate(step * np.eye(3)):
        above, below = (log_likelihood(model.logs + sign * change, *who, weight) for sign in (1, -1))
        assert gradient[i] == pytest.approx((above[0] - below[0]) / (2 * step), rel=1e-5, abs=1e-3)
        assert curvature[i] == pytest.approx((above[1] - below[1]) / (2 * step), rel=1e-5, abs=1e-3)


@given(MODELS, CUSTOMERS)
def test_an_expected_value_lies_between_the_customers_mean_and_everybodys(
    model: GammaGamma, who: Array
) -> None:
    result = model.conditional_expected_average_value(*who)
    if model.q > 1:
        ends = np.array([who[1], np.full(len(result), model.expected_value)])
        assert (result >= ends.min(axis=0) * (1 - 1e-9)).all()
        assert (result <= ends.max(axis=0) * (1 + 1e-9)).all()
        nobody = model.conditional_expected_average_value(0, nan)
        assert nobody == pytest.approx([model.expected_value])
    else:
        assert model.expected_value == inf


def test_the_truth_is_found_again_from_anywhere(simulated: tuple[Array, Array], fitted: GammaGamma) -> None:
    for name, (low, high) in confidence_intervals(fitted, level=0.99).items():
        assert low < TRUTH.parameters[name] < high
        assert high / low < 2
    assert fitted.winsorized == 0
    for logs in np.random.default_rng(2).uniform(-5, 5, (20, 3)):
        result = fit_gamma_gamma(*simulated, start=GammaGamma(*np.exp(logs).tolist()))
        assert result.logs == pytest.approx(fitted.logs, abs=1e-4)


def test_who_bought_once_does_not_count_and_currency_is_a_unit(
    simulated: tuple[Array, Array], fitted: GammaGamma
) -> None:
    frequency, mean = simulated
    more = fit_gamma_gamma(np.append(frequency, [0, 0]), np.append(mean, [nan, 1e9]))
    assert more.parameters == fitted.parameters
    in_cents = fit_gamma_gamma(frequency, mean * 100)
    assert in_cents.v == pytest.approx(fitted.v * 100, rel=1e-5)
    assert in_cents.p == pytest.approx(fitted.p, rel=1e-5)


def test_one_order_of_a_million_moves_nobody_else(simulated: tuple[Array, Array], fitted: GammaGamma) -> None:
    frequency, mean = simulated
    giant = fit_gamma_gamma(np.append(frequency, 1), np.append(mean, 1e6))
    assert giant.winsorized == 1
    assert giant.cap < 100 * np.median(mean)
    assert giant.expected_value == pytest.approx(fitted.expected_value, rel=0.02)
    answers = giant.conditional_expected_average_value([1, 1], [1e6, giant.cap])
    assert answers[0] == answers[1]  # the giant itself counts as the cap


def test_the_interval_of_an_expected_value_holds_it(fitted: GammaGamma) -> None:
    low, high = prediction_interval(
        fitted, lambda m: m.conditional_expected_average_value([0, 3], [nan, 90.0])
    )
    result = fitted.conditional_expected_average_value([0, 3], [nan, 90.0])
    assert ((low < result) & (result < high)).all()


@pytest.mark.parametrize(
    ("frequency", "values", "message"),
    [
        ([0] * 20, [5.0] * 20, "none of the 20 customers bought again"),
        ([1] * 9, [5.0] * 9, "given 9 customers who bought again and takes 10"),
        ([1] * 20, [0.0, *range(1, 20)], "1 customers with a mean value of 0 or less"),
        ([1] * 20, [-3.0, *range(1, 20)], "1 customers with a mean value of 0 or less"),
        ([1] * 20, [inf, *range(1, 20)], "a mean value that is no finite number"),
        ([1] * 20, [nan, *range(1, 20)], "a mean value that is no finite number"),
        ([1] * 20, [5.0] * 20, "every purchase is worth 5"),
        ([1.5] * 20, [5.0] * 20, "no whole number"),
        ([1] * 40, [10.0**k for k in range(-20, 20)], "too unequal to have a mean"),
    ],
)
def test_values_that_cannot_be_are_refused(frequency: list[float], values: list[float], message: str) -> None:
    with pytest.raises(PatronError, match=message):
        fit_gamma_gamma(frequency, values)


def test_a_negative_value_has_no_answer() -> None:
    with pytest.raises(PatronError, match="negative mean value"):
        TRUTH.conditional_expected_average_value([1, 2], [3, -1])


def test_lifetime_value_is_purchases_times_their_value() -> None:
    purchases = BgNbd(0.243, 4.414, 0.793, 2.426)
    who = Summary(
        customers=np.array([1, 2]),
        frequency=np.array([0.0, 4.0]),
        recency=np.array([0.0, 30.0]),
        T=np.array([35.0, 35.0]),
        monetary_value=np.array([nan, 80.0]),
    )
    result = expected_lifetime_value(purchases, TRUTH, 39, who)
    count = conditional_expected_purchases(purchases, 39, who.frequency, who.recency, who.T)
    assert result / count == pytest.approx(
        [TRUTH.expected_value, (TRUTH.v + 4 * 80) * TRUTH.p / (4 * TRUTH.p + TRUTH.q - 1)]
    )
    with pytest.raises(PatronError, match="no mean value"):
        expected_lifetime_value(purchases, GammaGamma(6, 0.9, 15), 39, who)
