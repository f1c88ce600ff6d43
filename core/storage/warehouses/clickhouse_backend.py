"""Ibis' backend for ClickHouse as a warehouse: rows travel by HTTP as Arrow, with Ibis' types."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from clickhouse_connect.driver import exceptions
from ibis.backends.clickhouse import Backend
from urllib3.util import Timeout

from core.errors import PatronError, StoreUnavailable
from core.storage import sql
from core.storage.warehouses.clickhouse_compiler import COMPILER
from core.storage.warehouses.session import WarehouseSession

MIN_VERSION = "24.12"  # of the server: from then on, greatest and least ignore nulls
QUERY_SECONDS = 3600
_CONNECT_SECONDS = 10
_SETTINGS = {
    "session_timeout": QUERY_SECONDS,  # the temporary tables stay while this process computes
    "session_timezone": "UTC",
    "join_use_nulls": 1,
    "aggregate_functions_null_for_empty": 1,
    "output_format_arrow_string_as_string": 1,
    "wait_end_of_query": 1,  # an error is a response of its own, and not the end of rows that look whole
}
_NAMES = {43, 46, 47, 53, 60, 62, 81, 115, 386, 497, 516}  # codes whose messages quote SQL only
_UNKNOWN_TABLE, _REFUSED_LOGIN = 60, 516
_OWN_TABLE = re.compile(r"identifier '(patron|ibis)_")  # which ended with the session
_NULLABLE = re.compile(r"^(?:LowCardinality|Nullable)\((.*)\)$")


class ClickHouseBackend(WarehouseSession, Backend):  # type: ignore[misc]
    """Runs Ibis expressions on ClickHouse, in one session."""

    compiler = COMPILER

    def limit_queries(self, seconds: int) -> None:
        """Give each query from now on at most so many seconds."""
        self.con.timeout = Timeout(connect=_CONNECT_SECONDS, read=seconds)

    def types_of(self, query: str) -> dict[str, str]:
        """The columns of a query and ClickHouse's names of their types, such as ``DateTime64``.

        Raises:
            PatronError: the query is not accepted.
        """
        with _failures(self.label):
            described = self.con.raw_query(f"DESCRIBE ({query}\n)", fmt="ArrowStream")
        rows = pa.ipc.open_stream(described).read_all().select(["name", "type"]).to_pylist()
        return {row["name"]: _bare(row["type"]) for row in rows}

    def load(self, name: str, schema: ibis.Schema, batches: Iterable[pa.RecordBatch]) -> ir.Table:
        """Batches of rows as a temporary table."""
        columns = ", ".join(f"{sql.name(column)} {self._type_of(dtype)}" for column, dtype in schema.items())
        self.run(f"CREATE TEMPORARY TABLE {sql.name(name)} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
        types = schema.to_pyarrow()
        for batch in batches:
            content = io.BytesIO()
            with pa.ipc.new_stream(content, types) as writer:
                writer.write_table(pa.Table.from_batches([batch]).cast(types))
            with _failures(self.label):
                self.con.raw_insert(sql.name(name), insert_block=content.getvalue(), fmt="ArrowStream")
        return self._table(name, schema)

    def _execute(self, statement: str) -> None:
        with _failures(self.label):
            self.con.command(statement)

    def _drop(self, name: str) -> str:
        return f"DROP TEMPORARY TABLE IF EXISTS {sql.name(name)}"

    def _copy(self, name: str, query: str) -> Sequence[str]:
        return (f"CREATE TEMPORARY TABLE {sql.name(name)} ENGINE = MergeTree ORDER BY tuple() AS {query}",)

    def _batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with (
            _failures(self.label),
            self.con.raw_stream(query, fmt="ArrowStream") as content,
            pa.ipc.open_stream(content) as rows,
        ):
            for batch in rows:
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    def _cast(self, column: str, dtype: Any) -> str:
        return f"CAST({column} AS {self._type_of(dtype)})"

    def _type_of(self, dtype: Any) -> str:
        return str(self.compiler.type_mapper.to_string(dtype))


def connect(label: str, setting: str, **login: Any) -> ClickHouseBackend:
    """A session of a server.

    Args:
        label: the server and the database, for messages.
        setting: the environment variable with the URL.
        login: the host, the port, the user and so on, as ClickHouse's client names them.

    Raises:
        StoreUnavailable: the server cannot be reached, or refuses the login.
        PatronError: the server is too old.
    """
    try:
        client = clickhouse_connect.get_client(
            **login, connect_timeout=_CONNECT_SECONDS, send_receive_timeout=_CONNECT_SECONDS, query_retries=0,
            query_limit=0, client_name="patron", settings=_SETTINGS,
        )  # fmt: skip
    except exceptions.Error as error:
        if error.code == _REFUSED_LOGIN:
            raise StoreUnavailable(
                f"the warehouse {label} refuses the login; see that {setting} is right"
            ) from error
        raise StoreUnavailable(
            f"the warehouse {label} does not answer; see that the server runs and {setting} is right"
        ) from error
    if not client.min_version(MIN_VERSION):
        raise PatronError(
            f"the warehouse {label} is ClickHouse {client.server_version}; use {MIN_VERSION} or later"
        )
    # From now on a response may take long; a server that hangs did not respond to the login.
    backend: ClickHouseBackend = ClickHouseBackend.from_connection(client)
    backend.limit_queries(QUERY_SECONDS)
    backend.label = label
    backend.begin()
    return backend


def _bare(name: str) -> str:
    """The name of a type without its parameters, and without that it may be null."""
    while wrapped := _NULLABLE.match(name):
        name = wrapped.group(1)
    return name.partition("(")[0]


@contextmanager
def _failures(label: str) -> Iterator[None]:
    """Raise what the server refuses as errors for people; its messages may quote customers' data."""
    try:
        yield
    except exceptions.Error as error:
        if error.code is None or (error.code == _UNKNOWN_TABLE and _OWN_TABLE.search(str(error))):
            raise StoreUnavailable(
                f"the warehouse {label} ended the connection; run the command again when it answers"
            ) from error
        if error.code in _NAMES:
            why = str(error).partition("DB::Exception: ")[2].partition(" In scope ")[0]
            raise PatronError(f"the warehouse {label} refuses a query: {why.rstrip('.')}") from error
        raise PatronError(
            f"the warehouse {label} failed at a query ({error.name}, {error.code}); its log says which"
        ) from error
