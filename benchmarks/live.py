"""Events as they happen: how many a second are kept for good, and how soon scores know of them.

``ingest_*`` are those of :mod:`benchmarks.ingestion`. ``fresh_p99_N`` is the time from the
acknowledgement of an order until ``POST /v1/scores`` gives other scores than before, while N events arrive
each second: the whole way, refresher and all, once the first order has come through. ``materialise``,
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
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import ingestion, online
from benchmarks.harness import homes, report, service
from benchmarks.harness.messages import Client, stream

CUSTOMERS = 6000  # of the default shop, which is what is scored
ONLINE_CUSTOMERS = 50_000
ROUNDS = 3
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
        for rate in (100, 300):
            _note(f"measuring how fresh scores are at {rate} events/s")
            results[f"fresh_p99_{rate}"] = _fresh(folder / "home", folder, rate, arguments.seconds)
        results |= online.measure(folder / "online", ONLINE_CUSTOMERS, ROUNDS, ("redis",)).get("redis", {})
    report.publish("live", results)


def _post(client: Client, batch: list[dict[str, Any]]) -> None:
    if (status := client.send(batch)) != 200:
        raise RuntimeError(f"a batch was answered {status}")


def _fresh(trained: Path, folder: Path, rate: int, seconds: float) -> report.Result:
    """The 99th percentile over orders of customers whom nothing else touches."""
    home = Path(shutil.copytree(trained, folder / f"home-{rate}"))
    environment = {"PATRON_REQUIRE_KEYS": "true"}
    key = service.create_key(home, environment)
    with service.serving(home, folder, environment) as api:
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
