"""The online store against Feast's own: reading one and a thousand customers, writing all of them.

Both sides store the same features of the same simulated customers. ``ours`` is the code of the service and of
``patron build``, ``peer`` is Feast's SDK with Feast's own SQLite or Redis store, ``limit`` is SQLite or Redis
alone, with one opaque value per customer. Redis is included if ``redis-server`` and its client are
installed.

    python -m benchmarks.online [--customers N] [--rounds N]
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import report, rounds, servers
from benchmarks.peers import feast_store
from core.home import Home
from core.settings import FeatureSettings
from events.simulation import simulated_shop
from features.catalogue.store import Store
from features.groups import FEATURES, GROUPS
from features.offline import snapshots
from features.offline.snapshot_set import SnapshotSet

SEED, YEARS = 7, 3.0
VALUE_BYTES = 500  # the approximate size of one customer's features
READS = {
    "read_one": (1, {"ours": 200, "peer": 40, "limit": 200}),
    "read_1000": (1000, {"ours": 10, "peer": 1, "limit": 10}),
}


@dataclass(frozen=True)
class Side:
    """An online store to measure.

    Attributes:
        empty: clears it.
        write: writes the features of all customers into it.
        read: reads all features of customers.
    """

    empty: Callable[[], Any]
    write: Callable[[], Any]
    read: Callable[[Sequence[int]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the online store is read and written.")
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3, help="How often each side is measured.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        measured = measure(Path(name), arguments.customers, arguments.rounds)
    results = {f"{kind}_{name}": it for kind, medians in measured.items() for name, it in medians.items()}
    report.publish("online", results)


def measure(
    folder: Path, customers: int, times: int, kinds: Sequence[str] = ("sqlite", "redis")
) -> dict[str, dict[str, report.Result]]:
    """Per kind of store the results of ``materialise`` (all customers), ``read_one`` and ``read_1000``."""
    _note(f"simulating {customers:,} customers and building their features")
    folder.mkdir(exist_ok=True)
    home, results = Home(folder / "home"), {}
    simulated_shop.simulate_shop(home, customers, SEED, YEARS)
    built = snapshots.build(home, monthly=False)
    keys = built.table(GROUPS[0], built.current)["customer_key"].to_pylist()
    Store(home, FeatureSettings(online_store=None)).apply(GROUPS, built.folders)
    with _redis(folder) as port:
        for kind, sides in _kinds(home, built, keys, folder, port, kinds):
            _note(f"measuring over {kind}")
            measures = {side: partial(_measure, side, it, keys) for side, it in sides.items()}
            results[kind] = _results(rounds.interleaved(measures, times))
    return results


def _kinds(
    home: Home, built: SnapshotSet, keys: list[int], folder: Path, port: int | None, kinds: Sequence[str]
) -> Iterator[tuple[str, dict[str, Side]]]:
    from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig

    for kind in kinds:
        if kind == "redis" and port is None:
            continue
        (own := folder / kind).mkdir()
        if kind == "sqlite":
            peer_file = own / "peer.db"
            peer = feast_store.open_store(home, own, SqliteOnlineStoreConfig(path=str(peer_file)))
            ours = Store(home, FeatureSettings(online_store=str(own / "ours.db")))
            yield (
                kind,
                {
                    "ours": _ours(ours, built),
                    "peer": _peer(peer, built, partial(_empty_sqlite, peer_file)),
                    "limit": _sqlite_alone(own / "limit.db", keys),
                },
            )
        else:
            from feast.infra.online_stores.redis import RedisOnlineStoreConfig
            from redis import Redis

            where = f"{servers.HOST}:{port}"
            peer = feast_store.open_store(
                home, own, RedisOnlineStoreConfig(connection_string=f"{where},db=1")
            )
            ours = Store(home, FeatureSettings(online_store=f"redis://{where}/0"))
            yield (
                kind,
                {
                    "ours": _ours(ours, built),
                    "peer": _peer(peer, built, Redis(servers.HOST, port or 0, db=1).flushdb),
                    "limit": _redis_alone(Redis(servers.HOST, port or 0, db=2), keys),
                },
            )


def _ours(store: Store, built: SnapshotSet) -> Side:
    def write() -> None:
        store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})

    def empty() -> None:
        store.online.clear()
        store.apply(GROUPS, built.folders)

    return Side(empty, write, store.reader(list(FEATURES)))


def _peer(store: Any, built: SnapshotSet, empty: Callable[[], Any]) -> Side:
    references = [f"{group.name}:{name}" for group in GROUPS for name in group.features]

    def read(keys: Sequence[int]) -> Any:
        return store.get_online_features(references, [{"customer_key": key} for key in keys]).to_dict()

    return Side(empty, partial(feast_store.materialize, store, built.current), read)


def _empty_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f"DELETE FROM {table}")


def _sqlite_alone(path: Path, keys: list[int]) -> Side:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE held (id INTEGER PRIMARY KEY, value BLOB)")

    def write() -> None:
        with connection:
            connection.executemany("INSERT INTO held VALUES (?, ?)", ((k, bytes(VALUE_BYTES)) for k in keys))

    def read(keys: Sequence[int]) -> Any:
        marks = ",".join("?" * len(keys))
        return connection.execute(f"SELECT * FROM held WHERE id IN ({marks})", keys).fetchall()

    return Side(partial(_empty_sqlite, path), write, read)


def _redis_alone(client: Any, keys: list[int]) -> Side:
    def write() -> None:
        for start in range(0, len(keys), 1000):
            client.mset({f"v:{key}": bytes(VALUE_BYTES) for key in keys[start : start + 1000]})

    return Side(client.flushdb, write, lambda keys: client.mget([f"v:{key}" for key in keys]))


def _measure(name: str, side: Side, keys: list[int], number: int) -> rounds.Measured:
    """One round: seconds to write all customers into an empty store, and median milliseconds of a read."""
    side.empty()
    measured = {"materialise": _seconds(side.write)}
    choose = random.Random(SEED + number)
    for read, (count, repeats) in READS.items():
        times = [_seconds(partial(side.read, choose.sample(keys, count))) for _ in range(repeats[name])]
        measured[read] = 1000 * median(times)
    return measured


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _results(measured: dict[str, dict[str, float]]) -> dict[str, report.Result]:
    return {
        name: report.Result(measured["ours"][name], unit, measured["peer"][name], measured["limit"][name])
        for name, unit in {"materialise": "s", "read_one": "ms", "read_1000": "ms"}.items()
    }


@contextmanager
def _redis(folder: Path) -> Iterator[int | None]:
    """The port of a Redis started for this run; None if Redis is not installed."""
    program = shutil.which("redis-server")
    if program is None or find_spec("redis") is None:
        _note("redis-server or its Python client is not installed: SQLite alone is measured")
        yield None
        return
    with servers.redis(program, folder) as port:
        yield port


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
