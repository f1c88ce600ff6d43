"""Levels out of time: `python -m benchmarks.levels [--data FOLDER] [--only SHOP]`. Takes 40 minutes.

At every month start whose outcome is known, the default recipe is fitted on what was known then, as training
publishes it, and its total is compared with the actual one. The peer of money is what the same customers
brought in as many days before; of churn and propensity, the last known rate.
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.harness.report import Result, publish
from benchmarks.levels.forecasts import Forecast, forecasts, own_months
from benchmarks.levels.shops import IMPORTED, SIMULATED, exists, opened
from benchmarks.levels.truth import errors
from benchmarks.quality import DATA
from core.errors import PatronError
from features.workspace import Workspace
from models.questions import MODELS
from training.customers.horizon import with_horizon

MONEY_HORIZONS = (30, 90, 180, 270)
SIMULATED_HORIZONS = (90, 270)
RATES = ("churn", "propensity")


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether predicted totals come true.")
    parser.add_argument("--data", type=Path, default=DATA, help="Where the data sets are, a folder for each.")
    parser.add_argument("--only", choices=[*IMPORTED, *SIMULATED], help="One shop.")
    arguments = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    results: dict[str, Result] = {}
    made: dict[str, list[Forecast]] = {}
    for name in (*IMPORTED, *SIMULATED):
        if arguments.only not in (None, name):
            continue
        if not exists(name, arguments.data):
            print(f"{name}: its file is not in {arguments.data}")
            continue
        with opened(name, arguments.data) as workspace:
            ours, others = measure(name, workspace)
            if name in SIMULATED:
                others |= against_truth(name, workspace)
        made |= ours
        results |= others
    if not made:
        raise SystemExit("nothing was measured: name the folder of the data with --data")
    publish("levels", summary(made) | results)


def measure(name: str, workspace: Workspace) -> tuple[dict[str, list[Forecast]], dict[str, Result]]:
    """The forecasts of a shop by measure, and the levels of the months of today's versions."""
    horizons = MONEY_HORIZONS if name in IMPORTED else SIMULATED_HORIZONS
    measures = [(f"level_money_{name}_{days}", "clv", days) for days in horizons]
    measures += [(f"level_{model}_{name}", model, MODELS[model].horizon_days) for model in RATES]
    made: dict[str, list[Forecast]] = {}
    results: dict[str, Result] = {}
    for measure_name, model_name, days in measures:
        model = with_horizon(MODELS[model_name], days)
        try:
            rows = forecasts(workspace, model)
            own = own_months(workspace, model)
        except PatronError as error:
            print(f"{measure_name}: {error}")
            continue
        if not rows:
            print(f"{measure_name}: no month start has enough history and a known outcome")
            continue
        made[measure_name] = rows
        for row in rows:
            print(
                f"{measure_name} {row.day}: predicted/actual {np.exp(row.error):.2f}, naive"
                f" {np.exp(row.naive_error):.2f}, slope {row.slope:.2f}"
                + (f", coverage {row.coverage[0]:.2f}, top {row.coverage[1]:.2f}" if row.coverage else ""),
                flush=True,
            )
        if len(own):
            key = f"level_own_months_{name}_{model_name}" + (f"_{days}" if model_name == "clv" else "")
            worst = own[np.abs(np.log(own)).argmax()]
            results[key] = Result(float(np.exp(np.log(own).mean())), f"worst month {worst:.2f}", limit=1.0)
    return made, results


def against_truth(name: str, workspace: Workspace) -> dict[str, Result]:
    """The mean error of today's clv against the truth; the peer has the level of its training months."""
    for days in reversed(SIMULATED_HORIZONS):
        if made := errors(workspace, name, days):
            return {f"clv_truth_{name}_{days}": Result(made[0], "currency per customer", made[1])}
    return {}


def summary(made: dict[str, list[Forecast]]) -> dict[str, Result]:
    """The mean error of each measure with its peer's; means over all measures, slopes and coverage."""
    results = {
        name: Result(_mean([r.error for r in rows]), "mean |log|", _mean([r.naive_error for r in rows]))
        for name, rows in made.items()
    }
    money = {name: result for name, result in results.items() if name.startswith("level_money")}
    ratios = [r.ours / r.peer for r in money.values() if r.peer]
    results["level_money_to_naive"] = Result(float(np.mean(ratios)), "mean of ours / naive", limit=0.9)
    results["level_money_to_naive_worst"] = Result(max(ratios), "largest ours / naive", limit=1.1)
    yearly = [[r for r in made[name] if r.after_a_year] for name in money]
    after = [_mean([r.error for r in rows]) / _mean([r.naive_error for r in rows]) for rows in yearly if rows]
    if after:
        results["level_money_to_naive_after_a_year"] = Result(
            float(np.mean(after)), "mean of ours / naive", limit=0.8
        )
    slopes: defaultdict[str, list[float]] = defaultdict(list)
    for name, rows in made.items():
        slopes[name.split("_")[1]] += [row.slope for row in rows if np.isfinite(row.slope)]
    results |= {
        f"slope_{kind}": Result(float(np.mean(values)), "mean slope", limit=1.0)
        for kind, values in slopes.items()
    }
    covered = [row.coverage for rows in made.values() for row in rows if row.coverage is not None]
    if covered:
        both = np.mean(covered, axis=0)
        results["coverage"] = Result(float(both[0]), "share", limit=0.9, better="higher")
        results["coverage_top_decile"] = Result(float(both[1]), "share", limit=0.9, better="higher")
    return results


def _mean(errors: list[float]) -> float:
    return float(np.mean(np.abs(errors)))


if __name__ == "__main__":
    main()
