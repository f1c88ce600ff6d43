"""The engine that reads the events of a home: DuckDB in this process, or the home's warehouse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from ibis.backends.sql import SQLBackend
from psycopg.conninfo import make_conninfo

from core.errors import PatronError
from core.home import Home
from core.storage import duckdb_engine
from core.storage.warehouses import medians

if TYPE_CHECKING:
    from core.storage.warehouses.session import WarehouseSession

SETTING = "PATRON_WAREHOUSE"
SOURCE = "warehouse"
"""The source of a shop whose events are in a warehouse."""
ENGINES = ("postgres", "clickhouse", "snowflake", "bigquery")
"""Ibis' names of the engines of warehouses."""


def backend_of(home: Home, *, spill: bool = False) -> SQLBackend:
    """The engine with which :func:`events.lake.read` reads a home's events.

    Args:
        spill: put what does not fit into memory into the home, as builds do.

    Raises:
        PatronError: there is no shop, or its warehouse cannot be used.
    """
    if is_in_warehouse(home):
        backend = connect(home.warehouse)
        backend.approximate = home.shop().approximate
        if backend.approximate and backend.name not in medians.WITHOUT:
            raise PatronError(
                f"{home.settings_file} permits approximate medians, but this warehouse has exact ones; remove"
                " approximate from [warehouse], and train the models again"
            )
        return backend
    return duckdb_engine.connect(home.path, duckdb_engine.MAX_MEMORY) if spill else duckdb_engine.connect()


def is_in_warehouse(home: Home) -> bool:
    """Whether the events of a home are in a warehouse."""
    return home.settings_file.exists() and home.shop().source == SOURCE


def connect(url: str | None) -> WarehouseSession:
    """A session of a warehouse.

    Raises:
        StoreUnavailable: the server cannot be reached, or refuses the login.
        PatronError: there is no URL, it is none of a warehouse, or a package is not installed.
    """
    if url is None:
        raise PatronError(
            f"the events of this shop are in a warehouse; set {SETTING} to its URL, such as"
            " postgresql://user:password@host:port/name"
        )
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise PatronError(f"{SETTING} is no URL; use postgresql://user:password@host:port/name") from error
    kind = parsed.get_backend_name()
    if kind not in _OPENERS:
        raise PatronError(
            f"{SETTING} names a {kind} database; Patron connects to PostgreSQL, ClickHouse, Snowflake and"
            " BigQuery"
        )
    return _OPENERS[kind](parsed)


def _open_postgres(url: sa.URL) -> WarehouseSession:
    from core.storage import postgres
    from core.storage.warehouses.postgres_backend import PostgresBackend

    label = _label(url, 5432)
    # SQLAlchemy writes a blank in a URL as a plus sign, which the client of PostgreSQL does not read.
    login: dict[str, Any] = {**url.query, **url.translate_connect_args(username="user", database="dbname")}
    try:
        address = make_conninfo(**login)
        connection = postgres.connect(address, label, SETTING)
    except psycopg.ProgrammingError as error:  # a parameter that it does not know
        raise PatronError(f"{SETTING} is no URL; use postgresql://user:password@host:port/name") from error
    backend: PostgresBackend = PostgresBackend.from_connection(connection)
    backend.label = label
    return backend


def _open_clickhouse(url: sa.URL) -> WarehouseSession:
    _require("clickhouse_connect", "ClickHouse", "clickhouse")
    from core.storage.warehouses import clickhouse_backend

    secure = str(url.query.get("secure", "")).lower() in ("1", "true")
    port = url.port or (8443 if secure else 8123)
    return clickhouse_backend.connect(
        _label(url, port), SETTING, host=url.host or "localhost", port=port, secure=secure,
        username=url.username, password=url.password or "", database=url.database or "default",
    )  # fmt: skip


def _open_snowflake(url: sa.URL) -> WarehouseSession:
    _require("snowflake.connector", "Snowflake", "snowflake")
    from core.storage.warehouses import snowflake_backend

    if unknown := sorted(url.query.keys() - _SNOWFLAKE_PARAMETERS):
        known = ", ".join(sorted(_SNOWFLAKE_PARAMETERS))
        raise PatronError(f"{SETTING} has a parameter {unknown[0]}, which is unknown; use {known}")
    database, _, schema = (url.database or "").partition("/")
    login = {
        "account": url.host, "user": url.username, "password": url.password, "database": database,
        "schema": schema, **url.query,
    }  # fmt: skip
    label = f"{url.host or url.query.get('connection_name', 'of Snowflake')}/{url.database or ''}"
    return snowflake_backend.connect(label, SETTING, **{name: text for name, text in login.items() if text})


def _open_bigquery(url: sa.URL) -> WarehouseSession:
    _require("google.cloud.bigquery", "BigQuery", "bigquery")
    from core.storage.warehouses import bigquery_backend

    return bigquery_backend.connect(
        f"{url.host or 'of BigQuery'}/{url.database or ''}", SETTING, project=url.host, dataset=url.database,
        location=str(url.query["location"]) if "location" in url.query else None,
    )  # fmt: skip


_SNOWFLAKE_PARAMETERS = {
    "authenticator", "connection_name", "host", "port", "private_key_file", "protocol", "role",
    "token_file_path", "warehouse",
}  # fmt: skip
"""What a URL of Snowflake may have in its query, as Snowflake's client names it."""
_OPENERS: Mapping[str, Callable[[sa.URL], WarehouseSession]] = {
    "postgresql": _open_postgres,
    "postgres": _open_postgres,
    "clickhouse": _open_clickhouse,
    "snowflake": _open_snowflake,
    "bigquery": _open_bigquery,
}


def _label(url: sa.URL, port: int) -> str:
    """A warehouse as messages name it."""
    return f"{url.host or 'localhost'}:{url.port or port}/{url.database or ''}"


def _require(package: str, name: str, extra: str) -> None:
    """Raise an error unless a package is installed."""
    try:
        is_installed = find_spec(package) is not None
    except ModuleNotFoundError:  # of a package around it
        is_installed = False
    if not is_installed:
        raise PatronError(
            f"the client of {name} is not installed; install Patron's extra `{extra}` in this environment"
        )
