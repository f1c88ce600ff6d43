"""The addresses of the console's pages in a shop, and how long the server takes for each."""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from benchmarks.console.shop import AUDIENCES
from benchmarks.harness.servers import HOST
from console.page import PREFIX

CUSTOMER = "M0040123"
KEYS = (10_001, 40_123, 99_999)
"""Keys of customers, all of whom a shop of 100,000 has."""
RULE = "orders_365d >= 2 and clv > 150 and newsletter = true"
PREVIEW = "/plan?budget=1000"
TIMEOUT_S = 120


def addresses() -> dict[str, str]:
    """By the name of a measure an address below ``/console``; every page, its filters, orders and parts."""
    list_of = {
        "customers": {},
        "customers_search": {"q": CUSTOMER},
        "customers_nobody": {"q": "nobody"},
        "customers_by_clv": {"sort": "-clv"},
        "customers_at_risk": {"sort": "-revenue_at_risk"},
        "customers_of_segment": {"segment": "lifecycle_stage:active"},
        "customers_of_segment_by_clv": {"segment": "value_tier:A", "sort": "-clv"},
    }
    return {
        "overview": "",
        **{name: f"/customers?{urlencode(query)}" for name, query in list_of.items()},
        "customers_file": "/export/customers/customers.csv",
        **{f"customer_{i}": f"/customers/{key}" for i, key in enumerate(KEYS)},
        "segments": "/segments",
        "segments_rfm": "/segments?kind=rfm_segment",
        "audiences": "/audiences",
        "audience_preview": f"/audiences?{urlencode({'part': 'preview', 'rule': RULE})}",
        "audience_of_rule": f"/audiences?{urlencode({'rule': RULE})}",
        **{f"audience_{name}": f"/audiences/{name}" for name in AUDIENCES},
        "cohorts": "/cohorts",
        "actions": "/actions",
        "plan": "/plan",
        "plan_preview": PREVIEW,
        "results": "/results",
        "models": "/models",
        "model": "/models/churn",
        "monitoring": "/monitoring",
        "monitoring_of_model": "/monitoring?model=clv",
        "data": "/data",
        "features": "/features",
        "feature": "/features/spend_365d",
        "access": "/access",
    }


def measure(port: int, pages: Mapping[str, str], times: int) -> dict[str, list[float]]:
    """By page the milliseconds until its last byte, of each of ``times`` rounds over all pages.

    Raises:
        RuntimeError: a page did not answer with 200.
    """
    taken: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(times):
        for name, path in pages.items():
            taken[name].append(request(port, path))
    return taken


def request(port: int, path: str) -> float:
    """The milliseconds from a request for an address below ``/console`` until its last byte.

    Raises:
        RuntimeError: the answer was not 200.
    """
    started = time.perf_counter()
    fetch(port, path)
    return 1000 * (time.perf_counter() - started)


def fetch(port: int, path: str) -> bytes:
    """The content of an address below ``/console``.

    Raises:
        RuntimeError: the answer was not 200.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", PREFIX + path)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{path} was answered by {response.status}: {content[-1500:]!r}")
    return content


def seconds_of_preview(port: int) -> float:
    """The seconds until the page of plans has its preview, which is then shown for ten minutes."""
    started = time.perf_counter()
    while b"every 1s" in fetch(port, PREVIEW):
        time.sleep(0.2)
    return time.perf_counter() - started


def percentile_95(taken: Sequence[float]) -> float:
    """The nearest-rank 95th percentile: of twenty values the second highest."""
    return sorted(taken)[math.ceil(0.95 * len(taken)) - 1]
