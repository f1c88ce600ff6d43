"""Checks before a promotion: is a version significantly better than the simplest baseline and the champion?

Both checks use a paired bootstrap over customers (:func:`models.measures.metrics.paired_bootstrap`), at
moments whose outcomes are in the training data of none of the compared fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.spec import Question
from training.evaluation.compare import RankingDifference, TestSet, difference
from training.evaluation.evaluate import RANKING

OURS, CHAMPION = "ours", "champion"
"""The names of the new version's scores and of the champion's in a test set."""


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison with a baseline or the champion.

    Attributes:
        words: the comparison and its result, as text.
        passed: whether this comparison permits the promotion.
        metrics: the difference's mean and the bounds of its 95 % interval, by name.
    """

    words: str
    passed: bool
    metrics: Mapping[str, float]


def over_baseline(model: Question, test_sets: Sequence[TestSet]) -> Comparison:
    """Whether the model ranks significantly better than its first baseline, the simplest."""
    name, baseline = RANKING[model.kind][0], model.baselines[0].name
    result = difference(model.kind, test_sets, OURS, baseline)
    if result is None:
        return Comparison(f"{name} over {baseline} cannot be computed: there are too few outcomes", False, {})
    head = f"{name} over {baseline} is {result.words}{_moments(test_sets)}"
    metrics = interval_metrics(f"{name}_over_{baseline}", result)
    if result.low > 0:
        return Comparison(head, True, metrics)
    why = f"{head}, and must be significantly above 0: a model must beat the simplest baseline"
    return Comparison(why, False, metrics)


def over_other_recipe(kind: str, test_sets: Sequence[TestSet], version: str) -> Comparison:
    """Whether a recipe ranks significantly better than the champion's different recipe.

    Args:
        test_sets: with the scores ``OURS`` and ``CHAMPION``, by fits that did not know the outcomes.
        version: the champion.
    """
    result = difference(kind, test_sets, OURS, CHAMPION)
    head = f"version {version}, the champion, has another recipe"
    if result is None:
        return Comparison(f"{head}, and there are too few outcomes to compare the two", False, {})
    name = RANKING[kind][0]
    words = f"{head}: the difference in {name} is {result.words}{_moments(test_sets)}"
    metrics = interval_metrics(f"{name}_over_{CHAMPION}", result)
    if result.low > 0:
        return Comparison(words, True, metrics)
    return Comparison(f"{words}, and must be significantly above 0 to replace it", False, metrics)


def interval_metrics(name: str, result: RankingDifference) -> dict[str, float]:
    """A difference as three metrics: its mean and the bounds of its 95 % interval."""
    return {f"{name}_mean": result.mean, f"{name}_low": result.low, f"{name}_high": result.high}


def _moments(test_sets: Sequence[TestSet]) -> str:
    return f" at {len(test_sets)} moments" if len(test_sets) > 1 else ""
