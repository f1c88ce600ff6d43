"""Drift: the change of features and scores between the reference customers and others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.measures.bins import Array, bin_names

PSI_THRESHOLD = 0.1  # Siddiqi (2006): below it, no change worth acting on
MISSING_RISE = 0.03  # of all customers; a rise by this much and by half indicates a broken feed
FALSE_DISCOVERIES = 0.01


@dataclass(frozen=True)
class ColumnDrift:
    """The drift of one column.

    Attributes:
        psi: population stability index in nats, 0 for none: sum over bins of (q - p) ln(q / p).
        noise: the expected PSI without a change: (bins - 1) (1 / reference + 1 / current).
        p_value: of Pearson's chi-square test that both are samples of one distribution.
        detail: the change as text.
        drifted: whether the change is large and significant enough to act on.
        bin, before, after: the bin that changed most, and its shares of the customers then and now; None if
            there is nothing to compare.
    """

    column: str
    psi: float
    noise: float
    p_value: float
    detail: str
    drifted: bool
    bin: str | None = None
    before: float | None = None
    after: float | None = None


def compare(
    reference: Mapping[str, Any],
    counts: Mapping[str, Array],
    present_only: Collection[str] = (),
) -> list[ColumnDrift]:
    """The drift of columns from the result of :func:`models.measures.reference.describe`.

    A column drifted when its PSI less its noise exceeds ``PSI_THRESHOLD``, or its missing share rose
    by half and by ``MISSING_RISE`` or more; and, either way, when its p-value survives Benjamini
    and Hochberg's procedure (1995) over all columns at ``FALSE_DISCOVERIES``.

    Args:
        counts: of each column, as :func:`models.measures.bin_counts.count_bins` returns them.
        present_only: columns whose missing values mean "not scored", and are ignored.

    Returns:
        One entry per column that both have, in the reference's order.
    """
    columns = []
    for name, spec in reference["columns"].items():
        if name in counts:
            then = np.round(np.array([*spec["shares"], spec["missing"]]) * reference["rows"])
            now = counts[name].copy()
            if name in present_only:
                then[-1] = now[-1] = 0
            columns.append((name, spec, then, now, _p_value(then, now)))
    sure = _survivors([p for *_, p in columns])
    return [
        _drift(name, spec, then, now, p, yes)
        for (name, spec, then, now, p), yes in zip(columns, sure, strict=True)
    ]


def _drift(name: str, spec: Mapping[str, Any], then: Array, now: Array, p: float, sure: bool) -> ColumnDrift:
    psi, noise = population_stability(then, now)
    before, after = then[-1] / max(then.sum(), 1), now[-1] / max(now.sum(), 1)
    lost = after >= 1.5 * before and after - before >= MISSING_RISE
    drifted = sure and bool(lost or psi - noise > PSI_THRESHOLD)
    most = _most_changed(spec, then, now, lost)
    return ColumnDrift(name, psi, noise, p, _detail(spec, then, now, most), drifted, *(most or ()))


def population_stability(then: Array, now: Array) -> tuple[float, float]:
    """The population stability index of two rows of counts, in nats, and its expectation under no change.

    PSI = sum (q - p) ln(q / p) (Siddiqi, Credit Risk Scorecards, 2006), Jeffreys' symmetric
    divergence. Half a customer is added to each bin (Krichevsky and Trofimov, 1981), so that empty bins
    have a large but finite effect. The expectation without change is
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


def _most_changed(
    spec: Mapping[str, Any], then: Array, now: Array, lost: bool
) -> tuple[str, float, float] | None:
    """The bin that changed most, with its shares then and now; None if there is nothing to compare."""
    if not then.sum() or not now.sum():
        return None
    p, q = then / then.sum(), now / now.sum()
    weight = (q - p) * np.log((q + 1e-6) / (p + 1e-6))
    most = len(p) - 1 if lost else int(np.argmax(weight))
    return [*bin_names(spec), "missing"][most], float(p[most]), float(q[most])


def _detail(spec: Mapping[str, Any], then: Array, now: Array, most: tuple[str, float, float] | None) -> str:
    """The bin that changed most, and for numbers the shift of the median, as text."""
    if most is None:
        return "nothing to compare"
    name, p, q = most
    words = [f"{name} from {p:.1%} to {q:.1%} of customers"]
    names = bin_names(spec)
    if spec["kind"] == "number" and then[:-1].sum() and now[:-1].sum():
        before, after = (int(np.searchsorted(np.cumsum(c[:-1]), c[:-1].sum() / 2)) for c in (then, now))
        if before != after:
            words.insert(0, f"median bin moved from {names[before]} to {names[after]}")
    return "; ".join(words)
