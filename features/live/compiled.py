"""The definitions of all groups as SQL, compiled once, to recompute the features of a few customers.

Building the Ibis expressions takes a second; running their SQL over small Arrow tables takes tens of
milliseconds. The SQL is compiled from the definitions, so nothing is defined twice.
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
        types: the types of the columns of each group's result.
        reads: by group the columns of ``facts`` and their types; absent for a group that reads only events.
    """

    sql: Mapping[str, str]
    types: Mapping[str, pa.Schema]
    reads: Mapping[str, pa.Schema]


@cache
def compile_groups(groups: tuple[FeatureGroup, ...] = GROUPS) -> Compiled:
    """Compile the definitions, once per process, which takes about a second."""
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
    """A DuckDB connection for small tables; one thread is faster than two here, and leaves the other cores
    free.
    """
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

    Each call plans the SQL again, since a prepared statement is bound to its tables.

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
            # The types of DuckDB differ: a sum is a HUGEINT.
            results[group] = connection.execute(sql).to_arrow_table().cast(compiled.types[group])
    finally:
        for name in (*given, "facts"):
            connection.unregister(name)
    return results


def _facts(results: Mapping[str, pa.Table], schema: pa.Schema) -> pa.Table:
    """The columns that a group reads from other groups; all results have the same rows in the same order."""
    columns = {name: table[name] for table in results.values() for name in table.column_names}
    return pa.table([columns[name] for name in schema.names], schema=schema)
