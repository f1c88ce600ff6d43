"""Compares the ranking of versions and baselines on the same customers, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.estimator import Array
from models.measures import metrics
from training.evaluation.evaluate import RANKING
from training.evaluation.slices import Mask, enough, slices

DRAWS, DRAWS_OF_PARTS = 1000, 300
MIN_OUTCOMES_PER_TEST_SET = 5  # of each kind, if several test sets are combined
Measure = Callable[[Array, Array], float]


@dataclass(frozen=True)
class TestSet:
    """The customers of one moment, with outcomes and scores.

    Attributes:
        origin: the day of the moment, ISO 8601.
        seen_by: scorers trained after the moment, whose training data may include its outcomes.
        frame: ``customer_key``, ``label`` and the features of the slices.
        scores: by scorer (a version or a baseline), one per row.
    """

    origin: str
    seen_by: tuple[str, ...]
    frame: pd.DataFrame
    scores: Mapping[str, Array]


@dataclass(frozen=True)
class RankingDifference:
    """The first scorer's measure minus another's: mean over origins, 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """The difference with its interval."""
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class ComparisonRow:
    """The measures of a slice of the customers.

    Attributes:
        customers: the number of different customers over all origins.
        scores: the mean measure over origins by scorer; empty if there are too few outcomes.
        over: the first scorer's difference from each other scorer.
    """

    of: str
    customers: int
    scores: Mapping[str, float]
    over: Mapping[str, RankingDifference]


