"""Scores over HTTP: this service, the usual way to write one, MLflow's own, and the least there is.

Processes with one worker each on the loopback interface, all over one home whose online rows are in Redis.
``ours`` is ``patron serve`` with keys required, limits, score log, metrics and freshness on; ``peer`` is
FastAPI over the Feast SDK on Feast's own Redis store and ``mlflow.pyfunc``; ``mlflow`` is `mlflow models
serve` for one model, given the features; ``limit`` is a FastAPI endpoint that reads the same request and does
nothing. Each is asked for other customers each time, by the same sequence. The peers give scores only; ours
also looks up who is known, refuses whom a question does not apply to, adds percentiles, counts, and logs.

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
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import homes, load, report, rounds, servers
from core.home import Home
from core.settings import FeatureSettings
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from models.registry.registry import Registry
from serving.access.key import MAX_PER_MINUTE
from serving.access.keys import Keys

MODELS = ["churn", "propensity", "clv"]
PATH = "/v1/scores"
SEED = 7
COMPARED = 20  # customers whose scores are compared before anything is measured
TOLERANCE = 1e-9
WARM_UP, SECONDS = 0.5, 3.0
TAIL_SECONDS, TAIL_SHARE, TAIL_TIMES = 20.0, 0.6, 4.0
SIZES = {"score_one_p50": (1, 1), "score_rps_16": (1, 16), "score_100": (100, 1), "score_1000": (1000, 1)}
"""Per measure the customers in a request, and the connections."""
RATES = {"score_rps_16"}


@dataclass(frozen=True)
class Side:
    """A server to be asked.

    Attributes:
        bodies: by the number of customers in a request.
        headers: sent with each.
    """

    server: servers.Server
    path: str
    bodies: Mapping[int, list[str]]
    headers: Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast scores are answered.")
    parser.add_argument(
        "--home", type=Path, help="A trained home to use, whose log grows; by default a new one is made."
    )
    parser.add_argument("--rounds", type=int, default=5, help="How often each side is measured.")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="Also load ours for so long.")
    asked = parser.parse_args()
    # A benchmark that is told to end, such as by `timeout`, still ends the services it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with TemporaryDirectory() as folder:
        home = asked.home.absolute() if asked.home else Path(folder, "home")
        if not asked.home:
            _note("simulating a shop and training its models")
            homes.build(home)
        with _sides(home, Path(folder)) as sides:
            compared = _compare(sides, sides["ours"].bodies[1][:COMPARED])
            _note(f"ours and the peer agree on {compared} scores; measuring")
            measured = rounds.interleaved(
                {name: partial(_measure, name, side) for name, side in sides.items()}, asked.rounds
            )
            results = _results(measured) | _tail(sides["ours"], measured["ours"]["score_rps_16"])
            if asked.soak:
                results |= _soak(sides["ours"], asked.soak)
    report.publish("serving", results)


@contextmanager
def _sides(home: Path, folder: Path) -> Iterator[dict[str, Side]]:
    """Start all servers over a home, with a Redis for the online rows of both."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed")
    with servers.redis(program, folder) as port:
        environment = {
            **homes.environment(home),
            "PATRON_ONLINE_STORE": f"redis://{servers.HOST}:{port}/0",
            "PATRON_REQUIRE_KEYS": "true",
            "PEER_REDIS": f"{servers.HOST}:{port},db=1",
            "MLFLOW_TRACKING_URI": Registry(Home(home)).uri,
            # MLflow's server is started by a shell that looks for uvicorn.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        _note("filling Redis and starting the services")
        _fill(Home(home), environment["PATRON_ONLINE_STORE"])
        keys = Keys(Home(home))
        key, secret = keys.create(f"benchmark {os.getpid()}", ["scores"], per_minute=MAX_PER_MINUTE)
        try:
            with servers.running(_services(), environment, folder) as started:
                bodies = {size: _bodies(home, size) for size, _ in SIZES.values()}
                sides = {
                    name: Side(server, PATH, bodies, {"Authorization": f"Bearer {secret}"})
                    for name, server in started.items()
                }
                given = {1: _given(Home(home))}
                yield sides | {"mlflow": Side(started["mlflow"], "/invocations", given, {})}
        finally:
            keys.revoke(key.name)


def _fill(home: Home, address: str) -> None:
    """Put everyone's present features into a Redis."""
    built = snapshots.build(home, monthly=False)
    store = Store(home, FeatureSettings(online_store=address))
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})


