"""Propensity per category against habit: `python -m benchmarks.categories [--data FILE] [--seeds N]`.

On Online Retail (UCI; categories are words of the descriptions) and on simulated shops, each tested by time,
30 days ahead, at the last moments of its history, with models trained on the data known at the moment. Habit
is each customer's orders of the last year times the category's smoothed share of them. Columns and settings
were chosen on other simulated shops, and on moments of Online Retail before 2011-08-01; the season was added
to the regression after a look at the reported months, on which a regression without it was worse. Differences
within customers have 95 % intervals (paired bootstrap over customers, drawn at all moments at once).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from benchmarks.harness.report import Result, publish
from benchmarks.quality import DATA
from core.calendar import day_of
from core.home import Home
from core.shop import Clock, Shop
from events import lake
from events.files.imports import import_file
from events.queries.merchandise import merchandise
from events.simulation.simulate import Plan, simulate
from features.offline import populations
from models.categories.history import AsOf, habit
from models.measures.metrics import paired_bootstrap
from training.categories.backtest import auc_within, backtest, evaluation_of, read_baskets

MEASURES = ("auc", "auc_within_category", "auc_within_customer")
TESTS = 4
UNTIL = datetime(2024, 7, 1, tzinfo=UTC)
FILE = DATA / "online-retail/online_retail_2009_2011.parquet"


def retail(file: Path) -> list[pd.DataFrame]:
    """The test sets at the last moments of Online Retail."""
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        import_file(home, str(file), "online-retail")
        return exams(home)


def simulated(seed: int, customers: int) -> list[pd.DataFrame]:
    """The test sets at the last moments of a simulated shop."""
    plan = Plan(start=date(2021, 7, 1), seed=seed, customers=customers)
    with TemporaryDirectory() as folder:
        home, backend = Home(Path(folder)), lake.connect()
        simulate(backend.con, plan, UNTIL)
        lake.write(home, backend.con, plan.time_zone, {"source": "simulate"})
        home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(UNTIL)))
        return exams(home)


def exams(home: Home) -> list[pd.DataFrame]:
    """The rows with outcome and score at each of the last moments, from models trained on earlier data."""
    goods = merchandise(home)
    baskets_by_month, months = read_baskets(goods.order_lines), populations.origins(home)
    origins = [AsOf(moment, day_of(moment, goods.time_zone)) for moment in months]
    # As of the first of a month, the outcome of the first of the month before is known.
    return [backtest(baskets_by_month, origins, now).frame for now in origins[-TESTS:]]


def compared(shop: str, tests: Sequence[pd.DataFrame]) -> dict[str, Result]:
    """The mean measures over the tests, and the difference from habit within customers."""
    metrics = [evaluation_of(frame).metrics for frame in tests]

    def mean(name: str) -> float:
        return float(np.mean([one[name] for one in metrics]))

    results = {
        f"{shop}_{name}": Result(mean(name), "AUC", mean(f"{name}_habit"), better="higher")
        for name in MEASURES
    }
    results[f"{shop}_calibration_slope"] = Result(
        mean("calibration_slope"), "slope, 1 is true", better="higher"
    )
    pairs, customers = [], []
    for frame in tests:
        ours, usual = (
            auc_within(frame["customer_key"], frame["label"], scores)
            for scores in (frame["score"].to_numpy(np.float64), habit(frame))
        )
        own = np.asarray(ours, np.float64)
        pairs.append((own, own, np.asarray(usual, np.float64)))
        customers.append(ours.index.to_numpy(np.int64))
    over = paired_bootstrap(pairs, lambda _, values: float(values.mean()), customers=customers)
    print(f"{shop}: within customers over habit {over[0]:+.4f} ({over[1]:+.4f} to {over[2]:+.4f})")
    for suffix, value in zip(("", "_low", "_high"), over, strict=True):
        results[f"{shop}_within_customer_over_habit{suffix}"] = Result(value, "AUC", better="higher")
    return results


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Propensity per category against habit.")
    parser.add_argument("--data", type=Path, default=FILE, help="Online Retail, as Parquet.")
    parser.add_argument("--customers", type=int, default=3000, help="Of each simulated shop.")
    parser.add_argument("--seeds", type=int, default=3, help="How many simulated shops.")
    arguments = parser.parse_args()
    results: dict[str, Result] = {}
    if arguments.data.exists():
        results |= compared("online_retail", retail(arguments.data))
    else:
        print(f"online_retail: {arguments.data} is not there")
    tests = []
    for seed in range(1, arguments.seeds + 1):
        shift = seed * 10_000_000  # so that customers of different shops have different keys
        tests += [
            frame.assign(customer_key=frame["customer_key"] + shift)
            for frame in simulated(seed, arguments.customers)
        ]
    publish("categories", results | compared("simulated", tests))


if __name__ == "__main__":
    main()
