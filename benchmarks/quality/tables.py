"""Tables with one row per customer, trained and tested by the functions of ``patron train --table``.

Configurations are chosen on inner splits; held-out rows have no influence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.tables.examination import examine
from training.tables.holdouts import Holdout
from training.tables.labelled import Labelled


def mean_auc(name: str, data: Labelled, splits: Sequence[Holdout]) -> tuple[float, float]:
    """Over the splits, ours and that of the best single column."""
    values = []
    for holdout in splits:
        _, exam = examine(name, data, holdout)
        shown = exam.evaluation.metrics
        values.append((shown["auc"], shown["auc_best_column"]))
        print(
            f"  {name}: AUC {shown['auc']:.4f}; {len(holdout.test):,} test rows,"
            f" {len(holdout.fit):,} training rows; best single column"
            f" {shown['auc_best_column']:.4f}; calibration slope"
            f" {shown['calibration_slope']:.2f}; {exam.configuration}"
        )
    ours, best = np.mean(values, axis=0)
    print(f"  {name}: mean {ours:.4f}, standard deviation {np.std([auc for auc, _ in values]):.4f}")
    return float(ours), float(best)
