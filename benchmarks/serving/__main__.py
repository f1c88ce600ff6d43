"""Scores over HTTP: this service, a typical implementation, MLflow's server, and a minimal endpoint.

Processes with one worker each on the loopback interface, all with one home whose online rows are in Redis.
``ours`` is ``patron serve`` with keys required, limits, score log, metrics and refresher on; ``peer`` is
FastAPI with the Feast SDK on Feast's own Redis store and ``mlflow.pyfunc``; ``mlflow`` is `mlflow models
serve` for one model, given the features; ``limit`` is a FastAPI endpoint that parses the same request and
does nothing, or for many customers the work that nothing can avoid (:mod:`benchmarks.serving.needed_work`).
Each gets the same sequence of requests for changing customers. The peers return scores only;
ours also looks up customers, checks eligibility, adds percentiles, counts, and logs.

``score_one_p50`` is one customer and three models over one connection, ``score_rps_16`` the same over sixteen
(``score_rps_16_mlflow`` against MLflow's), ``score_100`` and ``score_1000`` so many customers in a request.
``tail`` is the 99th percentile at 60 % of the rate that ``score_rps_16`` reached; its limit is four times the
median there. ``--soak`` loads ours for so long with all of these; the limit is the memory at the start.

    python -m benchmarks.serving [--home FOLDER] [--rounds N] [--soak SECONDS]
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import homes, load, report, rounds, servers
from benchmarks.serving import needed_work
from benchmarks.serving.sides import MODELS, SIZES, Side, print_note, start_sides

COMPARED = 20  # customers whose scores are compared before the measurement
TOLERANCE = 1e-9
WARM_UP, SECONDS = 0.5, 3.0
TAIL_SECONDS, TAIL_SHARE, TAIL_TIMES = 20.0, 0.6, 4.0
RATES = {"score_rps_16"}


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast scores are answered.")
    parser.add_argument(
        "--home", type=Path, help="A trained home to use, whose log grows; by default a new one is made."
    )
    parser.add_argument("--rounds", type=int, default=5, help="How often each side is measured.")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="Also load ours for so long.")
    arguments = parser.parse_args()
    # After SIGTERM, such as from `timeout`, the benchmark still ends the services that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with TemporaryDirectory() as folder:
        home = arguments.home.absolute() if arguments.home else Path(folder, "home")
        if not arguments.home:
            print_note("simulating a shop and training its models")
            homes.build(home)
        with start_sides(home, Path(folder)) as sides:
            compared = _compare(sides, sides["ours"].bodies[1][:COMPARED])
            print_note(f"ours and the peer agree on {compared} scores; measuring")
            measured = rounds.interleaved(
                {name: partial(_measure, home, name, side) for name, side in sides.items()}, arguments.rounds
            )
            results = _results(measured) | _tail(sides["ours"], measured["ours"]["score_rps_16"])
            if arguments.soak:
                results |= _soak(sides["ours"], arguments.soak)
    report.publish("serving", results)


def _compare(sides: Mapping[str, Side], bodies: Sequence[str]) -> int:
    """Check that ours and the peer give the same scores.

    Returns:
        The number of compared scores, without those that were refused.

    Raises:
        RuntimeError: scores differ, or a model returned no score.
    """
    compared = dict.fromkeys(MODELS, 0)
    for body in bodies:
        ours, peer = (_ask(sides[side], body)["customers"][0] for side in ("ours", "peer"))
        for name in MODELS:
            score, expected = ours["scores"][name]["score"], peer["scores"][name]
            if score is None:
                continue
            compared[name] += 1
            if not math.isclose(score, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                raise RuntimeError(f"{name} of {ours['customer_id']}: ours {score}, the peer's {expected}")
    if silent := [name for name, count in compared.items() if not count]:
        raise RuntimeError(
            f"no score of {', '.join(silent)}; the first answer was {_ask(sides['ours'], bodies[0])}"
        )
    return sum(compared.values())


def _ask(side: Side, body: str) -> Any:
    connection = http.client.HTTPConnection(servers.HOST, side.server.port, timeout=load.ANSWER_SECONDS)
    try:
        connection.request("POST", side.path, body, {"Content-Type": "application/json", **side.headers})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{side.server.name} answered {response.status}: {answer[:500]!r}")
    return json.loads(answer)


def _measure(home: Path, name: str, side: Side, number: int) -> rounds.Measured:
    """One round: per measure the median time of a response (ms), or responses per second."""
    measured = {}
    for measure, (size, connections) in SIZES.items():
        if name == "limit" and size > 1:
            requests = [json.loads(body)["customer_ids"] for body in side.bodies[size]]
            measured[measure] = needed_work.measure(home, side.redis, requests)
        elif size in side.bodies:
            outcome = _load(side, number, size, connections)
            measured[measure] = outcome.rate if measure in RATES else outcome.p50
    return measured


def _load(
    side: Side, number: int, size: int, connections: int, seconds: float = SECONDS, rate: float | None = None
) -> load.Outcome:
    bodies = side.bodies[size]
    # Each round requests other customers, the same ones from every side.
    start = number * len(bodies) // 7 % len(bodies)
    turned = bodies[start:] + bodies[:start]
    plan = load.Load(
        side.server.port, side.path, turned, connections, WARM_UP, seconds, rate, dict(side.headers)
    )
    return load.run(plan)


def _results(measured: Mapping[str, Mapping[str, float]]) -> dict[str, report.Result]:
    ours, peer, limit = (measured[side] for side in ("ours", "peer", "limit"))
    results = {
        measure: report.Result(
            ours[measure], "requests/s" if measure in RATES else "ms", peer[measure], limit[measure],
            "higher" if measure in RATES else "lower",
        )
        for measure in SIZES
    }  # fmt: skip
    rate = measured["mlflow"]["score_rps_16"]
    return results | {
        "score_rps_16_mlflow": report.Result(ours["score_rps_16"], "requests/s", rate, None, "higher")
    }


def _tail(ours: Side, fastest: float) -> dict[str, report.Result]:
    outcome = _load(ours, 1, 1, 16, TAIL_SECONDS, TAIL_SHARE * fastest)
    print_note(f"at {outcome.rate:.0f} requests/s: p50 {outcome.p50:.2f} ms, p99 {outcome.p99:.2f} ms")
    return {"tail": report.Result(outcome.p99, "ms", None, TAIL_TIMES * outcome.p50)}


def _soak(ours: Side, seconds: float) -> dict[str, report.Result]:
    """Memory (MB) after mixed load, with that after the first minute as the limit."""
    deadline, number, first = time.monotonic() + seconds, 0, 0.0
    warm = time.monotonic() + min(60.0, seconds / 5)
    while time.monotonic() < deadline:
        for size, connections in SIZES.values():
            _load(ours, number, size, connections, 5.0)
        number += 1
        if not first and time.monotonic() >= warm:
            first = _megabytes(ours.server.process.pid)
    return {"soak": report.Result(_megabytes(ours.server.process.pid), "MB", None, first)}


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
