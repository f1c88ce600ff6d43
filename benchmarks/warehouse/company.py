"""A company's warehouse with the events of a shop and its own ids of customers, and a home that reads it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ibis
import psycopg
import pyarrow as pa
from pyarrow import csv

from core.home import Home
from core.storage import duckdb_engine
from events import lake
from events.identity import Identity
from events.lake import shops
from events.schema import MONEY, SCHEMAS
from events.warehouse import SOURCE

BATCH = 100_000  # rows
ADDED = {"customer_key", "day", "hour", "replaced_at"}
"""The columns that Patron adds to those of a company."""


class Warehouse(Protocol):
    """A company's warehouse.

    Attributes:
        address: its URL.
        dialect: sqlglot's name of its SQL.
    """

    address: str
    dialect: str

    def create(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Create a table of an event table's name with rows."""

    def execute(self, statement: str) -> None:
        """Execute a statement."""

    def end_sessions(self) -> None:
        """End the sessions of others at once."""


def copy_events(shop: Home, warehouse: Warehouse) -> None:
    """Copy the events of a shop into tables of a company, with its own ids of customers."""
    local, ids = lake.connect(), ibis.memtable(Identity(shop).table())
    for name, table in lake.read(shop, local).items():
        rows = table.inner_join(ids, "customer_key").drop(*(ADDED & {*table.columns}))
        duckdb_engine.register_inputs(local, rows)
        reader = local.con.execute(local.compile(rows)).to_arrow_reader(BATCH)
        warehouse.create(name, rows.schema().to_pyarrow(), reader)


def home_of(warehouse: Warehouse, shop: Home, folder: Path) -> Home:
    """A home whose lake is a warehouse with the events of a shop, with the shop's clock and classifier.

    Args:
        folder: does not exist yet.
    """
    home, settings = Home(folder, warehouse=warehouse.address), shop.shop()
    shops.begin_live(home, settings.time_zone, settings.currency, SOURCE)
    home.write_shop(replace(settings, source=SOURCE))
    shutil.copy(shop.text_classifier, home.text_classifier)
    write_queries(home)
    return home


def write_queries(home: Home) -> None:
    """Write a query per event table, of the company's table of the same name."""
    home.warehouse_queries.mkdir()
    for name in SCHEMAS:
        (home.warehouse_queries / f"{name}.sql").write_text(f"SELECT * FROM {name} -- of the company\n")


@dataclass
class PostgresWarehouse:
    """A database of PostgreSQL."""

    address: str
    dialect: str = "postgres"

    def create(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Create a table with rows."""
        types = {"int64": "bigint", "boolean": "boolean", "timestamp(6)": "timestamptz"}
        types |= {MONEY: "numeric(18, 4)"}
        columns = [f'"{c}" {types.get(SCHEMAS[name].get(c, ""), "text")}' for c in schema.names]
        without_names = csv.WriteOptions(include_header=False)
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {name} ({', '.join(columns)})".encode())
            with cursor.copy(f"COPY {name} FROM STDIN (FORMAT csv)".encode()) as copy:
                for batch in batches:
                    content = io.BytesIO()
                    csv.write_csv(batch, content, without_names)
                    copy.write(content.getvalue())
            cursor.execute(f"ANALYZE {name}".encode())

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
