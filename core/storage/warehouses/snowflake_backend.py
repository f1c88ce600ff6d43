"""Ibis' backend for Snowflake as a warehouse: rows leave it as Arrow, and enter it as Parquet by a stage.

The stage and the tables that it creates are temporary and end with the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import snowflake.connector
from ibis.backends.snowflake import Backend
from snowflake.connector import errors
from snowflake.connector.constants import FIELD_ID_TO_NAME

from core.errors import PatronError, StoreUnavailable
from core.storage import sql
from core.storage.warehouses.session import WarehouseSession
from core.storage.warehouses.snowflake_compiler import COMPILER

QUERY_SECONDS = 3600
LOGIN_SECONDS = 10
_STAGE = "patron_rows"
_SETTINGS = {
    "TIMEZONE": "UTC",
    "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
    "WEEK_START": 0,  # by which Ibis counts days of the week
    "DEFAULT_NULL_ORDERING": "LAST",
    "DATE_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    "ROWS_PER_RESULTSET": 0,
    "STATEMENT_TIMEOUT_IN_SECONDS": QUERY_SECONDS,
    "STRICT_JSON_OUTPUT": True,
    "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": "arrow_force",
    "CLIENT_TELEMETRY_ENABLED": False,
}
_ENDED = {390111, 390112, 390114, 390115, 390195}  # the session is unknown, or expired


class SnowflakeBackend(WarehouseSession, Backend):  # type: ignore[misc]
    """Runs Ibis expressions on Snowflake, in one session."""

    compiler = COMPILER

    def limit_queries(self, seconds: int) -> None:
        """Give each query from now on at most so many seconds."""
        self.run(f"ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = {seconds}")

    def types_of(self, query: str) -> dict[str, str]:
        """The columns of a query, in lower case if their names are not quoted, and Snowflake's types.

        A number without decimals is an ``INTEGER``.

        Raises:
            PatronError: the query is not accepted.
        """
        return {_name(column.name): _type(column) for column in self._described(query)}

    def load(self, name: str, schema: ibis.Schema, batches: Iterable[pa.RecordBatch]) -> ir.Table:
        """Batches of rows as a temporary table."""
        columns = ", ".join(f"{sql.name(column)} {self._type_of(dtype)}" for column, dtype in schema.items())
        values = ", ".join(self._cast(f"$1:{sql.name(column)}", dtype) for column, dtype in schema.items())
        self.run(
            f"CREATE TEMPORARY TABLE {sql.name(name)} ({columns})",
            f"CREATE TEMPORARY STAGE IF NOT EXISTS {_STAGE}",
        )
        with TemporaryDirectory(prefix="patron-") as folder:
            file = Path(folder) / f"{name}.parquet"
            self._write_parquet(file, schema, batches)
            self.run(
                f"PUT 'file://{file}' @{_STAGE} AUTO_COMPRESS = FALSE",
                f"COPY INTO {sql.name(name)} FROM (SELECT {values} FROM @{_STAGE}/{file.name})"
                " FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) PURGE = TRUE",
            )
        return self._table(name, schema)

    def _execute(self, statement: str) -> None:
        with _failures(self.label), self.con.cursor() as cursor:
            cursor.execute(statement)

    def _drop(self, name: str) -> str:
        return f"DROP TABLE IF EXISTS {sql.name(name)}"

    def _copy(self, name: str, query: str) -> Sequence[str]:
        return (f"CREATE TEMPORARY TABLE {sql.name(name)} AS {query}",)

    def _batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with _failures(self.label), self.con.cursor() as cursor:
            for rows in cursor.execute(query).fetch_arrow_batches():
                yield from rows.cast(schema).to_batches()

    def _cast(self, column: str, dtype: Any) -> str:
        return f"CAST({column} AS {self._type_of(dtype)})"

    def _type_of(self, dtype: Any) -> str:
        if dtype.is_timestamp():
            return "TIMESTAMP_TZ(6)" if dtype.timezone else "TIMESTAMP_NTZ(6)"
        return str(self.compiler.type_mapper.to_string(dtype))

    def _written_names(self, query: str) -> Mapping[str, str]:
        return {_name(column.name): column.name for column in self._described(query)}

    def _described(self, query: str) -> list[Any]:
        with _failures(self.label), self.con.cursor() as cursor:
            return list(cursor.describe(query))


def connect(label: str, setting: str, **login: Any) -> SnowflakeBackend:
    """A session of an account.

    Args:
        label: the account and the database, for messages.
        setting: the environment variable with the URL.
        login: the account, the user and so on, as Snowflake's client names them; what is missing, it takes
            from its own files.

    Raises:
        StoreUnavailable: the account cannot be reached, or refuses the login.
        PatronError: a part of the login is missing.
    """
    try:
        connection = snowflake.connector.connect(
            **login, login_timeout=LOGIN_SECONDS, application="Patron", client_session_keep_alive=True,
            session_parameters=_SETTINGS,
        )  # fmt: skip
    except (errors.Error, TypeError, ValueError, OSError) as error:
        raise _login_error(error, label, setting) from error
    backend: SnowflakeBackend = SnowflakeBackend()
    backend.con = connection
    backend.label = label
    backend.begin()
    return backend


def _login_error(error: Exception, label: str, setting: str) -> PatronError:
    """What the client raises at the login, as an error for people."""
    if isinstance(error, (errors.OperationalError, errors.HttpError, errors.RevocationCheckError)):
        return StoreUnavailable(
            f"the warehouse {label} does not answer; see that the account exists and {setting} is right"
        )
    if isinstance(error, errors.DatabaseError) and not isinstance(error, errors.ProgrammingError):
        return StoreUnavailable(f"the warehouse {label} refuses the login; see that {setting} is right")
    return PatronError(
        f"Snowflake's client cannot log in to {label}: a part of the login is missing or cannot be read; see"
        f" {setting}, its key file and connections.toml"
    )


def _name(written: str) -> str:
    """A column's name: Snowflake writes one that is not quoted in upper case."""
    return written.lower() if written.isupper() else written


def _type(column: Any) -> str:
    name = str(FIELD_ID_TO_NAME[column.type_code])
    names = {"FIXED": "NUMBER" if column.scale else "INTEGER", "REAL": "FLOAT"}
    return names.get(name, name)


@contextmanager
def _failures(label: str) -> Iterator[None]:
    """Raise what the server refuses as errors for people; its messages may quote customers' data."""
    try:
        yield
    except errors.Error as error:
        code = error.sqlstate or ""
        if error.errno in _ENDED or isinstance(error, errors.OperationalError):
            raise StoreUnavailable(
                f"the warehouse {label} ended the connection; run the command again when it answers"
            ) from error
        if code.startswith("42") or code == "02000":  # a name, a type or a permission: it quotes SQL only
            why = " ".join(str(error.msg).split()).removeprefix("SQL compilation error: ")
            raise PatronError(f"the warehouse {label} refuses a query: {why.rstrip('.')}") from error
        raise PatronError(
            f"the warehouse {label} failed at a query ({type(error).__name__}, {error.errno}); its history"
            " of queries says which"
        ) from error
