"""The day of the next order, on Online Retail and CDNOW: propensity's prediction compared with simpler ones.

At each origin the shop's rates are fitted to the data known then, and predict the day for all customers who
had ordered in the 180 days before. The measures, for those who order within the next 180 days, are the mean
and the median absolute error in days, and the share who had ordered by the predicted day, which should be
half. The peers are the customer's own rhythm (latest order plus median gap), if that day is not before the
origin; the median wait of the latest month with known waits; and trees that predict the wait from
propensity's features at all such months (LightGBM, absolute error). Differences have 95 % intervals (paired
bootstrap over customers, drawn at all origins of a shop at once). Training's own gates, on that latest month,
decide whether rates would have been used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

from benchmarks.harness.report import Result
from benchmarks.quality import cdnow, online_retail
from core.calendar import day_of, midnight
from core.home import Home
from events.files.imports import import_file
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import populations, snapshots
from models.estimator import Array
from models.estimators.candidates import SMALL_TREES
from models.estimators.trees import PARAMETERS
from models.measures.metrics import paired_bootstrap
from models.questions.labels import days_until_order
from models.questions.next_order import HORIZON_DAYS
from models.questions.propensity import propensity
from training.customers.dataset import gather
from training.customers.next_order import GATES, NextOrderTest, error_days, fit, measures_of, predictions_for

FILE = online_retail.FILE
SHOPS = {
    "retail": (FILE, online_retail.SOURCE, (date(2010, 12, 1), date(2011, 3, 1), date(2011, 6, 1))),
    "cdnow": (cdnow.FILE, "cdnow", (date(1997, 10, 1), date(1997, 11, 1), date(1998, 1, 1))),
}
ROUNDS = 150
Error = Callable[[Array, Array], float]
ERRORS: Mapping[str, Error] = {
    "mean": error_days,
    "median": lambda wait, predicted: float(np.median(np.abs(wait - predicted))),
}


@dataclass(frozen=True)
class TestCase:
    """An origin: the exam, the peers' predictions for its customers, and whether the rates were chosen."""

    exam: NextOrderTest
    median: Array
    trees: Array
    chosen: bool | None


def measure(file: Path) -> dict[str, Result]:
    """Everything, of each shop whose file is there."""
    data = file.parents[1]
    results: dict[str, Result] = {}
    for shop, (place, source, origins) in SHOPS.items():
        if (data / place).exists():
            with tempfile.TemporaryDirectory() as folder:
                results |= compare(shop, cases_at(Home(Path(folder)), data / place, source, origins))
    return results


def cases_at(home: Home, file: Path, source: str, origins: Sequence[date]) -> dict[date, TestCase]:
    """The exam at each origin."""
    import_file(home, str(file), source)
    built, store, zone = snapshots.build(home), Store(home), home.shop().time_zone
    store.apply(GROUPS, built.folders)
    question = replace(propensity, label=days_until_order)
    months = [t for t in populations.origins(home) if t in built.as_ofs]

    def waits(moment: datetime, known_at: datetime) -> pd.DataFrame:
        return gather(store, question, [moment], HORIZON_DAYS, known_at).frame

    cases = {}
    for day in origins:
        origin = midnight(day, zone)
        known = [t for t in months if day_of(t, zone) + HORIZON_DAYS <= day_of(origin, zone)]
        learnt = [waits(moment, origin) for moment in known]
        frame = waits(origin, home.shop().now())
        exam = predictions_for(fit(frame), frame)
        median, trees = others(learnt, frame, exam)
        cases[day] = TestCase(exam, median, trees, chosen(learnt[-1]))
    return cases


def chosen(latest: pd.DataFrame) -> bool | None:
    """Whether training would have published the rates, by the latest month of known waits."""
    measures = measures_of(predictions_for(fit(latest), latest))
    if any(gate.metric not in measures for gate in GATES):
        return None
    return all(gate.refusal(measures) is None for gate in GATES)


