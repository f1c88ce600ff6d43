"""Kill -9 at random moments: every acknowledged event is stored once, and online features equal a rebuild.

A service receives events over HTTP, a refresher recomputes features and compacts the journal; both are
killed repeatedly while a client sends events, and resends those that were not acknowledged.

    python -m torture.kill [--kills N] [--database sqlite|postgres] [--seed N]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.harness import servers
from benchmarks.harness.messages import Client, stream
from benchmarks.harness.postgres import postgres_programs, running_postgres
from core.home import Home
from events import lake
from events.identity import Identity
from features.catalogue.store import Store
from features.groups import FEATURES
from features.offline import snapshots

CUSTOMERS, BATCH, PAUSE_SECONDS = 150, 20, 0.2
LIFE_SECONDS = 4.0  # the maximum life of a process that has begun its work
STILLBORN = 0.25  # the share of kills during the start of a process
START_SECONDS = 120.0
COMMAND = [sys.executable, str(Path(__file__).parents[1] / "patron.py")]


@dataclass
class Victim:
    """A process that is restarted after each kill.

    Attributes:
        works: whether a process started at a moment (seconds since 1970) has begun its work.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    works: Callable[[float], bool]
    kills: int = 0
    process: subprocess.Popen[bytes] = field(init=False)
    born: float = field(init=False)

    def start(self) -> None:
        """Start it; its output is appended to its log."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *self.arguments], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.born = time.time()

    def live(self, rng: random.Random) -> None:
        """Wait: mostly until it has begun its work, and then a moment longer."""
        if rng.random() < STILLBORN:
            time.sleep(rng.uniform(0, LIFE_SECONDS))
            return
        while not self.works(self.born):
            if self.process.poll() is not None or time.time() - self.born > START_SECONDS:
                raise SystemExit(f"the {self.name} does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        time.sleep(rng.uniform(0, LIFE_SECONDS))

    def kill(self) -> None:
        """Kill it and all its children at once, like a power cut."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        """Stop it as an operator would."""
        self.process.terminate()
        self.process.wait(60)


class Sender(threading.Thread):
    """Sends batch after batch, each until it is acknowledged; computes the expected effect of each event."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._port, self._seed = port, seed
        self._enough = threading.Event()
        self.expected: Counter[str] = Counter()
        self.batches = self.repeats = 0

    def run(self) -> None:
        """Send until stopped, and until the last batch is acknowledged."""
        messages = stream(self._seed, CUSTOMERS, merging=True)
        while not self._enough.is_set():
            batch = [next(messages) for _ in range(BATCH)]
            while not self._acknowledged(batch):
                self.repeats += 1
                time.sleep(0.05)
            self.batches += 1
            for message in batch:
                lines = message.get("properties", {}).get("products", [None])
                self.expected[message["messageId"]] += len(lines)
            self._enough.wait(PAUSE_SECONDS)

    def _acknowledged(self, batch: list[dict[str, object]]) -> bool:
        try:
            return Client(self._port, timeout=10).send(batch) == 200
        except (OSError, http.client.HTTPException):
            return False

    def end(self) -> None:
        """Wait for the last acknowledgement."""
        self._enough.set()
        self.join(180)
        if self.is_alive():
            raise SystemExit("the last batch was never acknowledged")


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill -9 at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name, ExitStack() as stack:
        database = None
        if arguments.database == "postgres":
            programs = postgres_programs()
            if programs is None:
                raise SystemExit("PostgreSQL is not installed")
            server = stack.enter_context(running_postgres(programs))
            database = stack.enter_context(server.database())
        home = Home(Path(name) / "home", database)
        torment(home, arguments.kills, arguments.seed)


def torment(home: Home, kills: int, seed: int) -> None:
    """Send, kill, and check the result.

    Raises:
        SystemExit: an event is missing or counted twice, or an online row differs from a rebuild.
    """
    rng, port = random.Random(seed), servers.free_port()
    environment = {
        **os.environ,
        "PATRON_HOME": str(home.path),
        "PATRON_REFRESHER": "off",
        "PATRON_COMPACT_AFTER": "500",
    }
    environment |= {"PATRON_DATABASE": home.database} if home.database else {}
    subprocess.run(
        [*COMMAND, "init", "--time-zone", "Europe/Berlin", "--currency", "EUR"], env=environment, check=True
    )
    victims = [
        Victim(
            "service", ["serve", "--port", str(port)], environment, home.path.with_name("service.log"),
            lambda _: _answers(port),
        ),
        Victim(
            "refresher", ["refresh"], environment, home.path.with_name("refresher.log"),
            lambda born: home.refreshed.exists() and home.refreshed.stat().st_mtime > born,
        ),
    ]  # fmt: skip
    sender = Sender(port, seed)
    for victim in victims:
        victim.start()
    sender.start()
    for n in range(kills):
        victim = rng.choice(victims)
        victim.live(rng)
        victim.kill()
        victim.start()
        if (n + 1) % 10 == 0:
            print(
                f"{n + 1} kills, {sender.batches * BATCH:,} events acknowledged, {sender.repeats} sent again",
                flush=True,
            )
    sender.end()
    for victim in victims:
        victim.stop()
    subprocess.run([*COMMAND, "refresh", "--once"], env=environment, check=True)
    check_events(home, sender.expected)
    rows = check_online(home)
    done = sum(victim.kills for victim in victims)
    print(f"{done} kills: {len(sender.expected):,} events once each, {rows:,} online rows equal")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((servers.HOST, port), timeout=1):
            return True
    except OSError:
        return False


def check_events(home: Home, expected: Counter[str], *, others: bool = False) -> None:
    """Compare the events in the lake and the journal with the acknowledged ones, or ignore ``others``."""
    events = lake.read(home, lake.connect())
    merged = {merge.customer_key for merge in Identity(home).merges()}
    counts: Counter[str] = Counter()
    for name, column in {"order_lines": "order_id", "traits": "value", "activities": "properties"}.items():
        for row in getattr(events, name).to_pyarrow().to_pylist():
            if row["customer_key"] not in merged and row.get("name") != "country":
                value = row[column]
                counts[json.loads(value or "{}").get("told_by") if name == "activities" else value] += 1
    if others:
        counts = Counter({name: count for name, count in counts.items() if name in expected})
    missing, extra = expected - counts, counts - expected
    if missing or extra:
        raise SystemExit(
            f"missing {missing.total()}, too many {extra.total()}: {(missing + extra).most_common(5)}"
        )


def check_online(home: Home) -> int:
    """Compare every online row with the definitions over all events as of its moment; return the number of
    rows.
    """
    ids = Identity(home).table().to_pandas().drop_duplicates("customer_key", ignore_index=True)
    rows = Store(home).reader([*FEATURES])(ids["customer_key"].tolist())
    ids["as_of"] = pd.to_datetime(pd.Series(rows.as_of), utc=True)
    if ids["as_of"].isna().any():
        raise SystemExit(f"{ids['as_of'].isna().sum()} customers have no online row")
    rebuilt = snapshots.snapshot(ids[["customer_id", "as_of"]], home=home)
    for name in FEATURES:
        there = [None if pd.isna(value) else value for value in rebuilt[name].tolist()]
        if there != list(rows.values[name]):
            different = [pair for pair in zip(there, rows.values[name], strict=True) if pair[0] != pair[1]]
            raise SystemExit(f"{name} differs for {len(different)} customers, such as {different[0]}")
    return len(ids)


if __name__ == "__main__":
    main()
