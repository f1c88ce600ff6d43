"""Selection of the number of leaves and rounds of trees, on inner splits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from models.estimators.trees import CalibratedTrees, MoneyTrees, grow
from models.spec import Array
from training.evaluation.evaluate import RANKING
from training.tables.holdouts import Holdout

LEAVES = (4, 8, 15)
ROUNDS = (50, 100, 150, 200, 300)


@dataclass(frozen=True)
class Configuration:
    """The number of leaves and of trees."""

    leaves: int = 15
    rounds: int = 150

    def estimator(self, kind: str) -> CalibratedTrees | MoneyTrees:
        """The estimator for ``probability`` or ``money``."""
        usual = CalibratedTrees() if kind == "probability" else MoneyTrees()
        return replace(usual, rounds=self.rounds, parameters=usual.parameters | {"num_leaves": self.leaves})


def choose(kind: str, x: Array, y: Array, categorical: list[int], splits: Sequence[Holdout]) -> Configuration:
    """The configuration that ranks best, on average over the splits; the default one without splits.

    Args:
        splits: training and test rows of ``x`` and ``y``.
    """
    if not splits:
        return Configuration()
    by_configuration: dict[Configuration, float] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for leaves in LEAVES:
            jobs = [pool.submit(_by_rounds, kind, leaves, x, y, categorical, split) for split in splits]
            means = np.mean([job.result() for job in jobs], axis=0)
            by_configuration |= {
                Configuration(leaves, n): float(v) for n, v in zip(ROUNDS, means, strict=True)
            }
    return max(by_configuration, key=lambda configuration: by_configuration[configuration])


def _by_rounds(
    kind: str, leaves: int, x: Array, y: Array, categorical: list[int], split: Holdout
) -> list[float]:
    """The ranking measure of one fit's first trees on the split's test rows, for each of ``ROUNDS``."""
    parameters = Configuration(leaves).estimator(kind).parameters
    trees = grow(parameters, ROUNDS[-1], x[split.fit], y[split.fit], categorical)
    _, ranking = RANKING[kind]
    tested = x[split.test]
    return [
        ranking(
            y[split.test],
            np.asarray(trees.predict(tested, raw_score=True, num_iteration=rounds, num_threads=1)),
        )
        for rounds in ROUNDS
    ]
