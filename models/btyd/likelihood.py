"""Maximum likelihood over positive parameters: the search, and the precision of its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize

from core.errors import PatronError
from models.estimator import Array

Objective = Callable[[Array], tuple[float, Array, Array]]
"""Called with the logarithms of the parameters; returns the log-likelihood and its first and second
derivatives.
"""

MAX_STEP = 2.0  # in logarithms, of the search
GRADIENT, FLAT = 1e-9, 1e-4  # per customer: the tolerance, and what rounding errors may leave
MIN_INFORMATION = 0.01  # below it the standard error of a logarithm is above 10, which is meaningless


@dataclass(frozen=True)
class Evidence:
    """The data and the precision of fitted parameters.

    Attributes:
        customers: the number of customers of the fit.
        log_likelihood: in nats, summed over the customers.
        covariance: of the parameters' logarithms, the inverse of the observed information; None if the
            likelihood has no peak within the range, so that there are no intervals.
    """

    customers: int
    log_likelihood: float
    covariance: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihood:
    """A model with positive parameters, the fields listed in ``NAMES``.

    Raises:
        PatronError: a parameter is not a finite number above 0.
    """

    NAMES: ClassVar[tuple[str, ...]] = ()
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            if not (np.isfinite(value) and value > 0):
                raise PatronError(
                    f"{type(self).__name__} has {name} = {value}; every parameter is a finite number above 0"
                )

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in self.NAMES}

    @property
    def logs(self) -> Array:
        """The logarithms of the parameters, in the order of ``NAMES``."""
        return np.log(list(self.parameters.values()))


def maximise(
    objective: Objective, starts: Sequence[Array], customers: int, model: str
) -> tuple[Array, Evidence]:
    """The logarithms of the most likely parameters, and their evidence.

    Newton's method within a trust region (Conn, Gould & Toint, 2000, ch. 7), whose bounded steps avoid the
    far regions in which every likelihood is flat. Parameters that grow without bound, such as those of a
    dropout that the data do not show, stop where further growth changes nothing.

    Args:
        starts: logarithms to start from, tried in this order.
        customers: the number of customers of the objective.
        model: the name for error messages.

    Raises:
        PatronError: no maximum was found.
    """

    @lru_cache(maxsize=2)  # value, gradient and curvature are requested separately
    def at(*logs: float) -> tuple[float, Array, Array]:
        value, gradient, curvature = objective(np.array(logs))
        return -value / customers, -gradient / customers, -curvature / customers

    def cost(logs: Array) -> float:
        return at(*logs)[0]

    def slope(logs: Array) -> Array:
        return at(*logs)[1]

    def information(logs: Array) -> Array:
        return at(*logs)[2]

    best: tuple[Array, Evidence] | None = None
    for start in starts:
        optimum = minimize(
            cost, start, jac=slope, hess=information, method="trust-exact",
            options={"gtol": GRADIENT, "max_trust_radius": MAX_STEP, "maxiter": 100},
        )  # fmt: skip
        logs = np.asarray(optimum.x)
        if not np.abs(slope(logs)).max() <= FLAT:
            continue
        evidence = Evidence(customers, -cost(logs) * customers, _inverse(information(logs) * customers))
        if best is None or evidence.log_likelihood > best[1].log_likelihood:
            best = logs, evidence
        if evidence.covariance is not None:
            break
    if best is None:
        raise PatronError(
            f"{model} found no parameters that fit these {customers:,} customers best; check that they are in"
            " one unit of time and one currency"
        )
    return best


def in_logarithms(parameters: Array, gradient: Array, curvature: Array) -> tuple[Array, Array]:
    """First and second derivatives in the logarithms of parameters, from those in the parameters."""
    steepness = gradient * parameters
    return steepness, curvature * np.outer(parameters, parameters) + np.diag(steepness)


def _inverse(information: Array) -> tuple[tuple[float, ...], ...] | None:
    """The covariance for this information; None if it is almost singular."""
    values, vectors = np.linalg.eigh(information)
    if not values[0] > MIN_INFORMATION:
        return None
    inverse = (vectors / values) @ vectors.T
    return tuple(tuple(float(value) for value in row) for row in inverse)
