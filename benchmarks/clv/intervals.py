"""Standard errors and intervals of parameters and predictions, from the observed information.

All of it is about the parameters: an interval of expected purchases is where the expectation lies, not where
one customer's next count will.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy.stats import norm

from core.errors import PatronError
from models.btyd.likelihood import MaximumLikelihood
from models.estimator import Array

M = TypeVar("M", bound=MaximumLikelihood)


def standard_errors(model: MaximumLikelihood) -> dict[str, float]:
    """Standard error of each parameter: the observed information's, by the delta method from its logarithm.

    Raises:
        PatronError: the data do not determine every parameter.
    """
    deviations = np.sqrt(np.diag(_covariance(model)))
    return {
        name: value * float(d) for (name, value), d in zip(model.parameters.items(), deviations, strict=True)
    }


def confidence_intervals(model: MaximumLikelihood, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Interval of each parameter: Wald's, of its logarithm, so that it stays above 0.

    Raises:
        PatronError: the data do not determine every parameter.
    """
    half = norm.ppf((1 + level) / 2) * np.sqrt(np.diag(_covariance(model)))
    return {
        name: (value * float(np.exp(-h)), value * float(np.exp(h)))
        for (name, value), h in zip(model.parameters.items(), half, strict=True)
    }


def prediction_interval(
    model: M, answer: Callable[[M], Array], level: float = 0.95, draws: int = 200, seed: int = 0
) -> tuple[Array, Array]:
    """Interval of any prediction of the model, by a parametric bootstrap (Krinsky & Robb, 1986).

    Parameters are drawn from the normal distribution that their logarithms have in large samples, and the
    answers' quantiles taken.

    Args:
        answer: of a model, such as ``lambda m: conditional_expected_purchases(m, 39, x, t_x, T)``.

    Returns:
        The lower and the upper end, shaped like the answer.

    Raises:
        PatronError: the data do not determine every parameter.
    """
    rng = np.random.default_rng(seed)
    drawn = np.exp(rng.multivariate_normal(model.logs, _covariance(model), draws, method="eigh"))
    answers = np.array(
        [answer(replace(model, **dict(zip(model.NAMES, row.tolist(), strict=True)))) for row in drawn]
    )
    tail = (1 - level) / 2
    low, high = np.quantile(answers, [tail, 1 - tail], axis=0)
    return low, high


def _covariance(model: MaximumLikelihood) -> Array:
    """Of the parameters' logarithms."""
    if model.evidence is None:
        raise PatronError(
            f"this {type(model).__name__} was not fitted, so it has no intervals; fit it to customers"
        )
    if model.evidence.covariance is None:
        raise PatronError(
            f"{model.evidence.customers:,} customers did not tell every parameter of {type(model).__name__},"
            " so there are no intervals; fit it to more customers or a longer time"
        )
    return np.array(model.evidence.covariance)
