"""BG/NBD: against plain formulas, against simulated customers whose truth is known, and at the edges."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, inf, lgamma, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.special import hyp2f1

from benchmarks.btyd import simulate
from benchmarks.clv.forecasts import (
    conditional_expected_purchases,
    expected_purchases,
    probability_alive,
    probability_of_purchase,
)
from benchmarks.clv.intervals import confidence_intervals, prediction_interval, standard_errors
from core.errors import PatronError
from models.btyd.bg_nbd import BgNbd, checked, fit_bg_nbd
from models.btyd.bg_nbd_likelihood import GroupedCustomers, log_likelihood
from models.estimator import Array

TRUTH = BgNbd(0.6, 5.0, 0.9, 2.5)
PARAMETER = st.floats(0.05, 20)
MODELS = st.builds(BgNbd, PARAMETER, PARAMETER, PARAMETER, PARAMETER)


@st.composite
def customers(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Frequency, recency and T of 1 to 8 customers, some of them alike."""
    columns = []
    for _ in range(draw(st.integers(1, 8))):
        x, age = draw(st.integers(0, 30)), draw(st.integers(1, 60))
        columns.append((x, draw(st.integers(1, age)) if x else 0, age))
    frequency, recency, T = np.array(columns, np.float64).T
    return frequency, recency, T


@pytest.fixture(scope="module")
def simulated() -> tuple[Array, Array, Array]:
    """20,000 customers of TRUTH, seen for 5 to 80 weeks."""
    T = np.random.default_rng(1).uniform(5, 80, 20_000)
    return *simulate(TRUTH, T, seed=2), T


@pytest.fixture(scope="module")
def fitted(simulated: tuple[Array, Array, Array]) -> BgNbd:
    return fit_bg_nbd(*simulated)


# The likelihood


