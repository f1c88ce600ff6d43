"""The stored snapshots of a build: one folder per feature group, one file per moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.group import FeatureGroup

FILE_TIME = "%Y%m%dT%H%M%SZ"
_NO_FEATURES = ["as_of", "created_at"]


@dataclass(frozen=True)
class SnapshotSet:
    """The snapshots of one build.

    Attributes:
        folders: by group, the folder that contains its snapshots.
        as_ofs: the moments for which every group has a snapshot, in ascending order.
        current: the last of them: the shop's present when it was built.
        computed: what was computed for the present, as text for people.
    """

    folders: Mapping[str, Path]
    as_ofs: tuple[datetime, ...]
    current: datetime
    computed: str = ""

    def frame(self, group: FeatureGroup, as_of: datetime) -> pd.DataFrame:
        """One stored snapshot as a frame; integer columns stay integer where values are missing."""
        return _frame(self.table(group, as_of))

    def everyone(self, as_of: datetime) -> pd.DataFrame:
        """The features of all groups, declared traits included, by ``customer_key``.

        Numbers are float64, with NaN where they are missing.
        """
        frames = [
            _frame(pq.read_table(_file(folder, as_of))).set_index("customer_key").drop(columns=_NO_FEATURES)
            for folder in self.folders.values()
        ]
        joined = pd.concat(frames, axis=1)
        return joined.astype({name: "float64" for name in joined if joined[name].dtype == "Int64"})

    def path(self, group: str, as_of: datetime) -> Path:
        """The file of a group's snapshot, by the group's name."""
        return _file(self.folders[group], as_of)

    def customers(self, as_of: datetime) -> int:
        """The number of customers at a moment."""
        rows: int = pq.read_metadata(self.path(next(iter(self.folders)), as_of)).num_rows
        return rows

    def current_files(self) -> dict[str, Path]:
        """The file of each group's current snapshot."""
        return {group: _file(folder, self.current) for group, folder in self.folders.items()}

    def table(self, group: FeatureGroup, as_of: datetime) -> pa.Table:
        """One stored snapshot as an Arrow table, with the types of its file."""
        return pq.read_table(snapshot_path(self.folders, group, as_of))


def snapshot_path(folders: Mapping[str, Path], group: FeatureGroup, as_of: datetime) -> Path:
    """The file of a group's snapshot as of a moment."""
    return _file(folders[group.name], as_of)


def _file(folder: Path, as_of: datetime) -> Path:
    return folder / f"{as_of:{FILE_TIME}}.parquet"


def _frame(table: pa.Table) -> pd.DataFrame:
    dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=dtypes.get)
    return frame
