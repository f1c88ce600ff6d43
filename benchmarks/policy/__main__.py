"""The value of decisions: `python -m benchmarks.policy`.

Five simulated shops with different seeds. In each, the three models are trained, and decisions are made for
all customers with the example's actions, by the product's own code; a version that cannot beat the simplest
baseline significantly in so small a shop is promoted by force. The assumed effects are true by definition:
each changes the customer's *true* probability exactly as declared. The profit is its expectation under that
truth, not a draw, so the shops are the only source of randomness. The compared policies:

- ours: the option with the highest expected value by the scores; also with control and exploration;
- random: each permitted option, including nothing, with the same probability;
- cheapest: the cheapest permitted action;
- propensity alone: as many contacts as ours, to the customers with the highest propensity, each with the
  strongest permitted offer (the one that raises the propensity most);
- one campaign: the single action, chosen in hindsight, that earns most if all permitted customers get it;
- the limit: the best permitted option, given the truth.

All follow the same rules, and doing nothing is worth 0. Differences have 95 % intervals over
the shops (Student's t).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from scipy import stats

from benchmarks.harness.report import Result, publish
from benchmarks.policy.policies import POLICIES
from benchmarks.policy.shops import ACTIONS, Known, examine
from decisions.catalogue.actions import NOTHING
from records.decision import Decision

SEEDS = (1, 2, 3, 4, 5)
OTHERS = ("random", "cheapest", "propensity alone", "one campaign", "nothing")


def main() -> int:
    """Simulate, train, decide and compare; two shops at a time."""
    shops: list[Known] = []
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        for seed, shop in zip(SEEDS, processes.map(examine, SEEDS), strict=True):
            profits = ", ".join(f"{name} {profit(*shop):.3f}" for name, profit in POLICIES.items())
            print(f"  shop {seed}: {len(shop[0]):,} customers, EUR per customer: {profits}", flush=True)
            shops.append(shop)
    results = compare(shops) | probabilities([d for decisions, _ in shops for d in decisions])
    publish("policy", results)
    return 0


def compare(shops: Sequence[Known]) -> dict[str, Result]:
    """Mean profits, and the differences of ours with their intervals over the shops."""
    profits = {name: np.array([profit(*shop) for shop in shops]) for name, profit in POLICIES.items()}
    unit = "EUR per customer"
    best = max(OTHERS, key=lambda name: float(profits[name].mean()))
    results = {
        name.replace(" ", "_"): Result(
            float(profits[name].mean()), unit, float(profits[best].mean()), float(profits["limit"].mean()),
            better="higher",
        )
        for name in ("ours", "with control and exploration")
    }  # fmt: skip
    for name in OTHERS:
        differences = profits["ours"] - profits[name]
        mean = float(differences.mean())
        half = float(stats.t.ppf(0.975, len(shops) - 1) * differences.std(ddof=1) / len(shops) ** 0.5)
        print(f"  ours less {name}: {mean:+.3f} (95 % interval {mean - half:+.3f} to {mean + half:+.3f})")
        for suffix, value in {"": mean, "_low": mean - half, "_high": mean + half}.items():
            results[f"over_{name.replace(' ', '_')}{suffix}"] = Result(value, unit, better="higher")
    return results


def probabilities(decisions: Sequence[Decision]) -> dict[str, Result]:
    """The difference between the shares of the chosen actions and the logged probabilities."""
    off, deviations = 0.0, []
    for name in (NOTHING, *ACTIONS):
        p = np.array([decision.choice.probabilities.get(name, 0.0) for decision in decisions])
        seen = sum(decision.choice.action == name for decision in decisions)
        off = max(off, abs(seen - p.sum()) / len(decisions))
        deviations.append(float((seen - p.sum()) / np.sqrt((p * (1 - p)).sum())))
        print(f"  {name}: chosen {seen:,} times, {p.sum():,.1f} by the log's probabilities")
    return {
        "share_off_probability": Result(off, "share of decisions"),
        "share_off_in_deviations": Result(max(map(abs, deviations)), "standard deviations"),
    }


if __name__ == "__main__":
    sys.exit(main())
