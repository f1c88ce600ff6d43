"""A build after one more day of events, against builds of everything in the same home.

``ours`` is ``patron build`` after a day; the ``limit`` is a share of the time of a build in the same home
without snapshots: of all monthly ones and the current one (``build_day``), or with ``--no-monthly``
(``build_day_current``). Fails if values differ.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import lakes
from benchmarks.harness.report import Result
from core.calendar import midnight
from core.errors import PatronError
from core.home import Home
from core.shop import Clock
from features.offline import build

DAYS = [midnight(date(2025, 12, day), lakes.ZONE) for day in (19, 20)]
SHARE = 0.15  # of the time of a build of everything


def compare(home: Home) -> dict[str, Result]:
    """The seconds of a build after a day of a home that :func:`benchmarks.lakes.make` filled.

    Raises:
        PatronError: a value differs from that of a build of everything.
    """
    yesterday, today = DAYS
    _empty(home)
    everything = _seconds(home, yesterday, monthly=True)
    day = _seconds(home, today, monthly=True)
    of_day = _current(home, today)
    _empty(home)
    current = _seconds(home, today, monthly=False)
    for name, expected in _current(home, today).items():
        if not of_day[name].equals(expected):
            raise PatronError(f"a build after a day has other values in {name}")
    return {
        "build_day": Result(day, "s", limit=SHARE * everything),
        "build_day_current": Result(day, "s", limit=SHARE * current),
    }


def _empty(home: Home) -> None:
    for folder in (home.snapshots, home.feast):
        shutil.rmtree(folder, ignore_errors=True)


def _seconds(home: Home, now: datetime, monthly: bool) -> float:
    home.write_shop(replace(home.shop(), clock=Clock(now)))
    began = time.perf_counter()
    build.build(home, monthly)
    return time.perf_counter() - began


def _current(home: Home, now: datetime) -> dict[str, pa.Table]:
    """The current snapshot of each group, by the name of its folder."""
    files: list[Path] = sorted(home.snapshots.glob(f"*/*/{now:%Y%m%dT%H%M%SZ}.parquet"))
    return {path.parent.name: pq.read_table(path) for path in files}