@dataclass(frozen=True)
class RankingComparison:
    """The comparison of the first scorer with the others; slices are compared with the ``rival``."""

    measure: str
    first: str
    rival: str
    seen_by: Mapping[str, Sequence[str]]
    all: ComparisonRow
    by_origin: tuple[ComparisonRow, ...]
    by_slice: tuple[ComparisonRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return asdict(self) | {"verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """Which scorer ranks better, as a sentence."""
        difference = self.all.over[self.rival]
        pair = f"{self.first} and {self.rival}"
        sentence = f"between {pair} there is no significant difference."
        if difference.low > 0 or difference.high < 0:
            better = "better" if difference.low > 0 else "worse"
            sentence = f"{self.first} ranks significantly {better} than {self.rival}."
        if any(self.seen_by.values()):
            return f"On outcomes that were seen, {sentence}"
        return sentence[0].upper() + sentence[1:]


def compare(
    kind: str, test_sets: Sequence[TestSet], first: str, rival: str | None
) -> RankingComparison | None:
    """Compare the first scorer with all others; None if there are too few outcomes.

    Args:
        kind: the model's kind, which determines the measure.
        rival: the scorer with which slices are compared; by default the best of the others.
    """
    name, measure = RANKING[kind]
    whole = _row("all", kind, measure, [(e, _all(e)) for e in test_sets], first, None, DRAWS)
    if not whole.scores:
        return None
    others = {other: score for other, score in whole.scores.items() if other != first}
    rival = rival or max(others, key=lambda other: others[other])

    def part(of: str, chosen: list[tuple[TestSet, Mask]]) -> ComparisonRow:
        return _row(of, kind, measure, chosen, first, [rival], DRAWS_OF_PARTS)

    sliced = _sliced(test_sets)
    return RankingComparison(
        name,
        first,
        rival,
        {e.origin: e.seen_by for e in test_sets},
        whole,
        tuple(part(e.origin, [(e, _all(e))]) for e in test_sets),
        tuple(part(of, chosen) for of, chosen in sliced.items()),
    )


def _all(test_set: TestSet) -> Mask:
    return np.ones(len(test_set.frame), np.bool_)


def _sliced(test_sets: Sequence[TestSet]) -> dict[str, list[tuple[TestSet, Mask]]]:
    """The rows of each slice in each test set; the common values are those over all test sets."""
    together = pd.concat([test_set.frame for test_set in test_sets], ignore_index=True)
    ends = np.cumsum([len(test_set.frame) for test_set in test_sets])[:-1]
    return {
        of: list(zip(test_sets, np.split(mask, ends), strict=True))
        for of, mask in slices(together)
        if mask.any()
    }


def _row(
    of: str, kind: str, measure: Measure, chosen: list[tuple[TestSet, Mask]],
    first: str, others: Sequence[str] | None, draws: int,
) -> ComparisonRow:  # fmt: skip
    """The measures of some rows, over the origins at which there are enough outcomes."""
    keys = [test_set.frame["customer_key"].to_numpy(np.int64)[mask] for test_set, mask in chosen]
    customers = len(np.unique(np.concatenate(keys)))
    outcomes = [test_set.frame["label"].to_numpy(np.float64)[mask] for test_set, mask in chosen]
    used = [i for i, outcome in enumerate(outcomes) if enough(kind, outcome)]
    if not used:
        return ComparisonRow(of, customers, {}, {})

    def of_scorer(scorer: str) -> list[Array]:
        return [chosen[i][0].scores[scorer][chosen[i][1]] for i in used]

    y, ours = [outcomes[i] for i in used], of_scorer(first)
    names = list(chosen[0][0].scores)
    means = {
        name: float(np.mean([measure(a, b) for a, b in zip(y, of_scorer(name), strict=True)]))
        for name in names
    }
    whose = [keys[i] for i in used]
    over = {
        name: _difference(measure, y, ours, of_scorer(name), whose, draws)
        for name in (others or names)
        if name != first
    }
    return ComparisonRow(of, customers, means, over)


def _difference(
    measure: Measure, y: Sequence[Array], ours: Sequence[Array], other: Sequence[Array],
    customers: list[NDArray[np.int64]], draws: int,
) -> RankingDifference:  # fmt: skip
    origins = list(zip(y, ours, other, strict=True))
    return RankingDifference(*metrics.paired_bootstrap(origins, measure, draws, customers=customers))


def difference(kind: str, test_sets: Sequence[TestSet], first: str, other: str) -> RankingDifference | None:
    """How much better the first scorer ranks than another.

    Only test sets with ``MIN_OUTCOMES_PER_TEST_SET`` outcomes of each kind count; None if all together have
    too few outcomes.
    """
    outcomes = [test_set.frame["label"].to_numpy(np.float64) for test_set in test_sets]
    used = [
        test_set
        for test_set, outcome in zip(test_sets, outcomes, strict=True)
        if enough(kind, outcome, MIN_OUTCOMES_PER_TEST_SET)
    ]
    if not used or not enough(kind, np.concatenate(outcomes)):
        return None
    return _difference(
        RANKING[kind][1],
        [test_set.frame["label"].to_numpy(np.float64) for test_set in used],
        [test_set.scores[first] for test_set in used],
        [test_set.scores[other] for test_set in used],
        [test_set.frame["customer_key"].to_numpy(np.int64) for test_set in used],
        DRAWS,
    )


def table(comparison: RankingComparison) -> str:
    """The comparison as a text table."""
    names = list(comparison.all.scores)
    widths = [max(len(name), 7) for name in names]
    wide = max(len(row.of) for row in (comparison.all, *comparison.by_origin, *comparison.by_slice))
    heads = "  ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [
        f"{comparison.measure:<{wide}}  customers  {heads}  {comparison.first} less {comparison.rival} (95 %)"
    ]
    for row in (comparison.all, *comparison.by_origin, *comparison.by_slice):
        cells = "  ".join(
            f"{row.scores[name]:>{width}.3f}" if row.scores else f"{'-':>{width}}"
            for name, width in zip(names, widths, strict=True)
        )
        words = row.over[comparison.rival].words if row.scores else "too few outcomes"
        lines.append(f"{row.of:<{wide}}  {row.customers:>9,}  {cells}  {words}")
    lines += [
        f"{comparison.first} less {name}: {difference.words}"
        for name, difference in comparison.all.over.items()
        if name != comparison.rival
    ]
    return "\n".join([*lines, comparison.verdict])
