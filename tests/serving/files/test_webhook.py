"""Signed webhooks, against a receiver that verifies them as their documentation says."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from serving.files import webhook
from serving.files.webhook import Undeliverable, post

SECRET = b"0123456789abcdef0123456789abcdef"


@dataclass
class Receiver:
    """A receiver: the requests that came, and the statuses with which it answers, 200 after the last."""

    address: str = ""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.received.append((self.path, dict(self.headers.items()), body))
            status = state.statuses.pop(0) if state.statuses else 200
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}/patron?tenant=1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def send(receiver: Receiver, body: bytes = b"rows") -> list[float]:
    """Send a file; returns the pauses between attempts."""
    pauses: list[float] = []
    post(receiver.address, body, "text/csv", SECRET, "run-1", {"Patron-File": "1/1"}, sleep=pauses.append)
    return pauses


def test_a_file_arrives_signed_with_its_time_and_its_key(receiver: Receiver) -> None:
    body = "客户,1\r\n".encode() * 1000
    assert send(receiver, body) == []
    ((path, headers, received),) = receiver.received
    assert (path, received) == ("/patron?tenant=1", body)
    signed = headers["Patron-Timestamp"].encode() + b"." + received
    assert headers["Patron-Signature"] == "v1=" + hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
    assert (headers["Idempotency-Key"], headers["Patron-File"]) == ("run-1", "1/1")
    assert headers["Content-Type"] == "text/csv"
    assert SECRET.decode() not in str(headers)


def test_a_receiver_that_recovers_gets_the_file_under_the_same_key(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [503, 429, 500], {"Retry-After": "7"}
    assert send(receiver) == [7.0, 7.0, 16.0]
    assert {headers["Idempotency-Key"] for _, headers, _ in receiver.received} == {"run-1"}
    assert len(receiver.received) == 4


def test_attempts_and_waits_are_bounded(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [503] * 9, {"Retry-After": "86400"}
    with pytest.raises(Undeliverable, match=r"^127\.0\.0\.1 answered 503, 4 times$"):
        send(receiver)
    assert len(receiver.received) == 4
    receiver.received.clear()
    receiver.statuses, receiver.headers = [503], {"Retry-After": "86400"}
    assert send(receiver) == [60.0]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413])
def test_a_refusal_is_final_and_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.statuses, receiver.headers = [status], {"Location": "http://169.254.169.254/latest"}
    with pytest.raises(Undeliverable, match=f"answered {status}; it refuses the file"):
        send(receiver)
    assert len(receiver.received) == 1


def test_nobody_there_is_tried_again_and_named_without_the_path() -> None:
    pauses: list[float] = []
    for address in ("http://127.0.0.1:9/secret-path", "https://nobody.invalid/secret-path"):
        with pytest.raises(Undeliverable, match="cannot be reached, 4 times") as raised:
            post(address, b"", "text/csv", SECRET, "k", {}, sleep=pauses.append)
        assert "secret-path" not in str(raised.value)
    assert pauses == [1.0, 4.0, 16.0] * 2


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "no address of a receiver"),
        ("https://169.254.169.254/", "no address of a receiver"),
        ("https://[fe80::1]/", "no address of a receiver"),
        ("https://[::ffff:169.254.169.254]/", "no address of a receiver"),
        ("https://224.0.0.1/", "no address of a receiver"),
        ("https://0.0.0.0/", "no address of a receiver"),
        ("http://10.0.0.1/", "must begin with https://"),
    ],
)
def test_addresses_of_no_receiver_are_refused_before_a_connection(address: str, words: str) -> None:
    with pytest.raises(Undeliverable, match=words):
        post(address, b"", "text/csv", SECRET, "k", {}, sleep=lambda _: pytest.fail("tried again"))


def test_a_file_that_is_too_large_is_refused(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MAX_BYTES", 3)
    with pytest.raises(Undeliverable, match="has 4 bytes, and a webhook gets at most 3"):
        send(receiver)
    assert receiver.received == []
