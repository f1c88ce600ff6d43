"""The load of :mod:`torture.stores`: clients without pause that check every response."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness.messages import stream
from benchmarks.harness.servers import HOST
from torture import serving

MODEL = "propensity"
MODELS = ["churn", MODEL, "clv"]
BATCH, TIMEOUT_S, STREAK = 20, 15.0, 10
SLOWEST_S = 10.0  # that any request may take
BROKEN_S = 3.0  # after a worker was killed, its connections may be broken
READS = (
    "/healthz",
    "/v1/models",
    "/v1/segments",
    "/v1/customers",
    "/v1/customers/{id}",
    "/v1/customers/{id}/timeline",
)


@dataclass
class Lost:
    """A store that is lost, from a moment of the monotonic clock until the service must use it again."""

    store: str
    since: float
    until: float = float("inf")


@dataclass
class Response:
    """A response, or the reason why there is none."""

    status: int
    headers: dict[str, str]
    body: bytes
    started: float
    ended: float

    @property
    def customers(self) -> list[dict[str, Any]]:
        """The entries of a response with scores."""
        entries: list[dict[str, Any]] = json.loads(self.body)["customers"]
        return entries


@dataclass
class Load:
    """Scores, events and reads by several threads; :meth:`check` raises what was wrong.

    Attributes:
        lost: the store that is lost, or was lost last.
        acknowledged: the expected effects of each acknowledged event.
    """

    port: int
    ids: list[str]
    seed: int
    lost: Lost = field(default_factory=lambda: Lost("nothing", 0.0, 0.0))
    acknowledged: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    version: str = "1"
    killed_at: float = float("-inf")

    def start(self) -> None:
        """Start the clients."""
        self._enough, self._lock = threading.Event(), threading.Lock()
        works: list[Callable[[random.Random], None]] = [self._score, self._score, self._read]
        self._threads = [
            threading.Thread(target=self._repeat, args=(work, random.Random(self.seed + i)), daemon=True)
            for i, work in enumerate(works)
        ]
        self._threads.append(threading.Thread(target=self._send_events, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the clients, after the last event is acknowledged."""
        self._enough.set()
        for thread in self._threads:
            thread.join(60)
            if thread.is_alive():
                self.wrong.append("a client waits without end")

    def check(self) -> None:
        """Raise SystemExit if a response was wrong."""
        if self.wrong:
            raise SystemExit(f"{len(self.wrong)} wrong, such as: {'; '.join(self.wrong[:3])}")

    def summary(self) -> str:
        """What happened so far."""
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()))

    def next_version(self) -> str:
        """The version of the model that is promoted next."""
        self.version = "1" if self.version == "2" else "2"
        return self.version

    def kill_worker(self, pid: int, rng: random.Random, within_s: float = 0.0) -> None:
        """Kill one of the workers of a service, now or at a random moment within some seconds."""

        def kill() -> None:
            time.sleep(rng.uniform(0, within_s))
            if workers := serving.workers(pid):
                self.killed_at = time.monotonic()
                os.kill(rng.choice(workers), signal.SIGKILL)
                self.counts["workers killed"] += 1

        threading.Thread(target=kill, daemon=True).start()

    def seconds_until_usual(self, since: float) -> float:
        """Wait until ``STREAK`` probes in a row are as usual; return when the first was."""
        first, streak = time.monotonic(), 0
        while streak < STREAK:
            if time.monotonic() > since + 60:
                self.wrong.append(f"{self.lost.store} was not used again within 60 s")
                break
            now = time.monotonic()
            if self._is_usual():
                first, streak = (first if streak else now), streak + 1
            else:
                streak = 0
        return first - since

    def _is_usual(self) -> bool:
        scores = self.request("POST", "/v1/scores", {"customer_ids": self.ids[:1], "models": MODELS})
        others = [self.request("GET", path) for path in ("/readyz", f"/v1/customers/{self.ids[0]}")]
        if scores.status != 200 or any(response.status != 200 for response in others):
            return False
        (entry,) = scores.customers
        return entry["degraded"] is None and entry["scores"][MODEL]["version"] == self.version

    def request(self, method: str, path: str, body: Any = None) -> Response:
        """Send a request over a connection of its own; the status is 0 if the connection broke."""
        connection, started = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT_S), time.monotonic()
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            sent = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, sent, answer.read(), started, time.monotonic())
        except (OSError, http.client.HTTPException) as error:
            return Response(0, {}, type(error).__name__.encode(), started, time.monotonic())
        finally:
            connection.close()

    def _repeat(self, work: Callable[[random.Random], None], rng: random.Random) -> None:
        while not self._enough.is_set() and len(self.wrong) < 5:
            work(rng)

    def _score(self, rng: random.Random) -> None:
        ids = rng.sample(self.ids, rng.choice((1, 1, 1, 20)))
        response = self.request("POST", "/v1/scores", {"customer_ids": ids, "models": MODELS})
        if self._judge("/v1/scores", response, may_be_unavailable=False):
            degraded = any(entry["degraded"] for entry in response.customers)
            self._count("degraded scores" if degraded else "scores")
            if degraded and not self._excused(response):
                self.wrong.append(f"degraded while no store was lost: {response.body[:300]!r}")

    def _read(self, rng: random.Random) -> None:
        path = rng.choice(READS).replace("{id}", rng.choice(self.ids))
        response = self.request("GET", path)
        if self._judge(path, response, may_be_unavailable="customers" in path):
            self._count("reads")
        time.sleep(0.02)

    def _send_events(self) -> None:
        messages = stream(self.seed, len(self.ids))
        while not self._enough.is_set() and len(self.wrong) < 5:
            batch = [next(messages) for _ in range(BATCH)]
            while not self._judge("/v1/batch", self.request("POST", "/v1/batch", {"batch": batch}), True):
                if len(self.wrong) >= 5:
                    return
                time.sleep(0.1)
            self._count("events", BATCH)
            for message in batch:
                lines = message.get("properties", {}).get("products", [None])
                self.acknowledged[message["messageId"]] += len(lines)
            time.sleep(0.05)

    def _judge(self, path: str, response: Response, may_be_unavailable: bool) -> bool:
        """Whether a response has what was requested; a wrong one is recorded."""
        seconds = response.ended - response.started
        if seconds > SLOWEST_S:
            self.wrong.append(f"{path} took {seconds:.1f} s")
        if response.status == 200:
            return True
        if response.status == 0 and response.started < self.killed_at + BROKEN_S:
            self._count("broken connections")
        elif response.status == 503 and may_be_unavailable and self._excused(response):
            self._count("503")
            if "retry-after" not in response.headers:
                self.wrong.append(f"{path}: 503 without Retry-After: {response.body[:300]!r}")
        else:
            self.wrong.append(f"{path}: {response.status} while {self.lost} {response.body[:300]!r}")
        return False

    def _excused(self, response: Response) -> bool:
        return response.ended >= self.lost.since and response.started <= self.lost.until

    def _count(self, name: str, count: int = 1) -> None:
        with self._lock:
            self.counts[name] += count
