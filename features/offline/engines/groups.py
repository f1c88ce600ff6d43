"""Computes the groups of features of all customers by an engine, and stores them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import ibis.expr.types as ir

from events.schema import Events, visible
from features.group import KEYS, FeatureGroup
from features.offline import populations
from features.offline.engines.engine import BuildEngine, GroupSnapshots, SnapshotFile
from features.offline.snapshot_set import snapshot_path
from features.text.opinions import TextReader


@dataclass
class GroupBuild:
    """The groups of a shop, computed from its events.

    Attributes:
        events: the event tables; the opinions are added when a group needs them.
        folders: by group, the folder of its snapshots.
        zone: the shop's time zone.
        reader: reads the texts of all customers.
    """

    engine: BuildEngine
    events: Events
    groups: Sequence[FeatureGroup]
    folders: Mapping[str, Path]
    zone: str
    reader: TextReader
    _has_opinions: bool = False

    @cached_property
    def first_known(self) -> ir.Table:
        """The first moment at which each customer is known, computed once."""
        return populations.first_known(self.events).cache()

    def everyone(self, as_ofs: Sequence[datetime]) -> ir.Table:
        """All customers known at each of these moments, as a population."""
        return populations.everyone_at(self.events, as_ofs, self.zone, self.first_known)

    def path(self, group: FeatureGroup, as_of: datetime) -> Path:
        """The file of a group's snapshot."""
        return snapshot_path(self.folders, group, as_of)

    def compute(self, as_ofs: Sequence[datetime], reading: bool) -> None:
        """Compute and store the groups that are not stored as of these moments.

        Args:
            reading: the groups that read features of others, which are stored; else the others.
        """
        lacking: dict[tuple[datetime, ...], list[FeatureGroup]] = {}
        for group in self.groups:
            missing = tuple(as_of for as_of in as_ofs if not self.path(group, as_of).exists())
            if missing and bool(group.reads) == reading:
                lacking.setdefault(missing, []).append(group)
        for missing, members in lacking.items():
            self._compute(missing, members)

    def _compute(self, as_ofs: Sequence[datetime], groups: Sequence[FeatureGroup]) -> None:
        if not self._has_opinions and any(group.reads_opinions for group in groups):
            self.events = self.engine.with_opinions(self.events, self.reader)
            self._has_opinions = True
        with ExitStack() as stack:
            cached = stack.enter_context(self.everyone(as_ofs).cache())
            customers = populations.counted(cached, as_ofs)
            prepared: dict[str, ir.Table] = {}
            if len(groups) > 1:  # read and filter shared inputs once
                for name in self.engine.shared_inputs:
                    table = visible(getattr(self.events, name), cached)
                    prepared[name] = stack.enter_context(table.cache())
            tables = []
            for group in groups:
                small = tables_of_moments(group, self.events, cached)
                own = {name: stack.enter_context(table.cache()) for name, table in small.items()}
                if (facts := self.facts(group, as_ofs)) is not None:
                    own["facts"] = facts
                values = group.compute(self.events, cached, prepared=prepared | own)
                paths = {as_of: self.path(group, as_of) for as_of in as_ofs}
                paths[as_ofs[0]].parent.mkdir(parents=True, exist_ok=True)
                files = [SnapshotFile(t, path, customers[t]) for t, path in paths.items()]
                tables.append(GroupSnapshots(values, files))
            self.engine.write(tables)

    def facts(self, group: FeatureGroup, as_ofs: Sequence[datetime]) -> ir.Table | None:
        """The values that a group reads from others, as of some moments; None if there are none, or some are
        not stored.
        """
        facts: ir.Table | None = None
        for other in dict.fromkeys(feature.group for feature in group.reads.values()):
            paths = [self.path(other, as_of) for as_of in as_ofs]
            if not all(path.exists() for path in paths):
                return None
            table = self.engine.backend.read_parquet(paths).mutate(
                as_of=lambda t: t.as_of.cast("timestamp(6)")
            )
            table = table.select(*KEYS, *(f.name for f in group.reads.values() if f.group is other))
            facts = table if facts is None else facts.inner_join(table, KEYS)
        return facts


def tables_of_moments(group: FeatureGroup, events: Events, population: ir.Table) -> dict[str, ir.Table]:
    """The intermediate tables of a group that read boundaries only, and so have few rows for each moment.

    An engine that computes them first knows how small they are, and joins them faster.
    """
    inputs = {"population": population, "boundaries": events.boundaries}
    parameters = {name: inspect.signature(function).parameters for name, function in group.tables.items()}
    return {
        name: group.tables[name](*(inputs[each] for each in names))
        for name, names in parameters.items()
        if inputs.keys() >= names.keys()
    }
