"""bqemulator, which speaks BigQuery's interface: ``bigquery_server.py PORT``, in its own environment.

It needs no extension of DuckDB for maps here. It has no temporary tables: those of sessions are tables of the
dataset ``shop``. Its decimals have three places, or five; here those that Patron's types need. And it gives
an access token to whoever has a key file.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bqemulator import server
from bqemulator.cli import main
from bqemulator.storage.engine import DuckDBEngine
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

_REPLACED = (
    (b"CREATE TEMP TABLE", b"CREATE OR REPLACE TABLE"),
    (b'"datasetId": "_SESSION"', b'"datasetId": "shop"'),
    (b"CALL BQ.ABORT_SESSION()", b"SELECT 1"),
)
_DECIMALS = {exp.DataType.Type.DECIMAL: "DECIMAL(38, 9)", exp.DataType.Type.BIGDECIMAL: "DECIMAL(38, 15)"}
_TOKEN = json.dumps({"access_token": "patron", "token_type": "Bearer", "expires_in": 3600}).encode()
_create_app = server.create_app
_GENERATOR: Any = DuckDB.Generator
_datatype_sql = _GENERATOR.datatype_sql


class Sessions:
    """The emulator's application with sessions and tokens in front."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Respond to a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/token":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": _TOKEN})
        else:
            body = await _body(receive)
            for text, other in _REPLACED:
                body = body.replace(text, other)
            messages = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def replaced() -> Any:
                return next(messages, None) or await receive()

            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
            await self._app(scope, replaced, send)


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def datatype_sql(generator: Any, dtype: Any) -> str:
    """DuckDB's name of a type."""
    name = None if dtype.expressions else _DECIMALS.get(dtype.this)
    return name or str(_datatype_sql(generator, dtype))


def create_app(context: Any) -> Any:
    """The application of the emulator."""
    app = _create_app(context)
    app.add_middleware(Sessions)
    return app


if __name__ == "__main__":
    server.create_app = create_app
    _GENERATOR.datatype_sql = datatype_sql
    DuckDBEngine._load_spatial = lambda _self: None
    main(
        [
            "start",
            "--rest-port",
            sys.argv[1],
            "--grpc-port",
            "0",
            "--project",
            "company",
            "--log-level",
            "error",
        ]
    )
