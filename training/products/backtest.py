"""Tests a ranking of products on the next baskets of customers after the moment of the fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.calendar import day_of, midnight
from models.estimator import Array
from models.measures import ranking_metrics
from models.products import baselines
from models.products.learning import CUSTOMERS_AT_ONCE
from models.products.purchases import Ints, Purchases
from models.products.ranker import FittedProducts

K = 10
MAX_CUSTOMERS = 4000
OURS, POPULAR, BEFORE = "ours", "most_popular", "bought_before"
MEASURES = (f"success_{K}", f"ndcg_{K}")
EXPECTED, HITS = "expected_hits", "hits"


@dataclass(frozen=True)
class RankingResults:
    """The measures of our ranking and of the simple rankings, for each customer of a test.

    Attributes:
        customers: keys.
        values: a value per customer, by ranking and measure. ``HITS``: the number of shown products that were
            bought; ``EXPECTED``, only for our ranking: the sum of their scores.
    """

    customers: Ints
    values: dict[tuple[str, str], Array]

    def mean(self, ranking: str, measure: str) -> float:
        """The mean of a measure over customers; NaN without customers."""
        values = self.values[ranking, measure]
        return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class TestCases:
    """Test customers, with the products that they bought next.

    Attributes:
        who: positions in the histories of the ranking, ascending.
        wanted: customers × products: whether the next basket has the product.
        hidden: customers × products: whether rankings leave the product out; None to leave out none.
    """

    who: Ints
    wanted: NDArray[np.bool_]
    hidden: NDArray[np.bool_] | None = None


def came_back(whole: Purchases, since_day: int, until_day: int) -> Ints:
    """The keys of customers who bought before ``since_day``, and again before ``until_day``."""
    before = np.unique(whole.known_at(midnight(since_day, whole.time_zone)).customer)
    after = np.unique(whole.first_baskets(since_day, until_day).customer)
    return whole.customer_keys[np.intersect1d(before, after)]


def backtest(
    learnt: FittedProducts, whole: Purchases, days: int, seed: int = 0
) -> tuple[RankingResults, RankingResults]:
    """Results on all products, and results on new products only.

    The test set is each customer's first basket in the ``days`` days after ``learnt.as_of``. New products are
    those that the customer had not bought before. Of more than ``MAX_CUSTOMERS`` customers, a sample of that
    size is tested.

    Args:
        whole: all purchases, also those after ``learnt.as_of``.
    """
    since = day_of(learnt.as_of, whole.time_zone)
    after = whole.first_baskets(since, since + days)
    keys = learnt.histories.customers.customer_key
    buyer = whole.customer_keys[after.customer]
    came = np.intersect1d(buyer, keys)
    if len(came) > MAX_CUSTOMERS:
        came = np.sort(np.random.default_rng(seed).choice(came, MAX_CUSTOMERS, replace=False))
    # Products without any purchase by then come after those that can be ranked.
    unsold = sorted(set(whole.product_ids) - set(learnt.product_ids))
    place = {product: i for i, product in enumerate([*learnt.product_ids, *unsold])}
    product = np.array([place[name] for name in whole.product_ids])[after.product]
    both = []
    for start in range(0, len(came), CUSTOMERS_AT_ONCE):
        some = came[start : start + CUSTOMERS_AT_ONCE]
        row = np.flatnonzero(np.isin(buyer, some))
        wanted = np.zeros((len(some), len(place)), bool)
        wanted[np.searchsorted(some, buyer[row]), product[row]] = True
        both.append(_results_of(learnt, np.searchsorted(keys, some), wanted))
    every, new = zip(*both, strict=True) if both else ((), ())
    return _together(every), _together(new)


def _results_of(
    learnt: FittedProducts, who: Ints, wanted: NDArray[np.bool_]
) -> tuple[RankingResults, RankingResults]:
    old = learnt.histories.times[who].toarray() > 0
    new = wanted.copy()
    new[:, : old.shape[1]] &= ~old
    return results_of(learnt, TestCases(who, wanted)), results_of(learnt, TestCases(who, new, old))


def results_of(learnt: FittedProducts, cases: TestCases) -> RankingResults:
    """The measures of each ranking, for customers with at least one wanted product."""
    some = cases.wanted.any(axis=1)
    who, wanted = cases.who[some], cases.wanted[some]
    keys = learnt.histories.customers.customer_key[who]
    ours, score = _shown(learnt, keys, cases.hidden is not None)
    shown = {OURS: ours}
    simple = {
        POPULAR: baselines.most_popular(who, learnt.goods),
        BEFORE: baselines.bought_before(who, learnt.histories, learnt.goods),
    }
    for name, scores in simple.items():
        if cases.hidden is not None:
            scores[cases.hidden[some]] = -1
        shown[name] = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    values: dict[tuple[str, str], Array] = {(OURS, EXPECTED): score.sum(axis=1)}
    success, ndcg = MEASURES
    for name, places in shown.items():
        hits = np.take_along_axis(wanted, np.maximum(places, 0), axis=1) & (places >= 0)
        values[name, success] = ranking_metrics.success(hits)
        values[name, ndcg] = ranking_metrics.ndcg(hits, wanted.sum(axis=1))
        values[name, HITS] = hits.sum(axis=1).astype(np.float64)
    return RankingResults(keys, values)


def _shown(learnt: FittedProducts, keys: Ints, new_only: bool) -> tuple[Ints, Array]:
    """The positions of our first K products for each customer (−1 if there are fewer), and their scores."""
    ranked = learnt.rank(keys.tolist(), K, new_only)
    place = {product: i for i, product in enumerate(learnt.product_ids)}
    row = np.searchsorted(keys, ranked["customer_key"].to_numpy())
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    shown, score = np.full((len(keys), K), -1), np.zeros((len(keys), K))
    shown[row, nth] = [place[product] for product in ranked["product_id"].to_pylist()]
    score[row, nth] = ranked["score"].to_numpy()
    return shown, score


def _together(parts: tuple[RankingResults, ...]) -> RankingResults:
    names = [(r, m) for r in (OURS, POPULAR, BEFORE) for m in (*MEASURES, HITS)] + [(OURS, EXPECTED)]
    if not parts:
        return RankingResults(np.empty(0, np.int64), {name: np.empty(0) for name in names})
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
    return RankingResults(np.concatenate([part.customers for part in parts]), values)
