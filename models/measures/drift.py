"""What a model was trained on, as counts per bin, and how far customers have moved from it since.

The bins are frozen at training. Numbers get the reference's own quantiles as bins: of equal-width
bins a heavy tail leaves most customers in one, where spend can grow by half unseen, and a single
enormous order stretches them further.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_CUSTOMERS = 10  # behind anything shown, so that nothing shown is one customer's
MAX_CATEGORIES = 20
PSI_THRESHOLD = 0.1  # Siddiqi (2006): below it, no change worth acting on
MISSING_RISE = 0.03  # of all customers; a share up by this much and by half is a feed that broke
FALSE_DISCOVERIES = 0.01
_DIGITS = 6  # engines and stores differ in the last ones, which must not move a value off its tie
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}


@dataclass(frozen=True)
class ColumnDrift:
    """How far one column moved.

    Attributes:
        psi: population stability index in nats, 0 for none: sum over bins of (q - p) ln(q / p).
        noise: the PSI to expect when nothing changed: (bins - 1) (1 / reference + 1 / current).
        p_value: of Pearson's chi-square test that both were drawn from one distribution.
        detail: what changed, in words.
        drifted: whether it changed enough, and surely enough, to act on.
    """

    column: str
    psi: float
    noise: float
    p_value: float
    detail: str
    drifted: bool


def describe(frame: pd.DataFrame, bins: int = 10) -> dict[str, Any]:
    """Describe customers by shares per bin: small, JSON-serialisable, aggregates only.

    Numbers are cut at the unique quantiles; a value held by a bin's worth of customers or more has
    a bin of its own, with one below and one above. Infinite counts as missing. Categories of fewer
    than ``LEAST_CUSTOMERS``, or beyond the ``MOST_CATEGORIES`` most frequent, are pooled.

    Args:
        frame: one row per customer and moment, one column per feature.
        bins: the most quantile bins; fewer where a bin would hold under ``LEAST_CUSTOMERS``.
    """
    columns = {str(name): _describe(frame[name], bins) for name in frame.columns}
    return {"rows": len(frame), "columns": columns}


def _describe(column: pd.Series[Any], bins: int) -> dict[str, Any]:
    kind = _kind(column)
    made = _numeric_bins(_numbers(column), bins) if kind == "number" else _categories(column, kind)
    spec = {"kind": kind, **made}
    *shares, missing = (_counts(spec, column, np.ones(len(column))) / max(len(column), 1)).tolist()
    return spec | {"shares": shares, "missing": missing}


def _kind(column: pd.Series[Any]) -> str:
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred == "boolean":
        return "boolean"
    # Of a column without any value the type is unknown, and as text whatever comes is seen.
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
    if kind == "boolean":  # stores hand booleans back as numbers, and 1.0 is True to a dict
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
    """The upper ends of all bins but the last, each bin holding its own upper end."""
    below = np.nextafter(np.array(spec["ties"], dtype=np.float64), -np.inf)
    return np.union1d(np.array(spec["edges"], dtype=np.float64), below)


def _counts(spec: Mapping[str, Any], column: pd.Series[Any], weights: Array) -> Array:
    """Customers per bin, the missing ones last."""
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


def compare(
    reference: Mapping[str, Any],
    frame: pd.DataFrame,
    present_only: Collection[str] = (),
    weights: Array | None = None,
) -> list[ColumnDrift]:
    """How far each column of ``frame`` moved from what :func:`describe` saw.

    A column drifted when its PSI less its noise exceeds ``PSI_THRESHOLD``, or its missing share rose
    by half and by ``MISSING_RISE`` or more; and, either way, when its p-value survives Benjamini
    and Hochberg's procedure (1995) over all columns at ``FALSE_DISCOVERIES``.

    Args:
        frame: one row per customer, or per customer and day.
        weights: what each row counts; 1 by default. Where customers have several rows, theirs must
            add up to 1, or chance would look like certainty: one customer's days are much alike.
        present_only: columns whose missing values mean "not asked", and do not count.

    Returns:
        One entry per column that both have, in the reference's order.
    """
    found = []
    weights = np.ones(len(frame)) if weights is None else weights
    for name, spec in reference["columns"].items():
        if name in frame:
            then = np.round(np.array([*spec["shares"], spec["missing"]]) * reference["rows"])
            now = _counts(spec, frame[name], weights)
            if name in present_only:
                then[-1] = now[-1] = 0
            found.append((name, spec, then, now, _p_value(then, now)))
    sure = _survivors([p for *_, p in found])
    return [
        _drift(name, spec, then, now, p, yes)
        for (name, spec, then, now, p), yes in zip(found, sure, strict=True)
    ]


def _drift(name: str, spec: Mapping[str, Any], then: Array, now: Array, p: float, sure: bool) -> ColumnDrift:
    psi, noise = population_stability(then, now)
    before, after = then[-1] / max(then.sum(), 1), now[-1] / max(now.sum(), 1)
    lost = after >= 1.5 * before and after - before >= MISSING_RISE
    detail = _detail(spec, then, now, lost)
    return ColumnDrift(name, psi, noise, p, detail, sure and bool(lost or psi - noise > PSI_THRESHOLD))


def population_stability(then: Array, now: Array) -> tuple[float, float]:
    """The population stability index of two rows of counts, in nats, and its expectation under no change.

    PSI = sum (q - p) ln(q / p) (Siddiqi, Credit Risk Scorecards, 2006), Jeffreys' symmetric
    divergence. Each bin gets half a customer more (Krichevsky and Trofimov, 1981), so that an
    empty one costs much and not infinitely much. Expected without change:
    (B - 1) (1 / n + 1 / m) (Yurdakul and Naranjo, 2020). Bins empty in both are left out.
    """
    if not then.sum() or not now.sum():
        return 0.0, 0.0
    used = (then + now) > 0
    p, q = then[used] + 0.5, now[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    noise = (len(p) - 1) * (1 / then.sum() + 1 / now.sum())
    return float(np.sum((q - p) * np.log(q / p))), float(noise)


def _p_value(then: Array, now: Array) -> float:
    """Pearson's chi-square test of homogeneity; bins expecting under 5 (Cochran, 1954) are pooled."""
    from scipy.special import chdtrc

    table = np.stack([then, now])
    if not table.sum(axis=1).all():
        return 1.0
    table = table[:, table.sum(axis=0) > 0]
    smaller = table.sum(axis=1).min() / table.sum()
    sparse = table.sum(axis=0) * smaller < 5
    if sparse.any():
        table = np.column_stack([table[:, ~sparse], table[:, sparse].sum(axis=1)])
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return float(chdtrc(table.shape[1] - 1, np.sum((table - expected) ** 2 / expected)))


