"""Hostile clients on real sockets: half requests, endless headers, slow bodies, too many connections."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import uvicorn

from benchmarks.harness import servers
from core.home import Home
from records import ScoreLog
from serving.app import create_app
from serving.edge import balance, connections
from serving.edge.balance import ConnectionCounts
from serving.edge.connections import MAX_HEADER_BYTES
from serving.scores.scorer import open_scorer
from serving.server import serving_config
from serving.settings import ServingSettings

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/scores HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Service:
    """A server in this process, with its protocol on real sockets."""

    def __init__(self, port: int, server: uvicorn.Server) -> None:
        self.port, self.server = port, server

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def healthy(self) -> bool:
        return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=30).status_code == 200

    @property
    def open(self) -> int:
        return len(self.server.server_state.connections)


@pytest.fixture(scope="module")
def service(served: Home) -> Iterator[Service]:
    port = servers.free_port()
    with ScoreLog(served) as log:
        app = create_app(open_scorer(served, log), log)
        server = uvicorn.Server(serving_config(app, ServingSettings(port=port)))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Service(port, server)
        server.should_exit = True
        thread.join(60)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a second, in place of ten and more."""
    for name in ("HEADER_SECONDS", "BODY_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(connections, name, 1.0)


def answer(client: socket.socket) -> bytes:
    """All that the service sends until it closes the connection."""
    result = b""
    try:
        while part := client.recv(65536):
            result += part
    except ConnectionResetError:
        pass
    return result


def response_to(client: socket.socket) -> bytes:
    """A response of which the head and the body arrive together."""
    client.sendall(GET + b"\r\n")
    return client.recv(65536)


def problem(text: bytes, status: int, words: str) -> None:
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), text
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert b"cache-control: no-store" in head
    assert b"uvicorn" not in head
    document = json.loads(body)
    assert document["status"] == status
    assert words in document["detail"]


def test_half_open_connections_are_closed_and_good_clients_answered_meanwhile(
    service: Service, until: Callable[[Callable[[], bool]], None]
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(200)]
        for n, client in enumerate(clients):
            client.sendall((b"", b"G", GET, GET + b"X-Slow: 1")[n % 4])
        until(lambda: service.open >= 200)
        started = time.monotonic()
        for _ in range(20):
            assert service.healthy()
        assert time.monotonic() - started < 60
        for client in clients[:8]:
            problem(answer(client), 408, "did not arrive in time")
        until(lambda: service.open == 0)


def test_one_byte_at_a_time_does_not_extend_the_time(service: Service, hurried: None) -> None:
    with service.connect() as client:
        started = time.monotonic()
        try:
            for _ in range(600):
                client.sendall(b"\r\n" if time.monotonic() - started < 0.5 else b"G")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - started < 30
    assert service.healthy()


@pytest.mark.parametrize(
    "endless",
    [
        lambda n: b"X-Endless: " * (n == 0) + b"a" * 8192,
        lambda n: b"X-Endless-%d: %s\r\n" % (n, b"a" * 4096),
        lambda n: b"X-%d: 1\r\n" % n * 100,
    ],
    ids=["one value", "large headers", "small headers"],
)
def test_a_header_that_never_ends_is_refused_early(endless: Callable[[int], bytes], service: Service) -> None:
    with service.connect() as client:
        client.sendall(GET)
        sent = n = 0
        try:
            while sent < 50 * 2**20:
                sent += client.send(endless(n))
                n += 1
        except OSError:
            pass
        assert sent < 16 * 2**20, "the service read on"  # buffers of the kernel hold some
    assert service.healthy()


def test_headers_that_are_too_large_are_refused_in_words(service: Service) -> None:
    for head in (
        GET + b"X-Large: %s\r\n\r\n" % (b"a" * MAX_HEADER_BYTES),
        GET + b"".join(b"X-%d: 1\r\n" % n for n in range(150)) + b"\r\n",
        b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * MAX_HEADER_BYTES),
    ):
        with service.connect() as client:
            client.sendall(head)
            problem(answer(client), 431, "32 KB, or more than 100")
    with service.connect() as client:  # what fits is answered
        client.sendall(GET + b"X-Large: %s\r\nConnection: close\r\n\r\n" % (b"a" * (MAX_HEADER_BYTES - 500)))
        assert answer(client).startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http_is_refused_in_words(service: Service) -> None:
    with service.connect() as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00 TLS to a port without\r\n\r\n")
        problem(answer(client), 400, "Invalid HTTP request")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{"]
)
def test_a_slow_body_is_refused(framing: bytes, service: Service, hurried: None) -> None:
    with service.connect() as client:
        client.sendall(POST + framing)
        text = answer(client)
        problem(text, 408, "did not arrive in time")
    assert service.healthy()


def test_a_body_that_is_not_wanted_is_not_read_for_ever(service: Service, hurried: None) -> None:
    with service.connect() as client:  # the answer comes before the body
        client.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent, started = 0, time.monotonic()
        try:
            while time.monotonic() - started < 60:
                client.sendall(b"1\r\na\r\n")
                sent += 1
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - started < 30
    with service.connect() as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 100 * 2**20:
                client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
        assert sent < 32 * 2**20
    assert service.healthy()


def test_a_client_that_reads_nothing_is_disconnected(
    service: Service, hurried: None, until: Callable[[Callable[[], bool]], None]
) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        until(lambda: service.open >= 1)
        until(lambda: service.open == 0)


def test_beyond_the_most_connections_the_one_that_waited_longest_makes_room(
    service: Service, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    with ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(60)]
        until(lambda: service.open == 20)
        for _ in range(5):
            assert service.healthy()
        assert all(answer(client) == b"" for client in clients[:30])


def test_if_all_connections_are_busy_a_new_one_is_refused_with_503(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(service.connect())
            client.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
        time.sleep(0.5)
        with service.connect() as client:
            text = answer(client)
        problem(text, 503, "try again in 1 s")
        assert b"retry-after: 1" in text


def test_pipelined_and_kept_connections_are_answered(service: Service) -> None:
    with service.connect() as client:
        client.sendall((GET + b"\r\n") * 5 + GET + b"Connection: close\r\n\r\n")
        assert answer(client).count(b"HTTP/1.1 200 OK") == 6
    body = json.dumps({"customer_ids": ["nobody"]}).encode()
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
        for _ in range(3):
            headers = {"content-type": "application/json"}
            response = client.post("/v1/scores", content=iter([body[:5], body[5:]]), headers=headers)
            assert response.status_code == 200
            assert "server" not in response.headers


def test_a_worker_with_more_connections_than_another_closes_new_ones_after_a_response(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], bool]], None],
) -> None:
    until(lambda: service.open == 0)
    counts = ConnectionCounts(tmp_path)
    monkeypatch.setattr(balance, "shared_counts", lambda: counts)
    other = tmp_path / "connections-1"
    other.write_bytes((0).to_bytes(4, "little"))
    with service.connect() as first, service.connect() as second:
        assert b"connection: close" not in response_to(first)
        assert b"connection: close" in response_to(second)
        assert second.recv(1) == b""
        until(lambda: service.open == 1)
        other.write_bytes((1).to_bytes(4, "little"))
        with service.connect() as third:
            assert b"connection: close" not in response_to(third)
            assert b"connection: close" not in response_to(first)
        until(lambda: service.open == 1)
    until(lambda: service.open == 0)
    balance.forget(tmp_path, 1)
    assert not counts.exceeded_by(100)
