"""BigQuery as a warehouse, by Ibis' compiler and Google's client: rows leave by pages, and enter as Parquet.

Tables are temporary ones of a session of BigQuery, and end with it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud import bigquery
from requests.exceptions import RequestException

from core.errors import PatronError, StoreUnavailable
from core.storage.warehouses.bigquery_compiler import COMPILER
from core.storage.warehouses.session import WarehouseSession

QUERY_SECONDS = 3600
CONNECT_SECONDS = 10
_ROWS_PER_PAGE = 50_000
_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}  # names of types in SQL
_REFUSED = (exceptions.Unauthorized, exceptions.Forbidden)


class BigQueryBackend(WarehouseSession):
    """Runs Ibis expressions on BigQuery, in one session."""

    name = "bigquery"
    compiler = COMPILER
    _query_seconds = QUERY_SECONDS

    def begin_session(self, client: bigquery.Client, label: str) -> None:
        """Begin a session of BigQuery, which ends by itself a day after its last query."""
        self.con, self.label = client, label
        first = bigquery.QueryJobConfig(create_session=True)
        job = client.query("SELECT 1", job_config=first, timeout=CONNECT_SECONDS, retry=None, job_retry=None)
        job.result(timeout=CONNECT_SECONDS, retry=None)
        self._session = bigquery.ConnectionProperty("session_id", job.session_info.session_id)
        self.begin()

    @property
    def version(self) -> str:
        """BigQuery has no version."""
        return ""

    def disconnect(self) -> None:
        """End the session with its temporary tables."""
        with suppress(PatronError):  # it ends by itself too
            self._execute("CALL BQ.ABORT_SESSION()")
        self.con.close()

    def list_tables(self, **_: Any) -> list[str]:
        """No tables: the company's queries name their own."""
        return []

    def _get_schema_using_query(self, query: str) -> ibis.Schema:
        """Nothing calls it, since :meth:`source` has a schema; Ibis requires it."""
        raise NotImplementedError

    def limit_queries(self, seconds: int) -> None:
        """Give each query from now on at most so many seconds."""
        self._query_seconds = seconds

    def types_of(self, query: str) -> dict[str, str]:
        """The columns of a query and BigQuery's names of their types, such as ``TIMESTAMP``; costs nothing.

        Raises:
            PatronError: the query is not accepted.
        """
        with _failures(self.label):
            job = self.con.query(
                query, job_config=bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
            )
        return {f.name: _STANDARD.get(f.field_type, f.field_type) for f in job.schema or ()}

    def load(self, name: str, schema: ibis.Schema, batches: Iterable[pa.RecordBatch]) -> ir.Table:
        """Batches of rows as a temporary table."""
        columns = ", ".join(f"{self._quoted(c)} {self._type_of(dtype)}" for c, dtype in schema.items())
        self.run(f"CREATE TEMP TABLE {self._quoted(name)} ({columns})")
        fields = [bigquery.SchemaField(c, self._type_of(dtype)) for c, dtype in schema.items()]
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, schema=fields, connection_properties=[self._session]
        )
        content = io.BytesIO()
        self._write_parquet(content, schema, batches)
        with _failures(self.label):
            self.con.load_table_from_file(
                content, f"{self.con.project}._SESSION.{name}", rewind=True, job_config=config
            ).result(timeout=self._query_seconds)
        return self._table(name, schema)

    def _query(self, statement: str) -> Any:
        """The job of a statement of the session."""
        zone = bigquery.ConnectionProperty("time_zone", "UTC")
        config = bigquery.QueryJobConfig(connection_properties=[self._session, zone], use_query_cache=False)
        return self.con.query(statement, job_config=config, timeout=self._query_seconds)

    def _execute(self, statement: str) -> None:
        with _failures(self.label):
            self._query(statement).result(timeout=self._query_seconds, max_results=0)

    def _drop(self, name: str) -> str:
        return f"DROP TABLE IF EXISTS {self._quoted(name)}"

    def _copy(self, name: str, query: str) -> Sequence[str]:
        return (f"CREATE TEMP TABLE {self._quoted(name)} AS {query}",)

    def _batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with _failures(self.label):
            rows = self._query(query).result(page_size=_ROWS_PER_PAGE, timeout=self._query_seconds)
            for batch in rows.to_arrow_iterable():
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    def _cast(self, column: str, dtype: Any) -> str:
        cast = f"CAST({column} AS {self._type_of(dtype)})"
        return f"ROUND({cast}, {dtype.scale})" if dtype.is_decimal() else cast

    def _type_of(self, dtype: Any) -> str:
        return str(self.compiler.type_mapper.to_string(dtype))

    def _quoted(self, name: str) -> str:
        return f"`{name}`"


