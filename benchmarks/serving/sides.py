"""The servers that the benchmark of scores compares, and the requests for each."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import homes, servers
from core.home import Home
from core.settings import FeatureSettings
from events.identity import Identity
from features.catalogue.store import Store
from features.frames import is_integer
from features.groups import FEATURES, GROUPS
from features.offline import snapshots
from models.registry.registry import Registry
from serving.access.key import MAX_PER_MINUTE
from serving.access.keys import Keys

MODELS = ["churn", "propensity", "clv"]
PATH = "/v1/scores"
SEED = 7
SIZES = {"score_one_p50": (1, 1), "score_rps_16": (1, 16), "score_100": (100, 1), "score_1000": (1000, 1)}
"""Customers per request and connections, by measure."""


@dataclass(frozen=True)
class Side:
    """A server under load.

    Attributes:
        bodies: by the number of customers in a request.
        headers: sent with every request.
        redis: the address of the online rows.
    """

    server: servers.Server
    path: str
    bodies: Mapping[int, list[str]]
    headers: Mapping[str, str]
    redis: str = ""


@contextmanager
def start_sides(home: Path, folder: Path) -> Iterator[dict[str, Side]]:
    """Start all servers over a home, with a Redis for the online rows of both."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed")
    with servers.redis(program, folder) as port:
        address = f"redis://{servers.HOST}:{port}/0"
        environment = {
            **homes.environment(home),
            "PATRON_ONLINE_STORE": address,
            "PATRON_REQUIRE_KEYS": "true",
            "PEER_REDIS": f"{servers.HOST}:{port},db=1",
            "MLFLOW_TRACKING_URI": Registry(Home(home)).mlflow.uri,
            # MLflow's server is started by a shell that looks for uvicorn.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        print_note("filling Redis and starting the services")
        _fill(Home(home), address)
        keys = Keys(Home(home))
        key, secret = keys.create(f"benchmark {os.getpid()}", ["scores"], per_minute=MAX_PER_MINUTE)
        try:
            with servers.running(_services(), environment, folder) as started:
                bodies = {size: _bodies(home, size) for size, _ in SIZES.values()}
                sides = {
                    name: Side(server, PATH, bodies, {"Authorization": f"Bearer {secret}"}, address)
                    for name, server in started.items()
                }
                given = {1: _given(Home(home))}
                yield sides | {"mlflow": Side(started["mlflow"], "/invocations", given, {})}
        finally:
            keys.revoke(key.name)


def _fill(home: Home, address: str) -> None:
    """Write the current features of all customers into a Redis."""
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
    # The last group may be too small for a request.
    starts = range(0, max(1, len(customer_ids) - size + 1), size)
    parts = (customer_ids[start : start + size] for start in starts)
    return [json.dumps({"customer_ids": part, "models": MODELS}) for part in parts]


def _given(home: Home) -> list[str]:
    """Requests to MLflow's server: the features of one customer each, as its manual shows."""
    model = Registry(home).champion(MODELS[1])
    names = [column.name for column in model.columns]
    numbers = [column.name for column in model.columns if column.dtype in ("int64", "float64")]
    doubles = {name for name in numbers if not is_integer(FEATURES[name])}
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


def print_note(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)
