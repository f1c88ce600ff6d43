"""Maximum likelihood over positive parameters: the search, what it rests on, and its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from scipy.optimize import minimize

from core.errors import PatronError
from models.spec import Array

Objective = Callable[[Array], tuple[float, Array, Array]]
"""Of the parameters' logarithms: the log-likelihood of all customers, its first and second derivatives."""

LARGEST_STEP = 2.0  # in logarithms, of the search
GRADIENT, FLAT = 1e-9, 1e-4  # per customer: what is looked for, and what rounding may leave
LEAST_INFORMATION = 0.01  # below it a logarithm's standard error is above 10, which says nothing


@dataclass(frozen=True)
class Evidence:
    """What parameters rest on.

    Attributes:
        customers: how many they were learnt from.
        log_likelihood: in nats, of all of them.
        covariance: of the parameters' logarithms, by the inverse of the observed information; None where the
            likelihood has no peak inside the range, so that no interval can be told.
    """

    customers: int
    log_likelihood: float
    covariance: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihood:
    """A model of positive parameters, which are its fields of the names ``NAMES``.

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

    def to_json(self) -> str:
        """The model as JSON; :meth:`from_json` gives it back to the last bit."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Open what :meth:`to_json` wrote.

        Raises:
            PatronError: it is not this model's JSON.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            evidence = found.pop("evidence")
            return cls(**found, evidence=None if evidence is None else _evidence(evidence))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PatronError(f"this is not the JSON of a {cls.__name__}; fit it again") from error


def _evidence(found: Mapping[str, Any]) -> Evidence:
    rows: Sequence[Sequence[float]] | None = found["covariance"]
    covariance = None if rows is None else tuple(tuple(row) for row in rows)
    return Evidence(int(found["customers"]), float(found["log_likelihood"]), covariance)


def maximise(
    objective: Objective, starts: Sequence[Array], customers: int, model: str
) -> tuple[Array, Evidence]:
    """The logarithms of the most likely parameters, and what they rest on.

    Newton's method within a region of trust (Conn, Gould & Toint, 2000, ch. 7), whose small steps do not
    leap onto the plains far out, where every likelihood is flat. Parameters that the data drive out of every
    bound, such as those of a dropout that nobody shows, stop where driving them on changes nothing.

    Args:
        start: logarithms to start from.
        customers: how many the objective counts.
        model: what it is called in errors.

    Raises:
        PatronError: no maximum was found.
    """

    @lru_cache(maxsize=2)  # the three are asked for apart
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
        found = minimize(
            cost, start, jac=slope, hess=information, method="trust-exact",
            options={"gtol": GRADIENT, "max_trust_radius": LARGEST_STEP, "maxiter": 100},
        )  # fmt: skip
        logs = np.asarray(found.x)
        if not np.abs(slope(logs)).max() <= FLAT:
            continue
        told = Evidence(customers, -cost(logs) * customers, _inverse(information(logs) * customers))
        if best is None or told.log_likelihood > best[1].log_likelihood:
            best = logs, told
        if told.covariance is not None:
            break
    if best is None:
        raise PatronError(
            f"{model} found no parameters that fit these {customers:,} customers best; check that they are in"
            " one unit of time and one currency"
        )
    return best


def in_logarithms(parameters: Array, gradient: Array, curvature: Array) -> tuple[Array, Array]:
    """First and second derivatives in the logarithms of parameters, of those in the parameters."""
    steepness = gradient * parameters
    return steepness, curvature * np.outer(parameters, parameters) + np.diag(steepness)


def _inverse(information: Array) -> tuple[tuple[float, ...], ...] | None:
    """The covariance that information gives; None where a direction has next to none."""
    values, vectors = np.linalg.eigh(information)
    if not values[0] > LEAST_INFORMATION:
        return None
    inverse = (vectors / values) @ vectors.T
    return tuple(tuple(float(value) for value in row) for row in inverse)
