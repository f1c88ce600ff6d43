"""BG/NBD of many customers: `python -m benchmarks.btyd [--customers N] [--lifetimes PYTHON]`.

Customers are simulated with the parameters of the whole of CDNOW, in continuous time, so that hardly two are
identical and grouping them saves nothing. ``btyd_speed`` is the cost of fitting and of the expected purchases
of all customers; its limits are 10 s and 2 GB. ``--lifetimes`` names a Python with the lifetimes package
(archived, not part of this project): the peer fits and predicts fewer of the same customers, in turn with
ours. Fails if the peer finds parameters with a higher likelihood.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.clv.forecasts import conditional_expected_purchases
from benchmarks.harness.report import Result, publish
from benchmarks.harness.rounds import Measured, apart, interleaved
from benchmarks.peers import __file__ as peers
from core.errors import PatronError
from models.btyd.bg_nbd import BgNbd, fit_bg_nbd
from models.btyd.bg_nbd_likelihood import GroupedCustomers, log_likelihood
from models.estimator import Array

TRUTH = BgNbd(0.252, 4.789, 0.723, 2.161)  # weeks
OLDEST, AHEAD = 104.0, 39.0  # weeks
MAX_SECONDS, MAX_GIGABYTES = 10.0, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast BG/NBD is fitted and answers.")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--peer-customers", type=int, default=200_000)
    parser.add_argument("--lifetimes", type=Path, help="A Python with lifetimes.")
    parser.add_argument("--rounds", type=int, default=3, help="How often each side is measured.")
    arguments = parser.parse_args()
    if arguments.lifetimes and not arguments.lifetimes.is_file():
        parser.error(f"{arguments.lifetimes} is not there")
    with TemporaryDirectory() as folder:
        results = alone(Path(folder) / "all.npz", arguments.customers, arguments.rounds)
        if arguments.lifetimes:
            file = Path(folder) / "peer.npz"
            results |= compare(file, arguments.peer_customers, arguments.lifetimes, arguments.rounds)
        else:
            print("no peer: name a Python that has lifetimes with --lifetimes")
    publish("btyd", results)


def alone(file: Path, customers: int, rounds: int) -> dict[str, Result]:
    """Seconds and memory for many customers."""
    apart(partial(write, file, customers))
    medians = interleaved({"ours": lambda _: apart(partial(ours, file))}, rounds)["ours"]
    return {
        "btyd_speed": Result(medians["fit"] + medians["predict"], "s", limit=MAX_SECONDS),
        "btyd_peak": Result(medians["gigabytes"], "GB", limit=MAX_GIGABYTES),
    }


def compare(file: Path, customers: int, python: Path, rounds: int) -> dict[str, Result]:
    """Both sides on the same customers.

    Raises:
        PatronError: the peer found parameters that are more likely.
    """
    apart(partial(write, file, customers))
    sides = {"ours": lambda _: apart(partial(ours, file)), "peer": lambda _: lifetimes(file, python)}
    medians = interleaved(sides, rounds)
    # By one formula: lifetimes counts in units of time of its own.
    customers_of_both = GroupedCustomers.of(*read(file))
    likelihood = {
        side: log_likelihood(np.log([measured[name] for name in BgNbd.NAMES]), customers_of_both)[0]
        for side, measured in medians.items()
    }
    if likelihood["ours"] < likelihood["peer"] - 1e-3:
        raise PatronError(f"lifetimes found parameters with a higher likelihood than ours: {likelihood}")
    return {
        f"btyd_{step}_peer": Result(medians["ours"][step], "s", medians["peer"][step])
        for step in ("fit", "predict")
    } | {"btyd_loglik_peer": Result(likelihood["ours"], "nats", likelihood["peer"], better="higher")}


def simulate(truth: BgNbd, T: Array, seed: int) -> tuple[Array, Array]:
    """Frequency and recency of customers who behave as the model says, one per T."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(truth.r, 1 / truth.alpha, len(T))
    dropout = rng.beta(truth.a, truth.b, len(T))
    frequency, recency = np.zeros(len(T)), np.zeros(len(T))
    alive = np.flatnonzero(rate > 0)
    while len(alive):
        when = recency[alive] + rng.exponential(1 / rate[alive])
        bought = when <= T[alive]
        alive, when = alive[bought], when[bought]
        frequency[alive] += 1
        recency[alive] = when
        alive = alive[rng.random(len(alive)) >= dropout[alive]]
    return frequency, recency


def write(file: Path, customers: int) -> None:
    """Simulated customers, as a file that either side reads."""
    T = np.random.default_rng(1).uniform(1, OLDEST, customers)
    frequency, recency = simulate(TRUTH, T, seed=2)
    np.savez(file, frequency=frequency, recency=recency, T=T)


def read(file: Path) -> tuple[Array, Array, Array]:
    """Frequency, recency and T of such a file."""
    with np.load(file) as columns:
        return columns["frequency"], columns["recency"], columns["T"]


def ours(file: Path) -> Measured:
    """Seconds, memory of this process at its peak, and the parameters."""
    customers = read(file)
    began = time.perf_counter()
    model = fit_bg_nbd(*customers)
    fitted = time.perf_counter()
    conditional_expected_purchases(model, AHEAD, *customers)
    predicted = time.perf_counter()
    return model.parameters | {
        "fit": fitted - began,
        "predict": predicted - fitted,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def lifetimes(file: Path, python: Path) -> Measured:
    """The same by the peer, in its own Python.

    Raises:
        PatronError: that Python cannot do it.
    """
    script = Path(peers).with_name("lifetimes_fit.py")
    done = subprocess.run([python, script, file, str(AHEAD)], capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PatronError(f"{python} does not run lifetimes: {why}")
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


if __name__ == "__main__":
    main()
