"""Fills the online store from the snapshots of a build: from this process, or from executors into Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core import home_id
from core.calendar import micros
from core.errors import PatronError
from core.home_id import HomeId
from core.shop import Shop
from features.catalogue.store import Store
from features.offline.engines.engine import SHARING_NEEDED
from features.offline.engines.exchange import place_of
from features.offline.engines.executors import Executors
from features.offline.snapshot_set import SnapshotSet
from features.online import rows
from features.online.open import open_cells
from features.online.packed import CellLayout


def fill(store: Store, built: SnapshotSet, executors: Executors | None) -> None:
    """Write the current features of all customers into the online store.

    Newer rows, and those of customers who arrived meanwhile, are preserved.

    Args:
        executors: of Spark, which write the rows if the store is a server; None for this process.
    """
    files = built.current_files()
    if executors is None or not store.is_server:
        store.fill_online({group: pq.read_table(path) for group, path in files.items()})
        return
    tasks = max(pq.read_metadata(path).num_row_groups for path in files.values())
    customers = {key for path in files.values() for key in _keys(path)}
    layouts = {view: replace(layout) for view, layout in store.layouts().items()}  # without cached values
    addresses = dict(zip(files, executors.exchange.publish([*files.values()]), strict=True))
    task = RowsTask(home_id.read(store.home), store.home.shop(), store.address, layouts, addresses)
    if executors.sum(tasks, task) < len(customers):
        raise PatronError(
            f"online rows of some customers were not written; with a cluster, {SHARING_NEEDED}."
            " Run `patron build` again"
        )
    store.erase_others(customers, micros(built.current))


def _keys(path: Path) -> list[int]:
    keys: list[int] = pq.read_table(path, columns=[rows.KEY])[rows.KEY].to_pylist()
    return keys


@dataclass(frozen=True)
class RowsTask:
    """Writes the online rows of some customers; it is called on the executors.

    Attributes:
        owner: the id of the home, which the store has.
        address: the store's.
        files: the address of each group's snapshot.
    """

    owner: HomeId | None
    shop: Shop
    address: str
    layouts: Mapping[str, CellLayout]
    files: Mapping[str, str]

    def __call__(self, number: int) -> int:
        """Write the row groups of that number; returns how many customers they have."""
        place = open_cells(self.address, owner=lambda: self.owner)
        read = {group: _row_group(address, number) for group, address in self.files.items()}
        tables = {group: table for group, table in read.items() if table is not None}
        return len(rows.write(place, self.layouts, tables, self.shop))


def _row_group(address: str, number: int) -> pa.Table | None:
    filesystem, path = place_of(address)
    with pq.ParquetFile(path, filesystem=filesystem) as file:
        return file.read_row_group(number) if number < file.num_row_groups else None
