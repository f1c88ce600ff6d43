"""Shared traits: ranges of features in which customers with an outcome are frequent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.group import Feature
from models.estimator import Array
from training.evaluation.slices import Mask

MOST = 8  # number of reported parts
MIN_CUSTOMERS = 50  # in a part
MIN_Z = 3.5  # standard errors from the overall rate: among some hundred parts, few exceed this by chance
MAX_SHARED = 0.6  # maximum overlap of two reported parts (Jaccard's index)
_FIFTHS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Common:
    """A part of the customers in which the outcome is frequent.

    Attributes:
        part: the values of the feature, as text.
        rate: the share of them with the outcome; ``lift``: that over the rate of all.
        of_outcomes: the share of all customers with the outcome who are in this part.
        z: the deviation of the rate from that of a random part of this size, in standard errors.
    """

    feature: str
    part: str
    customers: int
    rate: float
    lift: float
    of_outcomes: float
    z: float


def shared_traits(frame: pd.DataFrame, features: Sequence[Feature], most: int = MOST) -> tuple[Common, ...]:
    """The parts with the most significant excess of the outcome, at most one per feature.

    Of parts with largely the same customers only the most significant is reported.

    Args:
        frame: a row per customer: the features and ``label`` (0 or 1).
    """
    outcome = frame["label"].to_numpy(np.float64)
    if not 0 < outcome.sum() < len(outcome):
        return ()
    candidates = (_surest(f.name, frame[f.name], outcome) for f in features)
    best = [pair for pair in candidates if pair is not None]
    chosen: list[tuple[Common, Mask]] = []
    for common, inside in sorted(best, key=lambda pair: (-pair[0].z, pair[0].feature)):
        if len(chosen) == most:
            break
        if all(_shared(inside, other) <= MAX_SHARED for _, other in chosen):
            chosen.append((common, inside))
    return tuple(common for common, _ in chosen)


def _surest(name: str, values: pd.Series[Any], outcome: Array) -> tuple[Common, Mask] | None:
    common = [(_common(name, part, inside, outcome), inside) for part, inside in parts(values)]
    sure = [pair for pair in common if pair[0].z >= MIN_Z]
    return max(sure, key=lambda pair: pair[0].z, default=None)


def _common(name: str, part: str, inside: Mask, outcome: Array) -> Common:
    n, everyone, base = int(inside.sum()), len(outcome), float(outcome.mean())
    rate = float(outcome[inside].mean())
    # A random part is drawn without replacement: the variance of the hypergeometric distribution.
    error = np.sqrt(base * (1 - base) / n * (everyone - n) / (everyone - 1))
    z = float((rate - base) / error) if error else 0.0
    return Common(name, part, n, rate, rate / base, float(outcome[inside].sum() / outcome.sum()), z)


def parts(values: pd.Series[Any]) -> Iterator[tuple[str, Mask]]:
    """The parts of a feature's values with ``MIN_CUSTOMERS`` or more: fifths of numbers, texts, missing."""
    missing = values.isna().to_numpy(np.bool_)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        named = _tails(values.to_numpy(np.float64, na_value=np.nan))
    else:
        words = values[~missing].astype(str)
        named = [
            (f"is {word}", (values.astype(str) == word).to_numpy() & ~missing) for word in sorted(set(words))
        ]
    for part, inside in [*named, ("is missing", missing)]:
        if MIN_CUSTOMERS <= inside.sum() < len(inside):
            yield part, inside


def _tails(numbers: Array) -> list[tuple[str, Mask]]:
    """The parts at or below, and at or above, the bound of each fifth."""
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return []
    bounds = np.unique(np.quantile(known, _FIFTHS, method="nearest"))
    below = [(f"at most {bound:.4g}", numbers <= bound) for bound in bounds]
    return below + [(f"at least {bound:.4g}", numbers >= bound) for bound in bounds]


def _shared(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def table(rows: Sequence[Common]) -> str:
    """The rows as text, a line each."""
    lines = [f"{'part':<44}{'customers':>10}{'rate':>8}{'lift':>7}{'of those with it':>18}"]
    for row in rows:
        part = f"{row.feature} {row.part}"
        lines.append(
            f"{part:<44}{row.customers:>10,}{row.rate:>8.1%}{row.lift:>7.2f}{row.of_outcomes:>18.1%}"
        )
    return "\n".join(lines) if rows else "no part stands out"
