"""Differences between two groups of customers, from sums that can be added up.

**Welch.** The difference of two means with the interval of Student's t; the degrees of freedom are those of
Welch and Satterthwaite, so the groups may differ in size and variance.

**CUPED** (Deng et al. 2013). With a covariate x that was known before the groups were drawn, such as last
year's net margin, y − θ(x − x̄) has the same expected difference and a smaller variance. θ is Cov(y, x) /
Var(x) and x̄ the mean of x, over both groups together; without variance in x, θ is 0.

**Sample ratio.** The numbers of customers in the groups are compared with the numbers that the declared
shares lead to, by Pearson's χ² with one degree of freedom.

The unit is the customer: each counts once, with the sum of what they brought.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
"""The probability with which an interval contains the truth."""
MAX_SAMPLE_RATIO_P = 0.001
"""Below it, the sizes of two groups are not those of a random draw by the declared shares."""


@dataclass(frozen=True)
class Moments:
    """The sufficient statistics of a group.

    Attributes:
        count: the customers.
        mean, covariate_mean: of the value y and of the covariate x.
        squares, covariate_squares, products: the sums of (y − ȳ)², (x − x̄)² and (y − ȳ)(x − x̄).
    """

    count: int = 0
    mean: float = 0.0
    covariate_mean: float = 0.0
    squares: float = 0.0
    covariate_squares: float = 0.0
    products: float = 0.0

    @classmethod
    def of(cls, values: ArrayLike, covariate: ArrayLike | None = None) -> Moments:
        """The moments of a value per customer, and of a covariate (0 if there is none)."""
        y = np.asarray(values, float)
        x = np.zeros_like(y) if covariate is None else np.asarray(covariate, float)
        if not len(y):
            return cls()
        dy, dx = y - y.mean(), x - x.mean()
        sums = (float(dy @ dy), float(dx @ dx), float(dy @ dx))
        return cls(len(y), float(y.mean()), float(x.mean()), *sums)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both groups together (Chan et al. 1979)."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        dy, dx = other.mean - self.mean, other.covariate_mean - self.covariate_mean
        share, between = other.count / count, self.count * other.count / count
        return Moments(
            count,
            self.mean + dy * share,
            self.covariate_mean + dx * share,
            self.squares + other.squares + dy * dy * between,
            self.covariate_squares + other.covariate_squares + dx * dx * between,
            self.products + other.products + dy * dx * between,
        )

    @property
    def theta(self) -> float:
        """The coefficient of the covariate; 0 if the covariate does not vary."""
        return self.products / self.covariate_squares if self.covariate_squares > 0 else 0.0

    def variance(self, theta: float = 0.0) -> float:
        """The variance of y − θx in this group."""
        squares = self.squares - 2 * theta * self.products + theta * theta * self.covariate_squares
        return max(squares, 0.0) / (self.count - 1)


@dataclass(frozen=True)
class Contrast:
    """The difference of two means, with its interval of 95 %.

    Attributes:
        estimate, low, high: of the treated less the control group.
        standard_error, degrees: of the estimate; ``degrees`` are those of Student's t.
        p: the two-sided probability of such a difference, or a larger one, if there is none.
        treated_mean, control_mean: per customer, after the adjustment by the covariate.
        variance_removed: the share of the variance that the covariate explains.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    degrees: float
    p: float
    treated_mean: float
    control_mean: float
    variance_removed: float = 0.0


def difference(treated: Moments, control: Moments, *, adjusted: bool = True) -> Contrast | None:
    """The difference of the means of two groups; None if a group has under two customers or nothing varies.

    Args:
        adjusted: by the covariate (CUPED).
    """
    if min(treated.count, control.count) < 2:
        return None
    together = treated + control
    theta = together.theta if adjusted else 0.0
    means = [g.mean - theta * (g.covariate_mean - together.covariate_mean) for g in (treated, control)]
    parts = [group.variance(theta) / group.count for group in (treated, control)]
    plain = sum(group.variance() / group.count for group in (treated, control))
    if (variance := sum(parts)) <= 0:
        return None
    degrees = variance**2 / sum(
        part**2 / (group.count - 1) for part, group in zip(parts, (treated, control), strict=True)
    )
    return interval(means[0], means[1], math.sqrt(variance), degrees, removed=1 - variance / plain)


def interval(
    treated: float, control: float, standard_error: float, degrees: float, removed: float = 0.0
) -> Contrast:
    """A difference of means with its interval by Student's t."""
    from scipy import special  # a service is ready without it

    estimate = treated - control
    half = float(special.stdtrit(degrees, (1 + CONFIDENCE) / 2)) * standard_error
    p = 2 * float(special.stdtr(degrees, -abs(estimate) / standard_error))
    return Contrast(
        estimate, estimate - half, estimate + half, standard_error, degrees, p, treated, control, removed
    )


def sample_ratio_p(treated: int, control: int, expected_control: float) -> float:
    """The probability of group sizes so far from the expected ones, or farther.

    Args:
        expected_control: the expected number of customers in the control group.
    """
    total = treated + control
    expected_treated = total - expected_control
    if min(expected_control, expected_treated) <= 0:
        return 1.0 if control == expected_control else 0.0
    chi_squared = (control - expected_control) ** 2 * (1 / expected_control + 1 / expected_treated)
    return math.erfc(math.sqrt(chi_squared / 2))
