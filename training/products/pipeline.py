"""train_products(home): the ranking tested by time, gated, fitted on everything, and published."""

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
from models.products.files import NAME, to_files
from models.products.purchases import Purchases, read
from models.products.ranker import FittedProducts, fit
from models.registry.bundle import digest
from models.registry.registry import Registry
from models.registry.versions import ModelVersion, TrainingRun
from models.spec import Gate
from training.products.exam import (
    BEFORE,
    EXPECTED,
    HITS,
    MEASURES,
    OURS,
    POPULAR,
    Exam,
    K,
    came_back,
    examine,
)
from training.publishing import check_gates, publish, run_tags, versions

EXAM_DAYS = (30, 60, 90)
"""For so long next baskets are waited for: the first of these in which enough customers come back."""
LEAST_CUSTOMERS = 100
RANKING = f"ndcg_{K}"
GATES = (
    Gate(f"{RANKING}_over_{BEFORE}", "it must rank no worse than what was bought before", at_least=0),
    Gate(f"{RANKING}_over_{POPULAR}_low", "it must surely rank better than what is popular", at_least=0),
)


@dataclass(frozen=True)
class Examined:
    """A ranking that had learnt before the exam began.

    Attributes:
        origin: when the exam began.
        days: how long next baskets were waited for.
        measures: by name, see :func:`measures_of`.
    """

    origin: datetime
    days: int
    measures: dict[str, float]


def train_products(home: Home, registry: Registry, progress: Progress = silent) -> ModelVersion:
    """Learn what customers buy next, test on their last baskets, and publish; promote if every gate opens.

    The version published is fitted on everything known now; its measures are those of the same recipe fitted
    on what was known before the baskets that it is tested on.

    Raises:
        PatronError: there is no shop, or orders, products or customers who came back do not suffice.
    """
    goods = merchandise(home)
    progress("products: orders", 0.05)
    whole = read(goods.order_lines, goods.as_of, goods.time_zone, goods.never)
    progress("products: test fit and evaluation", 0.15)
    exam = examined(goods, whole)
    progress("products: final fit", 0.6)
    final = fit(goods.order_lines, goods.as_of, goods.time_zone, goods.never)
    progress("products: publishing", 0.9)
    run = TrainingRun(
        parameters=_parameters(final, exam),
        metrics=exam.measures,
        tags=run_tags(_digest(whole), registry.moment()),
    )
    version = publish(registry, NAME, to_files(final, _told(exam)), run, check_gates(GATES, exam.measures))
    progress("products: done", 1.0)
    return version


def examined(goods: Merchandise, whole: Purchases) -> Examined:
    """Learn from what was known before the last baskets, and measure on them.

    Raises:
        PatronError: too few customers came back, or there is too little history before.
    """
    today = day_of(goods.as_of, goods.time_zone)
    came = {days: len(came_back(whole, today - days, today)) for days in EXAM_DAYS}
    days = next((days for days, count in came.items() if count >= LEAST_CUSTOMERS), None)
    if days is None:
        longest = EXAM_DAYS[-1]
        raise PatronError(
            f"the ranking of products cannot be tested: {came[longest]} customers came back in the {longest}"
            f" days before {date_of(today)}, and it takes {LEAST_CUSTOMERS}; import more orders"
        )
    origin = midnight(today - days, goods.time_zone)
    learnt = fit(goods.order_lines, origin, goods.time_zone, goods.never)
    return Examined(origin, days, measures_of(*examine(learnt, whole, days)))


def measures_of(every: Exam, new: Exam) -> dict[str, float]:
    """Means over customers, and differences from the simple rankings with 95 % intervals.

    ``success_10`` and ``ndcg_10``; ``…_over_bought_before`` and ``…_over_most_popular`` with ``_low`` and
    ``_high`` (paired bootstrap over customers); ``new_…`` of products that the customer had not bought,
    where the two simple rankings are one. ``total_ratio``: of the products shown, those expected over those
    bought. What cannot be told is left out.
    """
    found = {
        "test_customers": float(len(every.customers)),
        "total_ratio": total_ratio(every.values[OURS, HITS], every.values[OURS, EXPECTED]),
    }
    for prefix, exam, peers in (("", every, (BEFORE, POPULAR)), ("new_", new, (POPULAR,))):
        for measure in MEASURES:
            found[f"{prefix}{measure}"] = exam.mean(OURS, measure)
            for peer in peers:
                found[f"{prefix}{measure}_{peer}"] = exam.mean(peer, measure)
                found |= _over(exam, measure, peer, f"{prefix}{measure}_over_{peer}")
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _over(exam: Exam, measure: str, peer: str, name: str) -> dict[str, float]:
    """The mean difference of a measure from another ranking's, with its interval."""
    if not len(exam.customers):
        return {}
    ours, other = exam.values[OURS, measure], exam.values[peer, measure]
    mean, low, high = paired_bootstrap([(ours, ours, other)], lambda _, value: float(value.mean()))
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _parameters(final: FittedProducts, exam: Examined) -> dict[str, object]:
    return {
        "test_origin": f"{exam.origin:%Y-%m-%d}",
        "test_days": exam.days,
        "cuts": learning.CUTS,
        "cut_days": learning.CUT_DAYS,
        "customers": len(final.histories.customers.customer_key),
        "products": len(final.product_ids),
    } | learning.SETTINGS


def _told(exam: Examined) -> dict[str, object]:
    """What the manifest says of how it was tested and made."""
    return {
        "test": {"origin": exam.origin.isoformat(), "days": exam.days},
        "measures": exam.measures,
        "versions": versions({"lightgbm": lightgbm.__version__}),
    }


def _digest(whole: Purchases) -> str:
    """SHA-256 of who bought what, when, and when that was known."""
    columns = (whole.customer_keys[whole.customer], whole.product, whole.basket, whole.day, whole.known_us)
    content = "\n".join(whole.product_ids).encode() + np.stack(columns).tobytes()
    return digest(content)
