"""Propensity per category against habit: `python -m benchmarks.categories [--customers N] [--seeds N]`.

Simulated shops, each tested by time, 30 days ahead. The baseline is each customer's orders of the last year
times the category's share of them. Differences are between the shops' means.
"""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.report import Result, publish
from features import lake, populations
from features.calendar import day_of
from features.home import Clock, Home, Shop
from features.sources.simulate import Plan, simulate
from models.category_propensity import Asked
from training.category_propensity import examine, order_lines

MEASURES = ("auc", "auc_within_category", "auc_within_customer")
ORIGINS = 14
UNTIL = datetime(2024, 7, 1, tzinfo=UTC)


def shown(seed: int, customers: int) -> dict[str, float]:
    """What the model shows on one shop."""
    plan = Plan(start=date(2021, 7, 1), seed=seed, customers=customers)
    with TemporaryDirectory() as folder:
        home, backend = Home(Path(folder)), lake.connect()
        simulate(backend.con, plan, UNTIL)
        lake.write(home, backend.con, plan.time_zone, {"source": "simulate"})
        home.write_shop(Shop("simulate", plan.time_zone, plan.currency, Clock(UNTIL)))
        origins = [Asked(m, day_of(m, plan.time_zone)) for m in populations.origins(home)[-ORIGINS:]]
        lines = order_lines(lake.read(home, lake.connect()))
        return examine(lines, origins, Asked(UNTIL, day_of(UNTIL, plan.time_zone))).measures


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Propensity per category against habit.")
    parser.add_argument("--customers", type=int, default=3000, help="Of each shop.")
    parser.add_argument("--seeds", type=int, default=3, help="How many shops.")
    asked = parser.parse_args()
    found = [shown(seed, asked.customers) for seed in range(1, asked.seeds + 1)]
    for seed, one in enumerate(found, 1):
        print(f"shop {seed}: " + ", ".join(f"{name} {value:.4g}" for name, value in one.items()))

    def mean(name: str) -> float:
        return float(np.mean([one[name] for one in found]))

    results = {m: Result(mean(m), "AUC", mean(f"{m}_habit"), better="higher") for m in MEASURES}
    publish("categories", results)


if __name__ == "__main__":
    main()
