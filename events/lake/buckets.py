"""The events of a few customers: row groups of the lake's files, cached in memory, and the events since the
last compaction.

The files are sorted by customer, so their footers say which row groups contain a customer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core import files
from core.calendar import moment
from core.errors import PatronError
from core.home import Home
from core.storage.database import Database
from events import lake
from events.identity import Identity, Merge
from events.lake import order_book
from events.lake.reading import complete
from events.schema import STORED

_UNIQUE = ("order_id", "reference", "properties")  # columns whose texts seldom repeat
_FACTS = {order_book.facts_table(name): schema for name, schema in order_book.FACT_TYPES.items()}
_TYPES = {name: ibis.schema(schema).to_pyarrow() for name, schema in STORED.items()} | _FACTS
_ANY_KEY = (0, np.iinfo(np.int64).max)  # the range of a row group without statistics
_DICTIONARIES = {
    name: [field.name for field in schema if pa.types.is_string(field.type) and field.name not in _UNIQUE]
    for name, schema in _TYPES.items()
}


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file, sorted by customer; repeated texts are dictionary-encoded."""

    table: pa.Table

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """The customer of each row."""
        keys: NDArray[np.int64] = self.table["customer_key"].to_numpy()
        return keys

    @cached_property
    def bytes(self) -> int:
        """Its size in memory."""
        return int(self.table.nbytes)

    def of(self, customer_keys: NDArray[np.int64]) -> pa.Table:
        """The rows of these customers."""
        starts, ends = (np.searchsorted(self.keys, customer_keys, side) for side in ("left", "right"))
        return self.table.take(np.concatenate([np.arange(*span) for span in zip(starts, ends, strict=True)]))


