"""Warehouses of a company for tests, with the events of a shop and its own ids of customers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import clickhouse_connect
import ibis
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from benchmarks.harness.postgres import PostgresServer
from core.home import Home
from events import lake
from events.identity import Identity
from events.schema import MONEY, SCHEMAS
from tests.clickhouse import ClickHouseServer, running_clickhouse


class Warehouse(Protocol):
    """A company's warehouse.

    Attributes:
        address: its URL.
        dialect: sqlglot's name of its SQL.
    """

    address: str
    dialect: str

    def create(self, name: str, rows: pa.Table) -> None:
        """Create a table of an event table's name with rows."""

    def execute(self, statement: str) -> None:
        """Execute a statement."""

    def end_sessions(self) -> None:
        """End the sessions of others at once."""


def copy_events(shop: Home, warehouse: Warehouse) -> None:
    """Copy the events of a shop into tables of a company, with its own ids of customers."""
    local, ids = lake.connect(), ibis.memtable(Identity(shop).table())
    for name, table in lake.read(shop, local).items():
        rows = local.to_pyarrow(table.inner_join(ids, "customer_key"))
        columns_of_patron = {"customer_key", "day", "hour", "replaced_at"} & set(rows.column_names)
        warehouse.create(name, rows.drop_columns(list(columns_of_patron)))


@dataclass
class PostgresWarehouse:
    """A database of PostgreSQL."""

    address: str
    dialect: str = "postgres"

    def create(self, name: str, rows: pa.Table) -> None:
        """Create a table with rows."""
        types = {"int64": "bigint", "boolean": "boolean", "timestamp(6)": "timestamptz"}
        types |= {MONEY: "numeric(18, 4)"}
        columns = [f'"{c}" {types.get(SCHEMAS[name].get(c, ""), "text")}' for c in rows.column_names]
        content = io.BytesIO()
        csv.write_csv(rows, content, csv.WriteOptions(include_header=False))
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {name} ({', '.join(columns)})".encode())
            with cursor.copy(f"COPY {name} FROM STDIN (FORMAT csv)".encode()) as copy:
                copy.write(content.getvalue())

    def execute(self, statement: str) -> None:
        """Execute a statement."""
        with self._connected() as connection:
            connection.execute(statement.encode())

    def end_sessions(self) -> None:
        """End the connections of others."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.address, autocommit=True)


@dataclass
class ClickHouseWarehouse:
    """A database of ClickHouse."""

    server: ClickHouseServer
    dialect: str = "clickhouse"

    @property
    def address(self) -> str:
        """The URL of the database."""
        return self.server.address

    def create(self, name: str, rows: pa.Table) -> None:
        """Create a table with rows."""
        types = {
            "int64": "Int64",
            "boolean": "Bool",
            "timestamp(6)": "DateTime64(6)",
            MONEY: "Decimal(18, 4)",
        }
        columns = [
            f"`{c}` Nullable({types.get(SCHEMAS[name].get(c, ''), 'String')})" for c in rows.column_names
        ]
        self.execute(f"CREATE TABLE {name} ({', '.join(columns)}) ENGINE = MergeTree ORDER BY tuple()")
        content = io.BytesIO()
        with pa.ipc.new_stream(content, rows.schema) as writer:
            writer.write_table(rows)
        with self._connected() as client:
            client.raw_insert(name, insert_block=content.getvalue(), fmt="ArrowStream")

    def execute(self, statement: str) -> None:
        """Execute a statement."""
        with self._connected() as client:
            client.command(statement)

    def end_sessions(self) -> None:
        """End the server, and start it again."""
        self.server.kill()
        self.server.start()

    def _connected(self) -> Any:
        url = sa.make_url(self.address)
        return clickhouse_connect.get_client(
            host=url.host, port=url.port, username=url.username, password=url.password
        )


@contextmanager
def warehouse_of(engine: str, postgres: PostgresServer) -> Iterator[Warehouse]:
    """Yield an empty warehouse.

    Args:
        engine: ``postgres`` or ``clickhouse``.
    """
    if engine == "postgres":
        with postgres.database() as address:
            yield PostgresWarehouse(address)
    else:
        with running_clickhouse() as server:
            yield ClickHouseWarehouse(server)
