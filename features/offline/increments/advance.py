"""Writes the snapshots of a later moment from those of an earlier one.

A customer is computed anew if an event of theirs became visible or was replaced since, or left a window of
the group. Of the others, ages grow by the days that passed, and what is derived from ages is derived again;
nothing else can have changed (:mod:`features.ageing`). Features of which that is unknown are computed for
everyone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from events.schema import Events
from features.ageing import ageing
from features.group import KEYS, Feature, FeatureGroup
from features.offline.engines import BuildEngine, GroupSnapshots, SnapshotFile
from features.offline.engines.groups import GroupBuild, tables_of_moments
from features.offline.increments.increment import Increment, Keys


@dataclass(frozen=True)
class Parts:
    """The features of a group by what is done about them; each is in one part.

    Attributes:
        known: carried over with their age, except for the affected customers.
        everyone: computed for all customers.
        derived: derived again from the others.
    """

    known: Sequence[Feature]
    everyone: Sequence[Feature]
    derived: Sequence[Feature]

    @classmethod
    def of(cls, group: FeatureGroup) -> Parts:
        """The parts of a group."""
        rates, features = ageing(group).rates, list(group.features.values())
        unknown = {f for f in features if rates[f.name] is None}
        everyone = [f for f in features if f in unknown and unknown.issuperset(group.aggregated(f))]
        return cls(
            [f for f in features if f not in unknown],
            everyone,
            [f for f in features if f in unknown and f not in everyone],
        )


@dataclass(frozen=True)
class Advance:
    """A step from the snapshots of one moment to those of a later one.

    Attributes:
        build: computes what cannot be carried over.
        resources: closes tables at its end.
    """

    build: GroupBuild
    increment: Increment
    resources: ExitStack

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """The earlier and the later one."""
        return self.increment.base, self.increment.as_of

    def write(self, reading: bool) -> None:
        """Write the groups that are stored as of the base, and not as of the new moment.

        Groups of whose features nothing is known without computing all of them are left out.

        Args:
            reading: the groups that read features of others, which are stored; else the others.
        """
        self._engine.local.write([*self._snapshots(reading)])

    def _snapshots(self, reading: bool) -> Iterator[GroupSnapshots]:
        for group in self.build.groups:
            paths = [self.build.path(group, moment) for moment in self.moments]
            stored = [path.exists() for path in paths]
            parts = Parts.of(group)
            if bool(group.reads) != reading or stored != [True, False] or not parts.known:
                continue
            if parts.everyone and group.reads_opinions:
                continue
            file = SnapshotFile(self.increment.as_of, paths[1], len(self.increment.keys))
            yield GroupSnapshots(self._values(group, parts), [file])

    def _values(self, group: FeatureGroup, parts: Parts) -> ir.Table:
        facts, everyone = self.build.facts(group, [self.increment.as_of]), self.increment.everyone
        small = tables_of_moments(group, self.build.events, everyone)
        prepared = {name: self._cached(table) for name, table in small.items()}
        prepared |= {} if facts is None else {"facts": facts}
        affected = _table(self.increment.affected([group]))
        population = self._cached(everyone.semi_join(affected, "customer_key"))
        events = replace(self._recent, boundaries=self.build.events.boundaries)
        computed = group.compute(events, population, parts.known, prepared)
        result = self._carried(group, parts.known, affected).union(self._engine.fetched(computed))
        if parts.everyone:
            values = group.compute(self.build.events, everyone, parts.everyone, prepared)
            result = result.inner_join(self._engine.fetched(values), KEYS)
        for feature in parts.derived:
            result = group.with_derived(result, feature)
        return result.select(*KEYS, *group.features)

    def _carried(self, group: FeatureGroup, features: Sequence[Feature], affected: ir.Table) -> ir.Table:
        """The values of the other customers, with the new moment and ages."""
        rates, days = ageing(group).rates, self.increment.days
        path = self.build.path(group, self.increment.base)
        rows = self._engine.local.backend.read_parquet([path]).drop("as_of")
        rows = rows.anti_join(affected, "customer_key").inner_join(self._everyone_there, "customer_key")
        # Only a feature that ages is a number.
        values = {
            f: rows[f.name] + rate * days if (rate := rates[f.name]) else rows[f.name] for f in features
        }
        return rows.select(*KEYS, **{f.name: value.cast(f.dtype) for f, value in values.items()})

    @property
    def _engine(self) -> BuildEngine:
        return self.build.engine

    @cached_property
    def _everyone_there(self) -> ir.Table:
        """All customers where the snapshots are read."""
        return self._engine.fetched(self.increment.everyone)

    @cached_property
    def _recent(self) -> Events:
        """The event tables of the customers who are affected in any group, with their opinions."""
        affected, events = _table(self.increment.affected(self.build.groups)), self.build.events
        tables = {
            name: self._cached(table.semi_join(affected, "customer_key")) for name, table in events.items()
        }
        return self._engine.with_opinions(replace(events, **tables), self.build.reader)

    def _cached(self, table: ir.Table) -> ir.Table:
        return self.resources.enter_context(table.cache())


def _table(keys: Keys) -> ir.Table:
    return ibis.memtable(pa.table({"customer_key": keys}))
