"""Features of all customers computed from the events: five moments of a shop of five million events.

``ours`` is what ``patron build`` computes and stores, ``limit`` is hand-written SQL for the same columns
(:mod:`benchmarks.peers.features_sql`), ``peer`` is pandas (:mod:`benchmarks.peers.features_pandas`), which
processes a share of the customers and is scaled to all. All three read the same Parquet and get the same
boundaries of segments; ``limit`` and ``peer`` also get the classified texts, which ``ours`` computes. Fails
if values differ: integers and text exactly, others beyond 1e-9.

``--full`` also builds one moment of shops of 1 to 50 million events, each in a process of its own. There the
``limit`` is the time per event in the smallest shop, and the memory that a build may use.

``--day`` only measures a build after one more day of events (:mod:`benchmarks.build_day`).

    python -m benchmarks.build [--events N] [--rounds N] [--full] [--day]
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks import build_day, lakes
from benchmarks.harness import report, rounds
from benchmarks.peers import features_pandas, features_sql
from core.errors import PatronError
from core.home import Home
from events import lake
from events.lake import versions
from features.groups import FEATURES, GROUPS
from features.offline import boundaries, snapshots
from features.offline.snapshot_set import SnapshotSet
from features.text import opinions

EVENTS = 5_000_000
PEER_BUCKETS = range(0, lake.BUCKETS, 8)  # an eighth of the customers
GROWTH = (1_000_000, 5_000_000, 20_000_000, 50_000_000)
MAX_GIGABYTES = 8.0


@dataclass(frozen=True)
class Sides:
    """A lake, and the output folders of each side.

    Attributes:
        as_ofs: the moments.
        bounds: the files of boundaries, as computed by the product.
    """

    home: Home
    as_ofs: Sequence[datetime]
    bounds: Sequence[Path]

    @property
    def opinions(self) -> Path:
        """The classified texts, as computed by the product, which computes them again when measured."""
        path = self.home.path / "opinions.parquet"
        if not path.exists():
            backend = lake.connect()
            read = opinions.with_opinions(
                backend, lake.read(self.home, backend), opinions.TextReader.of(self.home)
            )
            pq.write_table(backend.to_pyarrow(read.opinions), path)
        return path

    def ours(self) -> None:
        """Compute and store all groups again; the boundaries are reused."""
        for group in GROUPS:
            for folder in self.home.snapshots.glob(f"*/{group.name}-*"):
                shutil.rmtree(folder)
        snapshots.store(self.home, self.as_ofs)

    def limit(self) -> None:
        """Compute the same by SQL."""
        events = versions.current(self.home).folder
        features_sql.build(
            events, self.opinions, self.bounds, self.as_ofs, lakes.ZONE, self.home.path / "sql"
        )

    def peer(self) -> None:
        """Compute the same by pandas, for ``PEER_BUCKETS`` only."""
        events, out = versions.current(self.home).folder, self.home.path / "pandas"
        features_pandas.build(events, self.opinions, self.bounds, self.as_ofs, lakes.ZONE, out, PEER_BUCKETS)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast features are built from events.")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=1, help="How often each side is measured.")
    parser.add_argument("--full", action="store_true", help="Also shops of 1 to 50 million events.")
    parser.add_argument("--day", action="store_true", help="Only a build after one more day of events.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        results = {} if arguments.day else compare(home, arguments.events, arguments.rounds)
        if arguments.day:
            lakes.make(home, arguments.events)
        results |= build_day.compare(home)
    if arguments.full:
        results |= growth(GROWTH)
    report.publish("build", results)


def compare(home: Home, events: int, times: int) -> dict[str, report.Result]:
    """The seconds of each side for all moments; raises if their values differ."""
    _note(f"making a shop of {events:,} events")
    made = lakes.make(home, events)
    _note(f"{made:,} events; learning the boundaries of segments, which all three are given")
    sides = Sides(home, lakes.AS_OFS, learn(home, lakes.AS_OFS))
    _note(f"what texts say is in {sides.opinions.name}")
    scale = lake.BUCKETS / len(PEER_BUCKETS)
    _note(f"measuring; pandas does every {scale:g}th customer, and its time is scaled")
    measured = rounds.interleaved(
        {
            "ours": lambda _: _seconds(sides.ours),
            "limit": lambda _: _seconds(sides.limit),
            "peer": lambda _: _seconds(sides.peer, scale),
        },
        times,
    )
    check(sides)
    seconds = {side: medians["seconds"] for side, medians in measured.items()}
    # Named by the requested number of events, which is met approximately.
    return {
        f"build_{events / 1e6:g}m": report.Result(seconds["ours"], "s", seconds["peer"], seconds["limit"])
    }


def learn(home: Home, as_ofs: Sequence[datetime]) -> list[Path]:
    """The files of the boundaries in force at these moments, computed by the product."""
    folder = home.snapshots / lake.metadata(home).generation / f"boundaries-{boundaries.recipe(home)}"
    boundaries.load_events(FEATURES.values(), home, lake.connect(), as_ofs)
    return sorted(folder.glob("*.parquet"))


def check(sides: Sides) -> None:
    """Compare the sides' values.

    Raises:
        PatronError: customers or values differ.
    """
    folders = snapshots.store(sides.home, sides.as_ofs)  # all are stored already
    built = SnapshotSet(folders, tuple(sides.as_ofs), sides.as_ofs[-1])
    for place, as_of in enumerate(sides.as_ofs):
        frames = [built.frame(group, as_of).set_index("customer_key") for group in GROUPS]
        ours = pd.concat([f[list(g.features)] for g, f in zip(GROUPS, frames, strict=True)], axis=1)
        mine = np.isin(ours.index % lake.BUCKETS, list(PEER_BUCKETS))
        for side, expected in (("sql", ours), ("pandas", ours[mine])):
            values = pd.read_parquet(sides.home.path / side / f"{place}.parquet").set_index("customer_key")
            if wrong := differing(expected, values):
                raise PatronError(f"as of {as_of:%Y-%m-%d} {side} has other values of {', '.join(wrong)}")


def differing(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """The features whose values differ: integers and text exactly, others by more than 1e-9."""
    if not np.array_equal(np.sort(ours.index), np.sort(theirs.index)):
        return ["the population"]
    theirs = theirs.reindex(ours.index)
    names = [str(name) for name in ours]
    return [name for name in names if not _same(ours[name], theirs[name], FEATURES[name].dtype)]


def _same(ours: pd.Series, theirs: pd.Series, dtype: str) -> bool:
    if dtype == "float64":
        pair = (ours.to_numpy(np.float64), theirs.to_numpy(np.float64))
        return bool(np.allclose(*pair, rtol=1e-9, atol=1e-9, equal_nan=True))
    missing = ours.isna()
    if not missing.equals(theirs.isna()):
        return False
    return bool((ours[~missing].astype(object) == theirs[~missing].astype(object)).all())


def growth(sizes: Sequence[int]) -> dict[str, report.Result]:
    """The time per event, and the memory, as shops grow: one moment, including the boundaries."""
    results: dict[str, report.Result] = {}
    first: float | None = None
    for size in sizes:
        with TemporaryDirectory() as folder:
            _note(f"making and building a shop of {size:,} events")
            events = rounds.apart(partial(lakes.make, Home(Path(folder)), size))
            seconds, gigabytes = rounds.apart(partial(_build_alone, Path(folder)))
        each = seconds / events * 1e6
        first = first or each
        name = f"build_growth_{size / 1e6:g}m"
        results[name] = report.Result(each, "µs per event", limit=first)
        results[f"{name}_peak"] = report.Result(gigabytes, "GB", limit=MAX_GIGABYTES)
    return results


def _build_alone(path: Path) -> tuple[float, float]:
    """Seconds, and the peak memory of this process in gigabytes."""
    began = time.perf_counter()
    snapshots.store(Home(path), lakes.AS_OFS[-1:])
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _seconds(work: Callable[[], None], scale: float = 1.0) -> dict[str, float]:
    began = time.perf_counter()
    work()
    return {"seconds": (time.perf_counter() - began) * scale}


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
