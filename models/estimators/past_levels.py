"""The levels of the months that a version was fitted to, for scores as of the past.

A version's constant is that of the present. Its training months had other levels: of another season, or of
a shop of another size. Scores as of a training month have the level of that month; between two months it is
linear in the day, and after the last one it approaches that of the present until the day of the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimator import Array
from models.estimators.level import intercept_for
from models.estimators.line import rounded


@dataclass(frozen=True)
class PastLevels:
    """The difference of the level of past days from that of the present.

    Attributes:
        days: counted from 1970-01-01, ascending; the last is the day of the fit.
        offsets: to add to the log-odds, or the logarithm of money, as of each day; the last is 0.
    """

    days: tuple[int, ...]
    offsets: tuple[float, ...]

    def of(self, days: NDArray[np.int64]) -> Array:
        """The offset of each day; before the first day that of the first, from the last on 0."""
        offsets: Array = np.interp(days, self.days, self.offsets)
        return offsets

    def as_dict(self) -> dict[str, Any]:
        """The levels as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PastLevels:
        """The levels from the result of :meth:`as_dict`."""
        return cls(tuple(fields["days"]), tuple(fields["offsets"]))


def past_levels(kind: str, days: NDArray[np.int64], line: Array, y: Array, today: int) -> PastLevels:
    """The levels at which the total of each training moment is the actual one.

    Args:
        kind: ``probability`` or ``money``.
        days: of each training row.
        line: its log-odds, or logarithm of money, at the level of the present.
        y: its outcome; moments without any outcome have no level.
        today: the day of the fit.
    """
    moments = [int(day) for day in np.unique(days) if day < today and y[days == day].sum() > 0]
    offsets = [
        rounded(intercept_for(kind, line[days == day], float(y[days == day].sum()))) for day in moments
    ]
    return PastLevels((*moments, today), (*offsets, 0.0))
