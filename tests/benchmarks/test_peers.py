"""What the benchmark of builds compares with computes the same features."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import btyd, build, lakes
from core.errors import PatronError
from core.home import Home

AS_OFS = lakes.AS_OFS[-2:]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> build.Sides:
    """A small lake, built by all three."""
    home = Home(tmp_path_factory.mktemp("lake"))
    lakes.make(home, 20_000)
    sides = build.Sides(home, AS_OFS, build.learn(home, AS_OFS))
    sides.limit()
    sides.peer()
    return sides


def test_hand_written_sql_and_pandas_have_the_products_values(sides: build.Sides) -> None:
    build.check(sides)


def test_another_value_fails_the_benchmark(sides: build.Sides) -> None:
    for side in ("sql", "pandas"):
        path = sides.home.path / side / "0.parquet"
        right = path.read_bytes()
        table = pd.read_parquet(path)
        table["value_tier"] = "A"
        table.to_parquet(path)
        with pytest.raises(PatronError, match=f"{side} has other values of value_tier"):
            build.check(sides)
        path.write_bytes(right)


def test_the_lake_is_the_same_each_time_and_says_something_of_every_feature(sides: build.Sides) -> None:
    table = pd.read_parquet(sides.home.path / "sql" / f"{len(AS_OFS) - 1}.parquet")
    assert {name for name in table if table[name].nunique() < 2} == set()
    again = Home(sides.home.path / "again")
    lakes.make(again, 20_000)
    for one in sorted(sides.home.events.rglob("*.parquet")):
        other = again.events / one.relative_to(sides.home.events)
        assert one.read_bytes() == other.read_bytes()


def test_floats_may_differ_by_rounding_only() -> None:
    ours = pd.DataFrame({"spend_total": [1.0, np.nan, 1e6], "orders_total": [1, 2, 3]})
    assert build.differing(ours, ours * (1 + 1e-12)) == ["orders_total"]
    assert build.differing(ours, ours.assign(spend_total=[1.0, 0.0, 1e6])) == ["spend_total"]
    assert build.differing(ours, ours.iloc[:2]) == ["the population"]


def test_a_python_without_lifetimes_is_refused_with_its_own_words(tmp_path: Path) -> None:
    file = tmp_path / "customers.npz"
    btyd.write(file, 50)
    with pytest.raises(PatronError, match="does not run lifetimes: ModuleNotFoundError"):
        btyd.lifetimes(file, Path(sys.executable))
    assert set(btyd.ours(file)) == {"r", "alpha", "a", "b", "fit", "predict", "gigabytes"}
