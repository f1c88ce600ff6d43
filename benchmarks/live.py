"""Events as they happen: how many a second are kept for good, and how soon scores know of them.

``ingest_*`` are those of :mod:`benchmarks.ingestion`. ``fresh_p99_N`` is the time from the
acknowledgement of an order until ``POST /v1/scores`` gives other scores than before, while N events arrive
each second: the whole way, once the first order has come through, with one refresher or with two shards.
``refreshed_N_shards`` is how many customers a second get new features after an order of all at once, and
``refresh_cpu_N_shards`` the processor time of the refreshers for each. ``materialise``,
``read_one`` and ``read_1000`` are those of :mod:`benchmarks.online`, over Redis.

    python -m benchmarks.live [--seconds N]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import islice, product
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import ingestion, online
from benchmarks.harness import homes, processes, report, servers, service
from benchmarks.harness.messages import Client, stream
from core.home import Home
from core.storage.database import Database
from features.live.progress import lag

CUSTOMERS = 6000  # of the default shop, which is what is scored
ONLINE_CUSTOMERS = 50_000
ROUNDS, BATCH = 3, 100
ENVIRONMENT = {"PATRON_REQUIRE_KEYS": "true", "PATRON_REFRESHER": "off"}
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
        results |= ingestion.measure(folder)
        for rate, shards in product((300, 1000), (1, 2)):
            _note(f"measuring how fresh scores are at {rate} events/s with {shards} shards")
            of_shards = "" if shards == 1 else f"_{shards}_shards"
            results[f"fresh_p99_{rate}{of_shards}"] = _fresh(
                folder / "home", folder, rate, shards, arguments.seconds
            )
        for shards in (1, 2):
            _note(f"measuring how fast {shards} shards catch up")
            results |= _catch_up(folder / "home", folder, shards)
        results |= online.measure(folder / "online", ONLINE_CUSTOMERS, ROUNDS, ("redis",)).get("redis", {})
    report.publish("live", results)


def _post(client: Client, batch: list[dict[str, Any]]) -> None:
    if (status := client.send(batch)) != 200:
        raise RuntimeError(f"a batch was answered {status}")


def _fresh(trained: Path, folder: Path, rate: int, shards: int, seconds: float) -> report.Result:
    """The 99th percentile over orders of customers whom nothing else touches."""
    home = Path(shutil.copytree(trained, folder / f"home-{rate}-{shards}"))
    key = service.create_key(home, ENVIRONMENT)
    with service.serving(home, folder, ENVIRONMENT) as api, service.refreshing(home, ENVIRONMENT, shards):
        port = api.port
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


def _catch_up(trained: Path, folder: Path, shards: int) -> dict[str, report.Result]:
    """An order of every customer at once: customers a second with new features, processor time of each."""
    home = Home(Path(shutil.copytree(trained, folder / f"home-catch-up-{shards}")))
    key, database = service.create_key(home.path, ENVIRONMENT), Database(home)
    with (
        service.serving(home.path, folder, ENVIRONMENT) as api,
        service.refreshing(home.path, ENVIRONMENT, shards) as pids,
    ):
        first, *others = [f"C{number:06d}" for number in range(CUSTOMERS)]
        _probe(api.port, key, float("inf"), [first])
        client = Client(api.port, key)
        cpu, started = sum(map(processes.cpu_seconds, pids)), time.perf_counter()
        for start in range(0, len(others), BATCH):
            part = others[start : start + BATCH]
            _post(client, [_order(customer, number) for number, customer in enumerate(part)])
        servers.wait_until(lambda: lag(home, database).messages == 0)
        seconds = time.perf_counter() - started
        cpu = sum(map(processes.cpu_seconds, pids)) - cpu
    rate = report.Result(len(others) / seconds, "customers/s", better="higher")
    return {
        f"refreshed_{shards}_shards": rate,
        f"refresh_cpu_{shards}_shards": report.Result(1000 * cpu / len(others), "ms/customer"),
    }


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
