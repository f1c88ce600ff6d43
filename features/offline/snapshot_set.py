"""The stored snapshots that a build leaves behind: one folder per feature group, one file per moment."""

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


@dataclass(frozen=True)
class SnapshotSet:
    """The snapshots of one build.

    Attributes:
        folders: by group, the folder that contains its snapshots.
        as_ofs: the moments for which every group has a snapshot, in ascending order.
        current: the last of them: the shop's present when it was built.
    """

    folders: Mapping[str, Path]
    as_ofs: tuple[datetime, ...]
    current: datetime

    def frame(self, group: FeatureGroup, as_of: datetime) -> pd.DataFrame:
        """One stored snapshot as a frame; integer columns stay integer where values are missing."""
        dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        frame: pd.DataFrame = self.table(group, as_of).to_pandas(types_mapper=dtypes.get)
        return frame

    def table(self, group: FeatureGroup, as_of: datetime) -> pa.Table:
        """One stored snapshot as an Arrow table, with the types of its file."""
        return pq.read_table(snapshot_path(self.folders, group, as_of))


def snapshot_path(folders: Mapping[str, Path], group: FeatureGroup, as_of: datetime) -> Path:
    """The file of a group's snapshot as of a moment."""
    return folders[group.name] / f"{as_of:{FILE_TIME}}.parquet"
