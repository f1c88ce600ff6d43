"""What a ranking of products is worth to the customers who came back after it had learnt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.calendar import day_of, midnight
from models.measures import ranking_metrics
from models.products import baselines
from models.products.learning import CUSTOMERS_AT_ONCE
from models.products.purchases import Ints, Purchases
from models.products.ranker import FittedProducts
from models.spec import Array

K = 10
MOST_CUSTOMERS = 4000
OURS, POPULAR, BEFORE = "ours", "most_popular", "bought_before"
MEASURES = (f"success_{K}", f"ndcg_{K}")
EXPECTED, HITS = "expected_hits", "hits"


@dataclass(frozen=True)
class Exam:
    """One moment: what each ranking was worth to each customer.

    Attributes:
        customers: keys.
        values: per ranking and measure a value per customer; of ours also how many of the products shown were
            bought (``HITS``), and how many it expected (``EXPECTED``).
    """

    customers: Ints
    values: dict[tuple[str, str], Array]

    def mean(self, ranking: str, measure: str) -> float:
        """A measure of a ranking: its mean over customers; not a number without any."""
        values = self.values[ranking, measure]
        return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class Asked:
    """Customers, and what is right for them.

    Attributes:
        who: places in the histories of what is examined, rising.
        wanted: customers × products, what the next basket had.
        hidden: customers × products, what no ranking may show; None for nothing.
    """

    who: Ints
    wanted: NDArray[np.bool_]
    hidden: NDArray[np.bool_] | None = None


def came_back(whole: Purchases, since_day: int, until_day: int) -> Ints:
    """The keys of customers known to have bought before ``since_day``, who did again before ``until_day``."""
    before = np.unique(whole.known_at(midnight(since_day, whole.time_zone)).customer)
    after = np.unique(whole.customer[(whole.day >= since_day) & (whole.day < until_day)])
    return whole.customer_keys[np.intersect1d(before, after)]


def examine(learnt: FittedProducts, whole: Purchases, days: int, seed: int = 0) -> tuple[Exam, Exam]:
    """All products, and only new ones: first baskets of the ``days`` days from when the ranking had learnt.

    "New" asks for products that the customer had not bought before. Of more than ``MOST_CUSTOMERS`` customers
    so many are drawn.

    Args:
        whole: what was bought, also after ``learnt.as_of``.
    """
    since = day_of(learnt.as_of, whole.time_zone)
    after = whole.first_baskets(since, since + days)
    keys = learnt.histories.customers.customer_key
    buyer = whole.customer_keys[after.customer]
    came = np.intersect1d(buyer, keys)
    if len(came) > MOST_CUSTOMERS:
        came = np.sort(np.random.default_rng(seed).choice(came, MOST_CUSTOMERS, replace=False))
    # What nobody had bought by then stands behind the products that could be ranked.
    unsold = sorted(set(whole.product_ids) - set(learnt.product_ids))
    place = {product: i for i, product in enumerate([*learnt.product_ids, *unsold])}
    product = np.array([place[name] for name in whole.product_ids])[after.product]
    both = []
    for start in range(0, len(came), CUSTOMERS_AT_ONCE):
        some = came[start : start + CUSTOMERS_AT_ONCE]
        row = np.flatnonzero(np.isin(buyer, some))
        wanted = np.zeros((len(some), len(place)), bool)
        wanted[np.searchsorted(some, buyer[row]), product[row]] = True
        both.append(_judged(learnt, np.searchsorted(keys, some), wanted))
    every, new = zip(*both, strict=True) if both else ((), ())
    return _together(every), _together(new)


def _judged(learnt: FittedProducts, who: Ints, wanted: NDArray[np.bool_]) -> tuple[Exam, Exam]:
    old = learnt.histories.times[who].toarray() > 0
    new = wanted.copy()
    new[:, : old.shape[1]] &= ~old
    return judge(learnt, Asked(who, wanted)), judge(learnt, Asked(who, new, old))


def judge(learnt: FittedProducts, asked: Asked) -> Exam:
    """The measures of each ranking for the customers who bought something wanted."""
    some = asked.wanted.any(axis=1)
    who, wanted = asked.who[some], asked.wanted[some]
    keys = learnt.histories.customers.customer_key[who]
    ours, score = _shown(learnt, keys, asked.hidden is not None)
    shown = {OURS: ours}
    simple = {
        POPULAR: baselines.most_popular(who, learnt.goods),
        BEFORE: baselines.bought_before(who, learnt.histories, learnt.goods),
    }
    for name, values in simple.items():
        if asked.hidden is not None:
            values[asked.hidden[some]] = -1
        shown[name] = np.argsort(-values, axis=1, kind="stable")[:, :K]
    found: dict[tuple[str, str], Array] = {(OURS, EXPECTED): score.sum(axis=1)}
    success, ndcg = MEASURES
    for name, places in shown.items():
        hits = np.take_along_axis(wanted, np.maximum(places, 0), axis=1) & (places >= 0)
        found[name, success] = ranking_metrics.success(hits)
        found[name, ndcg] = ranking_metrics.ndcg(hits, wanted.sum(axis=1))
        found[name, HITS] = hits.sum(axis=1).astype(np.float64)
    return Exam(keys, found)


def _shown(learnt: FittedProducts, keys: Ints, new_only: bool) -> tuple[Ints, Array]:
    """Per customer the places of our first K products, −1 where there are fewer, and their scores."""
    ranked = learnt.rank(keys.tolist(), K, new_only)
    place = {product: i for i, product in enumerate(learnt.product_ids)}
    row = np.searchsorted(keys, ranked["customer_key"].to_numpy())
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    shown, score = np.full((len(keys), K), -1), np.zeros((len(keys), K))
    shown[row, nth] = [place[product] for product in ranked["product_id"].to_pylist()]
    score[row, nth] = ranked["score"].to_numpy()
    return shown, score


def _together(parts: tuple[Exam, ...]) -> Exam:
    names = [(r, m) for r in (OURS, POPULAR, BEFORE) for m in (*MEASURES, HITS)] + [(OURS, EXPECTED)]
    if not parts:
        return Exam(np.empty(0, np.int64), {name: np.empty(0) for name in names})
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
    return Exam(np.concatenate([part.customers for part in parts]), values)
