"""BG/NBD: how many purchases a customer will make, and whether they are still one.

While alive a customer buys as a Poisson process of rate λ, and after every purchase drops out with
probability p. Over customers λ is Gamma(r, rate alpha) and p is Beta(a, b).

Equations by number are those of Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An
Alternative to the Pareto/NBD Model, Marketing Science 24(2), 275-284. P(alive) is that of Fader & Hardie
(2008), Computing P(alive) Using the BG/NBD Model (brucehardie.com/notes/021). It is no churn score: who
bought once has P(alive) = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import PatronError
from models.btyd.bg_nbd_likelihood import Customers, log_likelihood
from models.btyd.likelihood import MaximumLikelihood, maximise
from models.btyd.quadrature import beta_nodes
from models.measures.metrics import sigmoid
from models.spec import Array

MINIMUM_CUSTOMERS = 10
FURTHEST_DAYS = 36_525  # beyond it a date says nothing
BANDS, NODES = (8.0, 64.0), (32, 96, 256)  # of t / (α+T); its quadrature's nodes up to each, and beyond


@dataclass(frozen=True)
class BgNbd(MaximumLikelihood):
    """The model with its four parameters.

    Attributes:
        r, alpha: shape and rate of the purchase rates; alpha is in the unit of time of the data.
        a, b: of the dropout probabilities.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("r", "alpha", "a", "b")
    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> float:
        """Log-likelihood of these customers, in nats: equation 7."""
        data = Customers.of(*_checked(frequency, recency, T))
        return log_likelihood(self.logs, data)[0]

    def probability_alive(self, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> Array:
        """Probability that a customer has not dropped out by T (Fader & Hardie, 2008)."""
        x, t_x, age = _checked(frequency, recency, T)
        return sigmoid(-self._log_odds_of_dropout(x, t_x, age))

    def conditional_expected_purchases(
        self, t: ArrayLike, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike
    ) -> Array:
        """Expected purchases within ``t`` after T, given the past: equation 10.

        Its Gauss hypergeometric function is left out: given λ, p and that the customer is alive, it is
        (1 − exp(−λ p t)) / p (equation 5), whose mean over the Gamma distribution that λ has given the past
        is known, and whose mean over the Beta distribution that p has is taken by quadrature. So it holds
        near a = 1 too, where equation 10 divides by 0.
        """
        x, t_x, age = _checked(frequency, recency, T)
        ahead = _duration(t)
        alive = sigmoid(-self._log_odds_of_dropout(x, t_x, age))
        return alive * self._purchases_if_alive(ahead / (self.alpha + age), x)

    def expected_purchases(self, t: ArrayLike) -> Array:
        """Expected repeat purchases of a new customer within ``t`` of the first one: equation 9."""
        ahead = np.atleast_1d(_duration(t))
        return self._purchases_if_alive(ahead / self.alpha, np.zeros_like(ahead))

    def probability_of_purchase(
        self, t: ArrayLike, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike
    ) -> Array:
        """Probability of at least one purchase within ``t`` after T.

        P(alive) × (1 − ((α+T) / (α+T+t))^(r+x)): whoever is alive can drop out only by buying.
        """
        x, t_x, age = _checked(frequency, recency, T)
        none = -(self.r + x) * np.log1p(_duration(t) / (self.alpha + age))
        bought: Array = sigmoid(-self._log_odds_of_dropout(x, t_x, age)) * -np.expm1(none)
        return bought

    def expected_wait_for_next_order(self, frequency: ArrayLike, T: ArrayLike) -> Array:
        """Median time from T to the next purchase of a customer who is still alive.

        The wait is Lomax-distributed, with survival ((α+T) / (α+T+t))^(r+x); its median is
        (α+T) (2^(1/(r+x)) − 1). It is the median because the mean does not exist where r + x ≤ 1, and it is
        of who is alive because who has dropped out never buys again.
        """
        x, _, age = _checked(frequency, np.where(np.asarray(frequency) > 0, T, 0), T)
        with np.errstate(over="ignore"):  # forever, for who hardly buys
            wait: Array = (self.alpha + age) * np.expm1(np.log(2) / (self.r + x))
        return wait

    def expected_date_of_next_order(
        self, frequency: ArrayLike, T: ArrayLike, today: date, days_per_unit: float = 1.0
    ) -> NDArray[np.datetime64]:
        """The day by which half of the customers of such a past who are alive have ordered again.

        :meth:`expected_wait_for_next_order` from ``today``, the end of T, in days rounded up; no date (NaT)
        where that is more than 100 years.

        Args:
            days_per_unit: how many days the unit of T has, 7 for weeks.
        """
        days = np.ceil(self.expected_wait_for_next_order(frequency, T) * days_per_unit)
        within = days <= FURTHEST_DAYS
        dates = np.datetime64(today, "D") + np.where(within, days, 0).astype("timedelta64[D]")
        return np.where(within, dates, np.datetime64("NaT", "D"))

    def _log_odds_of_dropout(self, x: Array, t_x: Array, age: Array) -> Array:
        """Log-odds of having dropped out right after the last purchase; −∞ for who did not buy again."""
        odds = np.full(len(x), -np.inf)
        again = x > 0
        x, t_x, age = x[again], t_x[again], age[again]
        silence = (self.r + x) * np.log1p((age - t_x) / (self.alpha + t_x))
        odds[again] = np.log(self.a) - np.log(self.b + x - 1) + silence
        return odds

    def _purchases_if_alive(self, z: Array, x: Array) -> Array:
        """Mean over p ~ Beta(a, b + x) of (1 − (1 + p z)^−(r+x)) / p, where z is t / (α+T).

        The further ahead, the nearer the function's pole, p = −1 / z, and the more nodes it takes.
        """
        z, x = np.broadcast_arrays(z, x)
        mean = np.empty(len(x))
        band = np.searchsorted(BANDS, z)
        for number, nodes in enumerate(NODES):
            here = band == number
            frequencies, which = np.unique(x[here], return_inverse=True)
            points, weights = beta_nodes(np.full(len(frequencies), self.a), self.b + frequencies, nodes)
            mean[here] = _weighted(points, weights, which, z[here], self.r + x[here])
        return mean


def fit_bg_nbd(frequency: ArrayLike, recency: ArrayLike, T: ArrayLike, start: BgNbd | None = None) -> BgNbd:
    """The most likely parameters: the maximum of equation 7.

    Args:
        frequency, recency, T: one per customer; see :class:`models.btyd.summary.Summary`.
        start: where to begin instead of the usual places; it ends at the same maximum.

    Raises:
        PatronError: a customer cannot be, they are too few, or none of them bought again.
    """
    x, t_x, age = _checked(frequency, recency, T)
    if len(x) < MINIMUM_CUSTOMERS:
        raise PatronError(
            f"BG/NBD was given {len(x)} customers and takes {MINIMUM_CUSTOMERS}; import more history"
        )
    if not x.any():
        raise PatronError(
            f"BG/NBD cannot be fitted: none of the {len(x):,} customers bought again; observe them for longer"
        )
    data = Customers.of(x, t_x, age)
    seen = float(age.mean())
    usual = BgNbd(1.0, seen, 1.0, 2.0), BgNbd(0.2, seen / 10, 0.1, 0.3), BgNbd(0.2, seen / 10, 10.0, 30.0)
    starts = [model.logs for model in (usual if start is None else (start,))]
    logs, evidence = maximise(lambda logs: log_likelihood(logs, data), starts, len(x), "BG/NBD")
    return BgNbd(*np.exp(logs).tolist(), evidence=evidence)


def _weighted(points: Array, weights: Array, which: NDArray[np.intp], z: Array, shape: Array) -> Array:
    """Weighted sums of (1 − (1 + p z)^−shape) / p over the points p of the row that ``which`` names."""
    points = np.maximum(points, np.finfo(np.float64).tiny)
    sums = np.zeros(len(z))
    for p, weight in zip(points.T, (weights / points).T, strict=True):
        sums -= weight[which] * np.expm1(-shape * np.log1p(p[which] * z))
    return sums


def _checked(frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> tuple[Array, Array, Array]:
    """Customers' numbers as arrays of one length.

    Raises:
        PatronError: a customer cannot be: says how many and in what.
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


def _duration(t: ArrayLike) -> Array:
    ahead = np.asarray(t, np.float64)
    if not (np.isfinite(ahead).all() and (ahead >= 0).all()):
        raise PatronError("the time ahead is to be a finite number of 0 or more")
    return ahead
