"""Next orders and net spend on Online Retail (UCI), 90 days ahead, at four moments.

At each moment the models are trained on earlier data only. Ours is compared with the simplest baselines
(recency, frequency, past spend), by origin, and by the mean paired difference from the best of them with its
95 % interval (paired bootstrap over customers, drawn once for all origins). Spend is also ranked without the
customer who spent most. Then calibration, totals, and the coverage of the intervals of money.
Before that, the labels are compared with the raw lines, rule by rule of the import.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.report import Result
from core.calendar import day_of, midnight
from core.errors import PatronError
from core.home import Home
from events.files import mapping
from events.files.imports import import_file
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from models.estimator import Array
from models.estimators.intervals import coverages
from models.measures import metrics
from models.questions.clv import clv
from models.questions.propensity import propensity
from models.spec import CustomerModel
from training.customers.backtest import fit
from training.customers.dataset import Dataset, columns_of, gather, gather_for_fit
from training.customers.horizon import with_horizon
from training.evaluation.evaluate import MEASURES, RANKING, Measure

DAYS = 90
ORIGINS = (date(2010, 12, 1), date(2011, 3, 1), date(2011, 6, 1), date(2011, 9, 1))
FILE = "online-retail/online_retail_2009_2011.parquet"
SOURCE = "online-retail"
QUESTIONS = {"orders_again_auc": propensity, "net_spend_gini": clv}


def measure(file: Path) -> dict[str, Result]:
    """Everything, of the file."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        import_file(home, str(file), SOURCE)
        built = snapshots.build(home)
        store = Store(home)
        store.apply(GROUPS, built.folders)
        results = labels(file, home, store)
        for name, model in QUESTIONS.items():
            results |= compare(name, with_horizon(model, DAYS), home, store, built.as_ofs)
    return results


def labels(file: Path, home: Home, store: Store) -> dict[str, Result]:
    """Customers and their spend in the 90 days from the last origin: from raw lines, rule by rule,
    and ours.
    """
    orders = mapping.load(SOURCE).orders
    assert orders is not None
    assert orders.adjustments is not None
    codes = ", ".join(f"'{code}'" for code in orders.adjustments.one_of)
    rules = {
        "raw lines with a customer and a price": "SELECT * FROM raw",
        "less all but one of identical lines": "SELECT DISTINCT * FROM raw",
        "less adjustments": f"SELECT DISTINCT * FROM raw WHERE StockCode NOT IN ({codes})",
    }
    print(f"Spend in the {DAYS} days from {ORIGINS[-1]} of those who had ordered before:")
    counted = [_from_raw(file, rule) for rule in rules.values()]
    now = home.shop().now()
    ours = gather(store, with_horizon(clv, DAYS), [midnight(ORIGINS[-1], home.shop().time_zone)], DAYS, now)
    counted.append((len(ours.y), float(ours.y.sum())))
    for rule, (customers, spend) in zip([*rules, "ours"], counted, strict=True):
        print(f"  {rule:<40}{customers:>7,} customers {spend:>13,.0f}")
    # With these rules the raw lines must give the results of the import and the labels.
    if counted[-1][0] != counted[-2][0] or not np.isclose(counted[-1][1], counted[-2][1], atol=0.5):
        raise PatronError("the labels do not agree with the raw lines")
    raw = counted[0]
    return {
        "label_customers": Result(counted[-1][0], "customers", peer=raw[0], better="higher"),
        "label_net_spend": Result(counted[-1][1], "GBP", peer=raw[1], better="higher"),
    }


def _from_raw(file: Path, rule: str) -> tuple[int, float]:
    """Computed from the file: net spend per customer, at least 0, of customers who had ordered."""
    row = duckdb.execute(
        f"""
        WITH raw AS (SELECT * FROM read_parquet($file) WHERE CustomerID IS NOT NULL AND UnitPrice > 0),
        kept AS ({rule}),
        before AS (SELECT DISTINCT CustomerID FROM kept
                   WHERE InvoiceDate < $origin::DATE AND NOT InvoiceNo LIKE 'C%'),
        after AS (SELECT CustomerID, greatest(sum(Quantity * UnitPrice), 0) AS net FROM kept
                  WHERE InvoiceDate >= $origin::DATE AND InvoiceDate < $origin::DATE + {DAYS} GROUP BY 1)
        SELECT count(*), sum(coalesce(net, 0)) FROM before LEFT JOIN after USING (CustomerID)
        """,
        {"file": str(file), "origin": ORIGINS[-1].isoformat()},
    ).fetchone()
    assert row is not None
    return int(row[0]), round(float(row[1]), 2)  # threads add up in varying order


