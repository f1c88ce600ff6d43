"""Warehouses of a company for tests."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import clickhouse_connect
import pyarrow as pa
import sqlalchemy as sa

from benchmarks.harness.postgres import PostgresServer
from benchmarks.warehouse.company import PostgresWarehouse, Warehouse
from events.schema import MONEY, SCHEMAS
from tests.clickhouse import ClickHouseServer, running_clickhouse

WAREHOUSES = ("postgres", "clickhouse")


@dataclass
class ClickHouseWarehouse:
    """A database of ClickHouse."""

    server: ClickHouseServer
    dialect: str = "clickhouse"

    @property
    def address(self) -> str:
        """The URL of the database."""
        return self.server.address

    def create(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Create a table with rows."""
        types = {
            "int64": "Int64",
            "boolean": "Bool",
            "timestamp(6)": "DateTime64(6)",
            MONEY: "Decimal(18, 4)",
        }
        columns = [f"`{c}` Nullable({types.get(SCHEMAS[name].get(c, ''), 'String')})" for c in schema.names]
        self.execute(f"CREATE TABLE {name} ({', '.join(columns)}) ENGINE = MergeTree ORDER BY tuple()")
        content = io.BytesIO()
        with pa.ipc.new_stream(content, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
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
        engine: one of ``WAREHOUSES``.
    """
    if engine == "postgres":
        with postgres.database() as address:
            yield PostgresWarehouse(address)
    else:
        with running_clickhouse() as server:
            yield ClickHouseWarehouse(server)
