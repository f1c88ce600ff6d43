"""What customers buy next, on Online Retail (UCI): their first basket from three moments on.

Of each customer who had bought before and came back within ``DAYS`` days the first basket is held against the
first ten products of each ranking; products that are no merchandise (postage) are left out everywhere. Each
ranking knows only what was known at the moment. "New" asks for products that the customer had not bought
before, since buying again hides discovery. Settings were chosen on moments from 2010-09-01 to 2010-12-01
and baskets before 2011-03-01. Differences have 95 % intervals (paired bootstrap over customers, who are
drawn at all moments at once).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Result
from features import lake
from features.calendar import day_of, midnight
from features.engine import connect
from features.home import Home
from features.imports import import_file
from features.sources import mapping
from models import ranking_metrics
from models.metrics import Array, paired_bootstrap
from models.products import baselines
from models.products.purchases import Ints, Purchases, read
from models.products.ranker import FittedProducts, fit

FILE = "online-retail/online_retail_2009_2011.parquet"
SOURCE = "online-retail"
ORIGINS = (date(2011, 3, 1), date(2011, 6, 1), date(2011, 9, 1))
DAYS = 100
K = 10
OURS, POPULAR, BEFORE = "ours", "most popular", "bought before"
MEASURES = ("success_10", "ndcg_10")


@dataclass(frozen=True)
class Exam:
    """One moment: what each ranking was worth to each customer.

    Attributes:
        customers: keys.
        values: per ranking and measure a value per customer.
    """

    customers: Ints
    values: dict[tuple[str, str], Array]


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        import_file(home, str(file), SOURCE)
        lines = lake.read(home, connect()).order_lines
        zone = home.shop().time_zone
        whole = read(lines, home.shop().now(), zone, _postage())
        exams = [examine(lines, whole, midnight(day, zone)) for day in ORIGINS]
    print(f"First baskets within {DAYS} days, the first {K} products:")
    results: dict[str, Result] = {}
    for name in MEASURES:
        results |= compare(f"products_{name}", name, [every for every, _ in exams], (BEFORE, POPULAR))
    for name in MEASURES:  # without what was bought before, the two baselines are one
        results |= compare(f"products_new_{name}", name, [new for _, new in exams], (POPULAR,))
    return results


def _postage() -> tuple[str, ...]:
    """The products that the source says have no category: postage and carriage."""
    orders = mapping.load(SOURCE).orders
    assert orders is not None
    assert orders.category_words is not None
    assert orders.category_words.none_for is not None
    return tuple(orders.category_words.none_for.one_of)


def examine(lines: ir.Table, whole: Purchases, origin: datetime) -> tuple[Exam, Exam]:
    """All products, and only new ones, at one moment; ``whole`` tells what came after it."""
    learnt = fit(lines, origin, whole.time_zone, _postage())
    since = day_of(origin, whole.time_zone)
    after = whole.first_baskets(since, since + DAYS)
    keys = learnt.histories.customers.customer_key
    buyer = whole.customer_keys[after.customer]
    after, buyer = after.rows(np.isin(buyer, keys)), buyer[np.isin(buyer, keys)]
    who = np.searchsorted(keys, np.unique(buyer))
    # What nobody had bought by then stands behind the products that could be ranked.
    unsold = sorted(set(whole.product_ids) - set(learnt.product_ids))
    place = {product: i for i, product in enumerate([*learnt.product_ids, *unsold])}
    wanted = np.zeros((len(who), len(place)), bool)
    bought = np.array([place[product] for product in whole.product_ids])[after.product]
    wanted[np.searchsorted(keys[who], buyer), bought] = True
    old = learnt.histories.times[who].toarray() > 0
    new = wanted.copy()
    new[:, : old.shape[1]] &= ~old
    return judge(learnt, who, wanted, None), judge(learnt, who, new, old)


def judge(
    learnt: FittedProducts, who: Ints, wanted: NDArray[np.bool_], hidden: NDArray[np.bool_] | None
) -> Exam:
    """The measures of each ranking for the customers who bought something wanted.

    Args:
        who: places of customers in the histories.
        wanted: customers × products, what the next basket had.
        hidden: what no ranking may show; None for nothing.
    """
    asked = wanted.any(axis=1)
    who, wanted = who[asked], wanted[asked]
    keys = learnt.histories.customers.customer_key[who]
    shown = {OURS: _shown(learnt, keys, hidden is not None)}
    simple = {
        POPULAR: baselines.most_popular(who, learnt.goods),
        BEFORE: baselines.bought_before(who, learnt.histories, learnt.goods),
    }
    for name, values in simple.items():
        if hidden is not None:
            values[hidden[asked]] = -1
        shown[name] = np.argsort(-values, axis=1, kind="stable")[:, :K]
    found: dict[tuple[str, str], Array] = {}
    for name, places in shown.items():
        hits = np.take_along_axis(wanted, np.maximum(places, 0), axis=1) & (places >= 0)
        found[name, "success_10"] = ranking_metrics.success(hits)
        found[name, "ndcg_10"] = ranking_metrics.ndcg(hits, wanted.sum(axis=1))
    return Exam(keys, found)


def _shown(learnt: FittedProducts, keys: Ints, new_only: bool) -> Ints:
    """Per customer the places of our first K products; −1 where there are fewer."""
    ranked = learnt.rank(keys.tolist(), K, new_only)
    place = {product: i for i, product in enumerate(learnt.product_ids)}
    row = np.searchsorted(keys, ranked["customer_key"].to_numpy())
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    shown = np.full((len(keys), K), -1)
    shown[row, nth] = [place[product] for product in ranked["product_id"].to_pylist()]
    return shown


def compare(label: str, name: str, exams: list[Exam], peers: tuple[str, ...]) -> dict[str, Result]:
    """A measure at each moment, and the mean difference from each peer with its interval."""
    found: dict[str, Result] = {}
    for day, exam in zip(ORIGINS, exams, strict=True):
        means = {ranking: float(exam.values[ranking, name].mean()) for ranking in (OURS, *peers)}
        said = ", ".join(f"{ranking} {value:.4f}" for ranking, value in means.items())
        print(f"  {label} {day}: {said}; {len(exam.customers):,} customers")
        found[f"{label}_{day:%Y_%m_%d}"] = Result(
            means[OURS], f"against {peers[0]}", means[peers[0]], better="higher"
        )
    customers = [exam.customers for exam in exams]
    for ranking in peers:
        pairs = [(e.values[OURS, name], e.values[OURS, name], e.values[ranking, name]) for e in exams]
        mean, low, high = paired_bootstrap(pairs, lambda _, value: float(value.mean()), customers=customers)
        print(f"  {label}: mean difference from {ranking} {mean:+.4f} ({low:+.4f} to {high:+.4f})")
        for suffix, value in {"": mean, "_low": low, "_high": high}.items():
            key = f"{label}_over_{ranking.replace(' ', '_')}{suffix}"
            found[key] = Result(value, f"over {ranking}", better="higher")
    return found
