"""Bins: the distribution of features as counts per bin, stored at training time.

Numeric bins are quantiles of the reference. With bins of equal width, a heavy tail would put most customers
into one bin and hide a shift by half, and a single enormous order would widen the bins further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_CUSTOMERS = 10  # per published number, so that none is about a single customer
MAX_CATEGORIES = 20
_DIGITS = 6  # engines and stores differ in the remaining digits, which must not break ties
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}


def describe(frame: pd.DataFrame, bins: int = 10) -> dict[str, Any]:
    """Describe customers by shares per bin: small, JSON-serialisable, aggregates only.

    Numeric bins are cut at the unique quantiles; a value that a bin's worth of customers or more share has
    a bin of its own, with one below and one above. Infinite values count as missing. Categories of fewer
    than ``MIN_CUSTOMERS``, or beyond the ``MAX_CATEGORIES`` most frequent, are pooled.

    Args:
        frame: one row per customer and moment, one column per feature.
        bins: the maximum number of quantile bins; fewer if a bin would hold fewer than ``MIN_CUSTOMERS``.
    """
    columns = {str(name): _describe(frame[name], bins) for name in frame.columns}
    return {"rows": len(frame), "columns": columns}


def _describe(column: pd.Series[Any], bins: int) -> dict[str, Any]:
    kind = _kind(column)
    made = _numeric_bins(_numbers(column), bins) if kind == "number" else _categories(column, kind)
    spec = {"kind": kind, **made}
    *shares, missing = (counts_of(spec, column, np.ones(len(column))) / max(len(column), 1)).tolist()
    return spec | {"shares": shares, "missing": missing}


def _kind(column: pd.Series[Any]) -> str:
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred == "boolean":
        return "boolean"
    # A column without values has an unknown type; treating it as text makes every later value visible.
    return "number" if inferred in _NUMBERS and column.notna().any() else "text"


def _numbers(column: pd.Series[Any]) -> Array:
    """The values to ``_DIGITS`` significant digits; missing and infinite ones are NaN."""
    values: Array = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    size = np.abs(values)
    usual = np.isfinite(values) & (size > 1e-290)
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.where(usual, size, 1.0))))
    rounded = np.round(np.where(usual, values, 0.0) * scale) / scale
    return np.where(np.isfinite(values), rounded, np.nan)


def _texts(column: pd.Series[Any], kind: str) -> pd.Series[Any]:
    if kind == "boolean":  # stores return booleans as numbers, and a dict takes 1.0 for True
        return column.map({True: "true", False: "false"}.get, na_action="ignore")
    return column.astype(object).where(column.notna()).map(str, na_action="ignore")


def _numeric_bins(values: Array, bins: int) -> dict[str, Any]:
    present = values[~np.isnan(values)]
    bins = max(1, min(bins, len(present) // MIN_CUSTOMERS))
    distinct, counts = np.unique(present, return_counts=True)
    ranks = len(present) * np.arange(1, bins) / bins
    edges = distinct[np.searchsorted(np.cumsum(counts), ranks)]
    ties = distinct[counts >= max(MIN_CUSTOMERS, len(present) / bins)]
    return {"edges": np.union1d(edges, ties).tolist(), "ties": ties.tolist()}


def _categories(column: pd.Series[Any], kind: str) -> dict[str, Any]:
    counts = _texts(column, kind).value_counts()
    common = counts[counts >= MIN_CUSTOMERS]
    names = sorted((str(name) for name in common.index), key=lambda name: (-common[name], name))
    return {"values": names[:MAX_CATEGORIES]}


def _cuts(spec: Mapping[str, Any]) -> Array:
    """The upper bounds of all bins but the last; each bin includes its upper bound."""
    below = np.nextafter(np.array(spec["ties"], dtype=np.float64), -np.inf)
    return np.union1d(np.array(spec["edges"], dtype=np.float64), below)


def counts_of(spec: Mapping[str, Any], column: pd.Series[Any], weights: Array) -> Array:
    """The number of customers per bin, missing values last."""
    if spec["kind"] == "number":
        values, cuts = _numbers(column), _cuts(spec)
        present = ~np.isnan(values)
        codes, cells = np.searchsorted(cuts, values[present]), len(cuts) + 1
    else:
        texts = _texts(column, spec["kind"])
        present = column.notna().to_numpy()
        cells = len(spec["values"]) + 1
        codes = pd.Index(spec["values"], dtype=object).get_indexer(pd.Index(texts[present]))
        codes = np.where(codes < 0, cells - 1, codes)
    counts = np.bincount(codes, weights[present], minlength=cells)
    return np.append(counts, weights[~present].sum())


@dataclass(frozen=True)
class Bin:
    """A bin: the numbers above ``low`` up to ``high``, one number if they are equal, or a text.

    Attributes:
        low, high: None where the bin has no bound.
        text: of a bin of a text; None for numbers, and for the bin of all other texts.
    """

    low: float | None = None
    high: float | None = None
    text: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether the bin is of a single number."""
        return self.low is not None and self.low == self.high


def bins_of(spec: Mapping[str, Any]) -> list[Bin]:
    """The bins in the order of their shares, without that of missing values."""
    if spec["kind"] != "number":
        return [*(Bin(text=text) for text in spec["values"]), Bin()]
    cuts: list[float] = _cuts(spec).tolist()
    bounds = [None, *cuts, None]
    return [Bin(high, high) if high in spec["ties"] else Bin(low, high) for low, high in pairwise(bounds)]


def bin_names(spec: Mapping[str, Any]) -> list[str]:
    """The name of each bin, without that of missing values."""
    bins = bins_of(spec)
    if spec["kind"] != "number":
        return [*(repr(b.text) for b in bins[:-1]), "other values"]
    names = [_name_of(b) for b in bins]
    if len(bins) > 1 and bins[1].is_number:
        names[0] = f"below {_plain(bins[1].high or 0.0)}"
    return names


def _name_of(of: Bin) -> str:
    if of.is_number:
        return f"exactly {_plain(of.high or 0.0)}"
    if of.low is None:
        return "any value" if of.high is None else f"up to {_plain(of.high)}"
    return f"above {_plain(of.low)}" if of.high is None else f"{_plain(of.low)}..{_plain(of.high)}"


def _plain(value: float) -> str:
    if abs(value) < 1e-290:  # the cut just below ties at 0
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