def likelihood(model: BgNbd, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> float:
    """The log-likelihood of these customers."""
    return log_likelihood(model.logs, GroupedCustomers.of(*checked(frequency, recency, T)))[0]


def plain(model: BgNbd, x: float, t_x: float, age: float) -> tuple[float, float]:
    """The two addends of equation 6 as it is printed, of one customer: alive at T, and dropped out at t_x."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b

    def beta(one: float, other: float) -> float:
        return exp(lgamma(one) + lgamma(other) - lgamma(one + other))

    gamma = exp(lgamma(r + x) - lgamma(r)) * alpha**r
    alive = beta(a, b + x) / beta(a, b) * gamma / (alpha + age) ** (r + x)
    if x == 0:
        return alive, 0.0
    return alive, beta(a + 1, b + x - 1) / beta(a, b) * gamma / (alpha + t_x) ** (r + x)


def each(who: tuple[Array, Array, Array]) -> Iterator[tuple[float, float, float]]:
    """Customer by customer: frequency, recency and T."""
    return zip(*(column.tolist() for column in who), strict=True)


@given(MODELS, customers())
def test_the_likelihood_is_equation_6_of_each_customer(model: BgNbd, who: tuple[Array, Array, Array]) -> None:
    expected = sum(log(sum(plain(model, *one))) for one in each(who))
    assert likelihood(model, *who) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@given(MODELS, customers())
def test_the_derivatives_are_the_finite_differences(model: BgNbd, who: tuple[Array, Array, Array]) -> None:
    data, step = GroupedCustomers.of(*who), 1e-5
    _, gradient, curvature = log_likelihood(model.logs, data)
    for i, change in enumerate(step * np.eye(4)):
        above, below = (log_likelihood(model.logs + sign * change, data) for sign in (1, -1))
        assert gradient[i] == pytest.approx((above[0] - below[0]) / (2 * step), rel=1e-5, abs=1e-5)
        assert curvature[i] == pytest.approx((above[1] - below[1]) / (2 * step), rel=1e-5, abs=1e-5)


def test_the_likelihood_stands_huge_counts_and_customers_of_today() -> None:
    who = [[0, 1, 100_000, 0], [0, 3, 52, 0], [0, 52, 52, 52]]
    assert np.isfinite(likelihood(TRUTH, *who))
    alone = likelihood(TRUTH, [100_000], [52], [52])
    assert likelihood(TRUTH, *who) > alone - 100
    assert likelihood(TRUTH, [0], [0], [0]) == 0  # who came today says nothing


# Answers


@given(MODELS, customers(), st.floats(0, 100))
def test_answers_stay_within_what_is_possible(
    model: BgNbd, who: tuple[Array, Array, Array], t: float
) -> None:
    alive, count = probability_alive(model, *who), conditional_expected_purchases(model, t, *who)
    some = probability_of_purchase(model, t, *who)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (alive[who[0] == 0] == 1).all()
    assert (some <= alive + 1e-12).all()
    assert (some <= count * (1 + 1e-9) + 1e-12).all()  # at least one purchase, by Markov's inequality
    at_most = t * (model.r + who[0]) / (model.alpha + who[2])  # if nobody dropped out
    assert ((count >= 0) & (count <= at_most * (1 + 1e-9))).all()


@given(MODELS, customers())
def test_probability_alive_is_the_share_of_the_likelihood_of_who_is_alive(
    model: BgNbd, who: tuple[Array, Array, Array]
) -> None:
    addends = [plain(model, *one) for one in each(who)]
    shares = [alive / (alive + dropped) for alive, dropped in addends]
    assert probability_alive(model, *who) == pytest.approx(shares, rel=1e-7)


@pytest.mark.parametrize("t", [1, 39, 400])
@pytest.mark.parametrize("x", [0, 1, 4, 25])
@pytest.mark.parametrize("a", [0.3, 0.793, 2.5])
def test_expected_purchases_are_equation_10(a: float, x: int, t: float) -> None:
    r, alpha, b, t_x, age = 0.243, 4.414, 2.426, 20.0 if x else 0.0, 30.0
    series = hyp2f1(r + x, b + x, a + b + x - 1, t / (alpha + age + t))
    shrunk = ((alpha + age) / (alpha + age + t)) ** (r + x)
    above = (a + b + x - 1) / (a - 1) * (1 - shrunk * series)
    below = 1 + (x > 0) * a / (b + x - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x)
    result = conditional_expected_purchases(BgNbd(r, alpha, a, b), t, x, t_x, age)
    assert result == pytest.approx([above / below], rel=1e-6)


def test_expected_purchases_hold_where_equation_10_divides_by_zero() -> None:
    result = [
        conditional_expected_purchases(BgNbd(0.3, 5.0, a, 2.0), 30, [0, 3], [0, 20], [40, 30])
        for a in (1 - 1e-4, 1.0, 1 + 1e-4)
    ]
    assert result[1] == pytest.approx((result[0] + result[2]) / 2, rel=1e-7)


def test_expected_purchases_of_new_customers_are_those_simulated(
    simulated: tuple[Array, Array, Array],
) -> None:
    frequency, _, T = simulated
    assert expected_purchases(TRUTH, T).mean() == pytest.approx(frequency.mean(), rel=0.03)


def test_what_is_expected_after_a_past_is_what_follows_it() -> None:
    whole = np.full(60_000, 60.0)
    early = simulate(TRUTH, whole / 2, seed=4)
    late = simulate(TRUTH, whole, seed=5)  # others of the same kind
    count = conditional_expected_purchases(TRUTH, 30, *early, whole / 2)
    assert early[0].mean() + count.mean() == pytest.approx(late[0].mean(), rel=0.03)


# Fitting


def test_the_truth_lies_within_the_intervals(fitted: BgNbd) -> None:
    for name, (low, high) in confidence_intervals(fitted, level=0.99).items():
        assert low < TRUTH.parameters[name] < high
        assert high / low < 2  # and they say something


def test_standard_errors_are_the_spread_of_fits_to_other_customers(fitted: BgNbd) -> None:
    T = np.random.default_rng(1).uniform(5, 80, 20_000)
    fits = [fit_bg_nbd(*simulate(TRUTH, T, seed), T).parameters for seed in range(10, 40)]
    for name, error in standard_errors(fitted).items():
        assert np.std([fit[name] for fit in fits], ddof=1) == pytest.approx(error, rel=0.4)


def test_an_interval_of_an_answer_holds_it_and_is_the_same_each_time(fitted: BgNbd) -> None:
    def answer(model: BgNbd) -> Array:
        return conditional_expected_purchases(model, 26, [0, 2, 9], [0, 20, 39], 40)

    low, high = prediction_interval(fitted, answer)
    assert ((low < answer(fitted)) & (answer(fitted) < high)).all()
    assert ((low < answer(TRUTH)) & (answer(TRUTH) < high)).all()
    again = prediction_interval(fitted, answer)
    assert (low == again[0]).all()
    assert (high == again[1]).all()
    assert (prediction_interval(fitted, answer, seed=1)[0] != low).all()
    narrow = prediction_interval(fitted, answer, level=0.5)
    assert ((low < narrow[0]) & (narrow[1] < high)).all()


def test_the_same_maximum_is_found_from_anywhere(
    simulated: tuple[Array, Array, Array], fitted: BgNbd
) -> None:
    few = tuple(column[:2_000] for column in simulated)
    usual = fit_bg_nbd(*few)
    for logs in np.random.default_rng(3).uniform(-5, 5, (40, 4)):
        result = fit_bg_nbd(*few, start=BgNbd(*np.exp(logs).tolist()))
        assert result.logs == pytest.approx(usual.logs, abs=1e-4)


def test_the_order_of_customers_and_the_unit_of_time_change_nothing(
    simulated: tuple[Array, Array, Array], fitted: BgNbd
) -> None:
    frequency, recency, T = (column[::-1] for column in simulated)
    in_days = fit_bg_nbd(frequency, recency * 7, T * 7)
    assert in_days.alpha == pytest.approx(fitted.alpha * 7, rel=1e-5)
    for name in ("r", "a", "b"):
        assert in_days.parameters[name] == pytest.approx(fitted.parameters[name], rel=1e-5)


def test_who_never_drops_out_gives_parameters_without_intervals() -> None:
    rng = np.random.default_rng(5)
    rate, T = rng.gamma(2, 0.5, 400), 50.0
    frequency = rng.poisson(rate * T).astype(np.float64)
    recency = np.where(frequency > 0, T - rng.exponential(1 / rate).clip(max=T * 0.9), 0)
    model = fit_bg_nbd(frequency, recency, T)
    assert model.a / (model.a + model.b) < 1e-3
    assert (probability_alive(model, frequency, recency, T) > 0.9).all()
    with pytest.raises(PatronError, match="400 customers did not tell every parameter"):
        confidence_intervals(model)


def test_parameters_that_were_not_fitted_have_no_intervals() -> None:
    with pytest.raises(PatronError, match="not fitted"):
        standard_errors(TRUTH)


# Refusals


@pytest.mark.parametrize(
    ("frequency", "recency", "T", "message"),
    [
        (0, 0, 10, "none of the 10 customers bought again"),
        (-1, 0, 10, "a frequency that is no whole number"),
        (1.5, 2, 10, "a frequency that is no whole number"),
        (inf, 2, 10, "no finite number"),
        (1, nan, 10, "no finite number"),
        (1, 11, 10, "a recency outside 0 to T"),
        (1, 0, 10, "a recency of 0 although they bought again"),
        (0, 3, 10, "a recency other than 0 although they bought once"),
        (0, 0, -1, "a recency outside 0 to T"),
    ],
)
def test_customers_who_cannot_be_are_refused(
    frequency: float, recency: float, T: float, message: str
) -> None:
    with pytest.raises(PatronError, match=message):
        fit_bg_nbd([frequency] * 10, recency, T)


def test_too_few_customers_impossible_parameters_and_times_are_refused() -> None:
    with pytest.raises(PatronError, match="given 9 customers and needs 10"):
        fit_bg_nbd([1] * 9, 3, 10)
    with pytest.raises(PatronError, match="a = 0"):
        BgNbd(1, 1, 0, 1)
    with pytest.raises(PatronError, match="time ahead"):
        conditional_expected_purchases(TRUTH, -1, 0, 0, 10)
