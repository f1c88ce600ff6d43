"""The bins of a distribution: their bounds, and their names."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.measures.bins import Bin, bin_names, bins_of
from models.measures.reference import describe


def test_a_value_that_many_share_has_a_bin_of_its_own() -> None:
    column = pd.DataFrame({"orders": [0] * 500 + [1] * 300 + [*range(2, 202)]})
    spec = describe(column, bins=4)["columns"]["orders"]
    bins = bins_of(spec)
    assert len(bins) == len(spec["shares"])
    by_bin = {(of.low, of.high): share for of, share in zip(bins, spec["shares"], strict=True)}
    assert by_bin[0, 0] == 0.5
    assert by_bin[1, 1] == 0.3
    assert (bins[0].low, bins[-1].high) == (None, None)
    assert bin_names(spec)[:2] == ["below 0", "exactly 0"]


def test_bounds_are_those_by_which_values_are_counted() -> None:
    values = np.random.default_rng(0).normal(size=400).round(3)
    spec = describe(pd.DataFrame({"x": values}), bins=5)["columns"]["x"]
    for of, share in zip(bins_of(spec), spec["shares"], strict=True):
        low, high = (-np.inf if of.low is None else of.low), (np.inf if of.high is None else of.high)
        assert ((values > low) & (values <= high)).mean() == np.float64(share)


def test_texts_and_columns_without_values_have_bins() -> None:
    spec = describe(pd.DataFrame({"x": ["a"] * 20 + ["b"] * 30 + ["c"]}))["columns"]["x"]
    assert bins_of(spec) == [Bin(text="b"), Bin(text="a"), Bin()]
    assert bin_names(spec) == ["'b'", "'a'", "other values"]
    constant = describe(pd.DataFrame({"x": [1.0] * 5}))["columns"]["x"]
    assert len(bins_of(constant)) == len(constant["shares"])
