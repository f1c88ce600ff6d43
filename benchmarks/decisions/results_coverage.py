"""How often the intervals of results hold the truth, over simulated shops with a known effect.

Each of 100 shops has 1,200 customers of its own, a holdout of 30 % and an offer for a random half of the
others (:mod:`benchmarks.decisions.known_effect`). The product's report is computed from the tables of the
home. An interval of 95 % should hold the truth in 95 of 100 shops; by chance, between 91 and 99 do.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.decisions.known_effect import make
from benchmarks.harness.report import Result
from core.home import Home
from decisions.results import report

SHOPS, CUSTOMERS = 100, 1200


@dataclass(frozen=True)
class Shown:
    """The report of a shop against its truth.

    Attributes:
        programme, offer: whether the interval holds the truth.
        error: of the programme's estimate, in standard errors.
        variance_removed: by the covariate.
    """

    programme: bool
    offer: bool
    error: float
    variance_removed: float


def examine(seed: int) -> Shown:
    """The shop of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        truth = make(home, seed, CUSTOMERS)
        computed = report.update(home)
    whole, offer = computed["programme"]["net_margin"], computed["actions"][0]["net_margin"]
    return Shown(
        whole["low"] <= truth.programme <= whole["high"],
        offer["low"] <= truth.offer <= offer["high"],
        (whole["estimate"] - truth.programme) / whole["standard_error"],
        whole["variance_removed"],
    )


def measure() -> dict[str, Result]:
    """The coverage of both intervals, and the bias of the programme's estimate."""
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        shops = list(processes.map(examine, range(SHOPS)))
    share = "share of shops"
    errors = np.array([shop.error for shop in shops])
    return {
        "results_coverage": Result(
            float(np.mean([s.programme for s in shops])), share, limit=0.95, better="higher"
        ),
        "action_coverage": Result(
            float(np.mean([s.offer for s in shops])), share, limit=0.95, better="higher"
        ),
        "mean_error": Result(float(errors.mean()), "standard errors"),
        "spread_of_errors": Result(float(errors.std(ddof=1)), "standard errors", limit=1.0),
        "variance_removed": Result(
            float(np.mean([s.variance_removed for s in shops])), "share", better="higher"
        ),
    }
