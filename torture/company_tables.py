"""The event tables of a company in emulators of Snowflake and BigQuery, made by the vendors' clients."""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import snowflake.connector
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import bigquery

from benchmarks.harness.servers import HOST
from core.errors import PatronError

_USER, _PASSWORD, _PROJECT, _DATASET = "patron", "open-sesame", "company", "shop"


def snowflake_address(port: int) -> str:
    """The URL of the database."""
    return f"snowflake://{_USER}:{_PASSWORD}@account/sales/shop?host={HOST}&port={port}&protocol=http"


def fill_snowflake(port: int, tables: Mapping[str, pa.Table]) -> None:
    """Create tables whose columns have the names that Snowflake gives to those that are not quoted."""
    connection = snowflake.connector.connect(
        user=_USER, password=_PASSWORD, account="account", host=HOST, port=port, protocol="http",
        database="sales", schema="shop",
    )  # fmt: skip
    with TemporaryDirectory() as folder, connection, connection.cursor() as cursor:
        cursor.execute("CREATE STAGE source")
        for name, rows in tables.items():
            columns = [f"{field.name} {_type(field.type, _SNOWFLAKE)}" for field in rows.schema]
            cursor.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            file = Path(folder) / f"{name}.parquet"
            pq.write_table(rows.rename_columns([column.upper() for column in rows.column_names]), file)
            cursor.execute(f"PUT 'file://{file}' @source AUTO_COMPRESS = FALSE")
            cursor.execute(
                f"COPY INTO {name} FROM @source/{file.name} FILE_FORMAT = (TYPE = PARQUET)"
                " MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
            )


def bigquery_address(_port: int) -> str:
    """The URL of the dataset."""
    return f"bigquery://{_PROJECT}/{_DATASET}"


def bigquery_variables(port: int, folder: Path) -> dict[str, str]:
    """The address of the emulator, and a key file of a service account that logs in there."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account", "project_id": _PROJECT, "client_email": "patron",
        "private_key": text.decode(), "token_uri": f"http://{HOST}:{port}/token",
    }  # fmt: skip
    file = folder / "key.json"
    file.write_text(json.dumps(account))
    return {"BIGQUERY_EMULATOR_HOST": f"http://{HOST}:{port}", "GOOGLE_APPLICATION_CREDENTIALS": str(file)}


def fill_bigquery(_port: int, tables: Mapping[str, pa.Table]) -> None:
    """Create the tables by jobs that load Parquet."""
    with bigquery.Client() as client:
        client.create_dataset(_DATASET)
        for name, rows in tables.items():
            fields = [bigquery.SchemaField(field.name, _type(field.type, _BIGQUERY)) for field in rows.schema]
            config = bigquery.LoadJobConfig(source_format=bigquery.SourceFormat.PARQUET, schema=fields)
            content = io.BytesIO()
            pq.write_table(rows, content)
            table = f"{_PROJECT}.{_DATASET}.{name}"
            client.load_table_from_file(content, table, rewind=True, job_config=config).result()


def wait(host: str, port: int, seconds: float) -> None:
    """Return once a server accepts connections.

    Raises:
        PatronError: it does not within some seconds.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.1)
    raise PatronError(f"no server listens on {host}:{port}")


_SNOWFLAKE = ("BIGINT", "BOOLEAN", "TIMESTAMP_TZ", "NUMBER(18, 4)", "VARCHAR")
_BIGQUERY = ("INT64", "BOOL", "TIMESTAMP", "NUMERIC", "STRING")


def _type(dtype: pa.DataType, names: tuple[str, ...]) -> str:
    kinds = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_timestamp, pa.types.is_decimal)
    return next((name for kind, name in zip(kinds, names, strict=False) if kind(dtype)), names[-1])