def _services() -> dict[str, servers.Service]:
    command = [sys.executable, "-m", "patron", "serve", "--host", servers.HOST, "--port"]
    model = f"models:/{MODELS[1]}@champion"
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    mlflow += ["--workers", "1", "--host", servers.HOST, "--port"]
    return {
        "ours": servers.Service(lambda port: [*command, str(port)], "/readyz"),
        "peer": servers.uvicorn("benchmarks.peers.feast_pyfunc_service:create_app"),
        "mlflow": servers.Service(lambda port: [*mlflow, str(port)], "/ping"),
        "limit": servers.uvicorn("benchmarks.peers.no_op_service:create_app"),
    }


def _bodies(home: Path, size: int) -> list[str]:
    """Requests for known customers, in random order, the same ones every time."""
    customer_ids = Identity(Home(home)).table()["customer_id"].to_pylist()
    random.Random(SEED).shuffle(customer_ids)
    # Of the last ones there may be too few for a request.
    starts = range(0, max(1, len(customer_ids) - size + 1), size)
    parts = (customer_ids[start : start + size] for start in starts)
    return [json.dumps({"customer_ids": part, "models": MODELS}) for part in parts]


def _given(home: Home) -> list[str]:
    """Requests to MLflow's server: the features of one customer each, as its manual shows."""
    model = Registry(home).champion(MODELS[1])
    names = [column.name for column in model.columns]
    doubles = {column.name for column in model.columns if column.dtype in ("int64", "float64")}
    keys = Identity(home).table()["customer_key"].to_pylist()
    random.Random(SEED).shuffle(keys)
    values = Store(home, FeatureSettings(online_store=None)).reader(names)(keys).values
    rows = zip(*(values[name] for name in names), strict=True)
    return [
        json.dumps({"dataframe_split": {"columns": names, "data": [[
            float(value) if name in doubles and value is not None else value
            for name, value in zip(names, row, strict=True)
        ]]}})
        for row in rows
    ]  # fmt: skip


def _compare(sides: Mapping[str, Side], bodies: Sequence[str]) -> int:
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


def _measure(name: str, side: Side, number: int) -> rounds.Measured:
    """One round: per measure the median time of an answer (ms), or answers per second."""
    measured = {}
    for measure, (size, connections) in SIZES.items():
        if size in side.bodies and not (name == "limit" and size > 1):
            outcome = _load(side, number, size, connections)
            measured[measure] = outcome.rate if measure in RATES else outcome.p50
    return measured


def _load(
    side: Side, number: int, size: int, connections: int, seconds: float = SECONDS, rate: float | None = None
) -> load.Outcome:
    bodies = side.bodies[size]
    # Each round asks for other customers, the same ones of every side.
    start = number * len(bodies) // 7 % len(bodies)
    turned = bodies[start:] + bodies[:start]
    asked = load.Load(
        side.server.port, side.path, turned, connections, WARM_UP, seconds, rate, dict(side.headers)
    )
    return load.run(asked)


def _results(measured: Mapping[str, Mapping[str, float]]) -> dict[str, report.Result]:
    ours, peer, limit = (measured[side] for side in ("ours", "peer", "limit"))
    results = {
        measure: report.Result(
            ours[measure], "requests/s" if measure in RATES else "ms", peer[measure], limit.get(measure),
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
    _note(f"at {outcome.rate:.0f} requests/s: p50 {outcome.p50:.2f} ms, p99 {outcome.p99:.2f} ms")
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


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
