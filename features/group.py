"""Feature and FeatureGroup: each feature of a customer is one small function.

The parameters of a function name its inputs: event tables and ``opinions`` (only what was visible then),
tables that the group prepares, or features, of the same group or of those that it ``reads`` from other
groups::

    purchases = FeatureGroup("purchases", fresh_for=timedelta(days=2))

    @purchases.table
    def orders(order_lines: ir.Table) -> ir.Table: ...       # an intermediate table

    @purchases.feature(unit="orders", missing=0)
    def orders_90d(orders: ir.Table) -> ir.IntegerValue:      # an aggregate over it
        '''Orders placed in the last 90 days.'''
        return orders.count(where=orders.days_ago <= 90)
"""

from __future__ import annotations

import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import ibis
import ibis.expr.types as ir

from events.schema import POPULATION, Events, replaced, visible

KEYS = ("customer_key", "as_of")
DTYPES: dict[type, str] = {
    ir.IntegerValue: "int64",
    ir.FloatingValue: "float64",
    ir.StringValue: "string",
    ir.BooleanValue: "boolean",
}


@dataclass(frozen=True)
class Feature:
    """A feature: one value per customer and moment.

    Attributes:
        name: the column.
        unit: the unit of its values (``orders``, ``days``, ``currency``, ``share`` ...).
        dtype: ``int64``, ``float64``, ``string`` or ``boolean``.
        missing: the value for a customer without events from which to compute it; None is null.
        inputs: the tables that it aggregates, or the features that it combines.
    """

    name: str
    description: str
    unit: str
    dtype: str
    missing: float | str | None
    group: FeatureGroup
    inputs: tuple[str, ...]
    function: Callable[..., ir.Value]

    @property
    def meaning(self) -> str:
        """The description's first sentence."""
        return " ".join(self.description.split()).partition(". ")[0].rstrip(".") + "."

    def __repr__(self) -> str:
        return f"<{self.group.name}.{self.name}>"

    def __hash__(self) -> int:
        return hash((self.group.name, self.name))

    def definition(self) -> str:
        """SHA-256 of the SQL that computes this feature from the event tables.

        Comments, docstrings and moved code do not change it. A change of meaning does, also of a table that
        the group prepares.
        """
        return self._definition

    @cached_property
    def _definition(self) -> str:
        return digest(self.expression())

    def expression(self) -> ir.Table:
        """The feature as a query of event tables without data."""
        population = ibis.table(POPULATION, name="population")
        return self.group.compute(Events.unbound(), population, [self])


def digest(expression: ir.Table) -> str:
    """SHA-256 of an expression's SQL."""
    return hashlib.sha256(str(ibis.to_sql(expression, dialect="duckdb")).encode()).hexdigest()


