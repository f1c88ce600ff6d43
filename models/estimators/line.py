"""Regression on the logarithms of a few amounts; it is smooth where trees have steps.

Amounts enter as log(1 + amount), standardised and clipped to the range seen in training, since a line must
not extrapolate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.measures.metrics import logit

Family = Literal["logistic", "normal", "tweedie"]
_LINKS: Mapping[Family, Callable[[float], float]] = {
    "logistic": lambda mean: logit(np.array([mean]))[0],
    "normal": float,
    "tweedie": np.log,
}
PENALTY = 1e-3  # on the squared coefficients, per row
CONSTANT = 1e-9  # a column that varies less is treated as constant
POWER = 1.5  # Tweedie's: between Poisson (1) and gamma (2)
DIGITS = 10  # of stored numbers: the remaining ones depend on the machine


@dataclass(frozen=True)
class Regression:
    """A linear raw score: an intercept, and a coefficient for each of some columns.

    Attributes:
        columns: the positions of the columns in the matrix.
        low, high: the range of the logarithms in training.
        mean, scale: for standardising the logarithms.
    """

    columns: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def raw(self, x: Array) -> Array:
        """The raw score of each row."""
        terms: Array = self._terms(x).sum(axis=1) + self.intercept
        return terms

    def raw_of_row(self, row: Array) -> float:
        """The raw score of a single row."""
        return float(self.raw(row[None, :])[0])

    def contributions(self, x: Array) -> Array:
        """What each column of the matrix adds to the raw score of each row, and last the intercept."""
        terms = np.zeros((len(x), x.shape[1] + 1))
        terms[:, list(self.columns)] = self._terms(x)
        terms[:, -1] = self.intercept
        return terms

    @property
    def used(self) -> frozenset[int]:
        """The columns with a nonzero coefficient."""
        weighed = zip(self.columns, self.coefficients, strict=True)
        return frozenset(column for column, coefficient in weighed if coefficient)

    def _terms(self, x: Array) -> Array:
        low, high, mean, slope = self._arrays
        terms = logarithms(x, self._places)
        # In place, and without np.clip: the calls themselves take most of the time for a single row.
        np.maximum(terms, low, out=terms)
        np.minimum(terms, high, out=terms)
        terms -= mean
        terms *= slope
        return terms

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        return np.array(self.columns, np.intp)

    @cached_property
    def _arrays(self) -> tuple[Array, Array, Array, Array]:
        slope = np.array(self.coefficients) / np.array(self.scale)
        return np.array(self.low), np.array(self.high), np.array(self.mean), slope

    def as_dict(self) -> dict[str, Any]:
        """The regression as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Regression:
        """The regression from the result of :meth:`as_dict`."""
        lists: dict[str, Any] = {name: tuple(v) for name, v in fields.items() if name != "intercept"}
        return cls(intercept=fields["intercept"], **lists)


def logarithms(x: Array, columns: NDArray[np.intp]) -> Array:
    """log(1 + amount) of columns; amounts that are missing or below 0 count as 0."""
    terms: Array = np.log1p(np.fmax(x[:, columns], 0.0))
    return terms


def fit_line(family: Family, x: Array, columns: Sequence[int], y: Array) -> Regression:
    """The penalised maximum-likelihood regression of an outcome on columns.

    Args:
        family: ``logistic`` of 0 and 1, ``normal``, or ``tweedie`` with a log link, of amounts of 0 or more.
    """
    z = logarithms(x, np.array(columns, np.intp))
    mean, scale = z.mean(axis=0), z.std(axis=0)
    scale[scale < CONSTANT] = 1.0
    coefficients, intercept = _regression(family, (z - mean) / scale, y)
    return Regression(
        tuple(columns), low=_tuple(z.min(axis=0)), high=_tuple(z.max(axis=0)), mean=_tuple(mean),
        scale=_tuple(scale), coefficients=_tuple(coefficients), intercept=rounded(intercept),
    )  # fmt: skip


def _tuple(values: Array) -> tuple[float, ...]:
    return tuple(rounded(value) for value in values)


def _regression(family: Family, z: NDArray[Any], y: Array) -> tuple[Array, float]:
    """Coefficients and intercept."""
    if not (np.abs(z) > CONSTANT).any():  # there is nothing to fit but the intercept
        return np.zeros(z.shape[1]), float(_LINKS[family](y.mean()))
    from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor

    if family == "normal":
        model = Ridge(PENALTY * len(y), solver="cholesky").fit(z, y)
    elif family == "logistic":
        model = LogisticRegression(C=1 / (PENALTY * len(y)), solver="newton-cholesky", max_iter=200).fit(z, y)
    else:
        model = TweedieRegressor(
            power=POWER, alpha=PENALTY, link="log", solver="newton-cholesky", max_iter=200
        ).fit(z, y)
    return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])


def rounded(value: float) -> float:
    """Round to the number of digits that are equal on every machine."""
    return float(f"{value:.{DIGITS}g}")
