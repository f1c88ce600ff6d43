"""The engine that reads the events of a home: DuckDB in this process, or the home's warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from ibis.backends.sql import SQLBackend

from core.errors import PatronError
from core.home import Home
from core.storage import duckdb_engine

if TYPE_CHECKING:
    from core.storage.postgres_backend import PostgresBackend

SETTING = "PATRON_WAREHOUSE"
SOURCE = "warehouse"
"""The source of a shop whose events are in a warehouse."""
ENGINE = "postgres"
"""Ibis' name of the engine of a warehouse."""


def backend_of(home: Home, *, spill: bool = False) -> SQLBackend:
    """The engine with which :func:`events.lake.read` reads a home's events.

    Args:
        spill: put what does not fit into memory into the home, as builds do.

    Raises:
        PatronError: there is no shop, or its warehouse cannot be used.
    """
    if is_in_warehouse(home):
        return connect(home.warehouse)
    return duckdb_engine.connect(home.path, duckdb_engine.MAX_MEMORY) if spill else duckdb_engine.connect()


def is_in_warehouse(home: Home) -> bool:
    """Whether the events of a home are in a warehouse."""
    return home.settings_file.exists() and home.shop().source == SOURCE


def connect(url: str | None) -> PostgresBackend:
    """A session of a warehouse.

    Raises:
        StoreUnavailable: the server cannot be reached, or refuses the login.
        PatronError: there is no URL, or it is not that of a PostgreSQL.
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
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise PatronError(
            f"{SETTING} names a {parsed.get_backend_name()} database; Patron connects to PostgreSQL"
        )
    from core.storage import postgres
    from core.storage.postgres_backend import PostgresBackend

    label = f"{parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database or ''}"
    backend: PostgresBackend = PostgresBackend.from_connection(postgres.connect(url, label, SETTING))
    backend.label = label
    return backend