class FeatureGroup:
    """Features that are computed together from the same events: one feature view of Feast.

    Args:
        name: the name of the group and of the feature view.
        fresh_for: the age of a value from which a score that uses it counts as stale.
        reads: the features of other groups that this group reads, as a table named ``facts``.
    """

    def __init__(self, name: str, fresh_for: timedelta, reads: Sequence[Feature] = ()) -> None:
        self.name = name
        self.fresh_for = fresh_for
        self.reads = {feature.name: feature for feature in reads}
        self.features: dict[str, Feature] = {}
        self.tables: dict[str, Callable[..., ir.Table]] = {}

    @property
    def reads_opinions(self) -> bool:
        """Whether a feature reads opinions, and so depends on the classifier of texts."""
        inputs = [
            name for function in self.tables.values() for name in inspect.signature(function).parameters
        ]
        return "opinions" in [*inputs, *(name for f in self.features.values() for name in f.inputs)]

    def table(self, function: Callable[..., ir.Table]) -> Callable[..., ir.Table]:
        """Register an intermediate table in ``tables``, for features that need more than one aggregation."""
        self.tables[function.__name__] = function
        return function

    def feature(
        self, *, unit: str, missing: float | str | None = None
    ) -> Callable[[Callable[..., ir.Value]], Feature]:
        """Register a feature; its name, docstring and annotation are the column, the meaning and the type."""

        def register(function: Callable[..., ir.Value]) -> Feature:
            dtype = DTYPES[typing.get_type_hints(function)["return"]]
            feature = Feature(
                function.__name__,
                inspect.getdoc(function) or "",
                unit,
                dtype,
                missing,
                self,
                tuple(inspect.signature(function).parameters),
                function,
            )
            self.features[feature.name] = feature
            return feature

        return register

    def compute(
        self,
        events: Events,
        population: ir.Table,
        features: Sequence[Feature] | None = None,
        prepared: Mapping[str, ir.Table] | None = None,
    ) -> ir.Table:
        """The features of a population.

        Args:
            events: the event tables.
            population: ``customer_key``, ``as_of``, ``as_of_day``; a row per customer and moment.
            features: the features to compute; all of the group by default.
            prepared: tables that exist already: event tables as :func:`visible` returns them, tables of
                the group, and as ``facts`` the features that it ``reads``, a row per customer and moment.

        Returns:
            ``customer_key``, ``as_of`` and a column per feature; a row per customer and moment.
        """
        wanted = list(self.features.values() if features is None else features)
        tables = {"population": population} | dict(prepared or {})
        by_table: dict[str, list[Feature]] = {}
        needed = self._needed(wanted)
        for feature in needed:
            if not self._is_derived(feature):
                by_table.setdefault(feature.inputs[0], []).append(feature)

        result = population.select(*KEYS)
        if read := sorted({name for f in needed for name in f.inputs if name in self.reads}):
            known = self._prepared("facts", events, tables)
            result = result.left_join(known, KEYS).select(
                *(result[k] for k in KEYS), *(known[n] for n in read)
            )
        for name, members in by_table.items():
            table = self._prepared(name, events, tables)
            values = table.group_by(KEYS).aggregate(
                **{f.name: f.function(table).cast(f.dtype) for f in members}
            )
            result = result.left_join(values, KEYS).select(
                *(result[c] for c in result.columns), *(values[f.name] for f in members)
            )
        aggregated = [f for members in by_table.values() for f in members if f.missing is not None]
        filled = {f.name: result[f.name].fill_null(f.missing) for f in aggregated}
        result = result.mutate(**filled) if filled else result
        for feature in wanted:
            result = self.with_derived(result, feature)
        return result.select(*KEYS, *(f.name for f in wanted))

    def _is_derived(self, feature: Feature) -> bool:
        """Whether a feature combines other features instead of aggregating a table."""
        return feature.inputs[0] in self.features or feature.inputs[0] in self.reads

    def _needed(self, wanted: Sequence[Feature]) -> list[Feature]:
        """The wanted features, and those of the group from which they are derived."""
        needed: dict[str, Feature] = {}
        for feature in wanted:
            inputs = [self.features[name] for name in feature.inputs if name in self.features]
            needed |= {f.name: f for f in [*self._needed(inputs), feature]}
        return list(needed.values())

    def aggregated(self, feature: Feature) -> list[Feature]:
        """The group's features from which a feature is derived; only itself if it aggregates a table."""
        return [f for f in self._needed([feature]) if not self._is_derived(f)]

    def with_derived(self, result: ir.Table, feature: Feature) -> ir.Table:
        """A table of features with a derived one, and with those between, unless they are there."""
        if feature.name in result.columns:
            return result
        for name in feature.inputs:
            if name in self.features:
                result = self.with_derived(result, self.features[name])
        value = feature.function(*(result[name] for name in feature.inputs)).cast(feature.dtype)
        if feature.missing is not None:
            value = value.fill_null(feature.missing)
        return result.mutate(**{feature.name: value})

    def _prepared(self, name: str, events: Events, tables: dict[str, ir.Table]) -> ir.Table:
        if name not in tables:
            if name in self.tables:
                function = self.tables[name]
                inputs = inspect.signature(function).parameters
                tables[name] = function(*(self._prepared(n, events, tables) for n in inputs))
            elif name == "facts":
                tables[name] = compute(events, tables["population"], list(self.reads.values()))
            elif name == "boundaries":
                tables[name] = events.boundaries
            elif name == "replaced_lines":
                tables[name] = replaced(events, tables["population"])
            else:
                tables[name] = visible(getattr(events, name), tables["population"])
        return tables[name]


def compute(events: Events, population: ir.Table, features: Sequence[Feature]) -> ir.Table:
    """Compute features of any groups for a population: ``customer_key``, ``as_of``, then the features."""
    result = population.select(*KEYS)
    for group in dict.fromkeys(f.group for f in features):
        members = [f for f in features if f.group is group]
        values = group.compute(events, population, members)
        result = result.left_join(values, KEYS).select(
            *(result[c] for c in result.columns), *(values[f.name] for f in members)
        )
    return result.select(*KEYS, *(f.name for f in features))
