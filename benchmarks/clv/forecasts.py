"""Forecasts of BG/NBD: purchases to come, and the probability that a customer has not dropped out.

Equations by number are those of Fader, Hardie & Lee (2005), see :mod:`models.btyd.bg_nbd`. P(alive) is that
of Fader & Hardie (2008), Computing P(alive) Using the BG/NBD Model (brucehardie.com/notes/021). It is no
churn score: a customer who bought once has P(alive) = 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.clv.quadrature import beta_nodes
from core.errors import PatronError
from models.btyd.bg_nbd import BgNbd, checked
from models.estimator import Array
from models.measures.metrics import sigmoid

BANDS, NODES = (8.0, 64.0), (32, 96, 256)  # of t / (α+T); its quadrature's nodes up to each, and beyond


def probability_alive(model: BgNbd, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike) -> Array:
    """Probability that a customer has not dropped out by T (Fader & Hardie, 2008)."""
    x, t_x, age = checked(frequency, recency, T)
    return sigmoid(-_log_odds_of_dropout(model, x, t_x, age))


def conditional_expected_purchases(
    model: BgNbd, t: ArrayLike, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike
) -> Array:
    """Expected purchases within ``t`` after T, given the past: equation 10.

    Its Gauss hypergeometric function is left out: given λ, p and that the customer is alive, it is
    (1 − exp(−λ p t)) / p (equation 5), whose mean over the Gamma distribution that λ has given the past
    is known, and whose mean over the Beta distribution that p has is taken by quadrature. So it holds
    near a = 1 too, where equation 10 divides by 0.
    """
    x, t_x, age = checked(frequency, recency, T)
    ahead = _duration(t)
    alive = sigmoid(-_log_odds_of_dropout(model, x, t_x, age))
    return alive * _purchases_if_alive(model, ahead / (model.alpha + age), x)


def expected_purchases(model: BgNbd, t: ArrayLike) -> Array:
    """Expected repeat purchases of a new customer within ``t`` of the first one: equation 9."""
    ahead = np.atleast_1d(_duration(t))
    return _purchases_if_alive(model, ahead / model.alpha, np.zeros_like(ahead))


def probability_of_purchase(
    model: BgNbd, t: ArrayLike, frequency: ArrayLike, recency: ArrayLike, T: ArrayLike
) -> Array:
    """Probability of at least one purchase within ``t`` after T.

    P(alive) × (1 − ((α+T) / (α+T+t))^(r+x)): whoever is alive can drop out only by buying.
    """
    x, t_x, age = checked(frequency, recency, T)
    none = -(model.r + x) * np.log1p(_duration(t) / (model.alpha + age))
    bought: Array = sigmoid(-_log_odds_of_dropout(model, x, t_x, age)) * -np.expm1(none)
    return bought


def _log_odds_of_dropout(model: BgNbd, x: Array, t_x: Array, age: Array) -> Array:
    """Log-odds of having dropped out right after the last purchase; −∞ for who did not buy again."""
    odds = np.full(len(x), -np.inf)
    again = x > 0
    x, t_x, age = x[again], t_x[again], age[again]
    silence = (model.r + x) * np.log1p((age - t_x) / (model.alpha + t_x))
    odds[again] = np.log(model.a) - np.log(model.b + x - 1) + silence
    return odds


def _purchases_if_alive(model: BgNbd, z: Array, x: Array) -> Array:
    """Mean over p ~ Beta(a, b + x) of (1 − (1 + p z)^−(r+x)) / p, where z is t / (α+T).

    The further ahead, the nearer the function's pole, p = −1 / z, and the more nodes it takes.
    """
    z, x = np.broadcast_arrays(z, x)
    mean = np.empty(len(x))
    band = np.searchsorted(BANDS, z)
    for number, nodes in enumerate(NODES):
        here = band == number
        frequencies, which = np.unique(x[here], return_inverse=True)
        points, weights = beta_nodes(np.full(len(frequencies), model.a), model.b + frequencies, nodes)
        mean[here] = _weighted(points, weights, which, z[here], model.r + x[here])
    return mean


def _weighted(points: Array, weights: Array, which: NDArray[np.intp], z: Array, shape: Array) -> Array:
    """Weighted sums of (1 − (1 + p z)^−shape) / p over the points p of the row that ``which`` names."""
    points = np.maximum(points, np.finfo(np.float64).tiny)
    sums = np.zeros(len(z))
    for p, weight in zip(points.T, (weights / points).T, strict=True):
        sums -= weight[which] * np.expm1(-shape * np.log1p(p[which] * z))
    return sums


def _duration(t: ArrayLike) -> Array:
    ahead = np.asarray(t, np.float64)
    if not (np.isfinite(ahead).all() and (ahead >= 0).all()):
        raise PatronError("the time ahead is to be a finite number of 0 or more")
    return ahead
