"""The drift check of one model: customers scored lately against its reference customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd

from models.measures.drift import ColumnDrift, compare
from monitoring.levels import LevelReport

MIN_CUSTOMERS = 200  # with fewer, the noise of a ten-bin PSI alone approaches its threshold
MAX_NAMED = 5
IDS = ("day", "customer_key", "customer_id", "as_of")


@dataclass(frozen=True)
class DriftReport:
    """The result of a drift check.

    Attributes:
        since, until: the span of the checked predictions, by the shop's clock.
        customers: the number of customers scored by this version.
        vectors: the number of compared vectors, one per customer and day.
        others: the number of customers scored by other versions of the model.
        answers: the number of predictions logged in the span, of all models.
        verdict: ``quiet``, ``drifted``, or ``too_few`` for fewer than ``MIN_CUSTOMERS`` customers.
        words: the verdict as text.
        columns: the features and the ``score``, the most drifted first; empty if there are too few customers.
        level: what was predicted against what happened; None if it was not checked. A level that has drifted
            makes the verdict ``drifted``.
    """

    model: str
    version: str
    since: datetime
    until: datetime
    customers: int
    vectors: int
    others: int
    answers: int
    verdict: Literal["quiet", "drifted", "too_few"]
    words: str
    columns: tuple[ColumnDrift, ...]
    level: LevelReport | None = None

    def with_level(self, level: LevelReport | None) -> DriftReport:
        """The report with a level check, whose drift is a drift of the model."""
        if level is None:
            return self
        drifted = level.verdict == "drifted"
        words = f"{self.words} {level.words}"
        return replace(self, level=level, verdict="drifted" if drifted else self.verdict, words=words)

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; moments in ISO 8601."""
        moments = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return asdict(self) | moments | {"columns": [asdict(column) for column in self.columns]}


def check(
    model: str,
    reference: Mapping[str, Any],
    vectors: pd.DataFrame,
    answers: int,
    since: datetime,
    until: datetime,
    version: str,
) -> DriftReport:
    """Compare the customers that ``version`` scored with the reference customers.

    Args:
        reference: :func:`models.measures.bins.describe` of the training features and of ``score``.
        vectors: one row per customer and day, as :func:`records.read` returns them.
        answers: the number of predictions logged in the span; copied into the report.
    """
    current, customers = scored_rows(model, version, vectors), _customers(model, version, vectors)
    # The days of one customer are correlated: together they weigh as one vector, or noise would look
    # significant.
    weights = 1 / customers.groupby(customers).transform("size").to_numpy(np.float64)
    known = int(customers.nunique())
    others = _by_others(model, version, vectors)
    columns: tuple[ColumnDrift, ...] = ()
    if known >= MIN_CUSTOMERS:
        # A customer without a score was not eligible; that is no change in the scores.
        columns_found = compare(reference, current, present_only=("score",), weights=weights)
        columns = tuple(sorted(columns_found, key=lambda column: -column.psi))
    drifted = [column for column in columns if column.drifted]
    verdict: Literal["quiet", "drifted", "too_few"] = "drifted" if drifted else "quiet"
    if known < MIN_CUSTOMERS:
        verdict, words = "too_few", _too_few(model, version, known)
    else:
        words = _words(f"{model} version {version}", known, len(columns), drifted)
    if others:
        left_out = "a customer" if others == 1 else f"{others:,} customers"
        words += f" Other versions scored {left_out}; those predictions are left out."
    return DriftReport(
        model, version, since, until, known, len(current), others, answers, verdict, words, columns
    )


def scored_rows(model: str, version: str, vectors: pd.DataFrame) -> pd.DataFrame:
    """The features and the ``score`` of the vectors that a version scored; without ids."""
    if f"{model}.version" not in vectors:
        return pd.DataFrame()
    rows = vectors[_scored_by(model, version, vectors)]
    features = [name for name in rows.columns if "." not in str(name) and name not in (*IDS, "score")]
    scored = [f"{model}.score"] if f"{model}.score" in rows else []
    return rows[features + scored].rename(columns={f"{model}.score": "score"})


def _customers(model: str, version: str, vectors: pd.DataFrame) -> pd.Series[int]:
    """The customer of each vector that a version scored."""
    if f"{model}.version" not in vectors:
        return pd.Series(dtype="int64")
    return vectors.loc[_scored_by(model, version, vectors), "customer_key"]


def _scored_by(model: str, version: str, vectors: pd.DataFrame) -> pd.Series[bool]:
    versions = vectors[f"{model}.version"]
    return versions.notna() & (versions.astype(str) == str(version))


def _by_others(model: str, version: str, vectors: pd.DataFrame) -> int:
    if f"{model}.version" not in vectors:
        return 0
    others = vectors[f"{model}.version"].notna() & ~_scored_by(model, version, vectors)
    return int(vectors.loc[others, "customer_key"].nunique())


def _too_few(model: str, version: str, customers: int) -> str:
    had = "1 customer" if customers == 1 else f"{customers:,} customers"
    return (
        f"Too few to compare: {model} version {version} scored {had} in this span,"
        f" and a comparison needs {MIN_CUSTOMERS}."
    )


def _words(who: str, customers: int, compared: int, drifted: Sequence[ColumnDrift]) -> str:
    if not drifted:
        return (
            f"Quiet: the {customers:,} customers scored by {who} resemble its reference customers"
            f" ({compared} columns compared)."
        )
    named = "; ".join(f"{column.column} ({column.detail})" for column in drifted[:MAX_NAMED])
    more = f"; and {len(drifted) - MAX_NAMED} more" if len(drifted) > MAX_NAMED else ""
    return (
        f"Drifted: {len(drifted)} of {compared} columns of the {customers:,} customers scored by {who}"
        f" no longer resemble those of its reference customers. What changed: {named}{more}."
    )
