"""Logins to Snowflake and BigQuery by the vendors' clients, against a server that refuses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.harness.servers import HOST
from core.errors import PatronError, StoreUnavailable
from core.storage.warehouses import bigquery_backend, snowflake_backend
from events.warehouse import connect

SECRET = "open-sesame"
TOKEN = {"access_token": SECRET, "token_type": "Bearer", "expires_in": 3600}


class _Handler(BaseHTTPRequestHandler):
    responses: dict[str, tuple[int, Any]]

    def do_POST(self) -> None:
        """Give the response of the path."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        status, content = next(r for end, r in self.responses.items() if path.endswith(end))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Callable[[dict[str, tuple[int, Any]]], int]]:
    """A function that gives a server responses by the ends of paths, and returns its port."""
    with ThreadingHTTPServer((HOST, 0), _Handler) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def give(responses: dict[str, tuple[int, Any]]) -> int:
            _Handler.responses = responses
            return running.server_port

        yield give
        running.shutdown()
        thread.join()


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that writes the key of a service account that logs in at a port, and names it."""

    def write(port: int) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"type": "service_account", "project_id": "company", "private_key": key.decode()}
        account |= {"client_email": "patron@company", "token_uri": f"http://{HOST}:{port}/token"}
        (tmp_path / "key.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://{HOST}:{port}")

    return write


def message_of(url: str, kind: type[PatronError]) -> str:
    """The sentence with which a connection is refused; it has no secret."""
    with pytest.raises(PatronError) as caught:
        connect(url)
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    return str(caught.value)


def snowflake(port: int, more: str = "") -> str:
    return f"snowflake://patron:{SECRET}@account/sales/shop?host={HOST}&port={port}&protocol=http{more}"


def test_snowflake_refuses_a_wrong_password(server: Callable[..., int]) -> None:
    refusal = {"success": False, "code": "390100", "message": "Incorrect username or password", "data": {}}
    url = snowflake(server({"/login-request": (200, refusal)}))
    assert message_of(url, StoreUnavailable) == (
        "the warehouse account/sales/shop refuses the login; see that PATRON_WAREHOUSE is right"
    )


def test_snowflake_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snowflake_backend, "LOGIN_SECONDS", 1)
    assert "account/sales/shop does not answer" in message_of(snowflake(1), StoreUnavailable)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            f"snowflake://patron:{SECRET}@account/sales?rolle=reader",
            "has a parameter rolle, which is unknown",
        ),
        ("snowflake://patron@account/sales/shop", "a part of the login is missing or cannot be read"),
        (
            "snowflake://patron@account/sales?authenticator=SNOWFLAKE_JWT&private_key_file=/missing.p8",
            "a part of the login is missing or cannot be read",
        ),
        ("snowflake://?connection_name=of-nobody", "a part of the login is missing or cannot be read"),
    ],
)
def test_a_login_to_snowflake_that_is_not_whole(url: str, sentence: str) -> None:
    assert sentence in message_of(url, PatronError)


@pytest.mark.parametrize(
    ("responses", "sentence"),
    [
        (
            {"/token": (400, {"error": "invalid_grant"})},
            "company/shop refuses the login; see the credentials",
        ),
        (
            {"/token": (200, TOKEN), "/jobs": (403, {"error": {"code": 403, "message": "Access Denied"}})},
            "company/shop refuses the login",
        ),
        (
            {"/token": (200, TOKEN), "/jobs": (500, {"error": {"code": 500, "message": "Internal"}})},
            "company/shop does not answer",
        ),
    ],
)
def test_bigquery_refuses(
    server: Callable[..., int], key_file: Callable[[int], None], responses: dict[str, Any], sentence: str
) -> None:
    key_file(server(responses))
    assert sentence in message_of("bigquery://company/shop", StoreUnavailable)


def test_bigquery_does_not_answer(key_file: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigquery_backend, "CONNECT_SECONDS", 1)
    key_file(1)
    assert "company/shop does not answer" in message_of("bigquery://company/shop", StoreUnavailable)


def test_bigquery_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    assert "there are no credentials for the warehouse company/shop" in message_of(
        "bigquery://company/shop", PatronError
    )
