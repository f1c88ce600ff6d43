"""BG/NBD: the rates at which customers purchase and drop out.

While alive a customer buys as a Poisson process of rate λ, and after every purchase drops out with
probability p. Over customers λ is Gamma(r, rate alpha) and p is Beta(a, b).

Equations by number are those of Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An
Alternative to the Pareto/NBD Model, Marketing Science 24(2), 275-284.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from core.errors import PatronError
from models.btyd.bg_nbd_likelihood import GroupedCustomers, log_likelihood
from models.btyd.likelihood import MaximumLikelihood, maximise
from models.estimator import Array

MINIMUM_CUSTOMERS = 10


@dataclass(frozen=True)
class BgNbd(MaximumLikelihood):
    """The BG/NBD model with its four parameters.

    Attributes:
        r, alpha: shape and rate of the purchase rates; alpha is in the unit of time of the data.
        a, b: the parameters of the dropout probabilities.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("r", "alpha", "a", "b")
    r: float
    alpha: float
    a: float
    b: float


def fit_bg_nbd(frequency: ArrayLike, recency: ArrayLike, T: ArrayLike, start: BgNbd | None = None) -> BgNbd:
    """The most likely parameters: the maximum of equation 7.

    Args:
        frequency, recency, T: one per customer; see the package's docstring.
        start: a starting point instead of the usual ones; the maximum is the same.

    Raises:
        PatronError: a customer's data are impossible, there are too few customers, or none bought again.
    """
    x, t_x, age = checked(frequency, recency, T)
    if len(x) < MINIMUM_CUSTOMERS:
        raise PatronError(
            f"BG/NBD was given {len(x)} customers and needs {MINIMUM_CUSTOMERS}; import more history"
        )
    if not x.any():
        raise PatronError(
            f"BG/NBD cannot be fitted: none of the {len(x):,} customers bought again; observe them for longer"
        )
    data = GroupedCustomers.of(x, t_x, age)
    seen = float(age.mean())
    usual = BgNbd(1.0, seen, 1.0, 2.0), BgNbd(0.2, seen / 10, 0.1, 0.3), BgNbd(0.2, seen / 10, 10.0, 30.0)
    starts = [model.logs for model in (usual if start is None else (start,))]
    logs, evidence = maximise(lambda logs: log_likelihood(logs, data), starts, len(x), "BG/NBD")
    return BgNbd(*np.exp(logs).tolist(), evidence=evidence)


def checked(frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> tuple[Array, Array, Array]:
    """Frequency, recency and T as arrays of equal length.

    Raises:
        PatronError: values are impossible; the message says which, and for how many customers.
    """
    x, t_x, age = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(values, np.float64)) for values in (frequency, recency, T))
    )
    wrong = {
        "a frequency, recency or T that is no finite number": ~np.isfinite(x + t_x + age),
        "a frequency that is no whole number of 0 or more": (x < 0) | (x != np.floor(x)),
        "a recency outside 0 to T": (t_x < 0) | (t_x > age),
        "a recency other than 0 although they bought once": (x == 0) & (t_x != 0),
        "a recency of 0 although they bought again (count orders of one moment as one)": (x > 0) & (t_x == 0),
    }
    for what, where in wrong.items():
        if where.any():
            raise PatronError(
                f"BG/NBD was given {where.sum():,} customers with {what}; correct or leave them out"
            )
    return x, t_x, age
