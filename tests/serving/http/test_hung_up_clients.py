"""Clients that hang up in the middle of a request are no error: nothing is logged, no 5xx is counted."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
import uvicorn

from benchmarks.harness import servers
from core.home import Home
from records import ScoreLog
from serving.app import create_app
from serving.scores.scorer import open_scorer

SCORES = json.dumps({"customer_ids": [f"C{n:06}" for n in range(600)]}).encode()
EXPLAINED = json.dumps({"customer_ids": [f"C{n:06}" for n in range(10)], "explain": True}).encode()


@pytest.fixture(scope="module")
def port(served: Home) -> Iterator[int]:
    """A service that listens, in a thread of this process."""
    with ScoreLog(served) as log:
        app = create_app(open_scorer(served, log), log)
        listening = servers.free_port()
        config = uvicorn.Config(app, host=servers.HOST, port=listening, log_config=None, log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening
        server.should_exit = True
        thread.join()


def metrics(port: int) -> str:
    return httpx.get(f"http://{servers.HOST}:{port}/metrics").text


def counted(port: int, route: str) -> int:
    """How many requests of a route ended."""
    counts = re.findall(rf'patron_request_seconds_count{{route="{route}",status="\d+"}} (\d+)', metrics(port))
    return sum(map(int, counts))


@pytest.mark.parametrize(
    ("method", "path", "body", "sent"),
    [
        ("POST", "/v1/scores", SCORES, 0.0),
        ("POST", "/v1/scores", SCORES, 0.5),
        ("POST", "/v1/scores", SCORES, 1.0),
        ("POST", "/v1/scores", EXPLAINED, 1.0),
        ("POST", "/v1/batch", SCORES, 0.5),
        ("POST", "/v1/score-jobs", SCORES, 0.5),
        ("POST", "/v1/recommendation-runs", SCORES, 0.0),
        ("GET", "/v1/customers", b"", 1.0),
    ],
)
def test_a_client_that_hangs_up_is_no_error(
    method: str,
    path: str,
    body: bytes,
    sent: float,
    port: int,
    until: Callable[[Callable[[], bool]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = counted(port, path)
    head = f"{method} {path} HTTP/1.1\r\nHost: {servers.HOST}\r\nContent-Type: application/json\r\n"
    with caplog.at_level(logging.WARNING):
        with closing(socket.create_connection((servers.HOST, port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body[: int(sent * len(body))])
            time.sleep(0.05)
        until(lambda: counted(port, path) == before + 1)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert 'status="5' not in metrics(port)
