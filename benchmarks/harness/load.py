"""A load generator: HTTP/1.1 over connections that stay open, in a process of its own.

It is small, so that it costs far less than the measured service: one loop over non-blocking sockets, prepared
requests, and of a response only the status and the length are read. It uses the standard library alone.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from statistics import median

HOST = "127.0.0.1"
ANSWER_SECONDS = 20.0  # after which a server without response is taken to be dead


@dataclass(frozen=True)
class Load:
    """The requests, and their rate.

    Attributes:
        bodies: JSON documents, posted in this order, cyclically.
        connections: the number of connections, each with at most one open request.
        warm_up, seconds: the durations before and of the measurement.
        rate: requests per second, sent when due; by default each connection sends the next request as soon as
            it has the response.
        headers: sent with every request.
    """

    port: int
    path: str
    bodies: list[str]
    connections: int
    warm_up: float
    seconds: float
    rate: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The result of a load.

    Attributes:
        p50, p99: the median time from the request's last byte sent (at a given rate, from when it was due) to
            the response's last byte read, and that of the slowest hundredth, in milliseconds.
        rate: responses per second.
    """

    p50: float
    p99: float
    rate: float


def run(load: Load) -> Outcome:
    """Apply the load from another process.

    Raises:
        RuntimeError: a response was not 200, or the load could not be applied.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.harness.load"], input=json.dumps(asdict(load)),
        capture_output=True, text=True, timeout=load.warm_up + load.seconds + 3 * ANSWER_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    return Outcome(**json.loads(done.stdout))


@dataclass
class _Connection:
    """A socket with one open request."""

    socket: socket.socket
    sent_at: float = 0.0
    got: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes, due: float | None = None) -> None:
        # A request is smaller than the socket's buffer, so it is sent at once.
        self.socket.sendall(request)
        self.sent_at = due or time.perf_counter()

    def receive(self) -> bool:
        """Read the available data; True once the response is complete.

        Raises:
            RuntimeError: its status is not 200.
        """
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.got += part
        end = self.got.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.got[:end]).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self.got) < end + 4 + length:
            return False
        if head[9:12] != b"200":
            raise RuntimeError(f"answered {self.got[:1000].decode(errors='replace')}")
        self.got.clear()
        return True


def apply(load: Load) -> Outcome:
    """Apply the load from this process."""
    requests = cycle(_requests(load))
    with selectors.DefaultSelector() as selector:
        connections = [_connect(load.port) for _ in range(load.connections)]
        try:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            return _ask(selector, connections, requests, load)
        finally:
            for connection in connections:
                connection.socket.close()


def _ask(
    selector: selectors.BaseSelector,
    connections: Sequence[_Connection],
    requests: Iterator[bytes],
    load: Load,
) -> Outcome:
    took: list[float] = []
    start = time.perf_counter()
    begin = start + load.warm_up
    end = begin + load.seconds
    # In turn, since a server closes connections that are idle for seconds.
    idle, sent, now = list(connections), 0, start
    while now < end:
        while idle and (load.rate is None or start + sent / load.rate <= now):
            idle.pop(0).send(next(requests), None if load.rate is None else start + sent / load.rate)
            sent += 1
        wait = ANSWER_SECONDS
        if load.rate is not None and idle:
            wait = max(0.0, start + sent / load.rate - time.perf_counter())
        ready = selector.select(wait)
        now = time.perf_counter()
        if not ready and wait == ANSWER_SECONDS:
            raise TimeoutError(f"no answer for {ANSWER_SECONDS:.0f} s")
        for key, _ in ready:
            connection = key.data
            if connection.receive():
                now = time.perf_counter()
                if begin <= now < end:
                    took.append(now - connection.sent_at)
                idle.append(connection)
    slow = sorted(took)[min(len(took) - 1, len(took) * 99 // 100)]
    return Outcome(1000 * median(took), 1000 * slow, len(took) / load.seconds)


def _connect(port: int) -> _Connection:
    opened = socket.create_connection((HOST, port), timeout=ANSWER_SECONDS)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Connection(opened)


def _requests(load: Load) -> list[bytes]:
    headers = {"Host": f"{HOST}:{load.port}", "Content-Type": "application/json", **load.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {load.path} HTTP/1.1\r\n{lines}"
    bodies = [body.encode() for body in load.bodies]
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


if __name__ == "__main__":
    print(json.dumps(asdict(apply(Load(**json.load(sys.stdin))))))