def connect(
    label: str, setting: str, *, project: str | None, dataset: str | None, location: str | None
) -> BigQueryBackend:
    """A session of a project, with the credentials that Google's client finds.

    Args:
        label: the project and the dataset, for messages.
        setting: the environment variable with the URL.
        project: that pays for the queries; without one, that of the credentials.
        dataset: of tables that the company's queries name without one.
        location: of the datasets, such as EU.

    Raises:
        StoreUnavailable: BigQuery cannot be reached, or refuses the login.
        PatronError: there are no credentials.
    """
    try:
        client = bigquery.Client(project=project, location=location)
        if dataset:
            tables = bigquery.QueryJobConfig(default_dataset=f"{client.project}.{dataset}")
            client.default_query_job_config = tables
        backend = BigQueryBackend()
        backend.begin_session(client, label)
    except (DefaultCredentialsError, OSError, ValueError) as error:
        if isinstance(error, RequestException):
            raise _unreachable(label) from error
        raise PatronError(
            f"there are no credentials for the warehouse {label}; set GOOGLE_APPLICATION_CREDENTIALS to a key"
            f" file, or log in by gcloud, and see that {setting} names the project"
        ) from error
    except TransportError as error:
        raise _unreachable(label) from error
    except (GoogleAuthError, *_REFUSED) as error:
        raise StoreUnavailable(
            f"the warehouse {label} refuses the login; see the credentials, and that they may run queries"
        ) from error
    except (exceptions.GoogleAPIError, TimeoutError) as error:
        raise _unreachable(label) from error
    return backend


def _unreachable(label: str) -> StoreUnavailable:
    return StoreUnavailable(f"the warehouse {label} does not answer; see that it can be reached")


@contextmanager
def _failures(label: str) -> Iterator[None]:
    """Raise what BigQuery refuses as errors for people; its messages may quote customers' data."""
    try:
        yield
    except (RequestException, GoogleAuthError, exceptions.ServerError, TimeoutError) as error:
        raise StoreUnavailable(
            f"the warehouse {label} ended the connection; run the command again when it answers"
        ) from error
    except exceptions.GoogleAPICallError as error:
        reason = _reason(error)
        if "session" in error.message.lower() and reason == "invalid":
            raise StoreUnavailable(
                f"the warehouse {label} ended the session; run the command again"
            ) from error
        if reason in ("invalidQuery", "notFound", "accessDenied") and _is_about_names(error.message):
            why = error.message.partition("\n")[0].rstrip(".")
            raise PatronError(f"the warehouse {label} refuses a query: {why}") from error
        raise PatronError(
            f"the warehouse {label} failed at a query ({type(error).__name__}, {reason}); its history of"
            " queries says which"
        ) from error


def _reason(error: exceptions.GoogleAPICallError) -> str:
    """BigQuery's word for the kind of an error."""
    details: Sequence[Mapping[str, Any]] = error.errors or ({},)
    return str(details[0].get("reason", error.code))


def _is_about_names(message: str) -> bool:
    """Whether a message quotes SQL only, and no value."""
    return any(
        word in message for word in ("Unrecognized name", "Not found", "Syntax error", "Access Denied")
    )
