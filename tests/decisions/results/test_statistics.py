"""The statistics of results, against SciPy and against results of tea-tasting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from decisions.results.statistics import Moments, difference, sample_ratio_p


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 200), st.integers(2, 200))
def test_the_interval_is_that_of_welch(seed: int, treated: int, control: int) -> None:
    rng = np.random.default_rng(seed)
    y, z = rng.gamma(0.5, 40, treated), rng.gamma(0.7, 30, control)
    ours, theirs = difference(Moments.of(y), Moments.of(z)), stats.ttest_ind(y, z, equal_var=False)
    assert ours is not None
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours.degrees == pytest.approx(theirs.df, rel=1e-9)
    low, high = theirs.confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 200), st.integers(3, 200))
def test_cuped_is_welch_on_the_adjusted_values(seed: int, treated: int, control: int) -> None:
    rng = np.random.default_rng(seed)
    x, u = rng.gamma(0.5, 40, treated), rng.gamma(0.5, 40, control)
    y, z = 0.6 * x + rng.normal(2, 9, treated), 0.6 * u + rng.normal(0, 9, control)
    ours = difference(Moments.of(y, x), Moments.of(z, u))
    both, covariate = np.concatenate([y, z]), np.concatenate([x, u])
    theta = np.cov(both, covariate)[0, 1] / covariate.var(ddof=1)
    adjusted = both - theta * (covariate - covariate.mean())
    theirs = stats.ttest_ind(adjusted[:treated], adjusted[treated:], equal_var=False)
    assert ours is not None
    assert (ours.p, ours.degrees) == pytest.approx((theirs.pvalue, theirs.df), rel=1e-8)
    assert ours.estimate == pytest.approx(adjusted[:treated].mean() - adjusted[treated:].mean(), abs=1e-9)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_moments_add_up(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    y, x = rng.normal(1000, 1, sum(sizes)), rng.normal(5, 2, sum(sizes))
    cuts = np.cumsum(sizes)[:-1]
    parts = [Moments.of(*pair) for pair in zip(np.split(y, cuts), np.split(x, cuts), strict=True)]
    whole, added = Moments.of(y, x), sum(parts, Moments())
    assert vars(added) == pytest.approx(vars(whole), rel=1e-9, abs=1e-9)


X = [16.59, 32.46, 3.6, 0.0, 36.17, 3.67, 2.6, 16.39, 1.03, 0.08, 10.61, 78.28]
Y = [12.97, 7.7, -0.14, -6.81, 16.42, 13.75, -3.71, 14.54, 13.58, -0.2, 10.36, 52.96]


@pytest.mark.parametrize(
    ("adjusted", "means", "p", "bounds"),
    [
        (False, (18.248, 5.74), 0.25227806676799186, (-12.175091438015526, 37.191091438015526)),
        (
            True,
            (15.615430063712436, 7.62040709734826),
            0.04934778801579245,
            (0.02771441497642435, 15.962331517751927),
        ),
    ],
)
def test_it_is_what_tea_tasting_says(
    adjusted: bool, means: tuple[float, float], p: float, bounds: tuple[float, float]
) -> None:
    """The results of ``tea_tasting.Mean`` (1.14) for the last five customers against the first seven."""
    ours = difference(Moments.of(Y[7:], X[7:]), Moments.of(Y[:7], X[:7]), adjusted=adjusted)
    assert ours is not None
    assert (ours.treated_mean, ours.control_mean) == pytest.approx(means, rel=1e-9)
    assert ours.p == pytest.approx(p, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx(bounds, rel=1e-9)


@pytest.mark.parametrize(("y", "z"), [([1.0], [1.0, 2.0]), ([], [1.0, 2.0]), ([5.0, 5.0], [5.0, 5.0])])
def test_groups_without_two_customers_or_variance_have_no_interval(y: list[float], z: list[float]) -> None:
    assert difference(Moments.of(y), Moments.of(z)) is None


def test_a_constant_covariate_changes_nothing() -> None:
    y, z = [1.0, 2.0, 4.0], [0.0, 1.0, 3.0]
    plain, same = (
        difference(Moments.of(y), Moments.of(z)),
        difference(Moments.of(y, [7.0] * 3), Moments.of(z, [7.0] * 3)),
    )
    assert plain == same


def test_a_rare_large_value_is_compared_without_underflow() -> None:
    treated, control = np.zeros(1_000_000), np.zeros(1_000_000)
    treated[:400], control[:20] = 1, 1
    result = difference(Moments.of(treated), Moments.of(control))
    assert result is not None
    assert 0 < result.p < 1e-70


@pytest.mark.parametrize(
    ("treated", "control", "share", "p"),
    [
        (9510, 490, 0.05, stats.chisquare([9510, 490], [9500, 500]).pvalue),
        (9510, 490, 0.5, stats.chisquare([9510, 490], [5000, 5000]).pvalue),
        (9463, 7681, 0.5, stats.chisquare([9463, 7681], [8572, 8572]).pvalue),
    ],
)
def test_the_sample_ratio_is_compared_with_the_declared_share(
    treated: int, control: int, share: float, p: float
) -> None:
    assert sample_ratio_p(treated, control, (treated + control) * share) == pytest.approx(p, rel=1e-9)


def test_customers_in_a_group_of_share_zero_are_no_chance() -> None:
    assert sample_ratio_p(100, 0, 0.0) == 1.0
    assert sample_ratio_p(100, 3, 0.0) == 0.0
