"""How the features of a group change while time passes and no event arrives, derived from their expressions.

Each column of an expression has a rate per day: 0 if it is fixed, 1 for the age of an event, -1 for the days
to an end. A comparison of an event's age with a number, such as ``days_ago <= 90``, is fixed until an event
of the customer passes that age: a window of the group. Whatever does not follow these rules is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import ibis

from events.schema import BOUNDARIES, OPINIONS, POPULATION, SCHEMAS, STORED, Events
from features.ageing.expressions import AgeingVisitor
from features.group import KEYS, FeatureGroup


@dataclass(frozen=True)
class GroupAgeing:
    """How the features of a group change with the days of the shop alone.

    Attributes:
        rates: by feature the change per day; None if it is unknown.
        windows: by event table the ages in days after which an event leaves a window.
    """

    rates: Mapping[str, int | None]
    windows: Mapping[str, frozenset[int]]


@cache
def ageing(group: FeatureGroup) -> GroupAgeing:
    """How the features of a group change."""
    expression = group.compute(
        Events(
            **{name: ibis.table(STORED[name], name=name) for name in SCHEMAS},
            opinions=ibis.table(OPINIONS, name="opinions"),
            boundaries=ibis.table(BOUNDARIES, name="boundaries"),
        ),
        ibis.table(POPULATION, name="population"),
        prepared={"facts": _facts(group)} if group.reads else None,
    )
    visitor = AgeingVisitor()
    rows = expression.op().map(visitor.visit)[expression.op()]
    rates = {name: rows.columns[name].rate if rows.fixed else None for name in group.features}
    return GroupAgeing(rates, {table: frozenset(ages) for table, ages in visitor.windows.items()})


def _facts(group: FeatureGroup) -> ibis.Table:
    types = {feature.name: feature.dtype for feature in group.reads.values()}
    return ibis.table({name: POPULATION[name] for name in KEYS} | types, name="facts")
