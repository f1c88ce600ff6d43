"""A sample of the customers, on whose rows a model is fitted and tested if those of all are too many.

A customer belongs to it by a hash of the key, at all moments or at none. So a fit never sees another moment
of a customer whom it is tested on by chance, every engine draws the same customers in any order of rows, and
a larger share contains the customers of a smaller one.

The level of a fit is learnt from totals of all customers, which the shop's engine adds up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Self

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from core.calendar import day_of
from core.home import Home
from events import lake
from events.schema import POPULATION
from features.group import KEYS
from features.offline import populations
from features.offline.snapshot_set import SnapshotSet
from models.spec import Condition, CustomerModel
from training.settings import TrainingSettings


@dataclass(frozen=True)
class MomentTotal:
    """The eligible customers of a moment, and the total of their outcomes in the label's unit."""

    customers: int
    outcome: float


@dataclass(frozen=True)
class CustomerSample:
    """A share of the customers.

    Attributes:
        share: of all customers, below 1.
        snapshots: the features of all customers.
    """

    share: float
    snapshots: SnapshotSet

    @classmethod
    def of(cls, snapshots: SnapshotSet, settings: TrainingSettings | None = None) -> Self | None:
        """The sample of ``PATRON_TRAINING_ROWS`` rows; None if all rows are at most that many."""
        limit = (settings or TrainingSettings()).training_rows
        rows = sum(snapshots.customers(as_of) for as_of in snapshots.as_ofs)
        return cls(limit / rows, snapshots) if rows > limit else None

    @property
    def sentence(self) -> str:
        """What was done, as a line of a card."""
        return (
            f"trained and tested on {self.share:.1%} of the customers, drawn by a hash of their key; the"
            " level is learnt from totals of all customers"
        )

    def of_population(self, population: ir.Table) -> ir.Table:
        """The rows of the customers in the sample."""
        return populations.sample(population, self.share)

    def totals_of_everyone(
        self, home: Home, model: CustomerModel, horizon_days: int, windows: Mapping[datetime, datetime],
        known_at: datetime, cap: float,
    ) -> dict[datetime, MomentTotal]:  # fmt: skip
        """The eligible customers of each moment, in the sample or not, and their outcomes in a window.

        Args:
            windows: by moment, the start of its window; no two are the same.
            known_at: events that happened or arrived after it are ignored.
            cap: larger outcomes count as this.
        """
        backend = lake.backend_of(home)
        everyone = self._eligible(backend, model.eligible, list(windows))
        starts = {
            "as_of": pa.array([_utc(moment) for moment in windows], pa.timestamp("us")),
            "start": pa.array([_utc(start) for start in windows.values()], pa.timestamp("us")),
            "as_of_day": pa.array(
                [day_of(start, home.shop().time_zone) for start in windows.values()], pa.int32()
            ),
        }
        population = everyone.inner_join(ibis.memtable(pa.table(starts)), "as_of")
        population = population.drop("as_of").rename(as_of="start").select(*POPULATION).cast(POPULATION)
        labels = model.label(lake.read(home, backend).known_at(known_at), population, horizon_days)
        label = labels.label if cap == float("inf") else ibis.least(labels.label, cap)
        sums = labels.group_by("as_of").aggregate(customers=labels.count(), outcome=label.sum())
        rows = {row.pop("as_of"): row for row in backend.to_pyarrow(sums).to_pylist()}
        totals = {start: MomentTotal(**row) for start, row in rows.items()}
        return {moment: totals.get(_utc(start), MomentTotal(0, 0.0)) for moment, start in windows.items()}

    def _eligible(
        self, backend: Any, conditions: Sequence[Condition], as_ofs: Sequence[datetime]
    ) -> ir.Table:
        """The keys of all eligible customers of each moment, from the snapshots."""
        groups = [*dict.fromkeys(condition.feature.group.name for condition in conditions)]
        tables: list[ir.Table] = []
        for group in groups or [next(iter(self.snapshots.folders))]:
            rows = backend.read_parquet([self.snapshots.path(group, as_of) for as_of in as_ofs])
            for condition in (c for c in conditions if c.feature.group.name == group):
                value = rows[condition.feature.name]
                rows = rows.filter(value.notnull())
                if condition.at_least is not None:
                    rows = rows.filter(value >= condition.at_least)
                if condition.at_most is not None:
                    rows = rows.filter(value <= condition.at_most)
            keys = rows.select(KEYS[0], as_of=rows.as_of.cast("timestamp(6)"))
            tables.append(keys)
        first, *others = tables
        return reduce(lambda table, other: table.inner_join(other, KEYS), others, first)


def _utc(moment: datetime) -> datetime:
    """A moment as tables have it: in UTC, without a time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)
