"""Gamma-gamma: what a purchase of a customer is worth, independently of how often they buy.

A customer's purchases are Gamma(p, rate ν), and over customers ν is Gamma(q, rate v). Equations by number
are those of Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value (brucehardie.com/notes/025),
whose γ is called v here, as in lifetimes.

One order of a million among orders of thirty would move every customer's expected value. So mean values
above a cap (:mod:`models.outliers`) count as the cap, in fitting and in prediction. ``winsorized`` is the
number of customers with such a value.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, polygamma

from core.errors import PatronError
from models.btyd.grouping import grouped
from models.btyd.likelihood import MaximumLikelihood, in_logarithms, maximise
from models.estimator import Array
from models.outliers import cap_of

MINIMUM_CUSTOMERS = 10
NO_CAP = sys.float_info.max  # JSON has no infinity


@dataclass(frozen=True)
class GammaGamma(MaximumLikelihood):
    """The model with its three parameters.

    Attributes:
        p: shape of a customer's purchases.
        q, v: shape and rate of the customers; v is in currency.
        cap: mean values above it count as it, in currency.
        winsorized: the number of customers in the fit whose mean value was above it.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("p", "q", "v")
    p: float
    q: float
    v: float
    cap: float = NO_CAP
    winsorized: int = 0

    def log_likelihood(self, frequency: ArrayLike, monetary_value: ArrayLike) -> float:
        """Log-likelihood of mean values, in nats: equation 1a, of customers who bought again."""
        x, mean = _checked(frequency, monetary_value)
        columns, weight = grouped(x, np.minimum(mean, self.cap))
        return log_likelihood(self.logs, columns[0], columns[1], weight)[0]

    @property
    def expected_value(self) -> float:
        """Mean value of a purchase over all customers, in currency: p v / (q − 1), infinite where q ≤ 1."""
        return self.p * self.v / (self.q - 1) if self.q > 1 else float("inf")

    def conditional_expected_average_value(self, frequency: ArrayLike, monetary_value: ArrayLike) -> Array:
        """Expected value of a purchase given the past, in currency: equation 5.

        A blend of the customer's own mean and everybody's; the more they bought, the more their own counts.

        Args:
            frequency: repeat purchases; 0 gives ``expected_value``.
            monetary_value: mean value of them, 0 or more, in currency; not read where frequency is 0.

        Raises:
            PatronError: a frequency is not a whole number or a value is negative or no number.
        """
        x, mean = _arrays(frequency, monetary_value)
        mean = np.where(x > 0, mean, 0.0)
        _refuse(mean, mean < 0, "a negative mean value")
        mean = np.minimum(mean, self.cap)
        shape = self.p * x + self.q - 1
        blend = np.full(len(x), np.inf)
        np.divide(self.p * (self.v + x * mean), shape, out=blend, where=shape > 0)
        return blend


def fit_gamma_gamma(
    frequency: ArrayLike, monetary_value: ArrayLike, start: GammaGamma | None = None
) -> GammaGamma:
    """The most likely parameters, by the customers who bought again: the maximum of equation 1a.

    Args:
        frequency: repeat purchases; customers without any are left out.
        monetary_value: mean value of them, above 0, in currency.
        start: where to begin instead of the usual places; it ends at the same maximum.

    Raises:
        PatronError: nobody bought again, they are too few, a mean value is 0, negative or no number, all of
            them are equal, or they are too unequal for a mean to exist.
    """
    x, mean = _checked(frequency, monetary_value)
    if len(x) < MINIMUM_CUSTOMERS:
        raise PatronError(
            f"gamma-gamma was given {len(x)} customers who bought again and takes {MINIMUM_CUSTOMERS}; import"
            " more history"
        )
    cap = cap_of(mean)
    winsorized = int((mean > cap).sum())
    mean = np.minimum(mean, cap)
    if mean.min() == mean.max():
        raise PatronError(
            f"every purchase is worth {mean[0]:g}: gamma-gamma has nothing to learn; multiply by that value"
        )
    (x_each, mean_each), weight = grouped(x, mean)
    middle = float(np.median(mean))
    usual = GammaGamma(1.0, 2.0, middle), GammaGamma(10.0, 5.0, middle / 2)
    starts = [model.logs for model in (usual if start is None else (start,))]
    logs, evidence = maximise(
        lambda logs: log_likelihood(logs, x_each, mean_each, weight),
        starts, len(x), "gamma-gamma",
    )  # fmt: skip
    p, q, v = np.exp(logs).tolist()
    if q <= 1:
        raise PatronError(
            f"gamma-gamma found q = {q:.3g}: values too unequal to have a mean; look for wrong amounts"
        )
    return GammaGamma(p, q, v, cap, winsorized, evidence=evidence)


def log_likelihood(logs: Array, x: Array, mean: Array, weight: Array) -> tuple[float, Array, Array]:
    """Equation 1a over customers, with its first and second derivatives in the logarithms of p, q and v."""
    parameters = np.exp(logs)
    p, q, v = parameters
    px, shape, spent, rate = p * x, p * x + q, x * mean, v + x * mean
    value = (
        gammaln(shape) - gammaln(px) - gammaln(q)
        - q * np.log1p(spent / v) - px * np.log1p(v / spent) - np.log(mean)
    )  # fmt: skip
    gradient = [
        weight @ (x * (digamma(shape) - digamma(px) - np.log1p(v / spent))),
        weight @ (digamma(shape) - digamma(q) - np.log1p(spent / v)),
        weight @ (q / v - shape / rate),
    ]
    bent = polygamma(1, shape)
    p_q, p_v, q_v = weight @ (x * bent), -weight @ (x / rate), weight @ (1 / v - 1 / rate)
    curvature = [
        [weight @ (x**2 * (bent - polygamma(1, px))), p_q, p_v],
        [p_q, weight @ (bent - polygamma(1, q)), q_v],
        [p_v, q_v, weight @ (shape / rate**2 - q / v**2)],
    ]
    return float(weight @ value), *in_logarithms(parameters, np.array(gradient), np.array(curvature))


def _checked(frequency: ArrayLike, monetary_value: ArrayLike) -> tuple[Array, Array]:
    """Frequency and mean value of those who bought again, all above 0."""
    x, mean = _arrays(frequency, monetary_value)
    again = x > 0
    if not again.any():
        raise PatronError(
            f"gamma-gamma reads repeat purchases, and none of the {len(x):,} customers bought again; observe"
            " them for longer"
        )
    x, mean = x[again], mean[again]
    _refuse(mean, mean <= 0, "a mean value of 0 or less")
    return x, mean


def _arrays(frequency: ArrayLike, monetary_value: ArrayLike) -> tuple[Array, Array]:
    x, mean = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(values, np.float64)) for values in (frequency, monetary_value))
    )
    if not (np.isfinite(x) & (x >= 0) & (x == np.floor(x))).all():
        raise PatronError("gamma-gamma was given a frequency that is no whole number of 0 or more")
    return x, mean


def _refuse(mean: Array, wrong: NDArray[np.bool_], what: str) -> None:
    for where, problem in ((~np.isfinite(mean), "a mean value that is no finite number"), (wrong, what)):
        if where.any():
            raise PatronError(
                f"gamma-gamma was given {where.sum():,} customers with {problem}; leave them out, or take"
                " refunds off the orders they belong to"
            )
