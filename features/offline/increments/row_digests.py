"""Digests of the rows of each customer in a warehouse, stored by each build for the next one.

``snapshots/<generation>/digests/<as_of>.parquet``; homes with a lake of their own have none, since its events
never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from ibis.backends.sql import SQLBackend
from numpy.typing import NDArray

from core.files import replacing
from core.home import Home
from events import lake, warehouse
from features.offline.snapshot_set import FILE_TIME


def write(home: Home, backend: SQLBackend, as_ofs: Sequence[datetime]) -> None:
    """Store the digests of the rows that a session of a warehouse reads, for moments that have none.

    They are stored before any snapshot of the moment, so that no later row is in them and not in these.

    Raises:
        PatronError: the warehouse cannot be read.
    """
    lacking = [as_of for as_of in as_ofs if not stored(home, as_of)]
    rows = warehouse.digests(lake.read(home, backend), backend.name)
    if rows is None or not lacking:
        return
    table = backend.to_pyarrow(rows.order_by("customer_key"))
    folder(home).mkdir(parents=True, exist_ok=True)
    for as_of in lacking:
        with replacing(_file(home, as_of)) as draft:
            pq.write_table(table, draft)


def stored(home: Home, as_of: datetime) -> bool:
    """Whether the build of a moment stored them."""
    return _file(home, as_of).exists()


def changed(home: Home, base: datetime, as_of: datetime) -> NDArray[np.int64]:
    """The keys of customers whose rows differ between the builds of two moments, in ascending order."""
    before, after = (pq.read_table(_file(home, moment)) for moment in (base, as_of))
    old, new = (rows["customer_key"].to_numpy() for rows in (before, after))
    both, *places = np.intersect1d(old, new, assume_unique=True, return_indices=True)
    digests = [rows["digest"].to_numpy()[at] for rows, at in zip((before, after), places, strict=True)]
    return np.union1d(np.setxor1d(old, new, assume_unique=True), both[digests[0] != digests[1]])


def drop_others(home: Home, as_of: datetime) -> None:
    """Remove those of other moments."""
    for path in set(folder(home).glob("*.parquet")) - {_file(home, as_of)}:
        path.unlink()


def folder(home: Home) -> Path:
    """The folder of the files."""
    return home.snapshots / lake.metadata(home).generation / "digests"


def _file(home: Home, as_of: datetime) -> Path:
    return folder(home) / f"{as_of:{FILE_TIME}}.parquet"
