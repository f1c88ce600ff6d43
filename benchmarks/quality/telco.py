"""Telco churn (IBM's sample of a fictional telephone company): five times two random folds."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.report import Result
from benchmarks.quality.tables import mean_auc
from events.files.table import open_table
from training.tables.holdouts import folds
from training.tables.labelled import label

FILE = "telco-churn/Telco-Customer-Churn.csv"
LIMIT, ALARM = 0.845, 0.87  # AUC; above the alarm something leaks


def measure(file: Path) -> dict[str, Result]:
    """The mean AUC over ten halves, and that of the best single column."""
    data = label(open_table(file), "Churn")
    splits = [in_test for seed in range(5) for in_test in folds(data.y, 2, seed)]
    ours, best_column = mean_auc("telco", data, splits)
    if ours > ALARM:
        print(f"  telco: AUC {ours:.3f} is above {ALARM}: something leaks")
    return {"telco_auc": Result(ours, "AUC", best_column, LIMIT, better="higher")}
