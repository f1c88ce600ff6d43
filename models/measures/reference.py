"""The reference for drift: the distribution of features as shares per bin, stored at training time.

Numeric bins are quantiles of the reference. With bins of equal width, a heavy tail would put most customers
into one bin and hide a shift by half, and a single enormous order would widen the bins further.
"""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from core.storage import duckdb_engine
from models.measures.bin_counts import count_bins
from models.measures.bins import Array, to_significant

MIN_CUSTOMERS = 10  # per published number, so that none is about a single customer
MAX_CATEGORIES = 20
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
    specs: dict[str, dict[str, Any]] = {}
    columns: dict[str, pa.Array] = {}
    for name in frame.columns:
        kind = _kind(frame[name])
        if kind == "number":
            numbers = _numbers(frame[name])
            made, values = _numeric_bins(to_significant(numbers), bins), pa.array(numbers, from_pandas=True)
        else:
            texts = _texts(frame[name], kind)
            made, values = _categories(texts), pa.array(texts, pa.string(), from_pandas=True)
        # Engines do not distinguish the letters of names by their case.
        column = f"c{len(specs)}"
        specs[column], columns[column] = {"kind": kind} | made, values
    counts = count_bins(duckdb_engine.connect(), ibis.memtable(pa.table(columns)), specs)
    described = {}
    for name, (column, spec) in zip(frame.columns, specs.items(), strict=True):
        *shares, missing = (counts[column] / max(len(frame), 1)).tolist()
        described[str(name)] = spec | {"shares": shares, "missing": missing}
    return {"rows": len(frame), "columns": described}


def _kind(column: pd.Series[Any]) -> str:
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred == "boolean":
        return "boolean"
    # A column without values has an unknown type; treating it as text makes every later value visible.
    return "number" if inferred in _NUMBERS and column.notna().any() else "text"


def _numbers(column: pd.Series[Any]) -> Array:
    values: Array = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _texts(column: pd.Series[Any], kind: str) -> pd.Series[Any]:
    if kind == "boolean":
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


def _categories(texts: pd.Series[Any]) -> dict[str, Any]:
    counts = texts.value_counts()
    common = counts[counts >= MIN_CUSTOMERS]
    names = sorted((str(name) for name in common.index), key=lambda name: (-common[name], name))
    return {"values": names[:MAX_CATEGORIES]}
