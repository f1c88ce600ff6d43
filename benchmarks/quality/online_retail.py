"""Orders again and net spend on Online Retail (UCI), 90 days ahead, asked at four moments.

At each the models learn only from what was known before it. Ours against the simplest baselines, by
origin, and the mean paired difference from the best of them with its 95 % interval (paired bootstrap
over customers). Before that, the labels are held against what the raw lines say, rule by rule of the import.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.report import Result
from features import snapshots
from features.calendar import day_of, midnight
from features.errors import PatronError
from features.groups import GROUPS
from features.home import Home
from features.imports import import_file
from features.sources import mapping
from features.store import Store
from models import metrics
from models.clv import clv
from models.propensity import propensity
from models.spec import Array, CustomerModel
from training.dataset import Dataset, gather
from training.evaluate import RANKING
from training.pipeline import asked_with, columns_of, fit

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
            results |= compare(name, asked_with(model, DAYS), home, store, built.as_ofs)
    return results


def labels(file: Path, home: Home, store: Store) -> dict[str, Result]:
    """Customers and their spend in the 90 days from the last origin: raw lines, rule by rule, and ours."""
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
    ours = gather(
        home, store, asked_with(clv, DAYS), [midnight(ORIGINS[-1], home.shop().time_zone)], DAYS, now
    )
    counted.append((len(ours.y), float(ours.y.sum())))
    for rule, (customers, spend) in zip([*rules, "ours"], counted, strict=True):
        print(f"  {rule:<40}{customers:>7,} customers {spend:>13,.0f}")
    # By these rules the raw lines must give what the import and the labels give.
    if counted[-1][0] != counted[-2][0] or not np.isclose(counted[-1][1], counted[-2][1], atol=0.5):
        raise PatronError("the labels do not agree with the raw lines")
    raw = counted[0]
    return {
        "label_customers": Result(counted[-1][0], "customers", peer=raw[0], better="higher"),
        "label_net_spend": Result(counted[-1][1], "GBP", peer=raw[1], better="higher"),
    }


def _from_raw(file: Path, rule: str) -> tuple[int, float]:
    """Straight from the file: net spend per customer, floored at 0, of those who had ordered."""
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
    return int(row[0]), float(row[1])


def compare(
    name: str, model: CustomerModel, home: Home, store: Store, as_ofs: Sequence[datetime]
) -> dict[str, Result]:
    """The ranking measure at each origin, and the mean difference from the best baseline."""
    _, measure = RANKING[model.kind]
    found: dict[str, Result] = {}
    exams: list[tuple[Array, Array, dict[str, Array]]] = []
    for day in ORIGINS:
        exams.append(examine(model, home, store, as_ofs, midnight(day, home.shop().time_zone)))
    means = {b.name: np.mean([measure(y, o[b.name]) for y, _, o in exams]) for b in model.baselines}
    best = max(means, key=lambda baseline: means[baseline])
    for day, (outcome, ours, others) in zip(ORIGINS, exams, strict=True):
        values = {baseline: measure(outcome, score) for baseline, score in others.items()}
        said = ", ".join(f"{baseline} {value:.4f}" for baseline, value in values.items())
        print(f"  {name} {day}: ours {measure(outcome, ours):.4f}, {said}; {len(outcome):,} customers")
        found[f"{name}_{day:%Y_%m_%d}"] = Result(
            measure(outcome, ours), f"against {best}", values[best], better="higher"
        )
        if model.kind == "money":
            ratio = metrics.total_ratio(outcome, ours)
            print(f"    predicted total / actual total {ratio:.2f}")
    mean, low, high = metrics.paired_bootstrap([(y, ours, o[best]) for y, ours, o in exams], measure)
    print(f"  {name}: mean difference from {best} {mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
    for suffix, value in {"": mean, "_low": low, "_high": high}.items():
        found[f"{name}_difference{suffix}"] = Result(value, f"over {best}", better="higher")
    return found


def examine(
    model: CustomerModel, home: Home, store: Store, as_ofs: Sequence[datetime], origin: datetime
) -> tuple[Array, Array, dict[str, Array]]:
    """Outcome, our score and the baselines' of everyone at ``origin``, learnt only from before it."""
    now = home.shop().now()
    zone = home.shop().time_zone
    known = [t for t in as_ofs if day_of(t, zone) + DAYS <= day_of(origin, zone)]
    learnt = fit(gather(home, store, model, known, DAYS, known_at=origin), complement=False, version="exam")
    exam: Dataset = gather(home, store, model, [origin], DAYS, known_at=now)
    others = {b.name: b.score(exam.frame, DAYS).to_numpy(np.float64) for b in model.baselines}
    return exam.y, learnt.score(columns_of(exam.frame)), others
