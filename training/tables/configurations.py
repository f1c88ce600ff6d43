"""The estimator of a table's model: trees, whose size is selected on inner splits, or a user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from models.estimator import Array, Estimator
from models.estimators.own.definition import Definition
from models.estimators.own.estimator import OwnEstimator
from models.estimators.target_encoding import TargetEncodedTrees, fit_encoding
from models.estimators.trees import CalibratedTrees, MoneyTrees, grow
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

    def encoding_estimator(self, kind: str, encoded: Mapping[int, int]) -> Estimator:
        """The estimator for a matrix whose ``encoded`` columns, with their numbers of categories, are
        target-encoded.
        """
        trees = self.estimator(kind)
        return TargetEncodedTrees(trees, encoded) if encoded else trees


@dataclass(frozen=True)
class OwnConfiguration:
    """A user's estimator; it has no settings to select."""

    definition: Definition

    def estimator(self, kind: str) -> OwnEstimator:
        """The estimator for ``probability`` or ``money``."""
        return OwnEstimator(self.definition.call, kind, self.definition.file)

    def encoding_estimator(self, kind: str, _encoded: Mapping[int, int]) -> Estimator:
        """The same estimator, which gets categories as indicators, however many there are."""
        return self.estimator(kind)


def choose(
    kind: str, x: Array, y: Array, categorical: list[int], splits: Sequence[Holdout],
    encoded: Mapping[int, int],
) -> Configuration:  # fmt: skip
    """The configuration that ranks best, on average over the splits; the default one without splits.

    Args:
        splits: training and test rows of ``x`` and ``y``.
        encoded: by position of a target-encoded column the number of its categories.
    """
    if not splits:
        return Configuration()
    by_configuration: dict[Configuration, float] = {}
    native = [column for column in categorical if column not in encoded]
    encodings = [fit_encoding(x[split.fit], y[split.fit], encoded) for split in splits]
    matrices = [
        (fit, encoding.transform(x[s.test])) for s, (encoding, fit) in zip(splits, encodings, strict=True)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for leaves in LEAVES:
            jobs = [
                pool.submit(_by_rounds, kind, leaves, fit, y[split.fit], native, test, y[split.test])
                for split, (fit, test) in zip(splits, matrices, strict=True)
            ]
            means = np.mean([job.result() for job in jobs], axis=0)
            by_configuration |= {
                Configuration(leaves, n): float(v) for n, v in zip(ROUNDS, means, strict=True)
            }
    return max(by_configuration, key=lambda configuration: by_configuration[configuration])


def _by_rounds(
    kind: str, leaves: int, x: Array, y: Array, categorical: list[int], tested: Array, outcome: Array
) -> list[float]:
    """The ranking measure of one fit's first trees on the tested rows, for each of ``ROUNDS``."""
    parameters = Configuration(leaves).estimator(kind).parameters
    trees = grow(parameters, ROUNDS[-1], x, y, categorical)
    _, ranking = RANKING[kind]
    return [
        ranking(
            outcome,
            np.asarray(trees.predict(tested, raw_score=True, num_iteration=rounds, num_threads=1)),
        )
        for rounds in ROUNDS
    ]
