"""The features that a home declares by SQL of its own (``features.toml``), as a group like any other.

The SQL is one aggregate. It reads an event table cut to what was visible of a customer at a moment, with
``days_ago``, and is grouped by customer and moment; so it cannot see later events or other customers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import sqlglot
from sqlglot import exp

from core.declarations.own_features import PREFIX, SqlFeature
from core.errors import PatronError
from core.storage import sql
from events.schema import OPINIONS, POPULATION, SCHEMAS
from features.group import KEYS, Feature, FeatureGroup

GROUP = "own"
_MOMENT = {"as_of": POPULATION["as_of"], "as_of_day": POPULATION["as_of_day"], "days_ago": "int32"}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    name: {**schema, **_MOMENT} for name, schema in {**SCHEMAS, "opinions": OPINIONS}.items()
}
_INTEGERS = frozenset(f"{u}{size}INT" for u in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE"))
_CASTS = {"int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN"}


def own_group(declared: Sequence[SqlFeature]) -> FeatureGroup:
    """The group of the declared features.

    Raises:
        PatronError: the SQL of a feature is not an aggregate of the columns of its table.
    """
    group = FeatureGroup(GROUP, fresh_for=timedelta(days=2))
    for feature in declared:
        dtype, name = _dtype(feature), f"values_of_{feature.name}"
        group.table(_table_of(feature, dtype, name))
        group.features[feature.name] = Feature(
            feature.name, feature.meaning, feature.unit, dtype, feature.missing, group, (name,), _value
        )
    return group


def _value(table: ir.Table) -> ir.Value:
    return table.value.max()


def _table_of(feature: SqlFeature, dtype: str, name: str) -> Callable[..., ir.Table]:
    """The prepared table of a feature: its value per customer and moment."""
    schema = ibis.schema({key: POPULATION[key] for key in KEYS} | {"value": dtype})
    alias, keys = f"visible_{feature.name}", ", ".join(KEYS)
    value = f"CAST(({feature.select}) AS {_CASTS[dtype]}) AS value"
    query = f"SELECT {keys}, {value} FROM {alias} GROUP BY {keys}"

    def table(visible: ir.Table) -> ir.Table:
        parent = visible.alias(alias).op()
        result: ir.Table = ops.SQLStringView(parent=parent, query=query, schema=schema).to_expr()
        return result

    table.__name__ = name
    # The group passes the table that the parameter names.
    parameter = inspect.Parameter(feature.source, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    table.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return table


def _dtype(feature: SqlFeature) -> str:
    """The type of the feature, by DuckDB; only an aggregate of the table's own columns has one."""
    place = f"features.toml: [features.{feature.name.removeprefix(PREFIX)}]"
    try:
        parsed = sqlglot.parse_one(f"SELECT ({feature.select})", read="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise PatronError(f"{place}: select is not understood as SQL") from error
    queries = list(parsed.find_all(exp.Query))
    several = not isinstance(parsed, exp.Select) or len(parsed.selects) > 1 or len(queries) > 1
    if several or parsed.find(exp.Table, exp.Window):
        raise PatronError(f"{place}: select must be one aggregate, without queries, tables and windows")
    columns = ", ".join(
        f"NULL::{_duckdb_type(dtype)} AS {sql.name(name)}" for name, dtype in _COLUMNS[feature.source].items()
    )
    query = (
        f"SELECT typeof(value) FROM (SELECT ({feature.select}) AS value FROM (SELECT {columns})"
        f" GROUP BY {', '.join(KEYS)})"
    )
    with duckdb.connect() as connection:
        try:
            (row,) = connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise PatronError(f"{place}: {str(error).splitlines()[0]}") from error
    return _of_duckdb(str(row[0]), place)


def _duckdb_type(dtype: str) -> str:
    if dtype.startswith("decimal"):
        return dtype
    return {"timestamp(6)": "TIMESTAMP", "int32": "INTEGER"}.get(dtype) or _CASTS[dtype]


def _of_duckdb(name: str, place: str) -> str:
    """The type of a feature by DuckDB's name of it."""
    if name == "INTEGER" or name in _INTEGERS:
        return "int64"
    if name in ("FLOAT", "DOUBLE") or name.startswith("DECIMAL"):
        return "float64"
    if name in ("VARCHAR", "BOOLEAN"):
        return "string" if name == "VARCHAR" else "boolean"
    raise PatronError(f"{place}: select has the type {name}; it must be a number, a text or true and false")
