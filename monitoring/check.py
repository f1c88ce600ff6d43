"""The drift check of one model: customers scored lately against its reference customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

import ibis
import ibis.expr.types as ir
import pyarrow.compute as pc

from models.measures.bin_counts import DAYS, count_bins
from models.measures.drift import ColumnDrift, compare
from monitoring.levels import LevelReport
from records import Logged
from records.batches import DAY, KEY

MIN_CUSTOMERS = 200  # with fewer, the noise of a ten-bin PSI alone approaches its threshold
MAX_NAMED = 5
IDS = (DAY, KEY)


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
    backend: Any,
    model: str,
    reference: Mapping[str, Any],
    logged: Logged,
    since: datetime,
    until: datetime,
    version: str,
) -> DriftReport:
    """Compare the customers that ``version`` scored with the reference customers.

    Args:
        backend: the engine that counts.
        reference: :func:`models.measures.reference.describe` of the training features and of ``score``.
        logged: the predictions of the span.
    """
    current = scored_rows(model, version, logged.vectors)
    days = backend.to_pyarrow(current.group_by(KEY).aggregate(**{DAYS: current.count()}))
    known, vectors = days.num_rows, pc.sum(days[DAYS]).as_py() or 0
    others = _by_others(backend, model, version, logged.vectors)
    columns: tuple[ColumnDrift, ...] = ()
    if known >= MIN_CUSTOMERS:
        if vectors > known:
            # The days of one customer are correlated: together they weigh as one vector, or noise would look
            # significant. As a table in memory: DuckDB would copy all columns to read the vectors twice.
            current = current.inner_join(ibis.memtable(days), KEY)
        specs = {name: spec for name, spec in reference["columns"].items() if name in current.columns}
        # A customer without a score was not eligible; that is no change in the scores.
        compared = compare(reference, count_bins(backend, current, specs), present_only=("score",))
        columns = tuple(sorted(compared, key=lambda column: -column.psi))
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
        model, version, since, until, known, vectors, others, logged.answers, verdict, words, columns
    )


def scored_rows(model: str, version: str, vectors: ir.Table) -> ir.Table:
    """The vectors that a version scored: ``day``, ``customer_key``, the features and ``score``."""
    features = [name for name in vectors.columns if "." not in name and name not in (*IDS, "score")]
    score = {"score": f"{model}.score"} if f"{model}.score" in vectors.columns else {}
    scored = vectors.filter(_scored_by(model, version, vectors))
    return scored.select(*IDS, *features, **{name: scored[column] for name, column in score.items()})


def _scored_by(model: str, version: str, vectors: ir.Table) -> ir.BooleanValue:
    if f"{model}.version" not in vectors.columns:
        return ibis.literal(False)
    return vectors[f"{model}.version"] == version


def _by_others(backend: Any, model: str, version: str, vectors: ir.Table) -> int:
    """The number of customers whom other versions scored."""
    if f"{model}.version" not in vectors.columns:
        return 0
    versions = vectors[f"{model}.version"]
    others = vectors.filter(versions.notnull() & (versions != version))
    return int(backend.to_pyarrow(others[KEY].nunique()).as_py())


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
