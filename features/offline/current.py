"""The features of all customers as of the last build: the location of the files, and the segments.

``snapshots/<generation>/current.json`` names the files. It is written last, in one step, so that
readers find every group as of the same moment, also during the next build.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import core.files
from core.errors import NothingThere, PatronError
from core.home import Home
from core.storage.customer_columns import CustomerTable
from features.groups.segment_rules import current_name
from features.offline.rfm_grid import INPUTS, RFM_CELL, rfm_cells

POINTER = "current.json"
SEGMENTS = "segments"  # the group whose text features are the segments a customer is in
FEW = 50  # maximum number of values listed in a message about an unknown one

Keys = NDArray[np.int64]


class NoSuchSegment(PatronError):
    """A feature or a value that no customer has; the message lists the existing ones."""


@dataclass(frozen=True)
class LazyColumns(Mapping[str, pa.DictionaryArray]):
    """The columns of a snapshot, each read when it is first used; see :mod:`core.storage.customer_columns`.

    Attributes:
        names: of the columns. tables: that of each feature, also of those from which columns are derived.
        encoded: the columns that were used.
        like: the table whose customers the columns follow.
    """

    names: Collection[str]
    tables: Mapping[str, CustomerTable]
    like: CustomerTable
    encoded: dict[str, pa.DictionaryArray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> pa.DictionaryArray:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.encoded:
            if name == RFM_CELL:
                column = rfm_cells({feature: self._column(feature) for feature in INPUTS})
            else:
                column = self._column(name)
            self.encoded[name] = pc.cast(column, pa.string()).dictionary_encode()
        return self.encoded[name]

    def _column(self, name: str) -> pa.Array:
        table = self.tables[name]
        with _readable(table.paths[0].parent):
            return table.column(name, self.like)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class CurrentSnapshot:
    """The text and boolean features of all customers as of the last build, by ``customer_key``.

    Attributes:
        groups: the group of each feature.
        values: per feature one value per key, null if missing; those of a boolean are true and false. The
            cell of the RFM grid is among them.
    """

    as_of: datetime
    keys: Keys
    groups: Mapping[str, str]
    values: Mapping[str, pa.DictionaryArray]

    def members(self, segments: Sequence[str]) -> Keys:
        """The keys, in order, of customers who match all of ``FEATURE:VALUE``; all customers without any.

        Raises:
            NoSuchSegment: a feature or a value is unknown.
        """
        inside = np.ones(len(self.keys), bool)
        for segment in segments:
            inside &= self._has(segment)
        return self.keys[inside]

    @property
    def segment_names(self) -> list[str]:
        """The features that are segments."""
        return [name for name, group in self.groups.items() if group == SEGMENTS]

    def segments(self, keys: Keys) -> list[dict[str, str | None]]:
        """The segments of each of these keys, by feature."""
        places = np.searchsorted(self.keys, keys)
        columns = {name: self.values[name].take(places).to_pylist() for name in self.segment_names}
        return [{name: columns[name][i] for name in columns} for i in range(len(keys))]

    def _has(self, segment: str) -> NDArray[np.bool_]:
        feature, colon, value = segment.partition(":")
        if feature not in self.values or not colon:
            raise NoSuchSegment(
                f"a segment is FEATURE:VALUE, with one of the features {', '.join(sorted(self.values))}"
            )
        column = self.values[feature]
        there = column.dictionary.to_pylist()
        named = [i for i, name in enumerate(there) if _same(feature, name, value)]
        if not named:
            listed = f"; there are {', '.join(sorted(there))}" if 0 < len(there) <= FEW else ""
            raise NoSuchSegment(f"no customer has that value of {feature}{listed}")
        has: NDArray[np.bool_] = np.isin(column.indices.fill_null(-1).to_numpy(), named)
        return has


def _same(feature: str, name: str, value: str) -> bool:
    """Whether two names are those of one segment, by its present name or by that of an earlier release."""
    return current_name(feature, name) == current_name(feature, value)


def load_current(home: Home) -> CurrentSnapshot:
    """The features as of the last build; read once per build.

    Raises:
        NothingThere: nothing was built yet.
        PatronError: the snapshots cannot be read.
    """
    with _readable(home.snapshots):
        return _read(*_newest(home))


def current_files(home: Home) -> tuple[datetime, dict[str, Path]]:
    """The moment of the last build, and by group the file with the features of all customers.

    Raises:
        NothingThere: nothing was built yet.
        PatronError: the snapshots cannot be read.
    """
    with _readable(home.snapshots):
        _, pointer = _newest(home)
        content = json.loads(pointer.read_text())
        files = {group: pointer.parent / place for group, place in content["files"].items()}
        return datetime.fromisoformat(content["as_of"]), files


def _newest(home: Home) -> tuple[int, Path]:
    """The pointer of the last build, with the time at which it was written."""
    # Two generations exist only while a build removes the old one.
    written = [(path.stat().st_mtime_ns, path) for path in home.snapshots.glob(f"*/{POINTER}")]
    if not written:
        raise NothingThere(f"no features were built in {home.path}; run `patron build`")
    return max(written)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise PatronError(f"the snapshots in {folder} cannot be read; run `patron build`") from error


def built_at(home: Home, generation: str) -> datetime | None:
    """The moment of the last build of a generation of events; None if there was none.

    Raises:
        PatronError: the build's files cannot be read.
    """
    built = built_in_zone(home, generation)
    return None if built is None else built[0]


def built_in_zone(home: Home, generation: str) -> tuple[datetime, str | None] | None:
    """The moment of the last build and the shop's time zone then, if it is known.

    Raises:
        PatronError: as :func:`built_at`.
    """
    pointer = home.snapshots / generation / POINTER
    try:
        content = json.loads(pointer.read_text())
        return datetime.fromisoformat(content["as_of"]), content.get("time_zone")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise PatronError(f"{pointer} is damaged; run `patron build`") from error


def members(home: Home, segments: Sequence[str]) -> Keys:
    """The keys of the customers who match all of ``FEATURE:VALUE``, as of the last build.

    Raises:
        NoSuchSegment: a feature or a value is unknown; the message lists the existing ones.
        PatronError: nothing was built yet, or it cannot be read.
    """
    return load_current(home).members(segments)


def write_pointer(generation: Path, as_of: datetime, files: Mapping[str, Path], time_zone: str) -> None:
    """Write which file of each group is the current one, below a generation's folder."""
    places = {group: str(path.relative_to(generation)) for group, path in files.items()}
    core.files.replace(
        generation / POINTER,
        json.dumps({"as_of": as_of.isoformat(), "time_zone": time_zone, "files": places}, indent=1),
    )


@lru_cache(maxsize=2)
def _read(_written: int, pointer: Path) -> CurrentSnapshot:
    content = json.loads(pointer.read_text())
    tables = {group: CustomerTable.of([pointer.parent / place]) for group, place in content["files"].items()}
    if not tables:
        raise ValueError(f"{pointer} names no files")
    first = next(iter(tables.values()))
    fields = [(group, field) for group, table in tables.items() for field in table.schema]
    groups = {
        field.name: group
        for group, field in fields
        if pa.types.is_string(field.type) or pa.types.is_boolean(field.type)
    }
    by_feature = {field.name: tables[group] for group, field in fields}
    derived = [RFM_CELL] if set(INPUTS) <= set(by_feature) else []
    values = LazyColumns([*groups, *derived], by_feature, first)
    return CurrentSnapshot(datetime.fromisoformat(content["as_of"]), first.keys(), groups, values)
