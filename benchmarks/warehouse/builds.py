"""Builds of one shop from files and in a warehouse, timed and compared."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import lakes
from benchmarks.build_day import DAYS
from benchmarks.engines import compared_columns
from benchmarks.harness import report, rounds
from benchmarks.warehouse.company import PostgresWarehouse, copy_events, home_of
from core.errors import PatronError
from core.home import Home
from core.shop import Clock
from events import lake
from features.offline import build


def compare(events: int, company: PostgresWarehouse) -> dict[str, report.Result]:
    """The seconds of both builds of a shop, and of both a day later; raises if their values differ.

    Args:
        company: an empty database.
    """
    with TemporaryDirectory() as folder:
        files = Home(Path(folder) / "files")
        made = rounds.apart(partial(lakes.make, files, events))
        copy_events(files, company)
        there = home_of(company, files, Path(folder) / "warehouse")
        measured = [rounds.apart(partial(_seconds, home)) for home in (there, files)]
        columns = _compared(files, there)
    print(f"{made:,} events: {columns} columns are equal", file=sys.stderr, flush=True)
    pairs = zip(("everything", "day"), *measured, strict=True)
    return {f"build_{name}": report.Result(ours, "s", peer) for name, ours, peer in pairs}


def _seconds(home: Home) -> Sequence[float]:
    """Of a build of everything, and of one a day later."""
    return [_build(home, now) for now in DAYS]


def _build(home: Home, now: datetime) -> float:
    home.write_shop(replace(home.shop(), clock=Clock(now)))
    began = time.perf_counter()
    build.build(home, monthly=False)
    return time.perf_counter() - began


def _compared(files: Home, there: Home) -> int:
    """The number of columns of snapshots, boundaries and habits that were compared.

    Raises:
        PatronError: a file is missing, or values differ.
    """
    expected, actual = (home.snapshots / lake.metadata(home).generation for home in (files, there))
    names = sorted(path.relative_to(expected) for path in expected.rglob("*.parquet"))
    if missing := [name for name in names if not (actual / name).exists()]:
        raise PatronError(f"the build in the warehouse wrote no {missing[0]}")
    return sum(compared_columns(expected / name, actual / name) for name in names)
