"""What a decision costs beside the scores: one customer, 50 actions; less than 2 ms."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.decisions.catalogues import HORIZONS, catalogue, customers
from benchmarks.harness.report import Result
from decisions.context import CustomerContext, ScoreInput
from decisions.policy import recommend

ACTIONS, CUSTOMERS, ROUNDS = 50, 200, 5
DAY, SALT = 19_844, b"salt of the benchmark"


def measure() -> dict[str, Result]:
    """Milliseconds of a decision with checks, values, draw and reasons: median and 99th percentile."""
    rules, many = catalogue(ACTIONS), customers(CUSTOMERS)
    contexts = [
        CustomerContext(
            key,
            {
                name: ScoreInput(float(many.scores[name][key]), None, "1", days)
                for name, days in HORIZONS.items()
            },
            {
                "average_order_value": float(many.features["average_order_value"][key]),
                "orders_total": key % 6,
            },
        )
        for key in range(CUSTOMERS)
    ]
    taken = []
    for _ in range(ROUNDS):
        for context in contexts:
            start = time.perf_counter()
            recommend(context, rules, DAY, SALT)
            taken.append(1000 * (time.perf_counter() - start))
    median, high = np.percentile(taken, [50, 99])
    print(f"  decide_one: {median:.2f} ms, the 99th of 100 {high:.2f} ms")
    return {
        "decide_one": Result(float(median), "ms"),
        "decide_one_p99": Result(float(high), "ms"),
    }
