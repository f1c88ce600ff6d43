"""Stores that are stopped and paused under load: no error but the documented 503, no acknowledged event lost.

A service of two workers and a refresher, on PostgreSQL, Redis and MLflow, receives scores, events and reads
without pause. Each cycle stops and starts each store, and suspends and continues it. Five seconds after a
store answers again, every response must be the usual one; MLflow is used again when a promotion made then is
followed. Workers are killed while the database is lost, and while a version is promoted. At the end each
acknowledged event must be stored once.

    python -m torture.stores [--cycles N] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import homes, servers
from benchmarks.harness.postgres import postgres_programs, running_postgres
from core.home import Home
from core.shop import Clock
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from features.workspace import Workspace
from models.questions import MODELS
from models.questions.propensity import propensity
from models.registry.promotion import promote, rollback
from models.registry.registry import Registry
from torture import kill, serving
from torture.store_load import MODEL, Load, Lost
from torture.store_servers import Mlflow, StoreServer, stores
from training.customers.pipeline import train

WORKERS, SHOP, CUSTOMERS = 2, 600, 200
LOST_S = (1.0, 4.0)  # how long a store is lost
BACK_S = 5.0  # after which the service must use it again
CALM_S = 0.5
COMMAND = [sys.executable, "-m", "patron"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Stores that are stopped and paused under load.")
    parser.add_argument("--cycles", type=int, default=20, help="How often each store is stopped and paused.")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    programs, redis_program = postgres_programs(), shutil.which("redis-server")
    if programs is None or redis_program is None:
        raise SystemExit("PostgreSQL and redis-server must be installed")
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        postgres = stack.enter_context(running_postgres(programs))
        database = stack.enter_context(postgres.database())
        redis = serving.Redis(redis_program, folder)
        redis.start()
        stack.callback(redis.send, signal.SIGTERM)
        mlflow = Mlflow(folder)
        mlflow.start()
        stack.callback(mlflow.send, signal.SIGKILL)
        os.environ |= {
            **homes.environment(folder / "home"),
            "PATRON_DATABASE": database,
            "PATRON_ONLINE_STORE": redis.address,
            "PATRON_MLFLOW_URI": f"http://{servers.HOST}:{mlflow.port}",
            "PATRON_STORE_BUDGET_MS": "500",  # the clients and the servers share the machine's cores
        }
        home = Home(folder / "home", database)
        prepare(home)
        torment(home, stores(postgres, redis, mlflow), arguments.cycles, random.Random(arguments.seed))


def prepare(home: Home) -> None:
    """A trained shop with two versions of a model, which receives events."""
    _note("simulating a shop and training its models, one of them twice")
    simulate = ["simulate", "--customers", str(SHOP), "--years", "2", "--json"]
    subprocess.run([*COMMAND, *simulate], check=True, stdout=subprocess.DEVNULL)
    built, store, registry = snapshots.build(home), Store(home), Registry(home)
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})
    workspace = Workspace(home, built)
    for name, model in MODELS.items():
        if not train(workspace, model, registry).champion:
            promote(registry, name, "1", "so that it answers", force=True)
    if train(workspace, replace(propensity, features=propensity.features[:8]), registry).champion:
        rollback(registry, MODEL, "the first one answers at the start")
    home.write_shop(replace(home.shop(), clock=Clock()))


def torment(home: Home, stores: list[StoreServer], cycles: int, rng: random.Random) -> None:
    """Stop and suspend the stores, and check the responses.

    Raises:
        SystemExit: a response was wrong, a store was not used again in time, or an event was lost.
    """
    ids = Identity(home).table().slice(0, CUSTOMERS)["customer_id"].to_pylist()
    registry, times = Registry(home), defaultdict[str, list[float]](list)
    with running(home) as (port, process):
        load = Load(port, ids, rng.randrange(2**32))
        load.start()
        for cycle in range(cycles):
            for store in stores:
                for suspended in (False, True):
                    victim = process if (cycle, suspended) != (0, False) and cycle % 3 == 0 else None
                    seconds = _lose(store, suspended, load, registry, victim, rng)
                    times[f"{store.name} {'paused' if suspended else 'stopped'}"].append(seconds)
                    _note(f"{store.name} {'paused' if suspended else 'stopped'}: {seconds:.1f} s")
                    load.check()
            _note(f"{cycle + 1} cycles: {load.summary()}")
        load.stop()
        load.check()
        _wait_for_workers(process.pid)
    subprocess.run([*COMMAND, "refresh", "--once"], check=True, stdout=subprocess.DEVNULL)
    kill.check_events(home, load.acknowledged, others=True)
    for name, waits in times.items():
        print(f"{name:<20} used again after {statistics.median(waits):.1f} s, at most {max(waits):.1f} s")
    print(
        f"{cycles} cycles: {load.summary()}; {len(load.acknowledged):,} acknowledged events stored once each"
    )
    if late := [name for name, waits in times.items() if max(waits) > BACK_S]:
        raise SystemExit(f"used again later than after {BACK_S:.0f} s: {', '.join(late)}")


def _lose(
    store: StoreServer, suspended: bool, load: Load, registry: Registry,
    victim: subprocess.Popen[bytes] | None, rng: random.Random,
) -> float:  # fmt: skip
    """Lose a store and bring it back; return the seconds after which the service used it again.

    Args:
        victim: the service of which a worker is killed, if any: meanwhile, or during a promotion.
    """
    load.lost = Lost(store.name, time.monotonic())
    (store.suspend if suspended else store.stop)()
    time.sleep(rng.uniform(*LOST_S))
    if victim is not None and store.name == "PostgreSQL":
        load.kill_worker(victim.pid, rng)
        time.sleep(rng.uniform(*LOST_S))
    (store.resume if suspended else store.start)()
    back = time.monotonic()
    load.lost.until = back + BACK_S
    if store.name == "MLflow":
        version = load.next_version()
        if victim is not None:
            load.kill_worker(victim.pid, rng, within_s=1.0)
        if version == "2":
            promote(registry, MODEL, "2", "a try", force=True)
        else:
            rollback(registry, MODEL, "back")
        back = time.monotonic()  # the promotion waits for MLflow, too
        load.lost.until = back + BACK_S
    seconds = load.seconds_until_usual(back)
    load.lost.until = time.monotonic()
    time.sleep(CALM_S)
    return seconds


@contextmanager
def running(home: Home) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The service with its workers and a refresher: its port and its process."""
    port = servers.free_port()
    command = [*COMMAND, "serve", "--port", str(port), "--workers", str(WORKERS)]
    with open(home.path.with_name("service.log"), "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + servers.START_SECONDS
        while servers.status(port, "/readyz") != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(
                    f"the service does not start: {home.path.with_name('service.log').read_text()}"
                )
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(60)


def _wait_for_workers(pid: int) -> None:
    deadline = time.monotonic() + servers.START_SECONDS
    while len(serving.workers(pid)) < WORKERS:
        if time.monotonic() > deadline:
            raise SystemExit("a killed worker was not replaced")
        time.sleep(0.2)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
