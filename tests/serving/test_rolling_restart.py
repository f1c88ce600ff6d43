"""A restart with two instances side by side: clients that keep their connections see no failed request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.home import Home
from core.storage.database import Database
from events.journal.deduplication import message_digest
from events.journal.schema import messages
from events.lake import shops

ROOT = Path(__file__).parents[2]
MAX_STOP_S = 25.0  # of which ten are for connections
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""
Until = Callable[[Callable[[], bool]], None]


@dataclass(eq=False)
class Client(threading.Thread):
    """Sends events over a connection that it keeps as long as the service does."""

    port: int
    number: int
    stop: threading.Event
    accepted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        headers = {"Content-Type": "application/json"}
        while not self.stop.is_set():
            message = f"{self.number}-{len(self.accepted) + len(self.failed)}"
            body = json.dumps({"userId": f"c{self.number}", "event": "Page Viewed", "messageId": message})
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                    self.connections += 1
                connection.request("POST", "/v1/track", body, headers)
                response = connection.getresponse()
                content = response.read()
                assert response.status == 200, content
                self.accepted.append(message)
                if response.getheader("connection") == "close":
                    connection.close()
                    connection = None
            except Exception as error:
                self.failed.append(repr(error))
                if connection is not None:
                    connection.close()
                connection = None
            time.sleep(0.002)
        if connection is not None:
            connection.close()


@contextmanager
def instance(
    home: Home, listener: socket.socket, log: Path, workers: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A service on a socket that is passed to it, as systemd passes one."""
    program = [sys.executable, str(ROOT / "patron.py"), "serve", "--workers", str(workers)]
    command = [sys.executable, "-c", PASS, str(listener.fileno()), *program]
    environment = os.environ | {"PATRON_HOME": str(home.path), "PATRON_REFRESHER": "off"}
    with open(log, "wb") as errors:
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment, stderr=errors)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def answers(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    response.read()
    return response.status == 200


def children(pid: int) -> set[int]:
    """The workers of a service."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in listed if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


@pytest.mark.slow
def test_two_instances_side_by_side_replace_each_other_without_a_failed_request(
    tmp_path: Path, until: Until
) -> None:
    home = Home(tmp_path / "home")
    shops.begin_live(home, "Europe/Berlin", "EUR")
    stop = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0), backlog=128)) as listener:
        port = listener.getsockname()[1]

        def ready(log: str) -> bool:
            return "serving on" in (tmp_path / log).read_text()

        with instance(home, listener, tmp_path / "old", workers=1) as old:
            until(lambda: ready("old"))
            clients = [Client(port, number, stop) for number in range(4)]
            for client in clients:
                client.start()
            with instance(home, listener, tmp_path / "new", workers=2) as new:
                until(lambda: ready("new"))
                idle = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(8)]
                for connection in idle:  # some of the old instance, some of the new one
                    assert answers(connection)
                begun = time.monotonic()
                old.send_signal(signal.SIGTERM)
                time.sleep(0.5)
                for connection in idle:  # they were idle when the service was stopped
                    assert answers(connection)
                    connection.close()
                old.wait(MAX_STOP_S)
                stopped_after = time.monotonic() - begun
                before = [len(client.accepted) for client in clients]
                assert [client.failed for client in clients] == [[]] * 4
                until(lambda: all(len(c.accepted) > n + 20 for c, n in zip(clients, before, strict=True)))
                workers = children(new.pid)
                new.send_signal(signal.SIGHUP)  # replaces the workers one by one
                until(lambda: len(now := children(new.pid)) == 2 and not now & workers)
                stop.set()
                for client in clients:
                    client.join(30)
                assert new.poll() is None
    assert [client.failed for client in clients] == [[]] * 4
    assert all(client.connections > 1 for client in clients)  # each was asked to close its first
    assert stopped_after < MAX_STOP_S
    with Database(home).reading() as connection:
        stored = set(connection.execute(sa.select(messages.c.digest)).scalars())
    assert {message_digest(message) for client in clients for message in client.accepted} <= stored