@dataclass(frozen=True)
class BucketFile:
    """A bucket's file of an event table.

    Attributes:
        stamp: a new version of the lake hard-links unchanged files, so it stays the same.
        footer: the file's metadata.
        first, last: the first and the last customer of each row group.
    """

    stamp: files.Stamp | None
    footer: pq.FileMetaData
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, stamp: files.Stamp | None, footer: pq.FileMetaData) -> BucketFile:
        """The file with this footer."""
        column = footer.schema.names.index("customer_key")
        groups = (footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups))
        ranges = [(g.min, g.max) if g is not None and g.has_min_max else _ANY_KEY for g in groups]
        first, last = np.array(ranges, np.int64).reshape(-1, 2).T
        return cls(stamp, footer, first, last)

    def spans(self, customer_keys: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The row groups that may contain these customers, ascending, each with its share of them."""
        starts = np.searchsorted(customer_keys, self.first)
        ends = np.searchsorted(customer_keys, self.last, "right")
        for group in np.flatnonzero(starts < ends).tolist():
            yield group, customer_keys[starts[group] : ends[group]]


class History:
    """Reads the events of customers; not thread-safe.

    Args:
        most_bytes: the size of the cache; the least recently used row groups are evicted. What is not in it
            is read again, which takes some 7 ms for each row group.
    """

    def __init__(self, home: Home, database: Database, most_bytes: float = math.inf) -> None:
        self._home, self._database, self._most_bytes = home, database, most_bytes
        self._files: dict[tuple[str, int], BucketFile] = {}
        self._groups: OrderedDict[tuple[str, int, int], RowGroup] = OrderedDict()
        self._bytes = 0  # of the row groups

    def of(self, customer_keys: Sequence[int]) -> dict[str, pa.Table]:
        """The event tables of these customers, with the columns and types of ``STORED``.

        Events of customers merged into one of them are included, as known since the merge.

        Raises:
            PatronError: the lake or the database cannot be read.
        """
        # Read first: a later merge arrives as a change of its own.
        merges = Identity(self._home, self._database).merges(into=customer_keys)
        keys = sorted({*customer_keys, *(merge.customer_key for merge in merges)})
        while True:
            version, tail = lake.arrived(self._home, self._database, keys)
            try:
                stored = {name: self._stored(version.folder, name, keys) for name in _TYPES}
                break
            except FileNotFoundError as error:
                if lake.current(self._home).folder == version.folder:
                    raise PatronError(
                        f"files of the lake {version.folder} are missing; bring the shop in again with"
                        " --replace"
                    ) from error
                # Replaced twice since: that version was removed, and the newer one contains its events.
        return of_customers(stored, tail, merges, customer_keys)

    def _stored(self, folder: Path, name: str, customer_keys: Sequence[int]) -> pa.Table:
        if name in _FACTS and not (folder / name).exists():  # no order needs facts yet
            return _TYPES[name].empty_table()
        by_bucket: dict[int, list[int]] = {}
        for key in customer_keys:
            by_bucket.setdefault(key % lake.BUCKETS, []).append(key)
        parts = [_TYPES[name].empty_table()]
        for number, keys in by_bucket.items():
            path = lake.bucket_file(folder, name, number)
            file = self._file(name, number, path)
            for group, own in file.spans(np.array(keys)):
                parts.append(self._group((name, number, group), path, file).of(own).cast(_TYPES[name]))
        return pa.concat_tables(parts)

    def _file(self, name: str, number: int, path: Path) -> BucketFile:
        stamp = files.stamp(path)  # None if it is missing; reading it then raises the error
        file = self._files.get((name, number))
        if file is None or file.stamp != stamp:
            with _reading(path):
                footer = pq.read_metadata(path)
            file = self._files[name, number] = BucketFile.of(stamp, footer)
            for place in [place for place in self._groups if place[:2] == (name, number)]:
                self._bytes -= self._groups.pop(place).bytes
        return file

    def _group(self, place: tuple[str, int, int], path: Path, file: BucketFile) -> RowGroup:
        group = self._groups.pop(place, None)
        if group is None:
            group = _read(place[0], place[2], path, file)
            self._bytes += group.bytes
        self._groups[place] = group
        while len(self._groups) > 1 and self._bytes > self._most_bytes:
            self._bytes -= self._groups.popitem(last=False)[1].bytes
        return group


def _read(name: str, group: int, path: Path, file: BucketFile) -> RowGroup:
    with (
        _reading(path),
        pq.ParquetFile(path, metadata=file.footer, read_dictionary=_DICTIONARIES[name]) as opened,
    ):
        columns = [column for column in _TYPES[name].names if column in opened.schema_arrow.names]
        rows = opened.read_row_group(group, columns, use_threads=False)
        return RowGroup(complete(rows, _TYPES[name]).combine_chunks())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Give the error of a file that cannot be read, other than one that is missing, in words."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise PatronError(
            f"the lake's file {path} cannot be read; bring the shop in again with --replace"
        ) from error


def of_customers(
    stored: Mapping[str, pa.Table],
    arrived: Mapping[str, pa.Table],
    merges: Sequence[Merge],
    customer_keys: Sequence[int],
) -> dict[str, pa.Table]:
    """Event tables of customers: rows of the lake and later events, including those of customers merged into
    them.

    Args:
        stored: rows of all these customers, from the lake's tables and tables of facts.
        arrived: their events that are not in the lake yet.
    """
    shared = _shared([stored[name] for name in stored if name not in ("traits", "activities")], merges)
    settled = order_book.settle(
        lambda name, ids: stored[name].filter(pc.is_in(stored[name]["order_id"], ids)),
        arrived, merges, shared, set(customer_keys),
    )  # fmt: skip
    wanted = pa.array(customer_keys, "int64")
    tables = {}
    for name, tail in arrived.items():
        rows = pa.concat_tables([order_book.as_stored(name, tail), stored[name]])
        if name in settled.tables and len(settled.order_ids):
            rows = rows.filter(pc.invert(pc.is_in(rows["order_id"], settled.order_ids)))
        own = rows.filter(pc.is_in(rows["customer_key"], wanted))
        further = [settled.tables[name]] if name in settled.tables else []
        tables[name] = pa.concat_tables([own, *_as_others(rows, merges), *further])
    return tables


def _shared(tables: Sequence[pa.Table], merges: Sequence[Merge]) -> pa.Array | None:
    """The orders shared by several of the customers, if any were merged."""
    if not merges:
        return None
    rows = pa.concat_tables(table.select(["customer_key", "order_id"]) for table in tables)
    counts = rows.group_by("order_id").aggregate([("customer_key", "count_distinct")])
    return counts.filter(pc.greater(counts["customer_key_count_distinct"], 1))["order_id"].drop_null()


def _as_others(rows: pa.Table, merges: Sequence[Merge]) -> Iterator[pa.Table]:
    """The events of merged customers, assigned to the customer they were merged into, as known since the
    merge.
    """
    key, received = (rows.schema.get_field_index(name) for name in ("customer_key", "received_at"))
    for merge in merges:
        theirs = rows.filter(pc.equal(rows["customer_key"], merge.customer_key))
        into = pa.array([merge.into] * theirs.num_rows, "int64")
        at = pa.scalar(moment(merge.at_us).replace(tzinfo=None), pa.timestamp("us"))
        known = pc.max_element_wise(theirs["received_at"], at)
        yield theirs.set_column(key, rows.schema.field(key), into).set_column(
            received, rows.schema.field(received), known
        )
