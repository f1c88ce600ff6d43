"""Hold-outs of a table, the choice of a configuration, and rankings by a single column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.estimators.trees import CalibratedTrees, MoneyTrees
from models.registry.encoding import Column
from training.tables import single_columns
from training.tables.configurations import LEAVES, ROUNDS, Configuration, choose
from training.tables.holdouts import INNER_CUTS, Holdout, earlier_and_later, folds, forward

NUMBER = Column("age", "float64", "number", "")
CATEGORY = Column("plan", "string", "category", "", ("a", "b"))
moments = st.lists(st.integers(0, 50), min_size=20, max_size=80).map(lambda days: np.array(days, np.float64))


@given(moments)
def test_a_split_by_time_holds_out_the_latest_rows(times: np.ndarray) -> None:
    stored = earlier_and_later(times, 0.8)
    assert sorted([*stored.fit, *stored.test]) == list(range(len(times)))
    assert len(stored.test) >= len(times) - int(len(times) * 0.8)
    assert times[stored.fit].max(initial=-1) < times[stored.test].min()


@given(moments)
def test_inner_splits_go_forward_in_time_and_test_each_row_at_most_once(times: np.ndarray) -> None:
    splits = forward(times)
    assert len(splits) == len(INNER_CUTS) - 1
    for split in splits:
        assert times[split.fit].max(initial=-1) < times[split.test].min(initial=51)
    tested = np.concatenate([split.test for split in splits])
    assert len(set(tested)) == len(tested)


@given(st.integers(2, 6), st.lists(st.booleans(), min_size=20, max_size=80), st.integers(0, 3))
def test_random_folds_partition_the_rows_and_are_stratified(
    count: int, outcomes: list[bool], seed: int
) -> None:
    y = np.array(outcomes, np.float64)
    result = folds(y, count, seed)
    assert sorted(np.concatenate([f.test for f in result])) == list(range(len(y)))
    assert all(set(f.fit) | set(f.test) == set(range(len(y))) for f in result)
    having = [y[f.test].sum() for f in result]
    assert max(having) - min(having) <= 1
    for one, other in zip(result, folds(y, count, seed), strict=True):
        np.testing.assert_array_equal(one.test, other.test)


@pytest.mark.parametrize(("kind", "estimator"), [("probability", CalibratedTrees), ("money", MoneyTrees)])
def test_a_configuration_is_chosen_on_the_splits_only(kind: str, estimator: type) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2))
    y = (x[:, 0] + rng.normal(size=900) > 0.5).astype(np.float64)
    splits = [Holdout(split.fit, split.test) for split in folds(y[:600], 3)]
    chosen = choose(kind, x, y, [], splits, {})
    assert chosen.leaves in LEAVES
    assert chosen.rounds in ROUNDS
    made = chosen.estimator(kind)
    assert isinstance(made, estimator)
    assert (made.rounds, made.parameters["num_leaves"]) == (chosen.rounds, chosen.leaves)
    y[600:] = 1 - y[600:]  # of nobody in a split
    assert choose(kind, x, y, [], splits, {}) == chosen
    assert choose(kind, x, y, [], [], {}) == Configuration()


def test_one_column_ranks_by_its_bins_and_within_them_by_its_value() -> None:
    values = np.arange(100.0)
    rising = single_columns.fit(NUMBER, values, values)
    np.testing.assert_array_equal(rising.score(values), np.arange(100))
    falling = single_columns.fit(NUMBER, values, -values + 99)
    np.testing.assert_array_equal(falling.score(values), np.arange(100)[::-1])
    middle = single_columns.fit(NUMBER, values, (abs(values - 50) < 20).astype(np.float64))
    assert middle.score(np.array([50.0]))[0] == 0  # alone there is nothing to rank
    low, high, most = middle.score(np.array([2.0, 98.0, 50.0]))
    assert most > max(low, high)


def test_missing_values_are_a_bin_of_their_own_and_what_was_never_seen_gets_the_mean() -> None:
    codes = np.array([0.0, 0.0, 1.0, 1.0, np.nan, np.nan])
    plan = single_columns.fit(CATEGORY, codes, np.array([0.0, 0, 1, 1, 5, 5]))
    assert plan.means.tolist() == [0, 1, 5]
    assert plan.score(np.array([np.nan, 1.0, 0.0, 1.0])).tolist() == [2, 1, 0, 1]
    none = single_columns.fit(NUMBER, np.full(4, np.nan), np.array([0.0, 1, 0, 1]))
    assert np.isfinite(none.score(np.array([np.nan, 3.0]))).all()
    assert single_columns.fit(NUMBER, np.arange(4.0), np.ones(4)).means[-1] == 1  # nobody was missing


def test_columns_are_ranked_on_customers_outside_of_the_fit() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(2000) < 0.5).astype(np.float64)
    x = np.column_stack([rng.normal(size=2000), y + rng.normal(size=2000)])
    noise, signal = NUMBER, Column("signal", "float64", "number", "")
    result = single_columns.rank("probability", [noise, signal], x, y)
    assert list(result) == ["signal", "age"]
    assert 0.7 < result["signal"] < 0.82
    assert abs(result["age"] - 0.5) < 0.05
