"""Measures of rankings, compared with their formulae and with values computed by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.measures import ranking_metrics
from models.measures.metrics import paired_bootstrap

HITS = st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=8)


@given(HITS, st.integers(0, 9))
def test_both_measures_are_their_formulae(hits: list[list[bool]], unseen: int) -> None:
    relevant = [sum(row) + unseen + (not any(row)) for row in hits]
    shown = np.array(hits)
    for row, count, success, ndcg in zip(
        hits,
        relevant,
        ranking_metrics.success(shown),
        ranking_metrics.ndcg(shown, np.array(relevant)),
        strict=True,
    ):
        gained = sum(1 / log2(place + 1) for place, hit in enumerate(row, 1) if hit)
        best = sum(1 / log2(place + 1) for place in range(1, min(5, count) + 1))
        assert success == any(row)
        assert ndcg == pytest.approx(gained / best)


def test_ndcg_has_the_values_worked_out_by_hand() -> None:
    hits = np.array([[True, True, False], [False, True, False], [False, False, False]])
    result = ranking_metrics.ndcg(hits, np.array([2, 1, 4]))
    assert result == pytest.approx([1, 1 / log2(3), 0])


def test_an_earlier_hit_is_worth_more() -> None:
    one_hit = np.eye(6, dtype=bool)
    result = ranking_metrics.ndcg(one_hit, np.full(6, 3))
    assert (np.diff(result) < 0).all()


def test_ndcg_is_undefined_without_relevant_items() -> None:
    assert np.isnan(ranking_metrics.ndcg(np.zeros((1, 3), bool), np.array([0])))[0]


def test_values_per_customer_are_compared_by_the_paired_bootstrap() -> None:
    ours, theirs = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 0.0])
    mean, low, high = paired_bootstrap([(ours, ours, theirs)], lambda _, v: float(v.mean()), draws=200)
    assert mean == 0.5
    assert 0 <= low < 0.5 < high <= 1
