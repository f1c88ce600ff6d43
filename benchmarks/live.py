"""Events as they happen: how many a second are kept for good, and how soon scores know of them.

``ingest_embedded`` and ``ingest_postgres`` are events a second that ``patron serve`` acknowledged, which
are committed then, over HTTP in batches of a hundred, keys on. ``limit`` is the database alone: the same
batches, parsed and inserted as text, a durable commit each. ``fresh_p99_N`` is the time from the
acknowledgement of an order until ``POST /v1/scores`` gives other scores than before, while N events arrive
each second: the whole way, refresher and all, once the first order has come through. ``materialise``,
``read_one`` and ``read_1000`` are those of :mod:`benchmarks.online`, over Redis.

    python -m benchmarks.live [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import online
from benchmarks.harness import homes, report, servers
from benchmarks.harness.messages import Client, stream
from benchmarks.harness.postgres import postgres_programs, running_postgres

CUSTOMERS = 6000  # of the default shop, which is what is scored
ONLINE_CUSTOMERS = 50_000
BATCH, CLIENTS = 100, 4
INGEST_SECONDS, ROUNDS = 8.0, 3
PROBES = 4  # orders under way at a time
POLL_SECONDS = 0.1
STANDSTILL_SECONDS = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast events are kept, and scores know of them.")
    parser.add_argument("--seconds", type=float, default=60.0, help="How long events arrive at each rate.")
    arguments = parser.parse_args()
    results: dict[str, report.Result] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        _note("simulating a shop and training its models")
        homes.build(folder / "home")
        _note("measuring how many events are kept")
        results["ingest_embedded"] = _ingest(folder, "embedded", {})
        if programs := postgres_programs():
            with running_postgres(programs) as server, server.database() as address:
                results["ingest_postgres"] = _ingest(folder, "postgres", {"PATRON_DATABASE": address})
        for rate in (100, 300):
            _note(f"measuring how fresh scores are at {rate} events/s")
            results[f"fresh_p99_{rate}"] = _fresh(folder / "home", folder, rate, arguments.seconds)
        results |= online.measure(folder / "online", ONLINE_CUSTOMERS, ROUNDS, ("redis",)).get("redis", {})
    report.publish("live", results)


@contextmanager
def _serving(home: Path, folder: Path, environment: dict[str, str]) -> Iterator[int]:
    command = [sys.executable, "-m", "patron", "serve", "--host", servers.HOST, "--port"]
    service = servers.Service(lambda port: [*command, str(port)], "/healthz")
    with servers.running({"ours": service}, {**homes.environment(home), **environment}, folder) as sides:
        yield sides["ours"].port


def _key(home: Path, environment: dict[str, str]) -> str:
    """A key that may send events and ask for scores."""
    return str(_patron(home, environment, "keys", "create", "benchmark", "--scopes", "events,scores")["key"])


def _patron(home: Path, environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "patron", *arguments, "--json"], capture_output=True, text=True, check=False,
        env={**os.environ, **homes.environment(home), **environment},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"patron {arguments[0]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _ingest(folder: Path, kind: str, environment: dict[str, str]) -> report.Result:
    home = folder / kind
    environment = environment | {"PATRON_REQUIRE_KEYS": "true", "PATRON_REFRESHER": "off"}
    _patron(home, environment, "init", "--time-zone", "Europe/Berlin", "--currency", "EUR")
    key = _key(home, environment)
    seeds = iter(range(1000))
    ours, limit = [], []
    with _serving(home, folder, environment) as port:
        for number in range(ROUNDS):
            ours.append(_rate(lambda: partial(_post, Client(port, key)), seeds))
            if kind == "embedded":
                with _bare(folder / f"bare-{number}.db") as insert:
                    limit.append(_rate(lambda: insert, seeds))
    return report.Result(median(ours), "events/s", limit=median(limit) if limit else None, better="higher")


def _rate(sender: Callable[[], Callable[[list[dict[str, Any]]], None]], seeds: Iterator[int]) -> float:
    """Events a second that some clients at a time were acknowledged."""
    end = time.perf_counter() + INGEST_SECONDS

    def send(seed: int) -> int:
        tell, messages, sent = sender(), stream(seed, CUSTOMERS), 0
        while time.perf_counter() < end:
            tell(list(islice(messages, BATCH)))
            sent += BATCH
        return sent

    with ThreadPoolExecutor(CLIENTS) as clients:
        started = time.perf_counter()
        sent = sum(clients.map(send, islice(seeds, CLIENTS)))
        return sent / (time.perf_counter() - started)


def _post(client: Client, batch: list[dict[str, Any]]) -> None:
    if (status := client.send(batch)) != 200:
        raise RuntimeError(f"a batch was answered {status}")


@contextmanager
def _bare(path: Path) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    lock = threading.Lock()
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE messages (id TEXT PRIMARY KEY, message TEXT)")

        def insert(batch: list[dict[str, Any]]) -> None:
            messages = json.loads(json.dumps({"batch": batch}))["batch"]
            rows = [(message["messageId"], json.dumps(message)) for message in messages]
            with lock:
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT OR IGNORE INTO messages VALUES (?, ?)", rows)
                database.execute("COMMIT")

        yield insert


def _fresh(trained: Path, folder: Path, rate: int, seconds: float) -> report.Result:
    """The 99th percentile over orders of customers whom nothing else touches."""
    home = Path(shutil.copytree(trained, folder / f"home-{rate}"))
    environment = {"PATRON_REQUIRE_KEYS": "true"}
    key = _key(home, environment)
    with _serving(home, folder, environment) as port:
        first, *probes = [f"C{number:06d}" for number in range(CUSTOMERS - 1000, CUSTOMERS)]
        (started_up,) = _probe(port, key, float("inf"), [first])
        _note(f"  the first order after {started_up:.1f} s, as the service starts")
        started, stop = time.perf_counter(), threading.Event()
        crowd = threading.Thread(target=_crowd, args=(Client(port, key), rate, stop), daemon=True)
        crowd.start()
        with ThreadPoolExecutor(PROBES) as pool:
            took = [
                one
                for part in pool.map(partial(_probe, port, key, started + seconds), _shares(probes))
                for one in part
            ]
        stop.set()
        crowd.join()
    _note(f"  {len(took)} orders, median {median(took):.2f} s, worst {max(took):.2f} s")
    return report.Result(quantiles(took, n=100, method="inclusive")[98], "s")


def _shares(probes: list[str]) -> list[list[str]]:
    return [probes[i::PROBES] for i in range(PROBES)]


def _crowd(client: Client, rate: int, stop: threading.Event) -> None:
    """Send events of the other customers, so many each second."""
    messages, begin, sent = stream(rate, CUSTOMERS - 1000), time.perf_counter(), 0
    while not stop.wait(max(0.0, begin + sent / rate - time.perf_counter())):
        _post(client, list(islice(messages, rate // 10)))
        sent += rate // 10


def _probe(port: int, key: str, end: float, customers: list[str]) -> list[float]:
    client, took = Client(port, key), []
    for number, customer in enumerate(customers):
        if time.perf_counter() > end:
            break
        before = client.scores(customer)
        _post(client, [_order(customer, number)])
        acknowledged = time.perf_counter()
        while client.scores(customer) == before:
            if time.perf_counter() - acknowledged > STANDSTILL_SECONDS:
                raise RuntimeError(f"an order changed no score in {STANDSTILL_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)
        took.append(time.perf_counter() - acknowledged)
    return took


def _order(customer: str, number: int) -> dict[str, Any]:
    line = {"product_id": "probe", "category": "books", "price": "25.00", "quantity": 2}
    return {
        "type": "track", "event": "Order Completed", "messageId": f"probe-{customer}-{number}",
        "userId": customer, "timestamp": datetime.now(UTC).isoformat(),
        "properties": {"order_id": f"probe-{customer}", "products": [line]},
    }  # fmt: skip


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
