"""Columns of Parquet files with a row per customer; those read last are in memory.

A page reads a few of the hundred features of all customers, and the next page mostly the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

KEY = "customer_key"
MAX_COLUMNS = 32
"""Columns in memory: 8 bytes each per customer, so 256 MB in a shop of a million."""

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class CustomerTable:
    """Files that together have a row per customer.

    Attributes:
        paths: in the order of their rows.
        written: when each was written, in nanoseconds; a file that is written anew is read anew.
    """

    paths: tuple[Path, ...]
    written: tuple[int, ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """The table of some files.

        Raises:
            OSError: one cannot be read.
        """
        listed = tuple(paths)
        return cls(listed, tuple(path.stat().st_mtime_ns for path in listed))

    @property
    def schema(self) -> pa.Schema:
        """The columns of the files."""
        return pq.read_schema(self.paths[0])

    def keys(self) -> Keys:
        """The key of each row's customer."""
        return _keys(self)

    def column(self, name: str, like: CustomerTable) -> pa.Array:
        """A column in the order of another table's customers; null for those without a row.

        Raises:
            OSError: a file cannot be read, or is damaged (``pa.ArrowException``).
        """
        return _column(self, name, like)


@lru_cache(maxsize=16)
def _keys(table: CustomerTable) -> Keys:
    return np.asarray(_read(table, KEY))


@lru_cache(maxsize=16)
def _places(table: CustomerTable, like: CustomerTable) -> pa.Array | None:
    """The row of each customer of another table; None if both have the same customers in one order."""
    if np.array_equal(table.keys(), like.keys()):
        return None
    return pc.index_in(pa.array(like.keys()), pa.array(table.keys()))


@lru_cache(maxsize=MAX_COLUMNS)
def _column(table: CustomerTable, name: str, like: CustomerTable) -> pa.Array:
    column, places = _read(table, name), _places(table, like)
    return column if places is None else column.take(places)


def _read(table: CustomerTable, name: str) -> pa.Array:
    parts = [pq.ParquetFile(path).read([name])[name] for path in table.paths]
    return pa.chunked_array(chunk for part in parts for chunk in part.chunks).combine_chunks()
