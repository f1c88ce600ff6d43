"""Backup and restore of a shop with a million events: time, size, and whether a restored home answers alike.

A simulated shop, its models trained, receives the given number of events; half of them are in the lake, half
in the journal. ``limit`` is the time of copying the same files durably. Compared before and after: all
scores, all decisions, and the timelines of a thousand customers.

    python -m benchmarks.backup [--events N] [--customers N] [--database sqlite|postgres]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from backup import create, manifest, restore
from benchmarks.harness import homes, report
from benchmarks.harness.messages import stream
from benchmarks.harness.postgres import PostgresServer, postgres_programs, running_postgres
from core.errors import PatronError
from core.home import Home
from core.shop import Clock
from core.storage.database import Database
from events import journal
from events.identity import Identity
from events.journal import Message
from events.lake import compaction, versions
from events.queries.timeline import Timeline
from events.segment.translate import Place, translate

EVENTS, BATCH = 1_000_000, 5_000
CUSTOMERS = 6_000  # of the default shop
TIMELINES = 1_000
BYTES = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="The time and the size of a backup.")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name, databases(arguments.database) as address:
        folder = Path(name)
        home = Home(folder / "home", address())
        os.environ.update(homes.environment(home.path))
        note("simulating a shop and training its models")
        run(home, "simulate", "--customers", str(arguments.customers))
        run(home, "train", "all")
        note(f"receiving {arguments.events:,} events")
        receive(home, arguments.events, arguments.customers)
        shop = home.shop()
        home.write_shop(replace(shop, clock=Clock(datetime.now(UTC).replace(microsecond=0))))
        (home.actions).write_text(patron(home, "recommend", "--draft"))
        run(home, "build")
        before = answers(home, folder / "before")
        note("backing up")
        seconds, made = timed(lambda: create.create(home, folder / "backup"))
        limit, _ = timed(lambda: copy(folder / "backup", folder / "copied"))
        note("restoring")
        restored = Home(folder / "restored", address())
        restoring, _ = timed(lambda: restore.restore(folder / "backup", restored))
        run(restored, "build")
        if answers(restored, folder / "after") != before:
            raise PatronError("the restored home does not answer as the one that was backed up")
        report.publish(
            f"backup, {arguments.database}",
            {
                "backup": report.Result(seconds, "s", limit=limit),
                "restore": report.Result(restoring, "s", limit=limit),
                "size": report.Result(made.size / BYTES, "MB"),
                "size_of_home": report.Result(size(home.path) / BYTES, "MB"),
                "events": report.Result(arguments.events, "events", better="higher"),
            },
        )


@contextmanager
def databases(kind: str) -> Iterator[Any]:
    """A function that returns the address of a new database; None for a file of the home."""
    if kind == "sqlite":
        yield lambda: None
        return
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed")
    with running_postgres(programs) as server, ExitStack() as stack:
        yield lambda: _database(server, stack)


def _database(server: PostgresServer, stack: ExitStack) -> str:
    return stack.enter_context(server.database())


def receive(home: Home, events: int, customers: int) -> None:
    """Store events as the service does; the first half moves into the lake."""
    shop, database = home.shop(), Database(home)
    place, messages = Place(shop.time_zone, shop.currency), stream(7, customers)
    for start in range(0, events, BATCH):
        now = datetime.now(UTC)
        batch = [translate(m, now, place) for m in islice(messages, min(BATCH, events - start))]
        valid = [message for message in batch if isinstance(message, Message)]
        journal.append(database, valid, **versions.position(home)._asdict())
        if start < events / 2 <= start + BATCH:
            compaction.compact(home, database)


def answers(home: Home, folder: Path) -> list[Any]:
    """All scores, all decisions, and the timelines of some customers."""
    folder.mkdir()
    scores, decisions = folder / "scores.parquet", folder / "decisions.parquet"
    run(home, "score", "--out", str(scores))
    run(home, "recommend", "--out", str(decisions))
    timeline, now = Timeline(home), home.shop().now()
    keys = sorted(row["customer_key"] for row in Identity(home).table().to_pylist())
    pages = [repr(timeline.page(key, now, 50)) for key in keys[:: max(1, len(keys) // TIMELINES)]]
    return [_content(scores), _content(decisions), pages]


def _content(path: Path) -> str:
    """The rows of a file, without ids that are random."""
    frame = pd.read_parquet(path)
    random = ("decision_id", "prediction_id", "job_id", "run_id")
    frame = frame.drop(columns=[name for name in frame.columns if name.endswith(random)])
    return frame.sort_values("customer_id").to_json(orient="records", double_precision=15) or ""


def copy(source: Path, target: Path) -> None:
    """Copy a folder durably."""
    for path in source.rglob("*"):
        if path.is_file():
            manifest.copy_file(path, target / path.relative_to(source))


def size(folder: Path) -> int:
    """The bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def timed(work: Any) -> tuple[float, Any]:
    """The seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def run(home: Home, *arguments: str) -> None:
    """Run a command on a home."""
    patron(home, *arguments)


def patron(home: Home, *arguments: str) -> str:
    """Run a command on a home, and return what it prints."""
    own = {"PATRON_HOME": str(home.path)} | ({"PATRON_DATABASE": home.database} if home.database else {})
    done = subprocess.run(
        [sys.executable, "-m", "patron", *arguments], env=os.environ | own, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(f"patron {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def note(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
