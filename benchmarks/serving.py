"""Scores of one customer over HTTP: this service, the usual way to write one, and the least there is.

Three processes with one worker each, on the loopback interface: ``ours`` is ``patron serve``,
``peer`` is FastAPI over the Feast SDK and ``mlflow.pyfunc`` on the same home, ``limit`` is a FastAPI
endpoint that reads the same request and does nothing. Each is asked for a different customer each
time, by the same sequence. The peer gives scores only; ours also looks up who is known, refuses
whom a question does not apply to, adds percentiles, counts, and logs every answer.

    python -m benchmarks.serving [--home FOLDER] [--rounds N]
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import random
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import homes, load, report, rounds, servers
from features.home import Home
from features.identity import Identity

MODELS = ["churn", "propensity", "clv"]
PATH = "/v1/scores"
SEED = 7
COMPARED = 20  # customers whose scores are compared before anything is measured
TOLERANCE = 1e-9
WARM_UP, SECONDS = 0.5, 3.0
CONNECTIONS = {"score_one_p50": 1, "score_rps_16": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast one customer's scores are answered.")
    parser.add_argument(
        "--home", type=Path, help="A trained home to use, whose log grows; by default a new one is made."
    )
    parser.add_argument("--rounds", type=int, default=5, help="How often each side is measured.")
    asked = parser.parse_args()
    # A benchmark that is told to end, such as by `timeout`, still ends the services it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with TemporaryDirectory() as folder:
        home = asked.home.absolute() if asked.home else Path(folder, "home")
        if not asked.home:
            _note("simulating a shop and training its models")
            homes.build(home)
        _note("starting the services")
        with servers.running(_services(), homes.environment(home), Path(folder)) as sides:
            bodies = _bodies(home)
            compared = _compare(sides, bodies[:COMPARED])
            _note(f"ours and the peer agree on {compared} scores; measuring")
            measured = rounds.interleaved(
                {name: partial(_measure, server, bodies) for name, server in sides.items()}, asked.rounds
            )
    report.publish("serving", _results(measured))


def _services() -> dict[str, servers.Service]:
    command = [sys.executable, "-m", "patron", "serve", "--host", servers.HOST, "--port"]
    return {
        "ours": servers.Service(lambda port: [*command, str(port)], "/readyz"),
        "peer": servers.uvicorn("benchmarks.peers.feast_pyfunc_service:create_app"),
        "limit": servers.uvicorn("benchmarks.peers.no_op_service:create_app"),
    }


def _bodies(home: Path) -> list[str]:
    """A request for each known customer, in random order, the same one every time."""
    customer_ids = Identity(Home(home)).table()["customer_id"].to_pylist()
    random.Random(SEED).shuffle(customer_ids)
    return [json.dumps({"customer_ids": [customer_id], "models": MODELS}) for customer_id in customer_ids]


def _compare(sides: Mapping[str, servers.Server], bodies: list[str]) -> int:
    """Check that ours and the peer give the same scores.

    Returns:
        How many scores of ours were compared: those that were not refused.

    Raises:
        RuntimeError: some differ, or a model gave no score at all.
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


def _ask(server: servers.Server, body: str) -> Any:
    connection = http.client.HTTPConnection(servers.HOST, server.port, timeout=load.ANSWER_SECONDS)
    try:
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{server.name} answered {response.status}: {answer[:500]!r}")
    return json.loads(answer)


def _measure(server: servers.Server, bodies: list[str], number: int) -> rounds.Measured:
    """One round: the median time of an answer (ms), and answers per second."""
    # Each round asks for other customers, the same ones of every side.
    start = number * len(bodies) // 7 % len(bodies)
    turned = bodies[start:] + bodies[:start]
    measured = {}
    for measure, connections in CONNECTIONS.items():
        outcome = load.run(load.Load(server.port, PATH, turned, connections, WARM_UP, SECONDS))
        measured[measure] = outcome.p50 if measure == "score_one_p50" else outcome.rate
    return measured


def _results(measured: Mapping[str, Mapping[str, float]]) -> dict[str, report.Result]:
    def of(side: str, measure: str) -> float:
        return measured[side][measure]

    time, rate = "score_one_p50", "score_rps_16"
    return {
        time: report.Result(of("ours", time), "ms", of("peer", time), of("limit", time), "lower"),
        rate: report.Result(of("ours", rate), "requests/s", of("peer", rate), of("limit", rate), "higher"),
    }


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
