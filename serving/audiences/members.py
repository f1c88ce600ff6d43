"""The customers of an audience, as of the last build, in columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import NothingThere, PatronError
from core.home import Home
from decisions.catalogue.saved_audiences import audience_rules, load_declared
from decisions.everybody import load_everybody
from decisions.rules.tree import Term, terms
from events.identity import Identity
from features.groups import features_of
from serving.files import tables, writing

SEGMENTS = ("value_tier", "rfm_segment", "lifecycle_stage")
SCORES = ("churn", "propensity", "clv")
CHUNK = 50_000


@dataclass(frozen=True)
class AudienceTable:
    """The customers of an audience, by key.

    Attributes:
        columns: a row per customer with the columns ``SEGMENTS`` and ``SCORES``; null where missing.
    """

    as_of: datetime
    keys: NDArray[np.int64]
    columns: pa.Table

    def rows(
        self, identity: Identity, first: int, count: int, hidden: frozenset[str]
    ) -> list[dict[str, Any]]:
        """Up to ``count`` customers from a place on; customers who were deleted since are left out."""
        table = self._named(identity, first, count, hidden)
        return [row for row in table.to_pylist() if row["customer_id"] is not None]

    def tables(self, identity: Identity, first: int, hidden: frozenset[str]) -> Iterator[pa.Table]:
        """All customers from a place on, in parts; at least one, which may be empty."""
        for start in range(first, max(len(self.keys), first + 1), CHUNK):
            table = self._named(identity, start, CHUNK, hidden)
            yield table.filter(table["customer_id"].is_valid())

    def _named(self, identity: Identity, first: int, count: int, hidden: frozenset[str]) -> pa.Table:
        keys, part = self.keys[first : first + count], self.columns.slice(first, count)
        names = identity.names(keys) if len(keys) else pa.array([], pa.string())
        empty = {name: pa.nulls(len(keys), part.schema.field(name).type) for name in hidden}
        return pa.table({"customer_id": names} | {n: empty.get(n, part[n]) for n in part.column_names})


def members(home: Home, name: str) -> AudienceTable:
    """The customers of an audience.

    Raises:
        NothingThere: there is no such audience, or nothing was built yet.
        PatronError: its rule reads scores, and all customers were never scored; or it cannot be used.
    """
    rules = audience_rules(home, load_declared(home))
    if name not in rules:
        raise NothingThere("there is no such audience")
    known, read = features_of(home), terms(rules[name])
    segments = [Term(n, "string") for n in SEGMENTS if n in known]
    scores = [Term(n, "float64", is_score=True) for n in SCORES]
    everybody = load_everybody(home, [*segments, *scores, *read])
    if missing := {term.name for term in read if term.is_score} & {*everybody.unscored}:
        raise PatronError(
            f"the audience reads scores of {', '.join(sorted(missing))}, and all customers were never scored;"
            " run `patron score`, or POST /v1/score-jobs"
        )
    inside = everybody.matching({name: rules[name]})[name]
    table, count = everybody.table, int(np.count_nonzero(inside))
    chosen = {n: table[n].filter(pa.array(inside)) for n in (*SEGMENTS, *SCORES) if n in table.column_names}
    chosen |= {n: pa.nulls(count, pa.string()) for n in SEGMENTS if n not in chosen}
    columns = pa.table({n: chosen[n] for n in (*SEGMENTS, *SCORES)})
    return AudienceTable(everybody.as_of, everybody.keys[inside], columns)


def write_members(home: Home, name: str, out: Path) -> dict[str, Any]:
    """Write the customers of an audience into ``out`` (.parquet, .ndjson, .csv or .xlsx).

    Returns:
        The audience, the moment of the features, how many customers there are, and the file.

    Raises:
        PatronError: the file cannot be written there, or as :func:`members`.
    """
    writing.check_place(out, tables.KINDS)
    table = members(home, name)
    parts = table.tables(Identity(home), 0, frozenset())
    tables.write(parts, out, home.shop().time_zone)
    as_of = table.as_of.isoformat()
    return {"audience": name, "as_of": as_of, "customers": len(table.keys), "out": str(out)}
