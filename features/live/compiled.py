"""The definitions of all groups as SQL, compiled once: what a handful of customers is recomputed by.

Building Ibis' expressions costs a second, running their SQL over small Arrow tables tens of
milliseconds. The SQL is the definitions' own, so nothing is defined twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import duckdb
import ibis
import pyarrow as pa

from core.storage.duckdb_engine import connect
from events.schema import POPULATION, Events
from features.group import KEYS, FeatureGroup
from features.groups import GROUPS

_KEY_TYPES = {name: POPULATION[name] for name in KEYS}


@dataclass(frozen=True)
class Compiled:
    """SQL of groups over tables named as in ``Events``, ``population`` and ``facts``.

    Attributes:
        sql: by group; those that read other groups come last.
        types: of the columns of each group's result.
        reads: by group the columns of ``facts`` and their types; none for a group that reads events alone.
    """

    sql: Mapping[str, str]
    types: Mapping[str, pa.Schema]
    reads: Mapping[str, pa.Schema]


@cache
def compile_groups(groups: tuple[FeatureGroup, ...] = GROUPS) -> Compiled:
    """Compile the definitions, which takes about a second, once per process."""
    events, population = Events.unbound(), ibis.table(POPULATION, name="population")
    sql, types, reads = {}, {}, {}
    for group in sorted(groups, key=lambda group: bool(group.reads)):
        prepared = {}
        if group.reads:
            schema = _KEY_TYPES | {feature.name: feature.dtype for feature in group.reads.values()}
            prepared["facts"] = ibis.table(schema, name="facts")
            reads[group.name] = prepared["facts"].schema().to_pyarrow()
        values = group.compute(events, population, prepared=prepared).order_by("customer_key")
        sql[group.name] = str(ibis.to_sql(values, dialect="duckdb"))
        types[group.name] = values.schema().to_pyarrow()
    return Compiled(sql, types, reads)


def open_connection() -> duckdb.DuckDBPyConnection:
    """A DuckDB for small tables: one thread is faster than two, and leaves the others alone."""
    connection: duckdb.DuckDBPyConnection = connect().con
    connection.execute("SET threads = 1")
    return connection


def run(
    connection: duckdb.DuckDBPyConnection,
    compiled: Compiled,
    tables: Mapping[str, pa.Table],
    population: pa.Table,
) -> dict[str, pa.Table]:
    """The features of a population, by group: one row per customer, in the order of their keys.

    Planned anew each time, since a prepared plan rests on the tables that it was made for.

    Args:
        tables: the event tables, ``opinions`` and ``boundaries``.
        population: one row per customer, all as of the same moment.
    """
    given = {**tables, "population": population}
    for name, table in given.items():
        connection.register(name, table)
    results: dict[str, pa.Table] = {}
    try:
        for group, sql in compiled.sql.items():
            if group in compiled.reads:
                connection.register("facts", _facts(results, compiled.reads[group]))
            # DuckDB's own types differ: a sum is a HUGEINT.
            results[group] = connection.execute(sql).to_arrow_table().cast(compiled.types[group])
    finally:
        for name in (*given, "facts"):
            connection.unregister(name)
    return results


def _facts(results: Mapping[str, pa.Table], schema: pa.Schema) -> pa.Table:
    """What a group reads of the others, whose rows are those of the same customers in the same order."""
    columns = {name: table[name] for table in results.values() for name in table.column_names}
    return pa.table([columns[name] for name in schema.names], schema=schema)
