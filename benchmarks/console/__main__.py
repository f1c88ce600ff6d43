"""The console in a shop of a million customers.

    python -m benchmarks.console [--customers N] [--home FOLDER]

``patron serve`` answers on the loopback interface with one process. Each page, and each of its filters,
orders and parts, is requested twenty times; ``page_NAME`` is the 95th percentile of the server's time, whose
limit is 300 ms, and ``first`` the slowest of the first requests, half a minute after the start, in which
files are read. ``preview`` are the seconds until the preview of a plan for everybody is computed.
``browser_NAME`` is the time until Chromium has loaded a page; its limit is 2 s. ``scores_p99`` is the 99th
percentile of ``/v1/scores`` while a visitor clicks once a second; its limit is that of the same
requests without a visitor, and a tenth.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.console import browser, pages, shop
from benchmarks.harness import homes, load, report, rounds, servers
from core.home import Home

ROUNDS, BROWSER_ROUNDS, SCORE_ROUNDS = 20, 3, 5
PAGE_MS, BROWSER_MS, TIMES_ALONE = 300.0, 2000.0, 1.1
IN_BROWSER = (
    "overview",
    "customers",
    "customer_1",
    "segments",
    "audiences",
    "actions",
    "plan",
    "models",
    "data",
)
WARM_UP_S = 30.0  # in which the service loads what pages read
CLICK_S = 1.0
RATE, CONNECTIONS, SECONDS, WARM_UP = 50.0, 4, 10.0, 1.0
MODELS = ["churn", "propensity", "clv"]


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the console is in a large shop.")
    parser.add_argument("--customers", type=int, default=1_000_000, help="100,000 or more.")
    parser.add_argument("--home", type=Path, help="A home that this benchmark made; made there if absent.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Home(arguments.home.absolute() if arguments.home else Path(folder, "home"))
        if not home.path.exists():
            _note(f"making a shop of {arguments.customers:,} customers")
            shop.make(home, arguments.customers)
        service = servers.Service(_command, "/readyz")
        with servers.running({"ours": service}, homes.environment(home.path), Path(folder)) as started:
            results = measure(started["ours"].port)
    report.publish("console", results)


def measure(port: int) -> dict[str, report.Result]:
    """All measures of a running server."""
    addresses = pages.addresses()
    time.sleep(WARM_UP_S)
    _note("computing the preview of a plan")
    preview = report.Result(pages.seconds_of_preview(port), "s")
    _note("requesting the pages")
    taken = pages.measure(port, addresses, ROUNDS)
    for name, values in taken.items():
        p95 = pages.percentile_95(values)
        _note(f"  {name:<30} median {median(values):6.0f} ms, p95 {p95:6.0f} ms, first {values[0]:6.0f} ms")
    results = {
        f"page_{name}": report.Result(pages.percentile_95(values), "ms", limit=PAGE_MS)
        for name, values in taken.items()
    }
    results["preview"] = preview
    results["first"] = report.Result(max(values[0] for values in taken.values()), "ms")
    _note("opening pages in Chromium")
    opened = browser.measure(port, {name: addresses[name] for name in IN_BROWSER}, BROWSER_ROUNDS)
    results |= {f"browser_{n}": report.Result(ms, "ms", limit=BROWSER_MS) for n, ms in opened.items()}
    _note("scoring with and without a visitor")
    return results | {"scores_p99": _scores(port, addresses)}


def _scores(port: int, addresses: Mapping[str, str]) -> report.Result:
    def alone(number: int) -> rounds.Measured:
        return {"p99": load.run(_load(port, number)).p99}

    def visited(number: int) -> rounds.Measured:
        with _visitor(port, addresses):
            return alone(number)

    measured = rounds.interleaved({"alone": alone, "visited": visited}, SCORE_ROUNDS)
    return report.Result(measured["visited"]["p99"], "ms", limit=TIMES_ALONE * measured["alone"]["p99"])


def _load(port: int, number: int) -> load.Load:
    """Requests for one customer each, other ones in each round."""
    ids = [f"M{1 + number * 1000 + i:07d}" for i in range(1000)]
    bodies = [json.dumps({"customer_ids": [customer], "models": MODELS}) for customer in ids]
    return load.Load(port, "/v1/scores", bodies, CONNECTIONS, WARM_UP, SECONDS, RATE)


@contextmanager
def _visitor(port: int, addresses: Mapping[str, str]) -> Iterator[None]:
    """Somebody who opens a page every ``CLICK_S`` seconds."""
    left = threading.Event()

    def click() -> None:
        for path in cycle(addresses.values()):
            if left.wait(CLICK_S):
                return
            pages.request(port, path)

    with ThreadPoolExecutor(1) as pool:
        visitor = pool.submit(click)
        try:
            yield
        finally:
            left.set()
        visitor.result()


def _command(port: int) -> list[str]:
    return [sys.executable, "-m", "patron", "serve", "--host", servers.HOST, "--port", str(port)]


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
