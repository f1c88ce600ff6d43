"""Clients that send score requests without pause, and check every response."""

from __future__ import annotations

import http.client
import json
import math
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness import servers

MODEL, MODELS = "propensity", ["churn", "propensity", "clv"]
REACHED_S = 2.0  # within which every worker must use a promoted version
BATCHES = (1, 1, 1, 20)


@dataclass
class Move:
    """A promotion or rollback to a version, begun and finished at moments of the monotonic clock."""

    version: str
    begun: float
    made: float = math.inf


@dataclass
class Truth:
    """The valid responses: each version's scores, and when a version or a degraded response is valid.

    Attributes:
        scores: by model, version and customer; None if the customer is not eligible.
        moves: the earliest first.
        away: periods in which Redis was unavailable, or had just become available again.
    """

    scores: dict[tuple[str, str], dict[str, float | None]]
    defaults: dict[tuple[str, str], float]
    moves: list[Move]
    away: list[tuple[float, float]] = field(default_factory=list)

    def wrong(self, entry: dict[str, Any], asked_at: float, answered_at: float) -> str | None:
        """What is wrong with a response, or None."""
        degraded = entry["degraded"] is not None
        if degraded and not any(start <= answered_at and asked_at <= end for start, end in self.away):
            return f"degraded while Redis was available: {entry['degraded']}"
        for name, score in entry["scores"].items():
            version = name, score["version"]
            right = {self.scores[version][entry["customer_id"]]}
            right |= {self.defaults[version]} if degraded else set()
            if score["score"] not in right:
                return f"{name} version {score['version']} gave {score['score']}, not one of {right}"
        version_now = entry["scores"][MODEL]["version"]
        if version_now not in self._valid_versions(asked_at, answered_at):
            return f"{MODEL} version {version_now} answered {REACHED_S} s after another was promoted"
        return None

    def _valid_versions(self, asked_at: float, answered_at: float) -> set[str]:
        """The valid versions: the last one that every worker must have loaded, and later ones."""
        known = [move for move in self.moves if move.made + REACHED_S < asked_at]
        since = [m for m in self.moves if m.made + REACHED_S >= asked_at and m.begun <= answered_at]
        return {move.version for move in [*known[-1:], *since]}


class Client(threading.Thread):
    """Sends requests without pause, and checks every response."""

    def __init__(self, port: int, ids: list[str], truth: Truth, seed: int) -> None:
        super().__init__(daemon=True)
        self._port, self._ids, self._truth, self._rng = port, ids, truth, random.Random(seed)
        self.enough = threading.Event()
        self.answers = self.degraded = self.broken = 0
        self.wrong: list[str] = []
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Send requests until ``enough`` is set or five responses were wrong."""
        while not self.enough.is_set() and len(self.wrong) < 5:
            ids = self._rng.sample(self._ids, self._rng.choice(BATCHES))
            started = time.monotonic()
            status, body = self._send(json.dumps({"customer_ids": ids, "models": MODELS}))
            ended = time.monotonic()
            if status != 200:
                self.wrong.append(f"answered {status}: {body[:300]!r}")
                continue
            for entry in json.loads(body)["customers"]:
                self.answers += 1
                self.degraded += entry["degraded"] is not None
                if why := self._truth.wrong(entry, started, ended):
                    self.wrong.append(why)

    def _send(self, body: str) -> tuple[int, bytes]:
        for _ in range(50):
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(servers.HOST, self._port, timeout=10)
                self._connection.request("POST", "/v1/scores", body, {"Content-Type": "application/json"})
                response = self._connection.getresponse()
                return response.status, response.read()
            except TimeoutError:
                return 0, b"no answer within 10 s"
            except (OSError, http.client.HTTPException):  # the worker was killed; another one responds
                self.broken += 1
                self._connection = None
                time.sleep(0.02)
        return 0, b"no connection within 50 tries"