def _survivors(p_values: Sequence[float]) -> list[bool]:
    p = np.array(p_values, dtype=np.float64)
    ordered = np.sort(p)
    passing = ordered[ordered <= FALSE_DISCOVERIES * np.arange(1, len(p) + 1) / max(len(p), 1)]
    return [bool(value <= passing.max()) if len(passing) else False for value in p]


def _detail(spec: Mapping[str, Any], then: Array, now: Array, lost: bool) -> str:
    """The bin that moved most, and for numbers where the middle customer went."""
    if not then.sum() or not now.sum():
        return "nothing to compare"
    p, q = then / then.sum(), now / now.sum()
    names = [*_names(spec), "missing"]
    weight = (q - p) * np.log((q + 1e-6) / (p + 1e-6))
    most = len(p) - 1 if lost else int(np.argmax(weight))
    words = [f"{names[most]} from {p[most]:.1%} to {q[most]:.1%} of customers"]
    if spec["kind"] == "number" and then[:-1].sum() and now[:-1].sum():
        before, after = (int(np.searchsorted(np.cumsum(c[:-1]), c[:-1].sum() / 2)) for c in (then, now))
        if before != after:
            words.insert(0, f"median bin moved from {names[before]} to {names[after]}")
    return "; ".join(words)


def _names(spec: Mapping[str, Any]) -> list[str]:
    """What to call each bin, the missing one apart."""
    if spec["kind"] != "number":
        return [*map(repr, spec["values"]), "other values"]
    cuts = _cuts(spec).tolist()
    if not cuts:
        return ["any value"]
    inner = [f"{_plain(low)}..{_plain(high)}" for low, high in pairwise(cuts)]
    names = [f"up to {_plain(cuts[0])}", *inner, f"above {_plain(cuts[-1])}"]
    for tie in spec["ties"]:
        place = cuts.index(tie)
        names[place] = f"exactly {_plain(tie)}"
        if place == 1:
            names[0] = f"below {_plain(tie)}"
    return names


def _plain(value: float) -> str:
    if abs(value) < 1e-290:  # the cut just below a tie at 0
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
