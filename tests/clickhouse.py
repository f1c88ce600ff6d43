"""A ClickHouse server for tests: the engine of the package ``chdb-core`` behind ClickHouse's HTTP interface.

``python -m tests.clickhouse FOLDER PORT`` serves until it is ended. It knows what a client needs: sessions
with their temporary tables, settings, formats, and rows in the body of an INSERT.
"""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from benchmarks.harness.servers import HOST, STOP_SECONDS, free_port

PASSWORD = "open-sesame"
_NO_SETTINGS = {
    "query", "session_id", "session_timeout", "database", "query_id", "compress", "client_protocol_version",
    "enable_http_compression", "wait_end_of_query", "http_headers_progress_interval_ms",
    "send_progress_in_http_headers", "role",
}  # fmt: skip
_FORMAT = re.compile(rb"\s+FORMAT\s+(\w+)\s*;?\s*$")
_INSERT = re.compile(rb"INSERT INTO ([^\n]*?) FORMAT (\w+)\n")


class _Engine:
    """The engine, and a connection with its temporary tables for each session."""

    def __init__(self, folder: Path) -> None:
        import chdb

        self._connect, self._folder, self._lock = chdb.connect, folder, Lock()
        self._sessions: dict[str, Any] = {}

    def execute(self, request: dict[str, str], body: bytes) -> bytes:
        """The result of a request in the format that its statement names."""
        with self._lock:
            session = request.get("session_id", "")
            if session not in self._sessions:
                self._sessions[session] = self._connect(str(self._folder / "data"))
            connection = self._sessions[session]
            for name, value in request.items():
                if name not in _NO_SETTINGS:
                    connection.query(f"SET {name} = '{value}'")
            statement = request.get("query", "").encode() + body
            if insert := _INSERT.match(statement):
                file = self._folder / "rows"
                file.write_bytes(statement[insert.end() :])
                table, kind = insert.group(1).decode(), insert.group(2).decode()
                rows = f"SELECT * FROM file('{file}', '{kind}')"
                return bytes(connection.query(f"INSERT INTO {table} {rows}").bytes())
            named = _FORMAT.search(statement)
            output = named.group(1).decode() if named else "TabSeparated"
            return bytes(connection.query(_FORMAT.sub(b"", statement).decode(), output).bytes())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: _Engine

    def do_POST(self) -> None:
        """Execute a statement."""
        body = self._body()
        if PASSWORD not in b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode():
            refusal = b"Code: 516. DB::Exception: patron: Authentication failed. (AUTHENTICATION_FAILED)"
            return self._answer(401, refusal, {"X-ClickHouse-Exception-Code": "516"})
        request = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        try:
            return self._answer(200, self.engine.execute(request, body), {})
        except RuntimeError as error:
            code = str(error).partition("Code: ")[2].partition(".")[0]
            return self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": code})

    do_GET = do_POST  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        always = {"Content-Length": str(len(content)), "X-ClickHouse-Timezone": "UTC"}
        for name, value in (headers | always).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class ClickHouseServer:
    """A server that a test starts and ends.

    Args:
        folder: empty, for its tables.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.start()

    @property
    def address(self) -> str:
        """The URL of its database, with the password."""
        return f"clickhouse://patron:{PASSWORD}@{HOST}:{self._port}/default"

    def start(self) -> None:
        """Start the server; return once it accepts connections."""
        program = [sys.executable, "-m", "tests.clickhouse", str(self._folder), str(self._port)]
        self._process = Popen(program, stdout=PIPE)
        self._process.stdout.readline()  # type: ignore[union-attr]

    def kill(self) -> None:
        """End the server at once; sessions and their temporary tables end with it."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process.stdout.close()  # type: ignore[union-attr]


@contextmanager
def running_clickhouse() -> Iterator[ClickHouseServer]:
    """Yield a server that ends at the end of the block."""
    with TemporaryDirectory(prefix="clickhouse-") as folder:
        server = ClickHouseServer(Path(folder))
        try:
            yield server
        finally:
            server.kill()


def _serve(folder: Path, port: int) -> None:
    _Handler.engine = _Engine(folder)
    with ThreadingHTTPServer((HOST, port), _Handler) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
