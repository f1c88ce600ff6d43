"""Trains the ranking of products: tests it by time, fits it on all orders, and publishes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import lightgbm
import numpy as np

from core.calendar import date_of, day_of, midnight
from core.errors import PatronError
from core.home import Home
from core.progress import Progress, silent
from events.queries.merchandise import Merchandise, merchandise
from models.measures.metrics import paired_bootstrap, total_ratio
from models.products import learning
from models.products.assortment import Links
from models.products.files import NAME, to_files
from models.products.purchases import NEVER, Purchases, read
from models.products.ranker import FittedProducts, fit
from models.registry.bundle import digest
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from models.spec import Gate
from training.products.backtest import (
    BEFORE,
    EXPECTED,
    HITS,
    MEASURES,
    OURS,
    POPULAR,
    K,
    RankingResults,
    backtest,
    came_back,
)
from training.publishing import check_gates, publish, run_tags, versions

TEST_DAYS = (30, 60, 90)
"""Lengths of the test set; the first one in which enough customers return is used."""
MIN_CUSTOMERS = 100
RANKING = f"ndcg_{K}"
GATES = (
    Gate(f"{RANKING}_over_{BEFORE}", "it must rank no worse than what was bought before", at_least=0),
    Gate(f"{RANKING}_over_{POPULAR}_low", "it must surely rank better than what is popular", at_least=0),
)


@dataclass(frozen=True)
class RankingBacktest:
    """The test of a ranking that was fitted before the test set began.

    Attributes:
        origin: the start of the test set.
        days: its length.
        measures: by name, see :func:`measures_of`.
    """

    origin: datetime
    days: int
    measures: dict[str, float]


@dataclass(frozen=True)
class LearntRanking:
    """A tested and fitted ranking that is not published yet.

    Attributes:
        files: of the bundle, without the manifest's digests.
        data_digest: SHA-256 of the purchases.
    """

    files: dict[str, bytes]
    parameters: dict[str, object]
    measures: dict[str, float]
    data_digest: str


def learn_ranking(home: Home, progress: Progress = silent) -> LearntRanking:
    """Train and test the ranking of products; writes nothing.

    It is fitted on all orders known now. Its measures are those of the same recipe, fitted on the orders
    known before the test set.

    Raises:
        PatronError: there is no shop, or there are too few orders, products or returning customers.
    """
    goods, links = merchandise(home), Links()
    progress("products: orders", 0.05)
    whole = read(goods.order_lines, goods.as_of, goods.time_zone, goods.never)
    progress("products: test fit and evaluation", 0.15)
    tested = backtest_ranking(goods, whole, links)
    progress("products: final fit", 0.6)
    final = fit(goods.order_lines, goods.as_of, goods.time_zone, goods.never, links=links)
    files = to_files(final, _about_version(tested))
    return LearntRanking(files, _parameters(final, tested), tested.measures, _digest(whole))


def publish_ranking(learnt: LearntRanking, registry: Registry) -> ModelVersion:
    """Publish a ranking, and promote it if it passes its gates."""
    run = TrainingRun(
        parameters=learnt.parameters,
        metrics=learnt.measures,
        tags=run_tags(learnt.data_digest, registry.moment()),
    )
    return publish(registry, NAME, learnt.files, run, check_gates(GATES, learnt.measures))


def train_products(home: Home, registry: Registry, progress: Progress = silent) -> ModelVersion:
    """Train and test the ranking of products, publish it, and promote it if it passes its gates.

    Raises:
        PatronError: see :func:`learn_ranking`.
    """
    learnt = learn_ranking(home, progress)
    progress("products: publishing", 0.9)
    version = publish_ranking(learnt, registry)
    progress("products: done", 1.0)
    return version


def backtest_ranking(goods: Merchandise, whole: Purchases, links: Links) -> RankingBacktest:
    """Fit on the orders known before the last baskets, and measure on those baskets.

    Raises:
        PatronError: too few customers returned, or the history before is too short.
    """
    today = day_of(goods.as_of, goods.time_zone)
    came = {days: len(came_back(whole, today - days, today)) for days in TEST_DAYS}
    days = next((days for days, count in came.items() if count >= MIN_CUSTOMERS), None)
    if days is None:
        longest = TEST_DAYS[-1]
        raise PatronError(
            f"the ranking of products cannot be tested: {came[longest]} customers came back in the {longest}"
            f" days before {date_of(today)}, and it takes {MIN_CUSTOMERS}; import more orders"
        )
    origin = midnight(today - days, goods.time_zone)
    learnt = fit(goods.order_lines, origin, goods.time_zone, goods.never, links=links)
    return RankingBacktest(origin, days, measures_of(*backtest(learnt, whole, days)))


def measures_of(every: RankingResults, new: RankingResults) -> dict[str, float]:
    """Means over customers, and differences from the simple rankings with 95 % intervals.

    ``success_10`` and ``ndcg_10``; ``…_over_bought_before`` and ``…_over_most_popular`` with ``_low`` and
    ``_high`` (paired bootstrap over customers); ``new_…``: the same for products that the customer had not
    bought, where the two simple rankings are one. ``total_ratio``: the expected number of bought products
    among those shown, over the actual number. Measures without a finite value are left out.
    """
    measures = {
        "test_customers": float(len(every.customers)),
        "total_ratio": total_ratio(every.values[OURS, HITS], every.values[OURS, EXPECTED]),
    }
    for prefix, results, peers in (("", every, (BEFORE, POPULAR)), ("new_", new, (POPULAR,))):
        for measure in MEASURES:
            measures[f"{prefix}{measure}"] = results.mean(OURS, measure)
            for peer in peers:
                measures[f"{prefix}{measure}_{peer}"] = results.mean(peer, measure)
                measures |= _over(results, measure, peer, f"{prefix}{measure}_over_{peer}")
    return {name: value for name, value in measures.items() if np.isfinite(value)}


def _over(results: RankingResults, measure: str, peer: str, name: str) -> dict[str, float]:
    """The mean difference of a measure from that of another ranking, with its interval."""
    if not len(results.customers):
        return {}
    ours, other = results.values[OURS, measure], results.values[peer, measure]
    mean, low, high = paired_bootstrap([(ours, ours, other)], lambda _, value: float(value.mean()))
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _parameters(final: FittedProducts, tested: RankingBacktest) -> dict[str, object]:
    return {
        "test_origin": f"{tested.origin:%Y-%m-%d}",
        "test_days": tested.days,
        "cuts": learning.CUTS,
        "cut_days": learning.CUT_DAYS,
        "customers": len(final.histories.customers.customer_key),
        "products": len(final.product_ids),
    } | learning.SETTINGS


def _about_version(tested: RankingBacktest) -> dict[str, object]:
    """The parts of the manifest about the test and the software."""
    return {
        "test": {"origin": tested.origin.isoformat(), "days": tested.days},
        "measures": tested.measures,
        "versions": versions({"lightgbm": lightgbm.__version__}),
    }


def _digest(whole: Purchases) -> str:
    """SHA-256 of the purchases, with the moments at which they were known."""
    columns = [whole.customer_keys[whole.customer], whole.product, whole.basket, whole.day, whole.known_us]
    if (whole.replaced_us != NEVER).any():
        columns.append(whole.replaced_us)
    content = "\n".join(whole.product_ids).encode() + np.stack(columns).tobytes()
    return digest(content)
