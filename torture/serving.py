"""Promotions, killed workers and an unavailable Redis under load: every response is right and marked.

A service of several workers responds to clients that send without pause. Meanwhile versions are promoted and
rolled back, workers are killed, and Redis is stopped and paused for ten seconds. No request may fail (a
client resends a request whose connection a killed worker broke), each score must be that of the named
version, two seconds after a promotion only the promoted version may be used, and a response may be degraded
only while Redis is unavailable, and must then have the last known scores or the model's default.

    python -m torture.serving [--moves N] [--seed N]
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import homes, servers
from core.home import Home
from core.settings import FeatureSettings
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import GROUPS
from features.offline import snapshots
from features.workspace import Workspace
from models.questions.propensity import propensity
from models.registry.promotion import promote, rollback
from models.registry.registry import Registry
from torture.clients import MODEL, REACHED_S, Client, Move, Truth
from training.customers.pipeline import train

WORKERS, CLIENTS, CUSTOMERS = 3, 4, 200
AWAY_S, BACK_S, READY_S, LOADING_S = 10.0, 8.0, 5.0, 2.0


@dataclass
class Redis:
    """A Redis server that saves its data when it stops."""

    program: str
    folder: Path
    port: int = field(default_factory=servers.free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The value of PATRON_ONLINE_STORE."""
        return f"redis://{servers.HOST}:{self.port}/0"

    def start(self) -> None:
        """Start the server with the data that it saved."""
        options = [
            "--port",
            str(self.port),
            "--bind",
            servers.HOST,
            "--save",
            "3600 1",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen([self.program, *options], stdout=subprocess.DEVNULL)

    def send(self, sign: signal.Signals) -> None:
        """Stop, suspend or continue the server."""
        assert self.process is not None
        self.process.send_signal(sign)
        if sign == signal.SIGTERM:
            self.process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description="Promotions, killed workers and a lost Redis under load.")
    parser.add_argument("--moves", type=int, default=20, help="Promotions and rollbacks.")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed")
    with TemporaryDirectory() as name:
        folder = Path(name)
        _note("simulating a shop and training its models, one of them twice")
        homes.build(folder / "home")
        home = Home(folder / "home")
        redis = Redis(program, folder)
        redis.start()
        try:
            torment(home, redis, prepare(home, redis), arguments.moves, random.Random(arguments.seed))
        finally:
            redis.send(signal.SIGTERM)


def prepare(home: Home, redis: Redis) -> tuple[list[str], Truth]:
    """Two versions of a model, the features of all customers in Redis, and the scores of each version."""
    registry = Registry(home)
    built = snapshots.build(home)
    train(Workspace(home, built), replace(propensity, features=propensity.features[:8]), registry)
    if len([v for v in registry.versions(MODEL) if v.champion and v.version == "2"]):
        rollback(registry, MODEL, "the first one answers at the start")
    store = Store(home, FeatureSettings(online_store=redis.address))
    store.apply(GROUPS, built.folders)
    store.fill_online({group.name: built.table(group, built.current) for group in GROUPS})
    table = Identity(home).table().slice(0, CUSTOMERS).to_pydict()
    scores, defaults = {}, {}
    for name, version in [("churn", "1"), ("clv", "1"), (MODEL, "1"), (MODEL, "2")]:
        model = registry.open(name, version)
        values = store.reader(model.features)(table["customer_key"]).values
        rows = zip(table["customer_id"], model.score(values).tolist(), model.refusals(values), strict=True)
        scores[name, version] = {each: None if refusal else score for each, score, refusal in rows}
        defaults[name, version] = model.default_score
    return table["customer_id"], Truth(scores, defaults, [Move("1", 0.0, 0.0)])


def torment(
    home: Home, redis: Redis, prepared: tuple[list[str], Truth], moves: int, rng: random.Random
) -> None:
    """Promote, kill, stop Redis, and check the responses.

    Raises:
        SystemExit: a request failed or a response was wrong.
    """
    (ids, truth), registry = prepared, Registry(home)
    with serving(home, redis) as (port, process, ready_s):
        _note(f"ready {ready_s:.1f} s after its start")
        clients = [Client(port, ids, truth, rng.randrange(2**32)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        kills = 0
        for n in range(moves):
            move = Move("1" if n % 2 else "2", time.monotonic())
            truth.moves.append(move)
            if n % 2:
                rollback(registry, MODEL, "back")
            else:
                promote(registry, MODEL, "2", "a try")
            move.made = time.monotonic()
            if n % 3 == 2:  # a worker may be loading the promoted version
                time.sleep(rng.uniform(0, LOADING_S))
                pids = workers(process.pid)
                if not pids:
                    raise SystemExit("no worker lives: the supervisor does not start them again")
                os.kill(rng.choice(pids), signal.SIGKILL)
                kills += 1
            time.sleep(rng.uniform(0.5, 2 * REACHED_S))
            if n in (moves // 3, 2 * moves // 3):
                _take_away(redis, truth, paused=n > moves // 2)
        time.sleep(REACHED_S)
        for client in clients:
            client.enough.set()
        for client in clients:
            client.join(30)
        if wrong := [why for client in clients for why in client.wrong]:
            raise SystemExit(f"{len(wrong)} wrong, such as: {'; '.join(wrong[:3])}")
    answers, degraded, broken = (
        sum(getattr(c, name) for c in clients) for name in ("answers", "degraded", "broken")
    )
    if not degraded or not broken:
        raise SystemExit("nothing was degraded or broken off: this tested nothing")
    print(
        f"{moves} moves, {kills} workers killed, Redis away twice: {answers:,} answers right, {degraded:,} of"
        f" them degraded, {broken} connections broken off and asked again"
    )
    if ready_s > READY_S:
        raise SystemExit(f"ready {ready_s:.1f} s after its start, and may be after {READY_S:.0f}")


def _take_away(redis: Redis, truth: Truth, *, paused: bool) -> None:
    start = time.monotonic()
    truth.away.append((start, float("inf")))
    redis.send(signal.SIGSTOP if paused else signal.SIGTERM)
    time.sleep(AWAY_S)
    redis.send(signal.SIGCONT) if paused else redis.start()
    time.sleep(BACK_S)
    truth.away[-1] = (start, time.monotonic())


@contextmanager
def serving(home: Home, redis: Redis) -> Iterator[tuple[int, subprocess.Popen[bytes], float]]:
    """The service: its port, its process, and the seconds until the first worker was ready."""
    environment = {**os.environ, **homes.environment(home.path), "PATRON_ONLINE_STORE": redis.address}
    command = [sys.executable, "-m", "patron", "serve", "--port"]
    with _started([*command, str(port := servers.free_port())], environment, port) as (_, ready_s):
        pass
    port = servers.free_port()
    many = [*command, str(port), "--workers", str(WORKERS)]
    with _started(many, environment, port) as (process, _):
        yield port, process, ready_s


@contextmanager
def _started(
    command: list[str], environment: dict[str, str], port: int
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    begun = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while _status(port) != 200:
            if process.poll() is not None or time.monotonic() - begun > servers.START_SECONDS:
                raise SystemExit("the service does not start")
            time.sleep(0.02)
        yield process, time.monotonic() - begun
    finally:
        process.terminate()
        process.wait(60)


def _status(port: int) -> int | None:
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def workers(pid: int) -> list[int]:
    """The worker processes, which a supervisor started."""
    pids = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                pids.append(int(status.parent.name))
    return pids


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