def others(learnt: Sequence[pd.DataFrame], frame: pd.DataFrame, exam: NextOrderTest) -> tuple[Array, Array]:
    """The predictions for the test customers by the latest month's median wait, and by trees of all
    months.
    """
    names = [f.name for f in propensity.features if f.dtype in ("int64", "float64")]
    ordered = [part[(part["recency_days"] <= HORIZON_DAYS) & part["label"].notna()] for part in learnt]
    rows = pd.concat(ordered)
    parameters = PARAMETERS | SMALL_TREES | {"objective": "l1"}
    data = lgb.Dataset(rows[names].to_numpy(np.float64, na_value=np.nan), rows["label"].to_numpy(np.float64))
    booster = lgb.train(parameters, data, ROUNDS)
    about = frame.set_index("customer_key").loc[exam.customers, names].to_numpy(np.float64, na_value=np.nan)
    median = float(np.median(ordered[-1]["label"]))
    return np.full(len(about), median), np.asarray(booster.predict(about), np.float64)


def compare(shop: str, cases: Mapping[date, TestCase]) -> dict[str, Result]:
    """The measures of a shop, and the mean differences with their intervals."""
    results: dict[str, Result] = {}
    print(f"Next order within {HORIZON_DAYS} days, {shop}:")
    for day, at in cases.items():
        ordered = at.exam.of(~np.isnan(at.exam.wait))
        rhythm = ordered.of(~np.isnan(ordered.rhythm))
        counts = len(at.exam.wait), int((~np.isnan(at.exam.rhythm)).sum())
        by_then = _share(ordered.wait, ordered.ours), _share(rhythm.wait, rhythm.rhythm)
        print(
            f"  {day}: {counts[0]:,} get a day, {counts[1]:,} by own rhythm; {len(ordered.wait):,} order,"
            f" {by_then[0]:.3f} of them by that day, by own rhythm {by_then[1]:.3f}; rates chosen:"
            f" {at.chosen}"
        )
        key = f"next_order_{shop}_{day:%Y_%m_%d}"
        results[f"{key}_told"] = Result(counts[0], "customers", counts[1], better="higher")
        results[f"{key}_by_then"] = Result(by_then[0], "share, to be .5", by_then[1], better="higher")
    for name, error in ERRORS.items():
        for peer in ("own rhythm", "the median wait", "trees"):
            results |= _against(f"next_order_{shop}_{name}_error", peer, error, cases)
    return results


def _share(wait: Array, predicted: Array) -> float:
    """The share of customers who ordered by the predicted day."""
    return float((wait <= predicted).mean())


def _against(name: str, peer: str, error: Error, cases: Mapping[date, TestCase]) -> dict[str, Result]:
    """An error in days next to a peer's, on those who ordered and for whom the peer predicts a day."""
    triples, customers = [], []
    for at in cases.values():
        other = {"own rhythm": at.exam.rhythm, "the median wait": at.median, "trees": at.trees}[peer]
        rows = ~np.isnan(at.exam.wait) & ~np.isnan(other)
        triples.append((at.exam.wait[rows], at.exam.ours[rows], other[rows]))
        customers.append(at.exam.customers[rows])
    ours, theirs = (float(np.mean([error(y, days[i]) for y, *days in triples])) for i in (0, 1))
    mean, low, high = paired_bootstrap(
        triples, lambda y, predictions: -error(y, predictions), customers=customers
    )
    print(
        f"  {name}: {ours:.1f} days, {peer} {theirs:.1f}; nearer by {mean:.1f} (95 % interval {low:.1f} to"
        f" {high:.1f}), {sum(len(y) for y, *_ in triples):,} orders"
    )
    key = f"{name}_over_{peer.removeprefix('the ').replace(' ', '_')}"
    return {key: Result(ours, "days", theirs)} | {
        f"{key}{suffix}": Result(value, "days nearer", better="higher")
        for suffix, value in (("_difference", mean), ("_low", low), ("_high", high))
    }