@dataclass(frozen=True)
class Exam:
    """One origin, scored by models of earlier data.

    Attributes:
        others: the baselines' scores by name.
        interval: the lower and upper bounds of outcomes; None for probabilities.
    """

    customers: NDArray[np.int64]
    outcome: Array
    ours: Array
    others: dict[str, Array]
    interval: tuple[Array, Array] | None

    def without_the_top_customer(self) -> Exam:
        """All customers but the one who spent most."""
        rest = np.arange(len(self.outcome)) != self.outcome.argmax()
        others = {name: score[rest] for name, score in self.others.items()}
        return Exam(self.customers[rest], self.outcome[rest], self.ours[rest], others, None)


def compare(
    name: str, model: CustomerModel, home: Home, store: Store, as_ofs: Sequence[datetime]
) -> dict[str, Result]:
    """The measures at each origin, and the mean difference from the best baseline."""
    zone = home.shop().time_zone
    exams = {day: examine(model, home, store, as_ofs, midnight(day, zone)) for day in ORIGINS}
    results = ranked(name, model.kind, exams)
    if model.kind == "money":
        rest = {day: exam.without_the_top_customer() for day, exam in exams.items()}
        results |= ranked(f"{name}_without_top", model.kind, rest)
    return results | trusted(name.rpartition("_")[0], model.kind, exams)


def ranked(name: str, kind: str, exams: Mapping[date, Exam]) -> dict[str, Result]:
    """The ranking of customers by us and by the baselines."""
    _, measure = RANKING[kind]
    means = {
        baseline: np.mean([measure(e.outcome, e.others[baseline]) for e in exams.values()])
        for baseline in next(iter(exams.values())).others
    }
    best = max(means, key=lambda baseline: means[baseline])
    results: dict[str, Result] = {}
    for day, exam in exams.items():
        ours = measure(exam.outcome, exam.ours)
        values = {baseline: measure(exam.outcome, score) for baseline, score in exam.others.items()}
        baseline_values = ", ".join(f"{baseline} {value:.4f}" for baseline, value in values.items())
        print(f"  {name} {day}: ours {ours:.4f}, {baseline_values}; {len(exam.outcome):,} customers")
        results[f"{name}_{day:%Y_%m_%d}"] = Result(ours, f"against {best}", values[best], better="higher")
    triples = [(exam.outcome, exam.ours, exam.others[best]) for exam in exams.values()]
    customers = [exam.customers for exam in exams.values()]
    mean, low, high = metrics.paired_bootstrap(triples, measure, customers=customers)
    print(f"  {name}: mean difference from {best} {mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
    for suffix, value in {"": mean, "_low": low, "_high": high}.items():
        results[f"{name}_difference{suffix}"] = Result(value, f"over {best}", better="higher")
    return results


def trusted(name: str, kind: str, exams: Mapping[date, Exam]) -> dict[str, Result]:
    """Calibration, totals, and the coverage of intervals."""
    measures: dict[str, Measure] = {"calibration_slope": MEASURES[kind]["calibration_slope"]}
    measures["total_ratio"] = metrics.total_ratio
    improvements: dict[str, list[float]] = {}
    for day, exam in exams.items():
        values = {n: measure(exam.outcome, exam.ours) for n, measure in measures.items()}
        if exam.interval is not None:
            values |= coverages(exam.outcome, exam.ours, *exam.interval)
        print(f"  {name} {day}: " + ", ".join(f"{n} {value:.3f}" for n, value in values.items()))
        for n, value in values.items():
            improvements.setdefault(n, []).append(value)
    means = {n: float(np.mean(values)) for n, values in improvements.items()}
    print(f"  {name}, mean: " + ", ".join(f"{n} {value:.3f}" for n, value in means.items()))
    return {f"{name}_{n}": Result(value, "mean", better="higher") for n, value in means.items()}


def examine(
    model: CustomerModel, home: Home, store: Store, as_ofs: Sequence[datetime], origin: datetime
) -> Exam:
    """All customers at an origin, scored by a model of earlier data."""
    now = home.shop().now()
    zone = home.shop().time_zone
    known = [t for t in as_ofs if day_of(t, zone) + DAYS <= day_of(origin, zone)]
    learnt = fit(gather_for_fit(store, model, known, DAYS, known_at=origin), complement=False, version="exam")
    exam: Dataset = gather(store, model, [origin], DAYS, known_at=now)
    others = {b.name: b.score(exam.frame, DAYS).to_numpy(np.float64) for b in clv.baselines}
    ours = learnt.score(columns_of(exam.frame))
    customers = exam.frame["customer_key"].to_numpy(np.int64)
    return Exam(customers, exam.y, ours, others, learnt.interval(ours))
