"""The likelihood of BG/NBD: Fader, Hardie & Lee (2005), equations 6 and 7, and its derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, digamma, gammaln, polygamma

from models.btyd.grouping import grouped
from models.btyd.likelihood import in_logarithms
from models.estimator import Array
from models.measures.metrics import sigmoid


@dataclass(frozen=True)
class GroupedCustomers:
    """Identical customers, counted together.

    Attributes:
        all: every x, with its weight.
        never: T of the customers who did not buy again, with its weight.
        again: x, t_x and T of the others, with its weight.
    """

    all: tuple[Array, Array]
    never: tuple[Array, Array]
    again: tuple[Array, Array, Array, Array]

    @classmethod
    def of(cls, x: Array, t_x: Array, age: Array) -> GroupedCustomers:
        """Group customers by x, t_x and T, arrays with one entry per customer."""
        (x, t_x, age), weight = grouped(x, t_x, age)
        (repeat,) = np.nonzero(x)
        (single,) = np.nonzero(x == 0)
        frequencies, which = np.unique(x, return_inverse=True)
        return cls(
            all=(frequencies, np.bincount(which, weights=weight).astype(np.float64)),
            never=(age[single], weight[single]),
            again=(x[repeat], t_x[repeat], age[repeat], weight[repeat]),
        )


def log_likelihood(logs: Array, data: GroupedCustomers) -> tuple[float, Array, Array]:
    """Equation 7 in nats, with its first and second derivatives in the logarithms of r, alpha, a and b.

    The factors of equation 6 that depend on x alone are computed once per x. The remaining sum, over being
    alive at T and having dropped out at t_x, is computed in logarithms.
    """
    parameters = np.exp(logs)
    parts = [
        _by_frequency(parameters, *data.all),
        _who_never_again(parameters, *data.never),
        _who_again(parameters, *data.again),
    ]
    value, gradient, curvature = (sum(part) for part in zip(*parts, strict=True))
    return float(value), *in_logarithms(parameters, gradient, curvature)


def _by_frequency(parameters: Array, x: Array, weight: Array) -> tuple[float, Array, Array]:
    """Γ(r+x) α^r / Γ(r) × B(a, b+x) / B(a, b), in logarithms, and its derivatives in r, α, a and b."""
    r, alpha, a, b = parameters
    customers = weight.sum()
    value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    shared = digamma(a + b) - digamma(a + b + x)
    gradient = [
        weight @ (digamma(r + x) - digamma(r) + np.log(alpha)),
        customers * r / alpha,
        weight @ shared,
        weight @ (shared + digamma(b + x) - digamma(b)),
    ]
    curvature = np.zeros((4, 4))
    curvature[0, 0] = weight @ (polygamma(1, r + x) - polygamma(1, r))
    curvature[0, 1] = curvature[1, 0] = customers / alpha
    curvature[1, 1] = -customers * r / alpha**2
    curvature[2:, 2:] = weight @ (polygamma(1, a + b) - polygamma(1, a + b + x))
    curvature[3, 3] += weight @ (polygamma(1, b + x) - polygamma(1, b))
    return float(weight @ value), np.array(gradient), curvature


def _who_never_again(parameters: Array, age: Array, weight: Array) -> tuple[float, Array, Array]:
    """(α+T)^−r, in logarithms, and its derivatives."""
    r, alpha = parameters[:2]
    logs, inverse = weight @ np.log(alpha + age), weight @ (1 / (alpha + age))
    curvature = np.zeros((4, 4))
    curvature[0, 1] = curvature[1, 0] = -inverse
    curvature[1, 1] = r * (weight @ (alpha + age) ** -2.0)
    return float(-r * logs), np.array([-logs, -r * inverse, 0.0, 0.0]), curvature


def _who_again(
    parameters: Array, x: Array, t_x: Array, age: Array, weight: Array
) -> tuple[float, Array, Array]:
    """(α+T)^−(r+x) + a / (b+x−1) × (α+t_x)^−(r+x), in logarithms, and its derivatives."""
    r, alpha, a, b = parameters
    shape, alive, dropped, rest = r + x, 1 / (alpha + age), 1 / (alpha + t_x), 1 / (b + x - 1)
    silence = np.log1p((age - t_x) * dropped)
    odds = np.log(a * rest) + shape * silence  # of having dropped out, in logarithms
    gone = sigmoid(odds)
    slope = np.array([silence, shape * (alive - dropped), np.full(len(x), 1 / a), -rest])
    value = np.logaddexp(0, odds) + shape * np.log(alive)
    gradient = slope @ (weight * gone)
    gradient[:2] += weight @ np.log(alive), -(weight * shape) @ alive
    curvature = (slope * (weight * gone * (1 - gone))) @ slope.T
    curvature[0, 1] += weight @ (gone * (alive - dropped) - alive)
    curvature[1, 0] = curvature[0, 1]
    curvature[1, 1] += (weight * shape) @ (alive**2 + gone * (dropped**2 - alive**2))
    curvature[2, 2] -= weight @ gone / a**2
    curvature[3, 3] += weight @ (gone * rest**2)
    return float(weight @ value), gradient, curvature
