"""The features of some customers from the snapshots of the last build, read by an executor's task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.calendar import micros
from core.home import Home
from features.group import KEYS
from features.offline.current import current_files
from features.offline.engines.exchange import FileExchange, read_table
from features.online.columns import OnlineColumns

KEY = KEYS[0]


@dataclass(frozen=True)
class SnapshotColumns:
    """The features of all customers as of the last build.

    Attributes:
        groups: the group of each feature.
        files: the address of each group's file.
    """

    as_of: datetime
    groups: Mapping[str, str]
    files: Mapping[str, str]

    @classmethod
    def of(cls, home: Home, exchange: FileExchange) -> Self:
        """Those of a home.

        Raises:
            NothingThere: nothing was built yet.
            PatronError: the snapshots cannot be read.
        """
        as_of, files = current_files(home)
        groups = {name: group for group, path in files.items() for name in pq.read_schema(path).names}
        addresses = exchange.publish([*files.values()])
        return cls(as_of, groups, dict(zip(files, addresses, strict=True)))

    def read(self, keys: NDArray[np.int64], names: Sequence[str]) -> OnlineColumns:
        """Features as the online store has them after the build.

        Args:
            keys: of the customers, in ascending order.
        """
        values: dict[str, pa.Array] = {}
        known = pa.array(np.zeros(len(keys), bool))
        for group in dict.fromkeys(self.groups[name] for name in names):
            members = [name for name in names if self.groups[name] == group]
            between = [(KEY, ">=", int(keys[0])), (KEY, "<=", int(keys[-1]))]
            rows = read_table(self.files[group], columns=[KEY, *members], filters=between)
            places = pc.index_in(pa.array(keys), rows[KEY].combine_chunks())
            values |= {name: rows[name].combine_chunks().take(places) for name in members}
            known = pc.or_(known, places.is_valid())
        as_of = pc.if_else(known, pa.scalar(micros(self.as_of), pa.int64()), None)
        return OnlineColumns({name: values[name] for name in names}, as_of)
